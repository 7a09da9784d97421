"""Training a cell up to given iterations, with something done at each: learning curves.

A training that is stopped after a whole iteration goes on as if nothing had happened, so that the
cell ends with the same weights as one that was trained in one go. PyTorch and NumPy alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vcbench import mapped
from vcbench.plugins import Registry
from vcbench.training.cell import Cell
from vcbench.training.checkpoint import Checkpoint, iteration_of
from vcbench.training.files import CHECKPOINT
from vcbench.training.loop import train


def points_of(iterations: int, every: int) -> list[int]:
    """`every`, twice that, ...; the last iteration is always one of them.

    >>> points_of(10, 4)
    [4, 8, 10]
    """
    return [*range(every, iterations, every), iterations]


def train_in_sittings(
    cell: Cell,
    folder: Path,
    points: Sequence[int],
    at_point: Callable[[int, Checkpoint], None],
    *,
    stop_requested: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train `cell` in `folder`; returns and raises what `vcbench.training.loop.train` does.

    points: iterations in ascending order, the cell's last one at their end. `at_point` is called
    at each that has not been passed before, with the checkpoint of that iteration.
    """
    status: dict[str, Any] | None = None
    for point in points:
        done = _done(folder)
        if done > point:
            continue
        # The last is asked for even where it was reached: a kill may have taken its status.
        while done < point or (status is None and point == cell.recipe.iterations):
            # Asked once after every iteration but the last. Where the newest checkpoint is damaged,
            # training begins earlier than `done`: it then stops too early, and goes on from there.
            count = itertools.count(done + 1)

            def reached(count: Iterator[int] = count, point: int = point) -> bool:
                return next(count) >= point or stop_requested()

            status = train(cell, folder, stop_requested=reached)
            done = _done(folder)
            if status is None and done < point and stop_requested():
                return None
        at_point(point, Checkpoint.load(folder / CHECKPOINT))
    return status


def _done(folder: Path) -> int:
    return iteration_of(folder / CHECKPOINT) or 0


def keep_points(
    folder: Path, registry: Registry, files: dict[str, list[Path]]
) -> Callable[[int, Checkpoint], None]:
    """What to do at each point: keep the generators' answers to `files` (`mapped.answers`)."""

    def keep(point: int, checkpoint: Checkpoint) -> None:
        found = mapped.answers(checkpoint, registry, files)
        mapped.save(folder / mapped.POINTS / f"{point:08d}.npz", found, half=True)

    return keep
