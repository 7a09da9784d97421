"""A cell's folder: what its files are called, and how they are written.

Imports no torch, so that what only looks at a training need not either.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcbench import sealed
from vcbench.typed import is_typed

CELL = "cell.json"  # what is trained
LOG = "log.jsonl"  # losses, learning rates, speed
CHECKPOINT = "checkpoint.pt"  # the newest; the one before lies beside it
EXTENDED = "extended.pt"  # the checkpoint of another training that this one goes on from
ELSEWHERE = "elsewhere.json"  # of a result that came without its checkpoint: what that holds
STATUS = "status.json"  # written last: there is a result

# What the status says; see `vcbench.training.loop.train`.
STATUS_TYPES: Mapping[str, Any] = {
    "iterations": int,
    "seconds": float,
    "health": tuple[str, ...],
    "crop_stream_sha256": str,
    "device": str,
    "threads": int,
    "code": str,
    "packages": Mapping[str, str | None],
}


def previous_of(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_suffix(f".previous{path.suffix}")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    sealed.write_text(path, json.dumps(value, indent=1))


def write_status(folder: Path, status: Mapping[str, Any]) -> None:
    """Write `status.json` with its checksum, and onto the disk: it says that hours of training are
    complete."""
    sealed.write_json(folder / STATUS, status, durable=True)


def read_status(folder: Path) -> dict[str, Any] | None:
    """What training left in `status.json`, or None if it has not ended, or that file is damaged, or
    says what no training does."""
    status = sealed.read_json(folder / STATUS)
    return None if status is None or wrong_in_status(status) else status


def wrong_in_status(status: Mapping[str, Any]) -> list[str]:
    """Names of the values that are of another type than training writes."""
    lists = {name: tuple(v) if isinstance(v, list) else v for name, v in status.items()}
    return [
        name
        for name in STATUS_TYPES
        if name in lists and not is_typed(lists[name], STATUS_TYPES[name])
    ]


def has_result(folder: Path) -> bool:
    """Whether training ended there, or elsewhere, and what it left was not damaged since."""
    left = zipfile.is_zipfile(folder / CHECKPOINT) or sealed.read_json(folder / ELSEWHERE)
    return bool(left) and read_status(folder) is not None


def remove_abandoned(folder: Path) -> None:
    """Delete what killed processes had half written. Only for who trains in `folder`, since nobody
    else writes these files."""
    for name in (LOG, CHECKPOINT, STATUS):  # the harness writes the others
        for temporary in folder.glob(f"{Path(name).stem}.*.tmp"):
            temporary.unlink(missing_ok=True)
