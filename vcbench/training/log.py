"""A cell's training log: losses, learning rates and speed, one JSON object per line.

Imports no torch when it is imported, so that what watches a training need not either.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench import sealed
from vcbench.errors import CellFailure
from vcbench.training.cell import Cell
from vcbench.training.files import LOG
from vcbench.training.schedule import learning_rate_factor
from vcbench.typed import is_typed

if TYPE_CHECKING:
    from torch import Tensor

# Iterations of which the losses may wait on the device: reading them makes a GPU wait.
UNREAD = 1000
# A line has a dozen values; a stranger's may take up all memory when it is parsed.
_LONGEST_LINE = 10_000


class TrainingLog:
    """`log.jsonl`: one line per `log_every` iterations, and one per validation.

    Losses are read, and looked at, where a line or a checkpoint is due, in the order in which they
    were added: the first that is not finite is known by name and iteration, without a GPU having
    been waited for in each.
    """

    def __init__(self, folder: Path, cell: Cell) -> None:
        self.path, self.cell = folder / LOG, cell
        self._unread: list[tuple[tuple[str, ...], Tensor]] = []  # names and values, by iteration
        self._sums: dict[str, tuple[float, int]] = {}  # and of how many iterations
        self._timed, self._since = 0, time.perf_counter()  # iterations since a moment
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, losses: Mapping[str, Tensor], iteration: int) -> None:
        """Add the losses of update number `iteration`, from 1, scalars on one device. They may be
        others than the iteration's before.

        On a GPU this waits for them once in `UNREAD` iterations, and raises what `check` does then.
        """
        import torch

        copied = torch.stack(tuple(losses.values()))  # the next step may write over them
        self._unread.append((tuple(losses), copied))
        self._timed += 1
        if len(self._unread) == UNREAD:
            self.check(iteration)

    def check(self, iteration: int) -> None:
        """Read all losses so far, of update number `iteration` the last.

        Raises `CellFailure` with the first iteration that had one that is not finite, naming it.
        """
        if not self._unread:
            return
        import torch

        first = iteration - len(self._unread) + 1
        read = iter(torch.cat([values for _, values in self._unread]).tolist())
        losses = [{name: next(read) for name in names} for names, _ in self._unread]
        self._unread = []
        for number, values in enumerate(losses, start=first):
            broken = [(name, value) for name, value in values.items() if not math.isfinite(value)]
            if broken:
                (name, value), *others = broken
                also = f" (and {', '.join(f'{n} {v}' for n, v in others)})" if others else ""
                raise CellFailure(
                    f"{self.cell.id}: at iteration {number} the {name} loss became {value}{also}; "
                    "try a smaller learning rate"
                )
            for name, value in values.items():
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + value, count + 1)

    def write(self, iteration: int) -> None:
        """Write means since the last line, each over the iterations that had the loss; raises what
        `check` does.

        The last line of a training may come early. Its sums are kept then: a longer training that
        goes on from here has no line at this place.
        """
        self.check(iteration)
        factor = learning_rate_factor(iteration - 1, self.cell.recipe)
        speed = self._timed / max(time.perf_counter() - self._since, 1e-9)
        self._append(
            {
                "iteration": iteration,
                **{name: total / count for name, (total, count) in self._sums.items()},
                "learning_rate_generator": self.cell.recipe.learning_rate_generator * factor,
                "learning_rate_discriminator": self.cell.recipe.learning_rate_discriminator
                * factor,
                "iterations_per_second": speed,
            }
        )
        if iteration % self.cell.recipe.log_every == 0:
            self._sums = {}
        self._restart_clock()

    def validation(self, iteration: int, found: Mapping[str, float]) -> None:
        """Write what a validation found, if anything: it costs no training time in the log.

        Raises `CellFailure` if the loss is not finite: the last update may have ruined the weights
        after the last training loss was computed.
        """
        if found:
            if not math.isfinite(found["validation"]):
                raise CellFailure(
                    f"{self.cell.id}: the validation loss became {found['validation']} at "
                    f"iteration {iteration}; try a smaller learning rate"
                )
            self._append({"iteration": iteration, **found})
        self._restart_clock()

    def pending(self) -> dict[str, tuple[float, int]]:
        """Sums that no regular line holds yet, each with its number of iterations, for the
        checkpoint; call `check` before."""
        return dict(self._sums)

    def text(self) -> str:
        """All lines so far, for the checkpoint."""
        return self.path.read_text(encoding="utf-8") if self.path.exists() else ""

    def restore(self, text: str, pending: Mapping[str, tuple[float, int]]) -> None:
        """Go back to a checkpoint: to its lines, and its sums."""
        sealed.write_text(self.path, text)
        self._sums = dict(pending)
        self._restart_clock()

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines; one torn by a kill is dropped."""
        return read_log(self.path.parent)

    def _restart_clock(self) -> None:
        self._timed, self._since = 0, time.perf_counter()

    def _append(self, line: Mapping[str, float]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise CellFailure(f"{self.path}: cannot be written ({error.strerror})") from None


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Lines of the log in a cell's folder; what a kill left half written is dropped, as is what no
    training writes."""
    path = folder / LOG
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line for text in file if (line := line_of(text)) is not None]


def line_of(text: str) -> dict[str, Any] | None:
    """What a line of a log says, or None if it is none: an iteration, and named numbers."""
    if len(text) > _LONGEST_LINE:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or type(found.get("iteration")) is not int:
        return None
    are_sane = (name.isprintable() and is_number(value) for name, value in found.items())
    return found if all(are_sane) else None


def is_number(value: object) -> bool:
    """Whether a JSON value is a number that tables can hold, which an infinite one is."""
    return type(value) is float or is_typed(value, float)


def last_line(folder: Path) -> dict[str, Any]:
    """The newest line with losses, or an empty dict; reads only the end of the file."""
    path = folder / LOG
    if not path.exists():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        for line in reversed(file.read().decode(errors="replace").splitlines()):
            found = line_of(line)
            if found is not None and losses_in(found):
                return found
    return {}


def losses_in(line: Mapping[str, Any]) -> bool:
    """Whether a line holds training losses; else it holds a validation loss."""
    return "discriminator" in line
