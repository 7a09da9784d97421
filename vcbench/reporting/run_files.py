"""Reading what a run left on disk; the only part of the report that touches the run's files.

Nothing is computed here and nothing is trained again: `vcbench report RUN` works on a folder that
was copied from another machine.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vcbench.errors import DataError, UsageError
from vcbench.own_files import MAXIMUM_JSON_BYTES, MAXIMUM_TABLE_BYTES, inside, read_json, stored
from vcbench.reporting.run_shapes import (
    CELL,
    MANIFEST,
    MAXIMUM_COLUMNS,
    MAXIMUM_SYSTEMS,
    SAMPLES,
    checked,
)

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
    path = stored(folder, "manifest.json", maximum_bytes=MAXIMUM_JSON_BYTES)
    if path is None:
        raise UsageError(
            f"{folder} holds no manifest.json: name the folder of one run, such as "
            "reports/SUITE/latest"
        )
    manifest = read_json(path)
    if not isinstance(manifest, dict):
        raise DataError(f"{path}: expected a JSON object")
    checked(MANIFEST, manifest, where=str(path), what="not what a run writes")
    results = _table(folder, "results.csv", _RESULTS)
    _refuse_duplicates(folder / "results.csv", results)
    return RunFiles(
        folder=folder,
        manifest=manifest,
        cells=_cells(folder),
        results=results,
        training=_training(folder),
        throughput=_table(folder, "throughput.csv", _THROUGHPUT),
        samples=_samples(folder),
    )


def _table(folder: Path, name: str, columns: list[str]) -> pd.DataFrame:
    stored(folder, name, maximum_bytes=MAXIMUM_TABLE_BYTES)
    return read_table(folder / name, columns)


def _training(folder: Path) -> pd.DataFrame:
    """Logged values; raises `DataError` where two stand for one iteration of one cell."""
    training = _table(folder, "training.csv", _TRAINING)
    training["iteration"] = _numbers(training["iteration"])
    keys = [name for name in _TRAINING if name != "value"]
    wrong = training.duplicated(keys) | ~np.isfinite(training["iteration"])
    if wrong.any():
        first = training[wrong].iloc[0]
        where = ", ".join(f"{key} {first[key]}" for key in keys)
        raise DataError(
            f"{folder / 'training.csv'}: {int(wrong.sum())} values stand twice or at no iteration, "
            f"the first for {where}; run the suite again to write it anew"
        )
    return training


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
        except (OSError, ValueError, OverflowError, RecursionError, csv.Error) as error:
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
    metrics = len(results.drop_duplicates(["metric", "protocol"]))
    if metrics > MAXIMUM_COLUMNS:
        raise DataError(f"{path}: {metrics} metrics; at most {MAXIMUM_COLUMNS} can be reported")
    duplicated = results.duplicated(SCORE_KEYS)
    if duplicated.any():
        first = results[duplicated].iloc[0]
        where = ", ".join(f"{key} {first[key]}" for key in SCORE_KEYS if first[key])
        raise DataError(
            f"{path}: {int(duplicated.sum())} scores stand twice, the first for {where}; "
            "run the suite again to write it anew"
        )


def _cells(folder: Path) -> tuple[Cell, ...]:
    """Cells in the order of the file; where a cell stands twice, its last line counts."""
    path = stored(folder, "cells.jsonl", maximum_bytes=MAXIMUM_JSON_BYTES)
    if path is None:
        raise DataError(f"{folder / 'cells.jsonl'}: not found; a run without it cannot be reported")
    cells: dict[str, Cell] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not a cell's status: {error}") from error
        found = checked(CELL, entry, where=where, what="not a cell's status").model_dump()
        cell = Cell(**{**found, "health": tuple(found["health"] or ())})
        cells[cell.cell] = cell
    if (count := len({cell.system for cell in cells.values()})) > MAXIMUM_SYSTEMS:
        raise DataError(f"{path}: {count} systems; at most {MAXIMUM_SYSTEMS} can be reported")
    return tuple(cells.values())


def _samples(folder: Path) -> tuple[Sample, ...]:
    path = stored(folder, "samples/samples.json", maximum_bytes=MAXIMUM_JSON_BYTES)
    if path is None:
        return ()
    entries = checked(SAMPLES, read_json(path), where=str(path), what="not a list of samples")
    samples = tuple(Sample(**entry.model_dump()) for entry in entries)
    for sample in samples:
        named = [sample.source, sample.target, *sample.converted.values()]
        for relative in [*named, *([sample.pictures] if sample.pictures else [])]:
            inside(folder, relative)
    return samples
