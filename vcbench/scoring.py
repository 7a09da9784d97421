"""Scores of (reference, converted) pairs of waveforms: in parallel, once each, none lost silently.

Every result is a value per metric or a reason in words. Scores are cached by content: by what both
files hold, the protocol, the metrics, and the source that computes them, so that a second call
analyses nothing and an edited metric is computed anew.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile

from vcbench import alignment, audio, fingerprint, paths, protocols
from vcbench.errors import DataError, UsageError
from vcbench.parallel import map_processes
from vcbench.plugins import Plugin, Registry
from vcbench.world import pyworld_version

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback
    from vcbench.statistics import Estimate

AUDIO_SUFFIXES = (".wav", ".flac")

# Modules that decide what a score is, beside the plugin files of the metrics.
_SOURCES = (
    "vcbench.alignment",
    "vcbench.audio",
    "vcbench.protocols",
    "vcbench.scoring",
    "vcbench.world",
)
# Pairs in one unit of work; all have one reference, which is analysed once for them.
_GROUP = 16


@dataclass(frozen=True)
class ScoreItem:
    """Two files to compare; `labels` is whatever the caller wants to find again in the result."""

    reference: Path
    converted: Path
    labels: Any = None


@dataclass(frozen=True)
class ScoreResult:
    """`values` by metric, NaN where a metric is undefined; empty if there is a `failure`.

    `failure` tells in one line why the pair could not be scored, and is empty if it was.
    """

    item: ScoreItem
    values: dict[str, float]
    failure: str = ""


@dataclass(frozen=True)
class Folders:
    """Files of two folders matched by name; what is on one side only is listed, not dropped."""

    items: tuple[ScoreItem, ...]  # labels is the name without suffix
    only_reference: tuple[str, ...]
    only_converted: tuple[str, ...]


@dataclass(frozen=True)
class _Group:
    """A unit of work: one reference, some converted files and where the scores of each go."""

    reference: Path
    converted: tuple[tuple[Path, Path], ...]  # (file, cache entry)
    protocol: str
    metrics: tuple[str, ...]
    plugin_files: tuple[Path, ...]


def score_pair(
    reference: Path,
    converted: Path,
    *,
    protocol: protocols.Protocol,
    metrics: Mapping[str, Plugin],
) -> dict[str, float]:
    """Score one pair of files: a value by the name of each metric, NaN where it is undefined.

    Raises `DataError` if a file is missing, unreadable or silent, the sampling rates differ or are
    not defined in the protocol, a side has no frame above the gate, or a metric fails.
    """
    return _score_pair(_analyze_file(reference, protocol), converted, protocol, metrics)


def score_all(
    items: Sequence[ScoreItem],
    *,
    protocol: str,
    metrics: Sequence[str],
    registry: Registry,
    jobs: int,
    progress: ProgressCallback | None = None,
) -> list[ScoreResult]:
    """Score all items, `jobs` at a time; one result per item, in the order of the items.

    What is wrong with a file becomes the `failure` of its items. `progress` counts units of work:
    one reference with up to 16 converted files. Raises `UsageError` or `PluginError` for an unknown
    protocol or metric, before anything is analysed.
    """
    protocols.get(protocol)
    version = _version(protocol, {name: registry.get("metric", name) for name in metrics})
    entries = _cache_entries(items, version)
    outcomes: dict[tuple[Path, Path], tuple[dict[str, float], str]] = {}
    pending: dict[Path, dict[Path, Path]] = {}  # reference -> converted -> cache entry
    for item, entry in zip(items, entries, strict=True):
        key = (item.reference, item.converted)
        if isinstance(entry, str):
            outcomes[key] = ({}, entry)
        elif (values := _load(entry, metrics)) is not None:
            outcomes[key] = (values, "")
        else:
            pending.setdefault(item.reference, {})[item.converted] = entry
    work = [
        _Group(reference, part, protocol, tuple(metrics), registry.files)
        for reference, files in pending.items()
        for part in _parts(tuple(files.items()))
    ]
    report = (lambda n: progress("scoring", n, len(work))) if progress else None
    for group, scored in zip(
        work, map_processes(_score_group, work, jobs=jobs, on_done=report), strict=True
    ):
        for (converted, _), outcome in zip(group.converted, scored, strict=True):
            outcomes[group.reference, converted] = outcome
    return [ScoreResult(item, *outcomes[item.reference, item.converted]) for item in items]


def match_folders(reference: Path, converted: Path) -> Folders:
    """Match the audio files directly in two folders by their exact names without suffix.

    Raises `UsageError` if a folder is missing or holds no audio, holds one name with two suffixes,
    or if no name is in both.
    """
    by_name = {side: _audio_files(side) for side in (reference, converted)}
    references, conversions = by_name[reference], by_name[converted]
    both = sorted(references.keys() & conversions.keys())
    if not both:
        raise UsageError(
            f"no file of {converted} ({min(conversions)}, ...) has the name of one in {reference} "
            f"({min(references)}, ...); names must be equal except for the suffix"
        )
    return Folders(
        items=tuple(ScoreItem(references[name], conversions[name], name) for name in both),
        only_reference=tuple(sorted(references.keys() - conversions.keys())),
        only_converted=tuple(sorted(conversions.keys() - references.keys())),
    )


def summarize(
    results: Sequence[ScoreResult], metrics: Sequence[str], *, expected: int
) -> dict[str, Estimate]:
    """Mean and 95 % interval of each metric; each result's labels name its sentence."""
    from vcbench.statistics import mean_with_interval

    sentences = [str(result.item.labels) for result in results]
    return {
        name: mean_with_interval(
            [result.values.get(name, math.nan) for result in results], sentences, expected=expected
        )
        for name in metrics
    }


def _audio_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in AUDIO_SUFFIXES or not path.is_file():
            continue
        if path.stem in found:
            raise UsageError(
                f"{folder}: {found[path.stem].name} and {path.name} are one utterance twice; "
                "remove one"
            )
        found[path.stem] = path
    if not found:
        raise UsageError(f"{folder}: holds no audio files ({', '.join(AUDIO_SUFFIXES)})")
    return found


def _score_group(group: _Group) -> list[tuple[dict[str, float], str]]:
    """(values, failure) of each pair of a group; runs in a process of its own."""
    protocol = protocols.get(group.protocol)
    metrics = _metrics(group.metrics, group.plugin_files)
    try:
        reference = _analyze_file(group.reference, protocol)
    except DataError as error:
        return [({}, str(error))] * len(group.converted)
    outcomes: list[tuple[dict[str, float], str]] = []
    for converted, entry in group.converted:
        try:
            values = _score_pair(reference, converted, protocol, metrics)
        except DataError as error:
            outcomes.append(({}, str(error)))
            continue
        _save(entry, values)
        outcomes.append((values, ""))
    return outcomes


@lru_cache(maxsize=1)
def _metrics(names: tuple[str, ...], plugin_files: tuple[Path, ...]) -> dict[str, Plugin]:
    """The metrics of a worker process, looked up once and not for each group."""
    registry = Registry(plugin_files)
    return {name: registry.get("metric", name) for name in names}


@dataclass(frozen=True)
class _AnalyzedFile:
    path: Path
    sample_rate: int
    analysis: alignment.Analysis


def _analyze_file(
    path: Path, protocol: protocols.Protocol, *, like: _AnalyzedFile | None = None
) -> _AnalyzedFile:
    """Analyse a file at its own rate, which must be that of `like`."""
    sample_rate = _sample_rate(path)
    if like is not None and sample_rate != like.sample_rate:
        raise DataError(
            f"{path}: sample-rate mismatch: {sample_rate} Hz, but its reference {like.path} has "
            f"{like.sample_rate} Hz; resample one of them"
        )
    waveform = audio.read(path, sample_rate=sample_rate)
    try:
        return _AnalyzedFile(path, sample_rate, protocol.analyze(waveform, sample_rate))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _score_pair(
    reference: _AnalyzedFile,
    converted_path: Path,
    protocol: protocols.Protocol,
    metrics: Mapping[str, Plugin],
) -> dict[str, float]:
    converted = _analyze_file(converted_path, protocol, like=reference)
    try:
        pair = alignment.align(reference.analysis, converted.analysis)
    except DataError as error:
        raise DataError(f"{converted_path} against {reference.path}: {error}") from None
    values = {}
    for name, metric in metrics.items():
        try:
            values[name] = float(metric.factory(pair))
        except (Exception, SystemExit) as error:
            raise DataError(
                f"{converted_path}: metric '{name}' ({metric.origin}) failed: "
                f"{type(error).__name__}: {error}"
            ) from error
    return values


def _sample_rate(path: Path) -> int:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return int(soundfile.info(str(path)).samplerate)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(f"{path}: not a readable audio file ({error})") from None


def _parts(files: tuple[tuple[Path, Path], ...]) -> list[tuple[tuple[Path, Path], ...]]:
    return [files[i : i + _GROUP] for i in range(0, len(files), _GROUP)]


def _version(protocol: str, metrics: Mapping[str, Plugin]) -> str:
    """Key of all that decides a score beside the two files."""
    plugin_files = {path for plugin in metrics.values() for path in plugin.source_files}
    return fingerprint.of_json(
        {
            "protocol": protocol,
            "metrics": sorted(metrics),
            "source": fingerprint.of_sources([*_SOURCES, *plugin_files]),
            "pyworld": pyworld_version(),
        }
    )


def _cache_entries(items: Sequence[ScoreItem], version: str) -> list[Path | str]:
    """Where the scores of each item are or will be, or why it cannot be scored."""
    folder = paths.cache_dir() / "scores"
    digests: dict[Path, str] = {}
    entries: list[Path | str] = []
    for item in items:
        try:
            for path in (item.reference, item.converted):
                if path not in digests:
                    digests[path] = fingerprint.of_file(path)
        except OSError as error:
            entries.append(f"{error.filename}: cannot be read ({error.strerror})")
            continue
        key = fingerprint.of_json([version, digests[item.reference], digests[item.converted]])
        entries.append(folder / key[:2] / f"{key}.json")
    return entries


def _load(entry: Path, metrics: Sequence[str]) -> dict[str, float] | None:
    """Cached values in the order of `metrics`, or None where there are none or the file is torn."""
    try:
        stored = json.loads(entry.read_text(encoding="utf-8"))
        return {m: math.nan if stored[m] is None else float(stored[m]) for m in metrics}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(entry: Path, values: Mapping[str, float]) -> None:
    """Write values to a temporary name and rename it, so that no reader sees half a file."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    temporary = entry.with_suffix(f".{os.getpid()}.tmp")
    stored = {name: None if math.isnan(value) else value for name, value in values.items()}
    temporary.write_text(json.dumps(stored), encoding="utf-8")
    temporary.replace(entry)
