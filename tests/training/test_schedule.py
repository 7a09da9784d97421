"""Learning rates and the identity loss over time, against tables worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcbench.training.cell import Recipe
from vcbench.training.schedule import identity_weight, learning_rate_factor

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


def test_identity_loss_of_the_paper() -> None:
    assert [identity_weight(i, PAPER) for i in (0, 9_999, 10_000, 399_999)] == [5, 5, 0, 0]


def test_identity_loss_may_be_off_from_the_start() -> None:
    assert identity_weight(0, Recipe(iterations=5, identity_until=0)) == 0
