"""All trainings that the cache holds, whatever suite they were for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vcbench import fingerprint
from vcbench.errors import DataError
from vcbench.plugins import Kind, Registry
from vcbench.signatures import source_files_of
from vcbench.training.cell import Cell, packages_of_training
from vcbench.training.files import CELL, CHECKPOINT, previous_of, read_status, write_json

CODE = "code.json"  # of which code the cell was trained with; see `code_of`
_KINDS: tuple[Kind, ...] = ("generator", "discriminator", "objective")


@dataclass(frozen=True)
class StoredCell:
    """A training that has ended, or left a checkpoint. code: None where none was noted."""

    folder: Path
    identity: Mapping[str, Any]
    status: Mapping[str, Any] | None
    code: Mapping[str, Any] | None


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


def code_of(cell: Cell, registry: Registry) -> dict[str, Any]:
    """What `Cell.code` is made of, by its part, but for the source of training itself.

    For each of the three plugins {file: SHA-256}, two of one name in different folders told apart
    by a number behind it; and `packages`, {name: version}.
    """
    files = {kind: source_files_of(registry, kind, getattr(cell, kind).name) for kind in _KINDS}
    found: dict[str, Any] = {kind: _contents(paths) for kind, paths in files.items()}
    found["packages"] = packages_of_training(set().union(*files.values()))
    return found


def _contents(paths: Iterable[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, content in sorted((path.name, fingerprint.of_file(path)) for path in paths):
        again = sum(other.partition(" ")[0] == name for other in found)
        found[f"{name} {again + 1}" if again else name] = content
    return found


def note_code(folder: Path, code: Mapping[str, Any]) -> None:
    """Keep in a cell's folder what it is trained with: later, it tells what changed."""
    write_json(folder / CODE, code)


def _noted_code(folder: Path) -> dict[str, Any] | None:
    try:
        code = json.loads((folder / CODE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    is_whole = isinstance(code, dict) and all(
        isinstance(code.get(part), dict) for part in (*_KINDS, "packages")
    )
    return code if is_whole else None
