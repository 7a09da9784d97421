"""Spectrograms and F0 along the path: axes, levels, alignment, and what is kept of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from voices import voice

from vcbench import audio, pictures, protocols
from vcbench.alignment import Analysis
from vcbench.errors import DataError

RATE = 16000
CENTRES_HZ = pictures.band_centres_hz()


def tone(frequency_hz: float, *, rate: int = RATE, seconds: float = 0.3) -> np.ndarray:
    return np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate)) / rate)


@given(band=st.integers(4, pictures.BANDS - 2), rate=st.sampled_from([16000, 24000, 48000]))
def test_a_tone_lights_the_band_at_its_frequency_whatever_the_rate(band: int, rate: int) -> None:
    level = pictures.mel_spectrogram(tone(CENTRES_HZ[band], rate=rate), sample_rate=rate)
    middle = level[:, level.shape[1] // 2]
    assert middle.argmax() == band
    away = np.abs(np.arange(pictures.BANDS) - band) > 6
    assert middle[away].max() < middle[band] - 40


def test_the_axis_is_the_mel_scale_from_0_to_8_khz() -> None:
    # The scale is defined so that 1000 Hz is 1000 mel, to its three digits.
    mel = 2595 * np.log10(1 + CENTRES_HZ / 700)
    assert 2595 * np.log10(1 + 1000 / 700) == pytest.approx(1000, abs=0.1)
    np.testing.assert_allclose(np.diff(mel), mel[0])
    assert 2595 * np.log10(1 + 8000 / 700) == pytest.approx(mel[-1] + mel[0])


def test_ten_times_softer_is_20_db_lower_and_silence_is_the_floor() -> None:
    wave = voice(0.4)
    loud, soft = (pictures.mel_spectrogram(g * wave, sample_rate=RATE) for g in (1.0, 0.1))
    heard = soft > pictures.FLOOR_DB + 1
    np.testing.assert_allclose((loud - soft)[heard], 20, atol=1e-6)
    silent = pictures.mel_spectrogram(np.zeros(4000), sample_rate=RATE)
    assert (silent == pictures.FLOOR_DB).all()
    # A frame every 10 ms; what a rate cannot hold is dark.
    assert silent.shape == (pictures.BANDS, 25)
    noise = np.random.default_rng(0).normal(size=8000)
    narrow = pictures.mel_spectrogram(noise, sample_rate=8000)
    assert (narrow[CENTRES_HZ > 4300] == pictures.FLOOR_DB).all()
    assert (narrow[CENTRES_HZ < 3700] > -60).all()


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_the_level_is_of_the_frame_and_not_of_its_neighbours(rate: int) -> None:
    wave = np.concatenate([np.zeros(rate // 2), tone(1000, rate=rate, seconds=0.5)])
    level = pictures.mel_spectrogram(wave, sample_rate=rate).max(axis=0)
    assert len(level) == 100
    assert (level[:48] < -100).all() and (level[52:98] > -20).all()


def analysis(frames: int, seed: int, *, gated: bool = True) -> Analysis:
    rng = np.random.default_rng(seed)
    speech = rng.random(frames) < 0.7 if gated else np.ones(frames, dtype=bool)
    speech[:1] = True
    f0_hz = np.where(rng.random(frames) < 0.7, rng.uniform(80, 300, frames), 0.0)
    return Analysis(rng.normal(size=(frames, 5)).cumsum(axis=0), f0_hz, speech, 5.0)


@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 99),
    st.sampled_from(["vcbench-1", "s3prl-vc"]),
)
def test_aligned_f0_is_the_mean_of_what_meets_each_frame(
    n: int, m: int, seed: int, name: str
) -> None:
    protocol = protocols.get(name)
    target, other = analysis(n, seed), analysis(m, seed + 100)
    if protocol.pitch != "path":  # F0 has a path of its own
        target = replace(target, pitch=analysis(n, seed + 200))
        other = replace(other, pitch=analysis(m, seed + 300))
    found = pictures.aligned_f0(target, other, protocol)
    pair = protocol.align(target, other)
    on = pair.pitch or pair
    gate = (target.pitch or target).speech
    expected = []
    position = -1
    for frame in range(n):
        position += bool(gate[frame])
        met = [on.converted.f0_hz[c] for r, c in on.path if gate[frame] and r == position]
        voiced = [f for f in met if f > 0]
        expected.append(sum(voiced) / len(voiced) if voiced else 0.0)
    np.testing.assert_allclose(found, expected)


def test_speech_twice_as_slow_lies_on_itself() -> None:
    target = analysis(40, 1, gated=False)
    slow = Analysis(
        target.mcep.repeat(2, axis=0), target.f0_hz.repeat(2), target.speech.repeat(2), 5.0
    )
    found = pictures.aligned_f0(target, slow, protocols.get("vcbench-1"))
    np.testing.assert_allclose(found, target.f0_hz)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with the sounds of two sentences, and no pictures."""
    samples = []
    for i, sentence in enumerate(("s1", "s2")):
        place = f"samples/A_to_B/{sentence}"
        (tmp_path / place).mkdir(parents=True)
        sounds = {"source": 120.0, "target": 200.0, "good": 205.0, "bad": 90.0}
        for name, f0_hz in sounds.items():
            wave = voice(0.5, f0_hz=f0_hz, seed=i)
            audio.write(tmp_path / place / f"{name}.wav", wave, sample_rate=RATE)
        samples.append(
            {
                "pair": "A-B",
                "direction": "A>B",
                "utterance": sentence,
                "seed": 0,
                "source": f"{place}/source.wav",
                "target": f"{place}/target.wav",
                "converted": {name: f"{place}/{name}.wav" for name in ("good", "bad")},
            }
        )
    write(tmp_path, samples)
    (tmp_path / "manifest.json").write_text(json.dumps({"protocols": {"vcbench-1": "x"}}))
    return tmp_path


def write(folder: Path, samples: list[dict[str, Any]]) -> None:
    (folder / "samples" / "samples.json").write_text(json.dumps(samples))


def read(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "samples" / "samples.json").read_text())


def test_what_a_run_lacks_is_drawn_once_and_kept(folder: Path) -> None:
    assert pictures.complete(folder, jobs=1) == []
    samples = read(folder)
    paths = [folder / sample["pictures"] for sample in samples]
    before = [path.stat().st_mtime_ns for path in paths]
    stored = pictures.load(paths[0])
    assert list(stored.systems) == ["good", "bad"] and stored.frame_period_ms == 5.0
    protocol = protocols.get("vcbench-1")
    target, good = (
        protocol.analyze(audio.read(folder / path, sample_rate=RATE), RATE)
        for path in (samples[0]["target"], samples[0]["converted"]["good"])
    )
    np.testing.assert_allclose(
        stored.systems["good"].f0_hz, pictures.aligned_f0(target, good, protocol), atol=0.051
    )
    own = np.where(target.speech, target.f0_hz, 0)
    np.testing.assert_allclose(stored.target.f0_hz, own, atol=0.051)
    exact = pictures.mel_spectrogram(
        audio.read(folder / samples[0]["source"], sample_rate=RATE), sample_rate=RATE
    )
    np.testing.assert_allclose(stored.source.mel_db, exact, atol=0.51)
    # A tenth of what the sounds take, and not drawn again: neither is needed for it.
    for wav in folder.rglob("*.wav"):
        wav.unlink()
    assert pictures.complete(folder, jobs=1) == []
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_the_conversion_that_is_near_is_drawn_near(folder: Path) -> None:
    pictures.complete(folder, jobs=1)
    stored = pictures.load(folder / read(folder)[0]["pictures"])

    def apart(voice: pictures.Voice) -> float:
        both = (voice.f0_hz > 0) & (stored.target.f0_hz > 0)
        assert both.sum() > 20
        return float(np.abs(voice.f0_hz - stored.target.f0_hz)[both].mean())

    assert apart(stored.systems["good"]) < 15 < 60 < apart(stored.systems["bad"])


def test_what_cannot_be_drawn_is_told_and_the_rest_is_drawn(folder: Path) -> None:
    samples = read(folder)
    (folder / samples[0]["converted"]["bad"]).write_text("no sound")
    (folder / samples[1]["target"]).unlink()
    problems = pictures.complete(folder, jobs=1)
    assert [p.split(":")[0] for p in problems] == ["pictures of A>B s1", "pictures of A>B s2"]
    assert "bad: " in problems[0]
    stored = pictures.load(folder / read(folder)[0]["pictures"])
    assert list(stored.systems) == ["good"] and stored.systems["good"].f0_hz.any()
    assert "pictures" not in read(folder)[1]


def test_a_path_that_leads_out_is_not_read(folder: Path) -> None:
    samples = read(folder)
    audio.write(folder.parent / "secret.wav", voice(0.5), sample_rate=RATE)
    samples[0]["converted"]["bad"] = "../secret.wav"
    write(folder, samples[:1])
    [said] = pictures.complete(folder, jobs=1)
    assert said.startswith("pictures of A>B s1: bad: ")
    assert "path '../secret.wav' leads out of the run's folder" in said


def test_names_do_not_lead_a_picture_out_of_the_folder(folder: Path) -> None:
    samples = [{**read(folder)[0], "direction": "../..>x", "utterance": ".."}]
    write(folder, samples)
    pictures.complete(folder, jobs=1)
    (named,) = (sample["pictures"] for sample in read(folder))
    assert (folder / named).resolve().is_relative_to(folder / "samples")


@pytest.mark.parametrize("protocols_", [{}, {"no-such": "x"}, None])
def test_a_run_of_no_known_protocol_is_left_as_it_is(folder: Path, protocols_: Any) -> None:
    (folder / "manifest.json").write_text(json.dumps({"protocols": protocols_}))
    before = (folder / "samples" / "samples.json").read_bytes()
    assert pictures.complete(folder, jobs=1) == []
    assert (folder / "samples" / "samples.json").read_bytes() == before
    assert not list(folder.rglob("*.npz"))


@pytest.mark.parametrize("text", ["[", "[3]", '{"a": 1}', '[{"source": "x"}]'])
def test_a_broken_list_of_samples_is_left_to_who_reads_the_run(folder: Path, text: str) -> None:
    (folder / "samples" / "samples.json").write_text(text)
    assert pictures.complete(folder, jobs=1) == []
    assert (folder / "samples" / "samples.json").read_text() == text


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"text"])
def test_a_broken_file_is_named_with_what_helps(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pictures.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pictures\.npz: .*; delete it"):
        pictures.load(path)
