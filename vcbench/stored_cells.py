"""All trainings that the cache holds, whatever suite they were for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from vcbench import fingerprint
from vcbench.errors import DataError
from vcbench.plugins import Kind, Registry
from vcbench.signatures import source_files_of
from vcbench.training.cell import Cell
from vcbench.training.files import CELL, CHECKPOINT, previous_of, read_status, write_json

CODE = "code.json"  # of which code the cell was trained with; see `code_of`
_KINDS: tuple[Kind, ...] = ("generator", "discriminator", "objective")


@dataclass(frozen=True)
class StoredCell:
    """A training that has ended, or left a checkpoint. code: None where none was noted."""

    folder: Path
    identity: Mapping[str, Any]
    status: Mapping[str, Any] | None
    code: Mapping[str, str] | None


class StoredCells:
    """The cells below a folder, the newest first; they are read when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def all(self) -> list[StoredCell]:
        """Every cell of this version of vcbench; others are passed over."""
        found = []
        for path in self.folder.glob(f"*/{CELL}"):
            checkpoint = path.with_name(CHECKPOINT)
            if not (checkpoint.exists() or previous_of(checkpoint).exists()):
                continue
            try:
                identity = Cell.read(path).identity()
                found.append((path.stat().st_mtime_ns, path.parent, identity))
            except (DataError, OSError):
                continue
        found.sort(key=lambda one: one[:2], reverse=True)
        return [StoredCell(f, i, read_status(f), _noted_code(f)) for _, f, i in found]


def code_of(cell: Cell, registry: Registry) -> dict[str, str]:
    """What `Cell.code` is made of, by its part, but for the source of training itself."""
    files = {kind: source_files_of(registry, kind, getattr(cell, kind).name) for kind in _KINDS}
    found = {kind: fingerprint.of_sources(paths) for kind, paths in files.items()}
    return found | {package: metadata.version(package) for package in ("torch", "numpy")}


def note_code(folder: Path, code: Mapping[str, str]) -> None:
    """Keep in a cell's folder what it is trained with: later, it tells what changed."""
    write_json(folder / CODE, code)


def _noted_code(folder: Path) -> dict[str, str] | None:
    try:
        code = json.loads((folder / CODE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return code if isinstance(code, dict) else None
