"""What goes back from the other machine: the files of trained cells, in tar files of limited size.

A cell may take several tar files, of more than one call; its status is in the last of them. Which
files are in a tar that was written to its end is noted in the cell's folder.
"""

from __future__ import annotations

import json
import tarfile
import time
from pathlib import Path
from typing import Any

from vcbench import sealed
from vcbench.carry.pack_names import MACHINE, PARTS, folder_of, speed_file
from vcbench.throughput import THERE
from vcbench.training.files import STATUS, read_status, write_json

# Of a tar file, less what ends it; of all that one call brings; and how many tar files.
FILE_BYTES, ALL_BYTES, FILES = 15.9 * 2**20, 60 * 2**20, 7
_NOTE = "brought.json"

_Part = tuple[str, str, Path]  # the key of its cell, what it is called, the file


def is_whole(work: Path) -> bool:
    """Whether there is a result with all that goes back: the machine is noted last."""
    return read_status(work) is not None and (work / MACHINE).exists()


def left_of(work: Path, speed: Path) -> dict[str, Path]:
    """What of a trained cell has not been brought yet, by name, in the order in which it goes."""
    found = {p.relative_to(work).as_posix(): p for part in PARTS for p in sorted(work.glob(part))}
    if speed.exists():
        found[THERE] = speed
    found[STATUS] = work / STATUS
    brought = _noted(work)
    return {name: path for name, path in found.items() if name not in brought}


def is_too_large(path: Path) -> bool:
    """Whether a file fits into no tar file."""
    return _weight(path) > FILE_BYTES


def bring(entries: dict[str, Any], work: Path, out: Path) -> None:
    """Write what has ended since the last time into `out`; what has no room goes the next time."""
    out.mkdir(parents=True, exist_ok=True)
    for batch in _batches(entries, work):
        path = out / f"results-{time.time_ns()}.tar"
        # GNU's format has one header for a file; that which is Python's default may take three.
        with (
            sealed.replacing(path) as temporary,
            tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as archive,
        ):
            for key, name, file in batch:
                archive.add(file, f"{key}/{name}")
        for key in dict.fromkeys(key for key, *_ in batch):
            folder = work / folder_of(key)
            names = [name for other, name, _ in batch if other == key]
            write_json(folder / _NOTE, [*_noted(folder), *names])


def forget(entries: dict[str, Any], work: Path) -> None:
    """All that was brought is brought again, by this call and those that follow."""
    for key in entries:
        (work / folder_of(key) / _NOTE).unlink(missing_ok=True)


def _noted(work: Path) -> list[str]:
    try:
        return list(json.loads((work / _NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []


def _batches(entries: dict[str, Any], work: Path) -> list[list[_Part]]:
    """What goes into each tar file."""
    batches: list[list[_Part]] = []
    size, total = 0, 0
    for key, entry in entries.items():
        folder = work / folder_of(key)
        if not is_whole(folder):
            continue
        for name, file in left_of(folder, speed_file(work, entry)).items():
            if is_too_large(file):
                continue  # which is told (`vcbench.carry.there`); nothing waits for it
            weight = _weight(file)
            if total + weight > ALL_BYTES:
                return batches
            if not batches or size + weight > FILE_BYTES:
                if len(batches) == FILES:
                    return batches
                batches.append([])
                size = 0
            batches[-1].append((key, name, file))
            size, total = size + weight, total + weight
    return batches


def _weight(path: Path) -> int:
    """Bytes in a tar file, at most: a header of 512, and padding to a multiple of that."""
    return path.stat().st_size + 1024
