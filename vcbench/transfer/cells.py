"""A cell on its way: its files lie elsewhere where it is taken to, and it may be a stranger's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vcbench.training.cell import Cell
from vcbench.typed import is_typed

_PARTS = ("train_features", "validation_features")
_FEATURES = re.compile(r"[0-9a-f]{64}\.npz")


def portable(cell: Cell) -> dict[str, Any]:
    """The cell as JSON, with the names of its files alone."""
    described = cell.to_json()
    for part in _PARTS:
        described[part] = {
            speaker: [Path(path).name for path in paths]
            for speaker, paths in described[part].items()
        }
    described["plugin_files"] = [Path(path).name for path in cell.plugin_files]
    return described


def in_cache(cell: Cell, cache_dir: Path) -> Cell:
    """The cell with its feature files where this cache has them, or would."""

    def files(part: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        names = {speaker: [Path(path).name for path in paths] for speaker, paths in part.items()}
        folder = cache_dir / "features"
        return {s: tuple(str(folder / n[:2] / n) for n in named) for s, named in names.items()}

    return replace(
        cell,
        train_features=files(cell.train_features),
        validation_features=files(cell.validation_features),
    )


def from_stranger(stored: Any) -> Cell:
    """The cell that a stranger's JSON value is; raises `ValueError` if it is none."""
    try:
        cell = Cell.from_json(stored)
        is_sane = is_typed(cell, Cell) and cell.id.isprintable()
        json.dumps(cell.to_json(), allow_nan=False)  # what is written again from it is JSON
    except Exception as error:  # whatever JSON can be
        raise ValueError(
            f"not a cell of this version of vcbench ({type(error).__name__})"
        ) from None
    if not is_sane:
        raise ValueError("a cell with values that no cell has")
    for part in _PARTS:
        for path in (path for paths in getattr(cell, part).values() for path in paths):
            if not _FEATURES.fullmatch(Path(path).name):
                raise ValueError(f"a cell with the feature file {path!a}, as no cache calls one")
    return cell
