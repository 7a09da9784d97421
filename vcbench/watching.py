"""Watching cells train: bars with losses on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vcbench.terminal import say
from vcbench.training.log import last_line

if TYPE_CHECKING:
    from vcbench.engines import TrainingTask


class PlainWatcher:
    """One line when a cell begins, and one per quarter of its iterations."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen: dict[TrainingTask, int] = {}

    def __call__(self, running: Sequence[TrainingTask]) -> None:
        for task in running:
            if task not in self._seen:
                self._seen[task] = 0
                say(f"training {len(self._seen)} of {self._total}: {task.cell_id} ...")
            line = last_line(task.folder)
            quarter = 4 * int(line.get("iteration", 0)) // task.iterations
            if self._seen[task] < quarter < 4:
                self._seen[task] = quarter
                say(f"  {task.cell_id}: {_summary(line, task)}")


@contextmanager
def watcher(total: int) -> Iterator[Any]:
    """Yields the `on_tick` of an engine that is about to run `total` tasks."""
    if not sys.stderr.isatty():
        yield PlainWatcher(total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        overall = bars.add_task(f"training {total} cells", total=total, losses="")
        drawn: dict[TrainingTask, Any] = {}

        def draw(running: Sequence[TrainingTask]) -> None:
            for task in running:
                if task not in drawn:
                    drawn[task] = bars.add_task(task.cell_id, total=task.iterations, losses="")
                line = last_line(task.folder)
                done = int(line.get("iteration", 0))
                bars.update(drawn[task], completed=done, losses=_summary(line, task))
            for task in drawn.keys() - set(running):
                bars.update(drawn[task], visible=False)
            bars.update(overall, completed=len(drawn.keys() - set(running)))

        yield draw


def _summary(line: dict[str, Any], task: TrainingTask) -> str:
    if not line:
        return "starting"
    names = {
        "generator_adversarial": "G",
        "cycle": "cycle",
        "identity": "identity",
        "discriminator": "D",
    }
    losses = " ".join(f"{short} {line[name]:.3g}" for name, short in names.items() if name in line)
    speed = line.get("iterations_per_second", 0.0)
    return f"{line['iteration']}/{task.iterations} {losses} {speed:.1f} it/s"
