"""Reading what a run left on disk; the only part of the report that touches the run's files.

Nothing is computed here and nothing is trained again: `vcbench report RUN` works on a folder that
was copied from another machine.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from vcbench.errors import DataError, UsageError

SCORE_KEYS = ["system", "pair", "direction", "seed", "utterance", "metric", "protocol"]
_RESULTS = ["suite", *SCORE_KEYS, "value", "unit"]
_TRAINING = ["system", "pair", "seed", "iteration", "name", "value"]
_THROUGHPUT = ["system", "device", "phase", "metric", "value", "unit"]


@dataclass(frozen=True)
class Cell:
    """What the report needs of a line of cells.jsonl: how a system fared on a pair and seed."""

    cell: str
    system: str
    pair: str
    seed: int | None
    kind: str
    status: str
    reason: str = ""
    iterations: int | None = None
    health: tuple[str, ...] = ()
    crop_stream_sha256: str | None = None
    log: str = ""

    @property
    def ok(self) -> bool:
        """Whether the cell was trained, converted and scored to its end."""
        return self.status == "ok"

    @property
    def skipped(self) -> bool:
        """Whether the cell was not run, or not to its end, through no failure of its own."""
        return self.status == "skipped"

    @property
    def left_out(self) -> bool:
        """Whether the cell was skipped because the user asked for others only."""
        return self.skipped and self.reason.startswith("left out by --only")


@dataclass(frozen=True)
class Sample:
    """One sentence to listen to; paths are relative to the run's folder, with forward slashes.

    `pictures` is empty where nothing was drawn.
    """

    pair: str
    direction: str
    utterance: str
    seed: int | None
    source: str
    target: str
    converted: dict[str, str]
    pictures: str = ""


@dataclass(frozen=True)
class RunFiles:
    """A run as stored. Tables that the run did not write are empty, with their columns."""

    folder: Path
    manifest: dict[str, Any]
    cells: tuple[Cell, ...]
    results: pd.DataFrame
    training: pd.DataFrame
    throughput: pd.DataFrame
    samples: tuple[Sample, ...] = field(default=())

    @property
    def suite(self) -> dict[str, Any]:
        """The suite as resolved, or an empty dict."""
        return dict(self.manifest.get("suite") or {})

    @property
    def suite_name(self) -> str:
        """The suite's name."""
        return str(self.manifest.get("suite_name") or self.suite.get("suite") or "unnamed suite")


def read_run(folder: Path) -> RunFiles:
    """Read the stored files of the run in `folder`.

    Raises:
        UsageError: `folder` is not a run's folder.
        DataError: a file in it cannot be understood, two scores stand for the same thing, or a
            sample's path leads out of the folder.
    """
    if not (folder / "manifest.json").is_file():
        raise UsageError(
            f"{folder} holds no manifest.json: name the folder of one run, such as "
            "reports/SUITE/latest"
        )
    manifest = _json(folder / "manifest.json")
    if not isinstance(manifest, dict):
        raise DataError(f"{folder / 'manifest.json'}: expected a JSON object")
    results = read_table(folder / "results.csv", _RESULTS)
    _refuse_duplicates(folder / "results.csv", results)
    training = read_table(folder / "training.csv", _TRAINING)
    training["iteration"] = _numbers(training["iteration"])
    return RunFiles(
        folder=folder,
        manifest=manifest,
        cells=_cells(folder / "cells.jsonl"),
        results=results,
        training=training,
        throughput=read_table(folder / "throughput.csv", _THROUGHPUT),
        samples=_samples(folder),
    )


def inside(folder: Path, relative: str) -> Path:
    """The file that `relative` names below `folder`; raises `DataError` if it leads elsewhere.

    Links are followed: a link that leads out of the folder is refused as `..` is.
    """
    path = PurePosixPath(relative)
    root = folder.resolve()
    resolved = (root / path).resolve()
    if "\\" in relative or path.is_absolute() or not resolved.is_relative_to(root):
        raise DataError(
            f"{folder / 'samples' / 'samples.json'}: path '{relative}' leads out of the run's "
            "folder; paths are relative to it, such as samples/x.wav"
        )
    return resolved


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}; run the suite again to write it anew") from error


def read_table(path: Path, columns: list[str], *, optional: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV with text columns and a numeric `value`; an absent file is an empty table.

    Columns in `optional` are empty where the file has none.
    """
    if not path.is_file():
        table = pd.DataFrame({name: pd.Series(dtype="str") for name in columns})
    else:
        try:
            # Every name is text: a speaker may be called '007', 'NA' or 'null'.
            table = pd.read_csv(path, dtype="str", keep_default_na=False, quoting=csv.QUOTE_MINIMAL)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: {error}") from error
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)} (expected {', '.join(columns)})")
    table["value"] = _numbers(table["value"])
    for name in optional:
        table[name] = table[name] if name in table.columns else ""
    return table[[*columns, *optional]]


def _numbers(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce").astype("float64")


def _refuse_duplicates(path: Path, results: pd.DataFrame) -> None:
    """Two values for one utterance would both enter the mean, unseen."""
    duplicated = results.duplicated(SCORE_KEYS)
    if duplicated.any():
        first = results[duplicated].iloc[0]
        where = ", ".join(f"{key} {first[key]}" for key in SCORE_KEYS if first[key])
        raise DataError(
            f"{path}: {int(duplicated.sum())} scores stand twice, the first for {where}; "
            "run the suite again to write it anew"
        )


def _cells(path: Path) -> tuple[Cell, ...]:
    """Cells in the order of the file; where a cell stands twice, its last line counts."""
    if not path.is_file():
        raise DataError(f"{path}: not found; a run without it cannot be reported")
    known = {f.name for f in fields(Cell)}
    cells: dict[str, Cell] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            values = {k: v for k, v in entry.items() if k in known}
            cell = Cell(**{**values, "health": tuple(values.get("health") or ())})
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path}:{number}: not a cell's status: {error}") from error
        cells[cell.cell] = cell
    return tuple(cells.values())


def _samples(folder: Path) -> tuple[Sample, ...]:
    path = folder / "samples" / "samples.json"
    if not path.is_file():
        return ()
    known = {f.name for f in fields(Sample)}
    try:
        samples = tuple(
            Sample(**{k: v for k, v in entry.items() if k in known}) for entry in _json(path)
        )
    except (TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a list of samples: {error}") from error
    for sample in samples:
        named = [sample.source, sample.target, *sample.converted.values()]
        for relative in [*named, *([sample.pictures] if sample.pictures else [])]:
            inside(folder, relative)
    return samples
