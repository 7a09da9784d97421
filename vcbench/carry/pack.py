"""Putting all that training needs into one folder that needs no vcbench where it is taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from vcbench.carry.pack_names import INDEX, folder_of
from vcbench.errors import DataError, UsageError
from vcbench.planning import Plan, PlannedCell
from vcbench.stored_cells import code_of
from vcbench.training.cell import Cell
from vcbench.training.files import CELL, write_json

_STARTER = """\
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "code"))
from vcbench.carry.there import main

sys.exit(main(sys.argv[1:]))
"""
# Training looks its plugins up by their entry points, which are those of an installed package.
_GROUP = "vcbench.architectures"


def pack(
    plan: Plan, folder: Path, *, arguments: Mapping[str, Any], every: int | None, sentences: int
) -> int:
    """Write `folder`; returns how many cells there are to train.

    arguments: of `suite.load` and `make_plan`, with which unpacking plans again. every: a learning
    curve has a point each so many iterations, of the first `sentences` evaluation sentences.

    Raises `UsageError` if there is something in `folder` or nothing to train, and `DataError` if
    features are missing.
    """
    cells = _distinct(plan.cells)
    if not cells:
        raise UsageError("nothing to carry: every cell is trained already")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; name a new folder")
    missing = plan.missing_features
    if missing:
        raise DataError(f"{missing} utterances are not analysed yet; extract features first")
    (folder / "features").mkdir(parents=True)
    _copy_code(folder / "code")
    plugins = _copy_plugins(plan, folder / "plugins")
    entries = []
    for planned in cells:
        entries.append(_put_cell(plan, planned, folder, plugins, every, sentences))
    (folder / "train.py").write_text(_STARTER, encoding="utf-8")
    write_json(folder / INDEX, {"arguments": dict(arguments), "cells": entries})
    return len(cells)


def _distinct(cells: Iterable[PlannedCell]) -> list[PlannedCell]:
    """What has yet to be trained; systems that differ in name alone are trained once."""
    found: dict[str, PlannedCell] = {}
    for planned in cells:
        if not planned.done:
            found.setdefault(planned.key, planned)
    return list(found.values())


def _put_cell(
    plan: Plan,
    planned: PlannedCell,
    folder: Path,
    plugins: Mapping[str, str],
    every: int | None,
    sentences: int,
) -> dict[str, Any]:
    cell = planned.cell
    evaluation = {s: [plan.features[u] for u in plan.speech.evaluation[s]] for s in _speakers(cell)}
    parts = (cell.train_features, cell.validation_features)
    files = [Path(p) for part in parts for paths in part.values() for p in paths]
    for path in [*files, *(p for paths in evaluation.values() for p in paths)]:
        if not (folder / "features" / path.name).exists():
            shutil.copyfile(path, folder / "features" / path.name)
    there = replace(
        cell,
        train_features=_named(cell.train_features),
        validation_features=_named(cell.validation_features),
        plugin_files=tuple(plugins[name] for name in cell.plugin_files),
    )
    write_json(folder / "cells" / folder_of(planned.key) / CELL, there.to_json())
    names = {speaker: [path.name for path in paths] for speaker, paths in evaluation.items()}
    return {
        "key": planned.key,
        "cell": cell.id,
        "every": every,
        "evaluation": names,
        "curve": {s: paths[: sentences if every else 0] for s, paths in names.items()},
        "code": code_of(cell, plan.suite.registry),
    }


def _speakers(cell: Cell) -> tuple[str, str]:
    return cell.source, cell.target


def _named(part: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {speaker: tuple(Path(p).name for p in paths) for speaker, paths in part.items()}


def _copy_plugins(plan: Plan, folder: Path) -> dict[str, str]:
    """The plugin files of the suite, numbered: two may have one name. Paths are below the pack."""
    found = {}
    for number, path in enumerate(map(Path, plan.suite.registry.files)):
        copied = folder / str(number) / path.name
        copied.parent.mkdir(parents=True)
        shutil.copyfile(path, copied)
        found[str(path)] = copied.relative_to(folder.parent).as_posix()
    return found


def _copy_code(folder: Path) -> None:
    """The source of vcbench and of its architectures, and the entry points that name these."""
    import architectures
    import vcbench

    for package in (vcbench, architectures):
        top = Path(str(package.__file__)).parent
        for path in top.rglob("*.py"):
            copied = folder / top.name / path.relative_to(top)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)
    declared = [
        e for e in metadata.entry_points(group=_GROUP) if e.dist and e.dist.name == "vcbench"
    ]
    info = folder / f"vcbench-{vcbench.__version__}.dist-info"
    info.mkdir()
    about = f"Metadata-Version: 2.1\nName: vcbench\nVersion: {vcbench.__version__}\n"
    (info / "METADATA").write_text(about, encoding="utf-8")
    lines = "".join(f"{entry.name} = {entry.value}\n" for entry in declared)
    (info / "entry_points.txt").write_text(f"[{_GROUP}]\n{lines}", encoding="utf-8")


def read_index(folder: Path) -> dict[str, Any]:
    """What `pack` wrote into `folder`; raises `UsageError` if there is nothing."""
    try:
        return dict(json.loads((folder / INDEX).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise UsageError(
            f"{folder}: no {INDEX}; name a folder that `python -m vcbench.carry pack` wrote"
        ) from None
