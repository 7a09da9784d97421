"""Adam as the recipe wants it: Kingma and Ba, 2015, arXiv:1412.6980."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vcbench.training.cell import Recipe
from vcbench_frozen.training.models import Networks
from vcbench_frozen.training.schedule import learning_rate_factor


def generator_optimizers(networks: Networks, recipe: Recipe) -> list[torch.optim.Adam]:
    """One Adam for both generators or one each: the same updates, since Adam treats every value by
    itself."""
    if recipe.generator_optimizers == 1:
        return [_adam(networks.generators(), recipe.learning_rate_generator, recipe)]
    both = (networks.source_to_target, networks.target_to_source)
    return [_adam(g.parameters(), recipe.learning_rate_generator, recipe) for g in both]


def discriminator_optimizer(networks: Networks, recipe: Recipe) -> torch.optim.Adam:
    """One Adam for all discriminators."""
    return _adam(networks.discriminators(), recipe.learning_rate_discriminator, recipe)


def _adam(parameters: Iterable[nn.Parameter], rate: float, recipe: Recipe) -> torch.optim.Adam:
    trained = list(parameters)
    on_gpu = trained[0].is_cuda
    return torch.optim.Adam(
        trained,
        # In memory of the GPU, where a recorded step finds each iteration's.
        lr=torch.tensor(rate, device=trained[0].device) if on_gpu else rate,
        betas=recipe.adam_betas,
        eps=recipe.adam_epsilon,
        fused=True,
        capturable=on_gpu,
    )


def set_for_iteration(
    optimizer: torch.optim.Adam, *, rate: float, iteration: int, recipe: Recipe
) -> None:
    """Learning rate and epsilon of update number `iteration` + 1."""
    for group in optimizer.param_groups:
        now = rate * learning_rate_factor(iteration, recipe)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(now)
        else:
            group["lr"] = now
        group["eps"] = adam_epsilon(iteration, recipe)


def adam_epsilon(iteration: int, recipe: Recipe) -> float:
    """What to add to the bias-corrected root of the second moment, as algorithm 1 of the paper and
    PyTorch do.

    TensorFlow's `AdamOptimizer` adds epsilon to the root before the correction, the paper's
    "epsilon hat" (section 2): the same as dividing it by the correction, and after few
    updates much more.
    """
    if recipe.adam_epsilon_placement == "torch":
        return recipe.adam_epsilon
    beta2 = recipe.adam_betas[1]
    return recipe.adam_epsilon / math.sqrt(1 - beta2 ** (iteration + 1))
