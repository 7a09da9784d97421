"""Engines: where and how many at a time cells are trained.

The unit of work is a command, `python -m vcbench.training CELL.json`, which leaves its own result
in its folder. An engine only starts commands and watches them, so a killed harness loses nothing
and any cell can be run again by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from vcbench import child
from vcbench.training.files import CELL

Status = Literal["ok", "failed", "timeout", "oom", "skipped"]


@dataclass(frozen=True)
class TrainingTask:
    """One cell to train: its id, for people, and the folder that holds its `cell.json`.

    tensorboard: whether it writes event files too.
    """

    cell_id: str
    folder: Path
    iterations: int
    tensorboard: bool = field(default=False, kw_only=True)

    @property
    def output(self) -> Path:
        """What the command prints goes to this file."""
        return self.folder / "output.log"

    def command(self, threads: int) -> list[str]:
        """The command that trains the cell."""
        options = ["--threads", threads, *(["--tensorboard"] if self.tensorboard else [])]
        return child.command("vcbench.training", self.folder / CELL, *options)


@dataclass(frozen=True)
class Outcome:
    """How a cell ended; `reason` is empty where it is ok."""

    task: TrainingTask
    status: Status
    reason: str = ""


class Engine(Protocol):
    """What an engine plugin returns."""

    def run(
        self,
        tasks: Sequence[TrainingTask],
        *,
        on_tick: Callable[[Sequence[TrainingTask]], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        """Run all tasks, whatever becomes of any.

        `on_tick` is called now and then with the tasks that are running, `on_end` once for each
        task, as soon as it has ended. On KeyboardInterrupt the engine lets every running task save
        its state and raises it again.
        """
        ...
