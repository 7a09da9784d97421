"""What files of a pack, and of what comes back, are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcbench.training.files import LOG

INDEX = "pack.json"
MACHINE = "machine.json"  # where a cell was trained; written last: there is all that goes back
FAILED = "failed.txt"
OUTPUT = "output.log"
# Beside these the speed, and the status as the last.
PARTS = (LOG, MACHINE, "mapped.npz", "points/*.npz", OUTPUT)


def folder_of(key: str) -> str:
    """Where the cell lies there: not called by its key, which the versions installed there, others
    than here, would give it another one than."""
    return f"cell-{key}"


def speed_file(work: Path, entry: Mapping[str, Any]) -> Path:
    """The measured speed of an entry's system."""
    system = entry["cell"].partition("/")[0]
    return work / f"speed-{system}.json"
