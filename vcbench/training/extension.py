"""Going on from a training of another length: only where all its iterations would be the same.

What the recipe changes over time is a function of the iteration and of the number of iterations. It
is compared as it was done, iteration by iteration, not as it was asked for: `learning_rate_decay:
none` and a decay that had not begun yet are one past.

Imports no torch, so that planning need not either.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from vcbench.training.cell import Recipe
from vcbench.training.log import losses_in
from vcbench.training.schedule import learning_rate_factor, loss_weights, validation_weights

if TYPE_CHECKING:
    from vcbench.training.checkpoint import Checkpoint


def obstacle(wanted: Recipe, other: Recipe, done: int) -> str:
    """Why a training by `wanted` cannot go on from the first `done` iterations by `other`, which
    differs in its schedule (`vcbench.training.cell.SCHEDULE`) alone; "" if it can.

    Iterations are counted from 1, as in the log.
    """
    if done >= wanted.iterations:
        return f"it has come as far as {done} iterations"
    points = [0, done - 1, *_points(wanted, done), *_points(other, done)]
    # Between two of these everything is constant or linear: what is equal at the first two
    # iterations is equal at all.
    for i in sorted({near for point in points for near in (point - 1, point, point + 1)}):
        if not 0 <= i < done:
            continue
        if learning_rate_factor(i, wanted) != learning_rate_factor(i, other):
            return f"the learning rate of iteration {i + 1} would have been different"
        if loss_weights(i, wanted) != loss_weights(i, other):
            return f"the weights of the losses of iteration {i + 1} would have been different"
    if validation_weights(wanted) != validation_weights(other):
        return "validation losses, weighted as the last iteration's are, would have been different"
    odd = done == other.iterations and done % other.validate_every != 0
    if odd and wanted.conversion_weights == "best":
        return (
            f"its best weights were chosen by a validation at its end, after iteration {done}, "
            "that would not have been done"
        )
    return ""


def _points(recipe: Recipe, done: int) -> list[int]:
    """Iterations, or their neighbours, at which the schedule begins to do something else."""
    start = recipe.iterations // 2 if recipe.decay_start is None else recipe.decay_start
    until = done if recipe.identity_until is None else recipe.identity_until
    stages = [math.ceil(s.from_share * recipe.iterations) for s in recipe.loss_stages]
    return [start, until, *stages]


def extended(saved: Checkpoint) -> Checkpoint:
    """A checkpoint without what was done only because the training ended there: the last line of
    losses and the last validation, where none was due."""
    recipe = saved.cell.recipe
    if saved.iteration != recipe.iterations:
        return saved
    kept = []
    for text in saved.log.splitlines(keepends=True):
        line = json.loads(text)
        every = recipe.log_every if losses_in(line) else recipe.validate_every
        if line["iteration"] < saved.iteration or saved.iteration % every == 0:
            kept.append(text)
    return replace(saved, log="".join(kept))
