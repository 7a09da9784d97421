"""Speakers' training speech analysed for the metrics that ask for it: once, and kept on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vcbench import fingerprint, paths, protocols, sealed, usage
from vcbench.alignment import Analysis
from vcbench.errors import DataError, UsageError, some_of
from vcbench.parallel import map_processes
from vcbench.plugins import Plugin
from vcbench.scoring import cache
from vcbench.scoring.pair import analyze_file, sample_rate_of
from vcbench.speakers import Speakers

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback

# What a metric asks for by naming it, beside the pair.
_ASKED = "speakers"
HOW = (
    "give training speech, other sentences than those that are scored: vcbench score "
    "--target-speech FILES --other-speech FILES, or score(..., speakers={name: waveforms}, "
    "target=name)"
)


@dataclass(frozen=True)
class _Recording:
    """A file, and where its analysis is or will be."""

    path: Path
    entry: Path


def asking(metrics: Mapping[str, Plugin]) -> list[str]:
    """Names of the metrics that cannot do without speakers."""
    return [name for name, plugin in metrics.items() if plugin.asks(_ASKED)]


def require(
    metrics: Mapping[str, Plugin], speakers: Mapping[str, Sequence[object]], targets: set[str]
) -> bool:
    """Whether any of the metrics asks for speakers.

    Raises `UsageError` if one does, and there are not two speakers with speech or a target is none
    of them.
    """
    names = asking(metrics)
    if not names:
        return False
    who = f"{', '.join(names)}: compares with training speech of the target and of other speakers"
    if not speakers:
        raise UsageError(f"{who}, and none is given; {HOW}")
    silent = [name for name, recordings in speakers.items() if not len(recordings)]
    if len(speakers) < 2 or silent:
        given = ", ".join(f"'{name}' ({len(r)} recordings)" for name, r in speakers.items())
        raise UsageError(f"{who}, two speakers at least; given: {given}")
    if unknown := sorted(targets - speakers.keys()):
        raise UsageError(f"{who}; the target '{unknown[0]}' is none of them: {', '.join(speakers)}")
    return True


def of_files(
    files: Mapping[str, Sequence[Path]],
    *,
    protocol: str,
    jobs: int,
    progress: ProgressCallback | None,
) -> Speakers:
    """Speakers by their files, all analysed, `jobs` at a time; what was analysed before is kept.

    Raises `DataError` if files cannot be analysed or have not all one sampling rate.
    """
    recordings = _recordings(files, protocol)
    every = [one for named in recordings.values() for one in named]
    usage.note(one.entry for one in every)
    missing = [one for one in every if not sealed.is_whole_npz(one.entry)]
    problems = map_processes(
        partial(_keep, protocol=protocol),
        missing,
        jobs=jobs,
        on_done=progress and (lambda done: progress("training speech", done, len(missing))),
    )
    if wrong := [problem for problem in problems if problem]:
        raise DataError(f"training speech cannot be analysed:\n  {some_of(wrong)}")
    rates = {sample_rate_of(one.path): one.path for one in every}
    if len(rates) > 1:
        listing = " and ".join(f"{rate} Hz ({path})" for rate, path in rates.items())
        raise DataError(f"training speech must have one sampling rate; found {listing}")
    key = _key(recordings)
    return Speakers(key, next(iter(rates)), recordings, partial(_analysis, protocol=protocol))


def stored(files: Mapping[str, Sequence[Path]], *, protocol: str) -> tuple[str, list[Path]]:
    """(`Speakers.key` that `of_files` gives for them, where their analyses are or will be); raises
    `DataError` if a file cannot be read."""
    recordings = _recordings(files, protocol)
    return _key(recordings), [one.entry for named in recordings.values() for one in named]


def _recordings(
    files: Mapping[str, Sequence[Path]], protocol: str
) -> dict[str, tuple[_Recording, ...]]:
    version = cache.version(protocol, {})
    return {
        name: tuple(_Recording(path, _entry(version, path)) for path in sorted(named))
        for name, named in files.items()
    }


def _key(recordings: Mapping[str, Sequence[_Recording]]) -> str:
    entries = {name: [one.entry.stem for one in named] for name, named in recordings.items()}
    return fingerprint.of_json(sorted(entries.items()))


def of_analyses(analyses: Mapping[str, Sequence[Analysis]], *, sample_rate: int) -> Speakers:
    """Speakers by what was made of arrays already."""
    kept = {name: [_light(analysis) for analysis in found] for name, found in analyses.items()}
    content = {name: [fingerprint.of_bytes(a.mcep.tobytes()) for a in kept[name]] for name in kept}
    return Speakers(fingerprint.of_json(sorted(content.items())), sample_rate, kept, _itself)


def _entry(version: str, path: Path) -> Path:
    try:
        key = fingerprint.of_json([version, fingerprint.of_file(path)])
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return paths.cache_dir() / "speech" / key[:2] / f"{key}.npz"


def _keep(recording: _Recording, *, protocol: str) -> str:
    """Why a recording cannot be analysed, or nothing; runs in a process of its own."""
    try:
        _analysis(recording, protocol=protocol)
    except DataError as error:
        return str(error)
    return ""


def _analysis(recording: _Recording, *, protocol: str) -> Analysis:
    """The analysis of a recording as it is on disk, or made and written."""
    if sealed.is_whole_npz(recording.entry):
        return _read(recording.entry)
    analysis = _light(analyze_file(recording.path, protocols.get(protocol)).analysis)
    with sealed.replacing(recording.entry) as temporary:
        with temporary.open("wb") as file:
            mcep, f0_hz = analysis.mcep, analysis.f0_hz
            np.savez(file, mcep=mcep, f0_hz=f0_hz, period_ms=analysis.frame_period_ms)
        sealed.seal_npz(temporary)
    return analysis


def _read(path: Path) -> Analysis:
    with np.load(path) as stored:
        mcep, f0_hz, period_ms = (stored[name] for name in ("mcep", "f0_hz", "period_ms"))
        return Analysis(mcep, f0_hz, np.ones(len(f0_hz), dtype=bool), float(period_ms))


def _light(analysis: Analysis) -> Analysis:
    """Kept frames, and nothing beside mel-cepstra and F0: envelopes take twenty times the room."""
    kept = analysis.speech
    return Analysis(analysis.mcep[kept], analysis.f0_hz[kept], kept[kept], analysis.frame_period_ms)


def _itself(analysis: Analysis) -> Analysis:
    return analysis
