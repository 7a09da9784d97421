"""A history of fakes for each discriminator (Shrivastava et al., 2017, arXiv:1612.07828, 2.3).

As CycleGAN uses it (arXiv:1703.10593, section 4): a discriminator that sees older fakes too cannot
forget what it learned against them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vcbench.training.cell import Cell
from vcbench_frozen.training.streams import random_stream


class ReplayBuffers:
    """One buffer of `replay_buffer` fakes per discriminator, named like it.

    The random decisions of an iteration are a function of (pair, seed, iteration), so the kept
    fakes are all the state there is.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._kept: dict[str, list[Tensor]] = {}

    def exchange(self, fakes: Mapping[str, Tensor], iteration: int) -> dict[str, Tensor]:
        """What each discriminator is to see instead of its new fakes (batch, n_mcep, frames)."""
        size = self.cell.recipe.replay_buffer
        if not size:
            return dict(fakes)
        rng = random_stream("replay", self.cell.pair, self.cell.seed, iteration)
        return {
            name: _exchanged(batch, self._kept.setdefault(name, []), size, rng)
            for name, batch in fakes.items()
        }

    def state(self) -> dict[str, list[Tensor]]:
        """The kept fakes, each (n_mcep, frames), for a checkpoint."""
        return {name: list(kept) for name, kept in self._kept.items()}

    def load_state(self, state: Mapping[str, list[Tensor]]) -> None:
        """Continue from what `state` returned."""
        self._kept = {name: list(kept) for name, kept in state.items()}


def _exchanged(batch: Tensor, kept: list[Tensor], size: int, rng: np.random.Generator) -> Tensor:
    """Until `kept` is full each new fake is kept and shown; then, half the time, it is kept in the
    place of an old one that is shown instead, and else it is shown and not kept."""
    shown = []
    for fake in batch:
        swap, place = rng.random() < 0.5, int(rng.integers(size))
        if len(kept) < size:
            kept.append(fake.clone())
            shown.append(fake)
        elif swap:
            shown.append(kept[place])
            kept[place] = fake.clone()
        else:
            shown.append(fake)
    return torch.stack(shown)
