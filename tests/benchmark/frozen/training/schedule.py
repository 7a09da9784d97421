"""What changes over time, as functions of the iteration: resuming cannot lose any of it."""

from __future__ import annotations

from typing import NamedTuple

from vcbench.training.cell import LossStage, Recipe


class LossWeights(NamedTuple):
    """Factors of the three losses of the generators."""

    adversarial: float
    cycle: float
    identity: float


def learning_rate_factor(iteration: int, recipe: Recipe) -> float:
    """1 until `decay_start`, then linear to 0 at the last iteration (arXiv:1711.11293, 4.1)."""
    if recipe.learning_rate_decay == "none":
        return 1.0
    start = recipe.iterations // 2 if recipe.decay_start is None else recipe.decay_start
    if iteration < start or start >= recipe.iterations:
        return 1.0
    return (recipe.iterations - iteration) / (recipe.iterations - start)


def loss_weights(iteration: int, recipe: Recipe) -> LossWeights:
    """Those of the stage that `iteration` lies in; without stages lambda_adversarial, lambda_cycle,
    and lambda_identity until `identity_until`, then 0.

    A stage begins where the share of iterations done reaches its `from_share`.
    """
    if not recipe.loss_stages:
        until = recipe.identity_until
        identity = recipe.lambda_identity if until is None or iteration < until else 0.0
        return LossWeights(recipe.lambda_adversarial, recipe.lambda_cycle, identity)
    begun = [s for s in recipe.loss_stages if iteration / recipe.iterations >= s.from_share]
    return _of_stage(begun[-1])


def validation_weights(recipe: Recipe) -> LossWeights:
    """Weights of the validation loss: those of the last iteration, throughout.

    The numbers of one curve must mean the same thing from its beginning to its end, and training
    ends with these. Had the identity loss a weight here that it has lost there, the lowest
    validation loss would be that of the generators that convert least.
    """
    return loss_weights(recipe.iterations - 1, recipe)


def _of_stage(stage: LossStage) -> LossWeights:
    return LossWeights(stage.adversarial, stage.cycle, stage.identity)
