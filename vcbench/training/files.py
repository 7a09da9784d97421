"""A cell's folder: what its files are called, and how they are written.

Imports no torch, so that what only looks at a training need not either.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

CELL = "cell.json"  # what is trained
LOG = "log.jsonl"  # losses, learning rates, speed
CHECKPOINT = "checkpoint.pt"  # the newest; the one before lies beside it
EXTENDED = "extended.pt"  # the checkpoint of another training that this one goes on from
STATUS = "status.json"  # written last: there is a result


def previous_of(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_suffix(f".previous{path.suffix}")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(value, indent=1))


def replace_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    temporary = temporary_of(path)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def temporary_of(path: Path) -> Path:
    """What `path` is called while this process writes it."""
    return path.with_suffix(f".{os.getpid()}.tmp")


def read_status(folder: Path) -> dict[str, Any] | None:
    """What training left in `status.json`, or None if it has not ended, or that file is damaged."""
    try:
        status = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) else None


def remove_abandoned(folder: Path) -> None:
    """Delete what killed processes had half written. Only for who trains in `folder`, since nobody
    else writes these files."""
    for name in (LOG, CHECKPOINT, STATUS):  # the harness writes the others
        for temporary in folder.glob(f"{Path(name).stem}.*.tmp"):
            temporary.unlink(missing_ok=True)
