"""Learning rates and loss weights over time, against tables worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcbench.training.cell import LossStage, Recipe
from vcbench.training.schedule import (
    learning_rate_factor,
    loss_weights,
    validation_weights,
)

PAPER = Recipe(iterations=400_000)  # all else by default


@pytest.mark.parametrize(
    ("iteration", "generator", "discriminator"),
    [
        (0, 2e-4, 1e-4),
        (1, 2e-4, 1e-4),
        (199_999, 2e-4, 1e-4),
        (200_000, 2e-4, 1e-4),
        (200_001, 1.99999e-4, 9.99995e-5),
        (250_000, 1.5e-4, 7.5e-5),
        (300_000, 1e-4, 5e-5),
        (380_000, 2e-5, 1e-5),
        (399_999, 1e-9, 5e-10),
        (400_000, 0.0, 0.0),
    ],
)
def test_learning_rates_of_the_paper(
    iteration: int, generator: float, discriminator: float
) -> None:
    factor = learning_rate_factor(iteration, PAPER)
    assert PAPER.learning_rate_generator * factor == pytest.approx(generator)
    assert PAPER.learning_rate_discriminator * factor == pytest.approx(discriminator)


@pytest.mark.parametrize(
    ("decay_start", "factors"),
    [
        (None, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        (0, [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        (6, [1, 1, 1, 1, 1, 1, 1, 0.5]),
        (7, [1, 1, 1, 1, 1, 1, 1, 1]),
        (8, [1, 1, 1, 1, 1, 1, 1, 1]),
        (100, [1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_eight_iterations(decay_start: int | None, factors: list[float]) -> None:
    recipe = Recipe(iterations=8, decay_start=decay_start)
    assert [learning_rate_factor(i, recipe) for i in range(8)] == factors


@given(st.integers(1, 10**6), st.none() | st.integers(0, 10**6), st.data())
def test_learning_rate_never_rises_and_never_stops(
    iterations: int, decay_start: int | None, data: st.DataObject
) -> None:
    recipe = Recipe(iterations=iterations, decay_start=decay_start)
    iteration = data.draw(st.integers(0, iterations - 1))
    now = learning_rate_factor(iteration, recipe)
    assert 0 < now <= 1
    assert learning_rate_factor(iteration + 1, recipe) <= now


def test_without_decay_the_learning_rate_stays() -> None:
    recipe = Recipe(iterations=8, decay_start=2, learning_rate_decay="none")
    assert [learning_rate_factor(i, recipe) for i in range(8)] == [1] * 8


def test_loss_weights_of_the_paper() -> None:
    found = [loss_weights(i, PAPER) for i in (0, 9_999, 10_000, 399_999)]
    assert found == [(1, 10, 5), (1, 10, 5), (1, 10, 0), (1, 10, 0)]
    assert validation_weights(PAPER) == (1, 10, 0), "what training ends with, throughout"


def test_loss_weights_without_stages() -> None:
    weights = {"lambda_adversarial": 2.0, "lambda_cycle": 3.0, "lambda_identity": 4.0}
    off = Recipe(iterations=5, identity_until=0, **weights)
    assert loss_weights(0, off) == (2, 3, 0)
    assert validation_weights(off) == (2, 3, 0)
    always = Recipe(iterations=5, identity_until=None, **weights)
    assert {loss_weights(i, always) for i in range(5)} == {(2, 3, 4)}
    assert validation_weights(always) == (2, 3, 4)


def stages(*shares: float) -> tuple[LossStage, ...]:
    """Stages whose weights tell them apart."""
    return tuple(LossStage(share, i + 0.1, i + 0.2, i + 0.3) for i, share in enumerate(shares))


@pytest.mark.parametrize(
    ("shares", "first_iterations"),
    [((0,), [0]), ((0, 0.5), [0, 5]), ((0, 0.1, 0.25, 0.7), [0, 1, 3, 7]), ((0, 0.99), [0, 10])],
)
def test_loss_weights_in_stages(shares: tuple[float, ...], first_iterations: list[int]) -> None:
    # What lambda_* and identity_until say has no part in it.
    recipe = Recipe(iterations=10, loss_stages=stages(*shares), lambda_cycle=77, identity_until=0)
    for iteration in range(10):
        stage = sum(first <= iteration for first in first_iterations) - 1
        expected = (stage + 0.1, stage + 0.2, stage + 0.3)
        assert loss_weights(iteration, recipe) == expected
    assert validation_weights(recipe) == loss_weights(9, recipe)
