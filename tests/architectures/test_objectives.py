"""Adversarial objectives: by hand, against PyTorch's losses and plain formulas, at the extremes, at
chance, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from architectures.objectives import bce, hinge, lsgan
from vcbench.plugins import Objective, Registry

unhurried = settings(deadline=None)  # a busy machine is no failure

# Every registered objective with every discriminator that it takes.
TAKEN = [
    (name, sigmoid)
    for name in Registry().names("objective")
    for sigmoid in (True, False)
    if (name, sigmoid) != ("hinge", True)
]
each = pytest.mark.parametrize(("name", "sigmoid"), TAKEN)


def objective(name: str, *, sigmoid: bool) -> Objective:
    return Registry().get("objective", name).factory(sigmoid=sigmoid)


def scores(low: float, high: float) -> st.SearchStrategy[Tensor]:
    """(batch, 1, patches) in float64."""
    number = st.floats(low, high, allow_subnormal=False)
    values = st.lists(number, min_size=6, max_size=6)
    return values.map(lambda v: torch.tensor(v, dtype=torch.float64).reshape(2, 1, 3))


def with_gradients(loss: Callable[..., Tensor], *given: Tensor) -> tuple[Tensor, ...]:
    """The loss of these scores, and its gradient with respect to each."""
    leaves = [x.clone().requires_grad_(True) for x in given]
    value = loss(*leaves)
    return value.detach(), *torch.autograd.grad(value, leaves)


def assert_same_loss(
    found: Callable[..., Tensor], expected: Callable[..., Tensor], *given: Tensor
) -> None:
    """The same values, and the same gradients to a part in 10**6."""
    for one, other in zip(
        with_gradients(found, *given), with_gradients(expected, *given), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


@unhurried
@given(scores(-15, 15), scores(-15, 15))
def test_bce_of_probabilities_is_bce_of_their_logits(real: Tensor, fake: Tensor) -> None:
    on_p, on_z = bce(sigmoid=True), bce(sigmoid=False)
    assert_same_loss(
        lambda r, f: on_p.discriminator(torch.sigmoid(r), torch.sigmoid(f)),
        on_z.discriminator,
        real,
        fake,
    )
    assert_same_loss(lambda f: on_p.generator(torch.sigmoid(f)), on_z.generator, fake)


@unhurried
@given(scores(-1e6, 1e6), scores(-1e6, 1e6))
def test_bce_of_logits_is_pytorchs(real: Tensor, fake: Tensor) -> None:
    def to(label: float) -> Callable[[Tensor], Tensor]:
        return lambda z: F.binary_cross_entropy_with_logits(z, torch.full_like(z, label))

    found = bce(sigmoid=False)
    assert_same_loss(found.discriminator, lambda r, f: (to(1)(r) + to(0)(f)) / 2, real, fake)
    assert_same_loss(found.generator, to(1), fake)


@unhurried
@given(scores(1e-9, 1 - 1e-9), scores(1e-9, 1 - 1e-9))
def test_bce_of_probabilities_is_pytorchs(real: Tensor, fake: Tensor) -> None:
    def to(label: float) -> Callable[[Tensor], Tensor]:
        return lambda p: F.binary_cross_entropy(p, torch.full_like(p, label))

    found = bce(sigmoid=True)
    assert_same_loss(found.discriminator, lambda r, f: (to(1)(r) + to(0)(f)) / 2, real, fake)
    assert_same_loss(found.generator, to(1), fake)


@unhurried
@given(scores(0.001, 0.999), scores(0.001, 0.999))
def test_bce_is_its_formula(real: Tensor, fake: Tensor) -> None:
    found = bce(sigmoid=True)
    assert_same_loss(
        found.discriminator, lambda r, f: -(r.log().mean() + (1 - f).log().mean()) / 2, real, fake
    )
    # Not log(1 - D) but the form that does not saturate.
    assert_same_loss(found.generator, lambda f: -f.log().mean(), fake)


@unhurried
@given(scores(-30, 30), scores(-30, 30))
def test_bce_of_logits_is_the_naive_formula(real: Tensor, fake: Tensor) -> None:
    found = bce(sigmoid=False)
    assert_same_loss(
        found.discriminator,
        lambda r, f: (torch.log1p(torch.exp(-r)).mean() + torch.log1p(torch.exp(f)).mean()) / 2,
        real,
        fake,
    )
    assert_same_loss(found.generator, lambda f: torch.log1p(torch.exp(-f)).mean(), fake)


@pytest.mark.parametrize("sigmoid", [True, False])
@unhurried
@given(scores(-9, 9), scores(-9, 9))
def test_lsgan_is_its_formula(sigmoid: bool, real: Tensor, fake: Tensor) -> None:
    found = lsgan(sigmoid=sigmoid)
    assert_same_loss(found.discriminator, lambda r, f: ((r - 1) ** 2 + f**2).sum() / 12, real, fake)
    assert_same_loss(found.generator, lambda f: ((f - 1) ** 2).sum() / 6, fake)


@unhurried
@given(scores(-5, 5), scores(-5, 5))
def test_hinge_is_its_formula(real: Tensor, fake: Tensor) -> None:
    found = hinge(sigmoid=False)
    r, f = real.numpy(), fake.numpy()
    value, of_real, of_fake = with_gradients(found.discriminator, real, fake)
    expected = (np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean()) / 2
    assert value.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    # Each of the 6 scores on the wrong side of its margin pulls with its share of the mean of two
    # means; those beyond the margin not at all.
    np.testing.assert_allclose(of_real.numpy(), np.where(r < 1, -1, 0) / 12)
    np.testing.assert_allclose(of_fake.numpy(), np.where(f > -1, 1, 0) / 12)
    value, gradient = with_gradients(found.generator, fake)
    assert value.item() == pytest.approx(-f.mean(), rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(gradient.numpy(), -1 / 6)


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


def test_hinge_by_hand() -> None:
    found = hinge(sigmoid=False)
    real, fake = torch.tensor([3.0, 0.5]), torch.tensor([-2.0, -0.5])
    # Beyond the margin 0, half of it missing 0.5: 0.25 on either side.
    assert found.discriminator(real, fake).item() == pytest.approx(0.25)
    assert found.generator(fake).item() == pytest.approx(1.25)
    assert found.generator(torch.tensor([1e6])).item() == pytest.approx(-1e6)  # no lower bound


@unhurried
@given(st.floats(5, 80))
def test_lsgan_behind_a_sigmoid_saturates(sureness: float) -> None:
    """Of a fake that the discriminator is sure of, its logit at -sureness."""
    logit = torch.tensor([-sureness], dtype=torch.float64)
    behind_sigmoid = lsgan(sigmoid=True).generator
    value, saturated = with_gradients(lambda z: behind_sigmoid(torch.sigmoid(z)), logit)
    _, linear = with_gradients(lsgan(sigmoid=False).generator, logit)
    _, entropy = with_gradients(bce(sigmoid=False).generator, logit)
    # Stuck at its bound, all but for rounding.
    assert value.item() == pytest.approx(1, abs=3 * math.exp(-sureness) + 1e-15)
    assert 0 < -saturated.item() < 3 * math.exp(-sureness)
    assert -linear.item() == pytest.approx(2 * (1 + sureness))
    assert -entropy.item() == pytest.approx(1, abs=0.01)


@each
def test_extreme_scores_give_finite_losses_and_gradients(name: str, sigmoid: bool) -> None:
    found = objective(name, sigmoid=sigmoid)
    extremes = [0.0, 1.0, 1e-30, 1e-45, 1 - 1e-7] if sigmoid else [-1e18, 1e18, 1e4, 0.0, -1e-30]
    real, fake = (torch.tensor(extremes, requires_grad=True) for _ in range(2))
    for loss in (found.discriminator(real, fake), found.generator(fake)):
        assert torch.isfinite(loss)
        gradients = torch.autograd.grad(loss, [real, fake], allow_unused=True)
        assert all(g is None or torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("logit", [-1e30, -1e4, -104.0, -50.0, 50.0, 104.0, 1e4, 1e30])
def test_bce_in_float32_is_that_of_float64(logit: float) -> None:
    found = bce(sigmoid=False)
    for loss in (found.generator, lambda z: found.discriminator(z, -z)):
        value, gradient = with_gradients(loss, torch.tensor([logit], dtype=torch.float32))
        expected, exact = with_gradients(loss, torch.tensor([logit], dtype=torch.float64))
        assert value.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-30)
        assert gradient.item() == pytest.approx(exact.item(), rel=1e-6, abs=1e-30)
    # However wrong the discriminator is, it is pulled with full force.
    if logit < 0:
        assert gradient.item() == pytest.approx(-1)


def test_probabilities_of_0_and_1_in_float32() -> None:
    found = bce(sigmoid=True)
    zero, one = torch.tensor([0.0]), torch.tensor([1.0])
    assert found.discriminator(one, zero).item() == 0
    assert found.generator(one).item() == 0
    # As large as the worst that float32 can tell from 0, not infinite.
    worst = -math.log(torch.finfo(torch.float32).tiny)
    assert found.generator(zero).item() == pytest.approx(worst)
    assert found.discriminator(zero, one).item() == pytest.approx(worst)


@each
def test_a_nan_passes_through(name: str, sigmoid: bool) -> None:
    found = objective(name, sigmoid=sigmoid)
    good, bad = torch.tensor([0.5, 0.5]), torch.tensor([0.5, math.nan])
    assert math.isfinite(found.discriminator(good, good).item())
    for loss in (
        found.discriminator(bad, good),
        found.discriminator(good, bad),
        found.generator(bad),
    ):
        assert math.isnan(loss.item())


@each
def test_chance_is_the_best_that_a_constant_discriminator_can_do(name: str, sigmoid: bool) -> None:
    found = objective(name, sigmoid=sigmoid)
    constants = torch.linspace(0.001, 0.999, 999) if sigmoid else torch.linspace(-5, 5, 10_001)
    losses = [found.discriminator(c, c).item() for c in constants.double()]
    assert min(losses) == pytest.approx(found.chance_loss, rel=1e-6)


@each
def test_the_generators_bound_is_what_a_sure_discriminator_leaves_it(
    name: str, sigmoid: bool
) -> None:
    found = objective(name, sigmoid=sigmoid)
    assert (found.generator_bound is not None) == ((name, sigmoid) == ("lsgan", True))
    # Ever surer that all are fakes.
    logits = -torch.logspace(0, 1.9, 20, dtype=torch.float64)
    losses = [found.generator(torch.sigmoid(z) if sigmoid else z).item() for z in logits]
    assert losses == sorted(losses)
    if found.generator_bound is None:
        assert losses[-1] > 70
    else:
        assert losses[-1] == pytest.approx(found.generator_bound)
        assert max(losses) <= found.generator_bound


@each
def test_which_way_each_side_pulls(name: str, sigmoid: bool) -> None:
    found = objective(name, sigmoid=sigmoid)
    real, fake = (torch.full((2, 1, 3), 0.5, requires_grad=True) for _ in range(2))
    of_real, of_fake = torch.autograd.grad(found.discriminator(real, fake), [real, fake])
    assert (of_real < 0).all()  # descending, the discriminator raises the score of real speech
    assert (of_fake > 0).all()  # and lowers that of fake speech
    (fooling,) = torch.autograd.grad(found.generator(fake), fake)
    assert (fooling < 0).all()


@each
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


@pytest.mark.parametrize(("named", "sigmoid"), [("logits", False), ("probabilities", True)])
def test_bce_told_what_it_would_find_out(named: str, sigmoid: bool) -> None:
    real, fake = torch.tensor([0.2, 0.9]), torch.tensor([0.3, 0.6])
    found, auto = bce(sigmoid=sigmoid, scores=named), bce(sigmoid=sigmoid, scores="auto")
    assert found.discriminator(real, fake) == auto.discriminator(real, fake)
    assert found.generator(fake) == auto.generator(fake)


def test_bce_of_logits_behind_a_sigmoid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores=logits .* with a sigmoid: .*0\.5\.\.0\.73"):
        bce(sigmoid=True, scores="logits")
    with pytest.raises(ValueError, match=r"use scores=probabilities \(or auto\), or .*=false"):
        bce(sigmoid=True, scores="logits")


def test_bce_of_probabilities_without_a_sigmoid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores=probabilities .* without a sigmoid: .* 0\.\.1"):
        bce(sigmoid=False, scores="probabilities")
    with pytest.raises(ValueError, match=r"use scores=logits \(or auto\), or .* sigmoid=true"):
        bce(sigmoid=False, scores="probabilities")


def test_hinge_behind_a_sigmoid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hinge .* with a sigmoid: .* end at 1 and 0"):
        hinge(sigmoid=True)
    with pytest.raises(ValueError, match=r"use a discriminator with sigmoid=false, or .*lsgan"):
        hinge(sigmoid=True)
