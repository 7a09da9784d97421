"""What changes over time, as functions of the iteration: resuming cannot lose any of it."""

from __future__ import annotations

from vcbench.training.cell import Recipe


def learning_rate_factor(iteration: int, recipe: Recipe) -> float:
    """1 until `decay_start`, then linear to 0 at the last iteration (arXiv:1711.11293, 4.1)."""
    if recipe.learning_rate_decay == "none":
        return 1.0
    start = recipe.iterations // 2 if recipe.decay_start is None else recipe.decay_start
    if iteration < start or start >= recipe.iterations:
        return 1.0
    return (recipe.iterations - iteration) / (recipe.iterations - start)


def identity_weight(iteration: int, recipe: Recipe) -> float:
    """`lambda_identity` until `identity_until`, then 0."""
    until = recipe.identity_until
    return recipe.lambda_identity if until is None or iteration < until else 0.0
