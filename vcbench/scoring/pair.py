"""The scores of one pair: both sides analysed and aligned as the protocol says, then measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from vcbench import audio
from vcbench.alignment import AlignedPair, Analysis
from vcbench.errors import DataError
from vcbench.plugins import Plugin
from vcbench.protocols import Protocol
from vcbench.speakers import Speakers

# Samples in a row at full scale that make a peak a clipped one.
_CLIPPED_RUN = 3
_FULL_SCALE = 32767 / 32768


@dataclass(frozen=True)
class AnalyzedFile:
    """A file's analysis under a protocol, at the file's own rate."""

    path: Path
    sample_rate: int
    waveform: audio.Waveform
    analysis: Analysis
    is_clipped: bool


@dataclass(frozen=True)
class Scores:
    """values: by metric, NaN where it is undefined. failed: the metrics that raised, and why.

    notes: what a reader of the values should know; they name the side and not the file.
    """

    values: dict[str, float]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()


def analyze_file(
    path: Path, protocol: Protocol, *, like: AnalyzedFile | None = None
) -> AnalyzedFile:
    """Analyse a file at its own rate, which must be that of `like`.

    Raises `DataError`, naming the file, if it is missing, unreadable, not mono or silent, or if its
    sampling rate is not that of `like` or not defined in the protocol.
    """
    sample_rate = sample_rate_of(path)
    if like is not None and sample_rate != like.sample_rate:
        raise DataError(
            f"{path}: sample-rate mismatch: {sample_rate} Hz, but its reference {like.path} has "
            f"{like.sample_rate} Hz; resample one of them"
        )
    waveform = audio.read(path, sample_rate=sample_rate)
    try:
        analysis = protocol.analyze(waveform, sample_rate)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return AnalyzedFile(path, sample_rate, waveform, analysis, is_clipped(waveform))


def score_file(
    reference: AnalyzedFile,
    path: Path,
    *,
    protocol: Protocol,
    metrics: Mapping[str, Plugin],
    speakers: Speakers | None = None,
    target: str = "",
) -> Scores:
    """Score one converted file; raises `DataError` as `analyze_file`, or if it cannot be aligned.

    A side without a frame above the gate cannot be aligned. `speakers`, for metrics that ask for
    them, must have the pair's sampling rate.
    """
    converted = analyze_file(path, protocol, like=reference)
    waveforms = reference.waveform, converted.waveform
    try:
        offered = given(waveforms, converted.sample_rate, speakers, target)
        pair = protocol.align(reference.analysis, converted.analysis)
    except DataError as error:
        raise DataError(f"{path} against {reference.path}: {error}") from None
    values, failed = measure(pair, metrics, offered)
    sides = {"reference": reference, "converted file": converted}
    notes = tuple(f"the {side} is clipped" for side, file in sides.items() if file.is_clipped)
    return Scores(values, {name: f"{path}: {why}" for name, why in failed.items()}, notes)


def given(
    waveforms: tuple[audio.Waveform, audio.Waveform],
    sample_rate: int,
    speakers: Speakers | None,
    target: str,
) -> dict[str, Any]:
    """What a metric may ask for beside the pair; waveforms are (reference, converted).

    Raises `DataError` if the speakers' sampling rate is another.
    """
    offered: dict[str, Any] = {"waveforms": waveforms, "sample_rate": sample_rate}
    if speakers is None:
        return offered
    if speakers.sample_rate != sample_rate:
        raise DataError(
            f"sample-rate mismatch: {sample_rate} Hz, but the speakers' training speech has "
            f"{speakers.sample_rate} Hz; resample one of them"
        )
    return {**offered, "speakers": speakers, "target": target}


def measure(
    pair: AlignedPair, metrics: Mapping[str, Plugin], offered: Mapping[str, Any]
) -> tuple[dict[str, float], dict[str, str]]:
    """(values by metric, why metrics have none): one that raises takes no other with it.

    `offered` is what metrics may ask for beside the pair.
    """
    values, failed = {}, {}
    for name, metric in metrics.items():
        try:
            values[name] = float(metric.factory(pair, **metric.asked(offered)))
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            failed[name] = f"metric '{name}' ({metric.origin}) failed: {reason}"
    return values, failed


def is_clipped(waveform: audio.Waveform) -> bool:
    """Whether a peak was cut off: `_CLIPPED_RUN` samples in a row at full scale.

    >>> is_clipped(np.array([0.5, 1.0, 1.0, 1.0, 0.5])), is_clipped(np.array([0.9, 1.0, 1.0]))
    (True, False)
    """
    full = np.abs(waveform) >= _FULL_SCALE
    return bool((full[2:] & full[1:-1] & full[:-2]).any())


def sample_rate_of(path: Path) -> int:
    """The sampling rate in Hz that a file says; `DataError` if there is no audio file."""
    if path.is_dir():
        raise DataError(f"{path}: not a file but a folder")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return int(soundfile.info(str(path)).samplerate)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(f"{path}: not a readable audio file ({error})") from None
