"""Scores of many pairs of files: in parallel, once each, none lost silently.

Memory does not grow with the number of pairs but for their values: work is drawn from the list a
little ahead of the processes, and an analysis is gone when its reference's files are scored.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vcbench import fingerprint, protocols
from vcbench.errors import DataError
from vcbench.parallel import stream_processes
from vcbench.plugins import Plugin, Registry
from vcbench.scoring import cache, enrolment
from vcbench.scoring.items import ScoreItem, ScoreResult
from vcbench.scoring.pair import Scores, analyze_file, score_file
from vcbench.speakers import Speakers

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback

T = TypeVar("T")

# Pairs in one unit of work; all have one reference, which is analysed once for them.
_GROUP = 16
_OTHER_SOURCE = (
    "the source of a metric, or of vcbench's scoring, has changed since scoring began; the same "
    "command scores anew"
)
_SAME_FILE = "the converted file is its reference, byte for byte"


@dataclass(frozen=True)
class _Work:
    """A file to score, where its scores go, and whether it is its reference, byte for byte: all
    that was told by `contents`."""

    converted: Path
    entry: Path
    is_reference: bool
    contents: tuple[str, str]  # SHA-256 of the reference and of the file


@dataclass(frozen=True)
class _Group:
    """What a process takes up at a time: the work that has one reference and one target."""

    reference: Path
    work: tuple[_Work, ...]
    protocol: str
    metrics: tuple[str, ...]
    plugin_files: tuple[Path, ...]
    version: str
    speakers: Speakers | None = None
    target: str = ""


@dataclass(frozen=True)
class _Death:
    """Instead of scores: how the process died, in the machine code of a metric, say."""

    how: str

    def __str__(self) -> str:
        return f"died ({self.how})"


def score_all(
    items: Sequence[ScoreItem],
    *,
    protocol: str,
    metrics: Sequence[str],
    registry: Registry,
    jobs: int,
    speakers: Mapping[str, Sequence[Path]] | None = None,
    progress: ProgressCallback | None = None,
) -> list[ScoreResult]:
    """Score all items, `jobs` at a time; one result per item, in the order of the items.

    What is wrong with a file becomes the `failure` of its items. `speakers`: training speech by
    name, for metrics that ask for it; the items' `target` is one of them. `progress` counts items.

    Raises `UsageError` or `PluginError` for an unknown protocol or metric or speakers that one
    needs, and `DataError` for training speech that cannot be used, before a pair is analysed.
    """
    protocol = protocols.get(protocol).id
    plugins = {name: registry.get("metric", name) for name in metrics}
    needed = enrolment.require(plugins, speakers or {}, {item.target for item in items})
    known = None
    if needed and items:
        known = enrolment.of_files(speakers or {}, protocol=protocol, jobs=jobs, progress=progress)
    version = cache.version(protocol, plugins)
    results: list[ScoreResult | None] = [None] * len(items)
    done = 0

    def settle(indices: Sequence[int], outcome: Scores | str) -> None:
        nonlocal done
        for index in indices:
            if isinstance(outcome, str):
                results[index] = ScoreResult(items[index], {}, outcome)
            else:
                found = (outcome.values, "", outcome.failed, outcome.notes)
                results[index] = ScoreResult(items[index], *found)
        done += len(indices)
        if progress:
            progress("scoring", done, len(items))

    # What each group under way will settle: the items of each of its files.
    waiting: dict[int, tuple[_Group, list[list[int]]]] = {}

    def work() -> Iterator[_Group]:
        numbers = count()
        for part in _parts(items):
            reference, target = items[part[0]].reference, items[part[0]].target
            # Whose voice is meant, and who the others are, decides something only where asked for.
            about = (known.key, target) if known else ()
            reference_sha256, unreadable = _digest(reference)
            if unreadable:
                settle(part, unreadable)
                continue
            pending: list[_Work] = []
            places: list[list[int]] = []
            for path, indices in _by_converted(items, part).items():
                sha256, unreadable = _digest(path)
                entry = cache.entry(version, reference_sha256, sha256, *about)
                before = None if unreadable else cache.load(entry, metrics)
                if unreadable:
                    settle(indices, unreadable)
                elif before:
                    settle(indices, before)
                else:
                    contents = (reference_sha256, sha256)
                    pending.append(_Work(path, entry, sha256 == reference_sha256, contents))
                    places.append(indices)
            if pending:
                how = protocol, tuple(metrics), registry.files, version, known, target
                group = _Group(reference, tuple(pending), *how)
                waiting[next(numbers)] = group, places
                yield group

    if progress and items:
        progress("scoring", 0, len(items))
    # A process for one item would take longer to start than the item takes.
    on_death = _Death if jobs > 1 and len(items) > 1 else None
    died: list[tuple[_Group, list[list[int]]]] = []
    with closing(stream_processes(_score_group, work(), jobs=jobs, on_death=on_death)) as stream:
        for number, outcomes in stream:
            group, places = waiting.pop(number)
            if isinstance(outcomes, _Death):
                died += [
                    (replace(group, work=(work,)), [indices])
                    for work, indices in zip(group.work, places, strict=True)
                ]
                continue
            for indices, outcome in zip(places, outcomes, strict=True):
                settle(indices, outcome)
    # One by one, so that a file costs no other its scores.
    alone = [group for group, _ in died]
    with closing(stream_processes(_score_group, alone, jobs=jobs, on_death=_Death)) as stream:
        for number, outcomes in stream:
            group, (indices,) = died[number]
            if isinstance(outcomes, _Death):
                settle(indices, f"{group.work[0].converted}: the process that scored it {outcomes}")
            else:
                settle(indices, outcomes[0])
    return [result for result in results if result is not None]


def stored_scores(
    items: Sequence[ScoreItem],
    *,
    protocol: str,
    metrics: Sequence[str],
    registry: Registry,
    speakers: Mapping[str, Sequence[Path]],
) -> list[Path]:
    """The files in which `score_all` keeps the scores of the items that there are files of, and
    what it needs of speakers; raises what it does."""
    protocol = protocols.get(protocol).id
    plugins = {name: registry.get("metric", name) for name in metrics}
    found: list[Path] = []
    key = ""
    if enrolment.asking(plugins):
        key, found = enrolment.stored(speakers, protocol=protocol)
    version = cache.version(protocol, plugins)
    digest = functools.cache(_digest)
    for item in items:
        reference, converted = digest(item.reference)[0], digest(item.converted)[0]
        if reference and converted:
            about = (key, item.target) if key else ()
            found.append(cache.entry(version, reference, converted, *about))
    return found


def _parts(items: Sequence[ScoreItem]) -> Iterator[list[int]]:
    """Indices of up to `_GROUP` items with one reference and target; each item is in one part."""
    by_reference: dict[tuple[Path, str], list[int]] = {}
    for index, item in enumerate(items):
        by_reference.setdefault((item.reference, item.target), []).append(index)
    for indices in by_reference.values():
        for start in range(0, len(indices), _GROUP):
            yield indices[start : start + _GROUP]


def _by_converted(items: Sequence[ScoreItem], part: Sequence[int]) -> dict[Path, list[int]]:
    places: dict[Path, list[int]] = {}
    for index in part:
        places.setdefault(items[index].converted, []).append(index)
    return places


def _digest(path: Path) -> tuple[str, str]:
    """(SHA-256 of the file, why it cannot be read): one of them is empty."""
    try:
        return fingerprint.of_file(path), ""
    except OSError as error:
        return "", f"{path}: cannot be read ({error.strerror})"


def _score_group(group: _Group) -> list[Scores | str] | _Death:
    """Scores, or why there are none, of each pair of a group; runs in a process of its own."""
    protocol = protocols.get(group.protocol)
    metrics = _metrics(group.metrics, group.plugin_files)
    if _imported_version(group.protocol, group.metrics, group.plugin_files) != group.version:
        return [_OTHER_SOURCE] * len(group.work)
    reference = _or_reason(group.reference, lambda path: analyze_file(path, protocol))
    if isinstance(reference, str):
        return [reference] * len(group.work)
    outcomes: list[Scores | str] = []
    for work in group.work:
        scored = _or_reason(
            work.converted,
            lambda path: score_file(
                reference,
                path,
                protocol=protocol,
                metrics=metrics,
                speakers=group.speakers,
                target=group.target,
            ),
        )
        if (_digest(group.reference)[0], _digest(work.converted)[0]) != work.contents:
            scored = f"{work.converted}: it or its reference changed while it was scored"
        if isinstance(scored, Scores):
            if work.is_reference:
                scored = replace(scored, notes=(*scored.notes, _SAME_FILE))
            with suppress(OSError):  # on a full disk it is a score all the same
                cache.save(work.entry, scored)
        outcomes.append(scored)
    return outcomes


def _or_reason(path: Path, compute: Callable[[Path], T]) -> T | str:
    """What is computed of a file, or why it cannot be: no file may end the scoring of the others.

    Beside what is known to be wrong with files, an analysis may fail in ways of its own.
    """
    try:
        return compute(path)
    except DataError as error:
        return str(error)
    except Exception as error:
        return (
            f"{path}: cannot be analysed ({' '.join(f'{type(error).__name__}: {error}'.split())})"
        )


@functools.cache
def _imported_version(protocol: str, names: tuple[str, ...], plugin_files: tuple[Path, ...]) -> str:
    """Of what this process computes with: told once, when all of it has just been imported."""
    return cache.version(protocol, _metrics(names, plugin_files))


@functools.lru_cache(maxsize=1)
def _metrics(names: tuple[str, ...], plugin_files: tuple[Path, ...]) -> dict[str, Plugin]:
    """The metrics of a worker process, looked up once and not for each group."""
    registry = Registry(plugin_files)
    return {name: registry.get("metric", name) for name in names}
