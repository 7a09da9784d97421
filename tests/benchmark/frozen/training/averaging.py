"""Which generators convert in the end: the last, their moving average, or the best ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vcbench.training.cell import Recipe
from vcbench_frozen.training.models import Networks

_GENERATORS = ("source_to_target.", "target_to_source.")


def average_decay(iteration: int, recipe: Recipe) -> float:
    """Share of the old average that stays in the update after `iteration`.

    Smaller at first, min(decay, (1 + t) / (10 + t)) as TensorFlow's `ExponentialMovingAverage`
    does it: else a short training would convert with little but its random initial weights.
    """
    return min(recipe.average_decay, (1 + iteration) / (10 + iteration))


class ConversionWeights:
    """The weights that convert, kept beside those that are trained if they are others."""

    def __init__(self, networks: Networks, recipe: Recipe) -> None:
        self.networks, self.recipe = networks, recipe
        self._kept: dict[str, Tensor] = {}
        self._lowest: float | None = None  # validation loss of what is kept
        if recipe.conversion_weights == "averaged":
            self._kept = self._copy()

    @torch.no_grad()
    def updated(self, iteration: int) -> None:
        """Take the weights after the update of `iteration` into the average.

        average = decay * average + (1 - decay) * weights; numbers that are no floats are copied.
        """
        if self.recipe.conversion_weights != "averaged":
            return
        decay = average_decay(iteration, self.recipe)
        for name, value in self._now().items():
            if value.is_floating_point():
                self._kept[name].lerp_(value, 1 - decay)
            else:
                self._kept[name].copy_(value)

    def validated(self, loss: float | None) -> None:
        """Keep the weights if no earlier ones had a validation loss as low; None: no loss."""
        if self.recipe.conversion_weights != "best" or loss is None:
            return
        if self._lowest is None or loss < self._lowest:
            self._lowest, self._kept = loss, self._copy()

    def state(self) -> dict[str, Any]:
        """For a checkpoint. `weights` replace those of the same names in `Networks` for converting;
        empty where the last ones convert. validation: the loss of the best."""
        return {"weights": self._kept, "validation": self._lowest}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._kept, self._lowest = dict(state["weights"]), state["validation"]

    def _now(self) -> dict[str, Tensor]:
        every = self.networks.state_dict().items()
        return {name: value for name, value in every if name.startswith(_GENERATORS)}

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self._now().items()}
