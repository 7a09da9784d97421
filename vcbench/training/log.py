"""A cell's training log: losses, learning rates and speed, one JSON object per line.

Imports no torch, so that what watches a training need not either.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcbench.errors import CellFailure
from vcbench.training.cell import Cell
from vcbench.training.schedule import learning_rate_factor

LOG = "log.jsonl"


class TrainingLog:
    """`log.jsonl`: one line per `log_every` iterations, and one per validation."""

    def __init__(self, folder: Path, cell: Cell) -> None:
        self.path, self.cell = folder / LOG, cell
        self._sums: dict[str, Any] = {}  # tensors, read only when a line is due
        self._count = 0
        self._timed, self._since = 0, time.perf_counter()  # iterations since a moment
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, losses: Mapping[str, Any]) -> None:
        """Add one iteration's losses; on a GPU this does not wait for them."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self._timed += 1

    def write(self, iteration: int) -> None:
        """Write means since the last line; raises `CellFailure` if one is not finite."""
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        first = iteration - self._count + 1
        for name, value in means.items():
            if not math.isfinite(value):
                raise CellFailure(
                    f"{self.cell.id}: the {name} loss became {value} between iterations {first} "
                    f"and {iteration}; try a smaller learning rate"
                )
        factor = learning_rate_factor(iteration - 1, self.cell.recipe)
        speed = self._timed / max(time.perf_counter() - self._since, 1e-9)
        self._append(
            {
                "iteration": iteration,
                **means,
                "learning_rate_generator": self.cell.recipe.learning_rate_generator * factor,
                "learning_rate_discriminator": self.cell.recipe.learning_rate_discriminator
                * factor,
                "iterations_per_second": speed,
            }
        )
        self._sums, self._count = {}, 0
        self._restart_clock()

    def validation(self, iteration: int, value: float | None) -> None:
        """Write the validation loss, which costs no training time in the log.

        Raises `CellFailure` if it is not finite: the last update may have ruined the weights after
        the last training loss was computed.
        """
        if value is not None:
            if not math.isfinite(value):
                raise CellFailure(
                    f"{self.cell.id}: the validation loss became {value} at iteration {iteration}; "
                    "try a smaller learning rate"
                )
            self._append({"iteration": iteration, "validation": value})
        self._restart_clock()

    def pending(self) -> dict[str, float]:
        """Sums that no line holds yet, for the checkpoint."""
        return {"count": self._count, **{n: float(v) for n, v in self._sums.items()}}

    def restore(self, iteration: int, pending: Mapping[str, float]) -> None:
        """Go back to a checkpoint: drop later lines, take up its sums."""
        kept = [line for line in self.lines() if line["iteration"] <= iteration]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        _replace(self.path, text)
        sums = dict(pending)
        self._count = int(sums.pop("count"))
        self._sums = dict(sums)
        self._restart_clock()

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines; one torn by a kill is dropped."""
        return read_log(self.path.parent)

    def _restart_clock(self) -> None:
        self._timed, self._since = 0, time.perf_counter()

    def _append(self, line: Mapping[str, float]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Whole lines of the log in a cell's folder; what a kill left half written is dropped."""
    lines: list[dict[str, Any]] = []
    path = folder / LOG
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return lines


def last_line(folder: Path) -> dict[str, Any]:
    """The newest line with losses, or an empty dict; reads only the end of the file."""
    path = folder / LOG
    if not path.exists():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        for line in reversed(file.read().decode(errors="replace").splitlines()):
            try:
                found = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(found, dict) and "discriminator" in found:
                return found
    return {}


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, json.dumps(value, indent=1))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
