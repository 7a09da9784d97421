"""Adam's epsilon in both places, against the formulas as they are printed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vcbench.training.cell import Recipe
from vcbench.training.models import Networks
from vcbench.training.optimizers import (
    adam_epsilon,
    discriminator_optimizer,
    generator_optimizers,
    set_for_iteration,
)


class One(nn.Module):
    """A single row of values."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(size, dtype=torch.float64))


def algorithm_1(gradients: np.ndarray, rate: float, betas: Any, epsilon: float) -> np.ndarray:
    """Kingma and Ba, 2015: where each value ends that began at 0; gradients (updates, values)."""
    theta = m = v = np.zeros(gradients.shape[1])
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        theta = theta - rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return theta


def tensorflow(gradients: np.ndarray, rate: float, betas: Any, epsilon: float) -> np.ndarray:
    """The same with the correction in the learning rate: lr_t * m / (sqrt(v) + epsilon)."""
    theta = m = v = np.zeros(gradients.shape[1])
    for t, g in enumerate(gradients, start=1):
        lr_t = rate * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        theta = theta - lr_t * m / (np.sqrt(v) + epsilon)
    return theta


@settings(deadline=None, max_examples=30)
@given(
    placement=st.sampled_from(["torch", "tf"]),
    epsilon=st.sampled_from([1e-8, 1e-4, 0.1]),
    betas=st.sampled_from([(0.5, 0.999), (0.9, 0.9), (0.0, 0.0)]),
    updates=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
def test_updates_are_those_of_the_formula(
    placement: Any, epsilon: float, betas: tuple[float, float], updates: int, seed: int
) -> None:
    gradients = np.random.default_rng(seed).normal(size=(updates, 5)) * 10.0 ** np.arange(-4, 1)
    recipe = Recipe(
        iterations=100,
        learning_rate_decay="none",
        learning_rate_discriminator=0.01,
        adam_betas=betas,
        adam_epsilon=epsilon,
        adam_epsilon_placement=placement,
    )
    judge = One(5)
    networks = Networks(One(1), One(1), judge, One(1))
    adam = discriminator_optimizer(networks, recipe)
    for iteration, gradient in enumerate(gradients):
        set_for_iteration(adam, rate=0.01, iteration=iteration, recipe=recipe)
        judge.values.grad = torch.from_numpy(gradient.copy())
        adam.step()
    formula = {"torch": algorithm_1, "tf": tensorflow}[placement]
    expected = formula(gradients, 0.01, betas, epsilon)
    np.testing.assert_allclose(judge.values.detach().numpy(), expected, rtol=1e-9, atol=1e-15)


def test_the_placement_counts_most_at_first() -> None:
    recipe = Recipe(iterations=10**6, adam_epsilon=1e-8, adam_epsilon_placement="tf")
    assert adam_epsilon(0, recipe) == pytest.approx(1e-8 / math.sqrt(0.001))
    assert adam_epsilon(10**6, recipe) == pytest.approx(1e-8)
    torch_like = Recipe(iterations=10**6, adam_epsilon=3e-7)
    assert {adam_epsilon(i, torch_like) for i in (0, 5, 10**6)} == {3e-7}


@pytest.mark.parametrize("count", [1, 2])
def test_every_parameter_has_one_optimizer(count: Any) -> None:
    networks = Networks(One(1), One(2), One(3), One(4), One(5), One(6))
    recipe = Recipe(iterations=1, generator_optimizers=count)
    optimizers = generator_optimizers(networks, recipe)
    assert len(optimizers) == count
    optimizers.append(discriminator_optimizer(networks, recipe))
    sizes = [[p.numel() for g in o.param_groups for p in g["params"]] for o in optimizers]
    assert sizes == ([[1, 2], [3, 4, 5, 6]] if count == 1 else [[1], [2], [3, 4, 5, 6]])
    assert all(o.defaults["fused"] for o in optimizers)
