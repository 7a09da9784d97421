"""Reading and writing of speech files: what is refused, what is kept, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from voices import voice

from vcbench import audio
from vcbench.errors import DataError

RATE = 16000


def save(path: Path, waveform: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    soundfile.write(str(path), waveform, rate, subtype=subtype)
    return path


def refusal(path: Path) -> str:
    """The message without the path, which it must begin with and hold once."""
    with pytest.raises(DataError) as caught:
        audio.read(path, sample_rate=RATE)
    name, message = str(path), str(caught.value)
    assert message.startswith(f"{name}: ")
    assert message.count(name) == 1
    assert "\n" not in message
    return message.removeprefix(f"{name}: ")


def no_file(path: Path) -> None:
    pass


def folder(path: Path) -> None:
    path.mkdir()


def header_only(path: Path) -> None:
    save(path, np.zeros(0))


def short(path: Path) -> None:
    save(path, voice()[:320])


def stereo(path: Path) -> None:
    save(path, np.stack([voice(), voice()], axis=1))


def cd_rate(path: Path) -> None:
    save(path, voice(sample_rate=44100), 44100)


def silent(path: Path) -> None:
    save(path, np.zeros(8000))


def not_a_number(path: Path) -> None:
    save(path, np.where(np.arange(8000) == 5000, np.nan, voice(0.5)), subtype="FLOAT")


def infinite(path: Path) -> None:
    save(path, np.where(np.arange(8000) == 5000, -np.inf, voice(0.5)), subtype="FLOAT")


def cut(path: Path) -> None:
    save(path, voice(0.5))
    path.write_bytes(path.read_bytes()[: 44 + 2 * 5000])


WORDS = {
    no_file: "no such file",
    folder: "not a file but a folder",
    header_only: "0 samples (0.000 s) are too few; at least 0.05 s of speech are needed",
    short: "320 samples (0.020 s) are too few; at least 0.05 s of speech are needed",
    stereo: "2 channels; mono is needed (mix it down first)",
    cd_rate: "sampled at 44100 Hz; 16000 Hz is needed (resample it)",
    silent: "silent: all 8000 samples are zero",
    not_a_number: "contains NaN or infinite samples",
    infinite: "contains NaN or infinite samples",
    cut: "truncated: the header promises more samples than the 5000 present",
}


@pytest.mark.parametrize("make", WORDS, ids=lambda make: make.__name__)
def test_refused_in_these_words(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    make(path)
    assert refusal(path) == WORDS[make]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"these are words, not sounds\n" * 40])
def test_what_is_no_audio_is_refused_with_the_librarys_reason(
    content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(content)
    assert refusal(path).startswith("not a readable audio file (")


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "")])
def test_a_file_cut_anywhere_is_refused(suffix: str, subtype: str, tmp_path: Path) -> None:
    """Whatever byte a copy stopped at, no shorter utterance slips through."""
    whole = save(tmp_path / f"whole.{suffix}", voice(0.3), subtype=subtype or "PCM_16").read_bytes()
    path = tmp_path / f"part.{suffix}"
    for length in [*range(120), *range(120, len(whole), 97), len(whole) - 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"part\.\w+: (truncated|not a readable|\d+ samples)"):
            audio.read(path, sample_rate=RATE)
    path.write_bytes(whole)
    assert len(audio.read(path, sample_rate=RATE)) == 4800


def test_a_chunk_after_the_samples_is_not_taken_for_a_cut(tmp_path: Path) -> None:
    path = save(tmp_path / "speech.wav", voice(0.3))
    with path.open("ab") as file:
        file.write(b"LIST" + (4).to_bytes(4, "little") + b"INFO")
    assert len(audio.read(path, sample_rate=RATE)) == 4800


@pytest.mark.parametrize("length", [4, 5])
def test_a_cut_is_seen_behind_other_chunks(length: int, tmp_path: Path) -> None:
    """A chunk of odd length is followed by a byte that its length does not count."""
    path = save(tmp_path / "speech.wav", voice(0.3))
    content = path.read_bytes()
    chunk = b"note" + length.to_bytes(4, "little") + b"x" * (length + length % 2)
    assert content[36:40] == b"data"
    content = content[:36] + chunk + content[36:]
    path.write_bytes(content)
    assert len(audio.read(path, sample_rate=RATE)) == 4800
    path.write_bytes(content[:-2])
    assert refusal(path).startswith("truncated")


def test_the_shortest_that_is_read_is_fifty_milliseconds(tmp_path: Path) -> None:
    assert len(audio.read(save(tmp_path / "a.wav", voice()[:800]), sample_rate=RATE)) == 800
    assert "799 samples" in refusal(save(tmp_path / "b.wav", voice()[:799]))


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_resampling_keeps_a_tone_and_its_level(rate: int, channels: int, tmp_path: Path) -> None:
    """Fitted by least squares: amplitude within 0.5 %, and nothing else than that frequency."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    path = save(tmp_path / "tone.wav", np.stack([tone] * channels, axis=1), rate)
    wave = audio.read(path, sample_rate=RATE, resample=True)
    assert wave.shape == (RATE,)
    t = np.arange(RATE)[800:-800] / RATE
    basis = np.stack([np.sin(2 * np.pi * 440 * t), np.cos(2 * np.pi * 440 * t)], axis=1)
    fit, *_ = np.linalg.lstsq(basis, wave[800:-800], rcond=None)
    assert np.hypot(*fit) == pytest.approx(0.3, rel=5e-3)
    assert np.max(np.abs(wave[800:-800] - basis @ fit)) < 1e-3


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = voice(0.3, seed=1), 0.1 * voice(0.3, f0_hz=200)
    path = save(tmp_path / "two.wav", np.stack([left, right], axis=1), subtype="DOUBLE")
    found = audio.read(path, sample_rate=RATE, resample=True)
    np.testing.assert_allclose(found, (left + right) / 2, atol=1e-15)


@settings(max_examples=40, deadline=None)
@given(
    peak=st.floats(0.001, 8.0),
    length=st.integers(800, 900),
    seed=st.integers(0, 2**32 - 1),
)
def test_writing_and_reading_again(
    tmp_path_factory: pytest.TempPathFactory, peak: float, length: int, seed: int
) -> None:
    """Within 16 bits; what would clip is attenuated by the gain that is returned.

    Half a step is rounding, and up to one more is that libsndfile writes 1.0 as 32767 and reads
    32768 as 1.0.
    """
    wave = np.random.default_rng(seed).uniform(-1, 1, length)
    wave *= peak / np.max(np.abs(wave))
    path = tmp_path_factory.mktemp("written") / "new" / "speech.wav"
    gain = audio.write(path, wave, sample_rate=RATE)
    assert gain == pytest.approx(min(1.0, 32767 / 32768 / peak))
    back = audio.read(path, sample_rate=RATE)
    assert np.max(np.abs(back - gain * wave)) <= 1.5 / 32768
    assert soundfile.info(str(path)).subtype == "PCM_16"


def test_flac_holds_the_same_samples_as_wav(tmp_path: Path) -> None:
    samples = np.round(32768 * voice()).astype(np.int16)
    for suffix in ("wav", "flac"):
        path = save(tmp_path / f"speech.{suffix}", samples)
        np.testing.assert_array_equal(audio.read(path, sample_rate=RATE), samples / 32768)


def test_what_cannot_be_played_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    with pytest.raises(DataError, match=r"speech\.wav: not written: .* NaN"):
        audio.write(path, np.full(1000, np.nan), sample_rate=RATE)
    assert not path.exists()
