"""Bad recordings: one clear line, a non-zero exit, and nothing lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_corpus
import soundfile
from voices import noise, voice

from vcbench.cli import main


def empty(path: Path) -> None:
    path.write_bytes(b"")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def stereo(path: Path) -> None:
    soundfile.write(path, np.stack([voice(), voice()], axis=1), 16000)


def cd_rate(path: Path) -> None:
    soundfile.write(path, voice(sample_rate=44100), 44100)


def short(path: Path) -> None:
    soundfile.write(path, voice(0.5), 16000)


def silent(path: Path) -> None:
    soundfile.write(path, np.zeros(16000), 16000)


def unvoiced(path: Path) -> None:
    soundfile.write(path, noise(1.0), 16000)


CASES = [
    (empty, "not a readable audio file"),
    (truncated, "truncated"),
    (stereo, "2 channels; mono is needed"),
    (cd_rate, "sampled at 44100 Hz; 16000 Hz is needed"),
    (short, "shorter than segment_frames (128)"),
    (silent, "silent"),
    (unvoiced, "unvoiced: 2 frames"),
]


@pytest.mark.parametrize(("damage", "expected"), CASES, ids=[f.__name__ for f, _ in CASES])
def test_a_bad_recording_stops_a_run_before_training(
    damage: Callable[[Path], None],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    suite = small_corpus.write(tmp_path)
    bad = tmp_path / "speech" / "LOW" / "s1.wav"
    damage(bad)
    assert main(["run", str(suite), "--data", str(tmp_path), "--jobs", "1"]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert str(bad) in said
    assert "Traceback" not in said
    # Nothing is lost: the features of all other recordings are kept for the next run.
    kept = list((Path(os.environ["VCBENCH_CACHE_DIR"]) / "features").rglob("*.npz"))
    assert len(kept) == (16 if damage is short else 15)
    assert not (Path(os.environ["VCBENCH_CACHE_DIR"]) / "cells").exists()
