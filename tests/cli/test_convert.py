"""`vcbench convert`: any speech through a trained cell's checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from home import Home
from voices import noise, voice

from vcbench import audio, world
from vcbench.cli import main


def convert(home: Home, *arguments: object) -> int:
    return main(["convert", str(home.checkpoint), *(str(a) for a in arguments)])


def median_f0_hz(path: Path) -> float:
    waveform = audio.read(path, sample_rate=16000)
    limits = {"frame_period_ms": 5.0, "floor_hz": 71.0, "ceil_hz": 800.0}
    f0_hz, _ = world.estimate_f0(waveform, sample_rate=16000, method="dio", **limits)
    return float(np.median(f0_hz[f0_hz > 0]))


@pytest.mark.parametrize(
    ("direction", "from_hz", "to_hz"), [("LOW>HIGH", 115, 215), ("HIGH>LOW", 215, 115)]
)
def test_speech_of_any_length_is_converted_both_ways(
    home: Home, tmp_path: Path, direction: str, from_hz: int, to_hz: int
) -> None:
    for seconds in (0.31, 1.7):
        wav = tmp_path / "in.wav"
        audio.write(wav, voice(seconds, f0_hz=from_hz), sample_rate=16000)
        assert convert(home, wav, "-o", tmp_path / "out", "--direction", direction) == 0
        info = soundfile.info(tmp_path / "out" / "in.wav")
        assert info.samplerate == 16000
        assert info.frames == pytest.approx(seconds * 16000, abs=80)  # within a frame
        # The pitch is the other speaker's, whatever the small network made of the timbre.
        assert median_f0_hz(tmp_path / "out" / "in.wav") == pytest.approx(to_hz, rel=0.2)


def test_other_rates_and_stereo_are_accepted_only_when_asked_for(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wav = tmp_path / "cd.wav"
    wave = voice(0.8, sample_rate=44100)
    soundfile.write(wav, np.stack([wave, wave], axis=1), 44100)
    assert convert(home, wav, "-o", tmp_path / "out") == 1
    assert "2 channels; mono is needed" in capsys.readouterr().err
    assert convert(home, wav, "-o", tmp_path / "out", "--resample") == 0
    assert soundfile.info(tmp_path / "out" / "cd.wav").samplerate == 16000


def test_a_file_that_cannot_be_converted_costs_only_itself(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio.write(tmp_path / "good.wav", voice(0.8), sample_rate=16000)
    audio.write(tmp_path / "whisper.wav", noise(1.0), sample_rate=16000)
    (tmp_path / "empty.wav").write_bytes(b"")
    names = ["empty", "whisper", "missing", "good"]
    wavs = [tmp_path / f"{name}.wav" for name in names]
    assert convert(home, *wavs, "-o", tmp_path / "out") == 1
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'out' / 'good.wav'}\n"
    assert "empty.wav: not a readable audio file" in said.err
    assert "whisper.wav: unvoiced" in said.err
    assert "missing.wav: no such file" in said.err
    assert "1 of 4 files converted" in said.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good.wav"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.wav", "b/a.wav"], "several inputs are called a"),
        (["a.wav", "--direction", "LOW>LOW"], "this checkpoint converts LOW>HIGH and HIGH>LOW"),
    ],
)
def test_wrong_usage(
    home: Home,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: str,
) -> None:
    assert convert(home, *arguments, "-o", tmp_path) == 2
    assert expected in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.pt").write_bytes(b"not a checkpoint")
    assert main(["convert", str(tmp_path / "x.pt"), "a.wav", "-o", str(tmp_path)]) == 2
    assert "not a readable checkpoint" in capsys.readouterr().err
