"""Finding the shorter training that a cell with more iterations can go on from.

Nothing is indexed: keys of cells that differ in their schedule alone begin alike (`Cell.key`), so
listing the folder of all cells finds them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from vcbench import sealed
from vcbench.errors import DataError
from vcbench.training.cell import Cell, Recipe
from vcbench.training.extension import obstacle
from vcbench.training.files import CELL, CHECKPOINT, EXTENDED, read_status


@dataclass(frozen=True)
class OtherLength:
    """A training that differs from a cell in its schedule alone, and has done less.

    obstacle: why the cell cannot go on from it, "" if it can.
    """

    checkpoint: Path
    iterations: int
    obstacle: str

    def __str__(self) -> str:
        if self.obstacle:
            return (
                f"one with another schedule has done {self.iterations} iterations, but cannot be "
                f"gone on from: {self.obstacle}"
            )
        return f"goes on from one with another schedule, after its {self.iterations} iterations"


def find(folder: Path, recipe: Recipe) -> OtherLength | None:
    """The training furthest done that the cell of `folder`, with `recipe`, can go on from, else the
    one furthest done that it cannot; None if there is neither."""
    family = folder.name.partition("-")[0]
    found = [
        other
        for candidate in folder.parent.glob(f"{family}-*")
        if candidate != folder and (other := _looked_at(candidate, recipe)) is not None
    ]
    return max(found, key=lambda other: (not other.obstacle, other.iterations), default=None)


def _looked_at(candidate: Path, recipe: Recipe) -> OtherLength | None:
    checkpoint = candidate / CHECKPOINT
    try:
        if not checkpoint.exists():
            return None
        cell = Cell.read(candidate / CELL)
    except DataError:  # not of this version
        return None
    status = read_status(candidate)
    if status is not None:
        done = int(status["iterations"])
    else:  # begun, not finished: only its checkpoint knows how far it has come
        from vcbench.training.checkpoint import iteration_of

        done = iteration_of(checkpoint) or 0
    if not 0 < done < recipe.iterations:
        return None
    return OtherLength(checkpoint, done, obstacle(recipe, cell.recipe, done))


def take_over(other: OtherLength, folder: Path) -> None:
    """Put the other's checkpoint into the folder of the cell that goes on from it: the same file
    under a second name where the file system can, since nobody writes into a checkpoint.

    Nothing is put there if it is gone by now: the cell is then trained from the start.
    """
    path = folder / EXTENDED
    path.unlink(missing_ok=True)
    try:
        os.link(other.checkpoint, path)
    except FileNotFoundError:
        return
    except OSError:
        with sealed.replacing(path) as temporary:
            shutil.copyfile(other.checkpoint, temporary)
