"""Adversarial objectives: by hand, on probabilities against logits, at the extremes, at chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from architectures.objectives import bce, lsgan
from vcbench.plugins import Objective, Registry

unhurried = settings(deadline=None)  # a busy machine is no failure

REGISTERED = Registry().names("objective")


def objective(name: str, *, sigmoid: bool) -> Objective:
    return Registry().get("objective", name).factory(sigmoid=sigmoid)


def scores(low: float, high: float) -> st.SearchStrategy[Tensor]:
    """(batch, 1, patches) in float64."""
    number = st.floats(low, high, allow_subnormal=False)
    values = st.lists(number, min_size=6, max_size=6)
    return values.map(lambda v: torch.tensor(v, dtype=torch.float64).reshape(2, 1, 3))


def with_gradient(loss: object, logits: Tensor, *, sigmoid: bool) -> tuple[Tensor, Tensor]:
    """(value, gradient with respect to the logits) of a loss of scores."""
    leaf = logits.clone().requires_grad_(True)
    value = loss(torch.sigmoid(leaf) if sigmoid else leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


@unhurried
@given(scores(-15, 15), scores(-15, 15))
def test_bce_of_probabilities_is_bce_of_their_logits(real: Tensor, fake: Tensor) -> None:
    on_p, on_z = bce(sigmoid=True), bce(sigmoid=False)
    for probabilities, logits, moved in (
        (lambda p: on_p.discriminator(p, torch.sigmoid(fake)), on_z.discriminator, real),
        (on_p.generator, on_z.generator, fake),
    ):
        other = (lambda z, f=logits: f(z, fake)) if moved is real else logits
        value, gradient = with_gradient(probabilities, moved, sigmoid=True)
        expected, expected_gradient = with_gradient(other, moved, sigmoid=False)
        torch.testing.assert_close(value, expected, rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-6, atol=1e-9)


@unhurried
@given(scores(0.001, 0.999), scores(0.001, 0.999))
def test_bce_is_its_formula(real: Tensor, fake: Tensor) -> None:
    found = bce(sigmoid=True)
    r, f = real.numpy(), fake.numpy()
    expected = -(np.log(r).mean() + np.log(1 - f).mean()) / 2
    assert found.discriminator(real, fake).item() == pytest.approx(expected, rel=1e-9)
    # Not log(1 - D) but the form that does not saturate.
    assert found.generator(fake).item() == pytest.approx(-np.log(f).mean(), rel=1e-9)


@pytest.mark.parametrize("sigmoid", [True, False])
def test_lsgan_by_hand(sigmoid: bool) -> None:
    found = lsgan(sigmoid=sigmoid)
    real, fake = torch.tensor([1.0, 0.5]), torch.tensor([0.0, 0.5])
    # (0 + 0.25) / 2 on either side, and the mean of the two sides.
    assert found.discriminator(real, fake).item() == pytest.approx(0.125)
    assert found.generator(fake).item() == pytest.approx((1 + 0.25) / 2)


def test_bce_by_hand() -> None:
    real, fake = torch.tensor([0.5, 0.25]), torch.tensor([0.5, 0.75])
    expected = (math.log(2) + math.log(4)) / 2
    assert bce(sigmoid=True).discriminator(real, fake).item() == pytest.approx(expected)
    value = (math.log(2) - math.log(0.75)) / 2
    assert bce(sigmoid=True).generator(fake).item() == pytest.approx(value)


@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.parametrize("sigmoid", [True, False])
def test_extreme_scores_give_finite_losses_and_gradients(name: str, sigmoid: bool) -> None:
    found = objective(name, sigmoid=sigmoid)
    extremes = [0.0, 1.0, 1e-30, 1 - 1e-7] if sigmoid else [-1e4, 1e4, 0.0, -1e-30]
    real, fake = (torch.tensor(extremes, requires_grad=True) for _ in range(2))
    for loss in (found.discriminator(real, fake), found.generator(fake)):
        assert torch.isfinite(loss)
        gradients = torch.autograd.grad(loss, [real, fake], allow_unused=True)
        assert all(g is None or torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.parametrize("sigmoid", [True, False])
def test_chance_is_the_best_that_a_constant_discriminator_can_do(name: str, sigmoid: bool) -> None:
    found = objective(name, sigmoid=sigmoid)
    constants = torch.linspace(0.001, 0.999, 999) if sigmoid else torch.linspace(-5, 5, 10_001)
    losses = [found.discriminator(c, c).item() for c in constants.double()]
    assert min(losses) == pytest.approx(found.chance_loss, rel=1e-6)


@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.parametrize("sigmoid", [True, False])
def test_which_way_each_side_pulls(name: str, sigmoid: bool) -> None:
    found = objective(name, sigmoid=sigmoid)
    real, fake = (torch.full((2, 1, 3), 0.5, requires_grad=True) for _ in range(2))
    of_real, of_fake = torch.autograd.grad(found.discriminator(real, fake), [real, fake])
    assert (of_real < 0).all()  # descending, the discriminator raises the score of real speech
    assert (of_fake > 0).all()  # and lowers that of fake speech
    (fooling,) = torch.autograd.grad(found.generator(fake), fake)
    assert (fooling < 0).all()


@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.parametrize("sigmoid", [True, False])
def test_losses_are_means_over_batch_and_patches(name: str, sigmoid: bool) -> None:
    found = objective(name, sigmoid=sigmoid)
    generator = torch.Generator().manual_seed(0)
    real, fake = (torch.rand(4, 1, 6, 8, generator=generator, dtype=torch.float64) for _ in "rf")
    one_by_one = [found.discriminator(real[i], fake[i]).item() for i in range(4)]
    whole = found.discriminator(real, fake)
    assert whole.shape == ()
    assert whole.item() == pytest.approx(np.mean(one_by_one))
    assert found.generator(fake).item() == pytest.approx(
        np.mean([found.generator(row).item() for row in fake.flatten()])
    )
