"""What the cache holds, how much room it takes, and how room is made.

All of it can be made again: most in seconds or minutes, cells in as long as they were trained, and
those are removed only where they are asked for by name.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vcbench import locks, sealed, usage
from vcbench.training.files import CELL, CHECKPOINT, STATUS, previous_of

Kind = Literal[
    "cells",
    "conversions",
    "features",
    "scores",
    "speech",
    "checks",
    "corpora",
    "downloads",
    "slurm",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
WHAT: dict[Kind, str] = {
    "cells": "trainings: checkpoints, logs; hours to make again",
    "conversions": "converted speech",
    "features": "analysed speech that is trained on",
    "scores": "scores of files",
    "speech": "speakers analysed for speaker similarity",
    "checks": "which systems could be built",
    "corpora": "speech that was synthesised",
    "downloads": "archives under way",
    "slurm": "logs of jobs on a cluster",
}
# What `gc` removes where no kind is named.
CHEAP: tuple[Kind, ...] = ("conversions", "features", "scores", "speech", "checks")
ABANDONED_S = 3600.0  # nothing is written for as long
CONVERTED = "converted"  # in a cell's folder: speech, which goes by itself
UNPACKING = "import.*.tmp"  # folders of `vcbench results import`


@dataclass(frozen=True)
class Entry:
    """What is removed as one: a file, or a folder with all that is in it.

    made, used: seconds since 1970. cell: whose it is, as in a suite; suites: those it is known to
    belong to. state: of a cell, done, begun or prepared.
    """

    kind: Kind
    path: Path
    n_bytes: int
    made: float
    used: float
    cell: str = ""
    suites: tuple[str, ...] = ()
    state: str = ""

    @property
    def system(self) -> str:
        """The cell's system, or the baseline; "" where it belongs to none."""
        return self.cell.partition("/")[0]


def entries(cache_dir: Path) -> Iterator[Entry]:
    """All that the cache holds, but for temporary files."""
    for folder in _below(cache_dir / "cells", "*"):
        if folder.is_dir():
            yield from _of_cell(folder)
    for wavs in _below(cache_dir / "baselines", "*/**/*_to_*"):
        name = wavs.relative_to(cache_dir / "baselines").parts[0]
        yield _entry("conversions", wavs, cell=name)
    files: tuple[tuple[Kind, str], ...] = (
        ("features", "*/*.npz"),
        ("scores", "*/*.json"),
        ("speech", "*/*.npz"),
        ("checks", "*"),
        ("corpora", "*"),
        ("downloads", "*"),
        ("slurm", "*"),
    )
    for kind, pattern in files:
        for path in _below(cache_dir / kind, pattern):
            if not sealed.is_temporary(path):
                yield _entry(kind, path)


def temporaries(cache_dir: Path, *, now: float) -> list[Entry]:
    """Files that killed processes had half written, and folders into which they had unpacked
    results."""
    found = []
    for path in cache_dir.rglob("*.tmp"):
        with suppress(OSError):
            if path.is_file() and now - path.stat().st_mtime > ABANDONED_S:
                found.append(_entry("downloads", path))
    for folder in sorted(cache_dir.glob(UNPACKING)):
        with suppress(OSError):
            entry = _entry("downloads", folder)
            if now - max(entry.used, folder.stat().st_mtime) > ABANDONED_S:
                found.append(entry)
    return found


def chosen(
    found: Iterable[Entry],
    *,
    kinds: Collection[Kind],
    older_than_s: float,
    now: float,
    in_use_since: float | None,
    keep: Collection[Path] = (),
    keep_suites: Collection[str] = (),
) -> list[Entry]:
    """Which of `found` to remove: of these kinds, not used for so long.

    keep: entries, or folders that hold them. keep_suites: what is known to belong to one of these
    is kept. in_use_since: what was used since may be in use by a run that goes on.
    """
    kept = set(keep)
    limit = now - older_than_s
    if in_use_since is not None:
        limit = min(limit, in_use_since)
    return [
        entry
        for entry in found
        if entry.kind in kinds
        and entry.used < limit
        and not kept.intersection((entry.path, *entry.path.parents))
        and not set(keep_suites).intersection(entry.suites)
    ]


def remove(
    removed: Sequence[Entry],
    cache_dir: Path,
    *,
    on_wait: Callable[[Sequence[locks.Owner]], None] = lambda _: None,
) -> tuple[int, int, list[str]]:
    """(entries, bytes) that were removed, and a line for each that could not be.

    What was used since it was chosen stays, as does a cell that a process trains, or whose files it
    writes. on_wait: told of whom, where it takes time to know that one still lives: `usage.free`.
    """
    done, freed, problems = 0, 0, []
    folders = {_cell_folder(entry.path, cache_dir) for entry in removed}
    usage.free(sorted(folder for folder in folders if folder), on_wait=on_wait)
    for entry in removed:
        cell_folder = _cell_folder(entry.path, cache_dir)
        if _entry(entry.kind, entry.path, without=entry.path / CONVERTED).used > entry.used:
            continue
        try:
            if cell_folder is not None:
                _remove_locked(entry, cell_folder)
            elif entry.path.is_dir():
                shutil.rmtree(entry.path)
            else:
                entry.path.unlink(missing_ok=True)
        except OSError as error:
            problems.append(f"{entry.path}: not removed ({error.strerror or error})")
            continue
        done, freed = done + 1, freed + entry.n_bytes
        _remove_empty(entry.path.parent, cache_dir)
    return done, freed, problems


def _of_cell(folder: Path) -> Iterator[Entry]:
    cell = _cell_id(folder)
    suites = tuple(usage.suites_of(folder))
    checkpoint = folder / CHECKPOINT
    if (folder / STATUS).exists():
        state = "done"
    else:
        begun = checkpoint.exists() or previous_of(checkpoint).exists()
        state = "begun" if begun else "prepared"
    converted = folder / CONVERTED
    for wavs in _below(converted, "*/*"):
        yield _entry("conversions", wavs, cell=cell, suites=suites)
    yield _entry("cells", folder, cell=cell, suites=suites, state=state, without=converted)


def _cell_id(folder: Path) -> str:
    """As in a suite, also of another version of vcbench; "" if it cannot be told."""
    try:
        found = json.loads((folder / CELL).read_text(encoding="utf-8"))
        return "{system}/{source}-{target}/{seed}".format_map(found)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _entry(
    kind: Kind,
    path: Path,
    *,
    cell: str = "",
    suites: tuple[str, ...] = (),
    state: str = "",
    without: Path | None = None,
) -> Entry:
    n_bytes, times, used = 0, [], 0.0
    for file in _files_in(path, without):
        with suppress(OSError):  # somebody may remove it now
            found = file.stat()
            n_bytes += found.st_size
            if locks.is_lock(file):  # also taken to remove something
                continue
            times.append(found.st_mtime)
            # Planning reads small files of all cells, whatever suite they are for.
            is_read = kind != "cells" or file.name == CHECKPOINT
            used = max(used, usage.last_used(file) if is_read else found.st_mtime)
    return Entry(kind, path, n_bytes, min(times, default=0.0), used, cell, suites, state)


def _files_in(path: Path, without: Path | None) -> Iterator[Path]:
    if path.is_file():
        yield path
    for place, folders, names in os.walk(path):
        folders[:] = [name for name in folders if Path(place, name) != without]
        yield from (Path(place, name) for name in names)


def _below(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _cell_folder(path: Path, cache_dir: Path) -> Path | None:
    """The folder of the cell that something belongs to, None if it is no cell's."""
    cells = cache_dir / "cells"
    if not path.is_relative_to(cells):
        return None
    return cells / path.relative_to(cells).parts[0]


def _remove_locked(entry: Entry, folder: Path) -> None:
    """Remove something of a cell, while nobody else can begin to train it."""
    lock = locks.try_to_take(folder)
    if lock is None:
        owner = locks.owner_of(folder) or "another process"
        raise OSError(f"in use by {owner}; it can go when that has ended")
    with lock:
        if entry.path != folder:
            shutil.rmtree(entry.path) if entry.path.is_dir() else entry.path.unlink()
            return
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif not locks.is_lock(path):
                path.unlink()
        ours = list(folder.glob("lock.*"))
    for path in ours:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # somebody has begun anew in there by now
        folder.rmdir()


def _remove_empty(folder: Path, cache_dir: Path) -> None:
    """Remove folders that have nothing in them any more, up to the cache's own."""
    while folder != cache_dir and folder.is_relative_to(cache_dir):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def totals(found: Iterable[Entry]) -> dict[Kind, list[Entry]]:
    """Entries by their kind, in the order of `KINDS`."""
    sorted_by_kind: dict[Kind, list[Entry]] = {kind: [] for kind in KINDS}
    for entry in found:
        sorted_by_kind[entry.kind].append(entry)
    return {kind: each for kind, each in sorted_by_kind.items() if each}


def age(since: float, now: float | None = None) -> str:
    """How long ago, in words: `3 days`."""
    seconds = max(0.0, (time.time() if now is None else now) - since)
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return "now" if seconds < 60 else "1 minute"
