"""The training step against one that is written the way public implementations write it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_cells import SYSTEMS, tiny_cell
from torch import Tensor, nn

from vcbench.plugins import Registry
from vcbench.training.cell import Recipe
from vcbench.training.models import Networks, build_networks, build_objective
from vcbench.training.step import CycleGan

ITERATIONS = 25
# Constant, then falling, then without the identity loss.
RECIPE: dict[str, Any] = {"iterations": ITERATIONS, "decay_start": 8, "identity_until": 15}


def system(name: str, folder: Path, dtype: torch.dtype = torch.float64, **recipe: Any) -> CycleGan:
    cell = tiny_cell(folder, name, recipe={**RECIPE, **recipe})
    networks = build_networks(cell, Registry()).to(dtype)
    return CycleGan(networks, build_objective(cell, Registry(), networks), cell)


def batches(dtype: torch.dtype = torch.float64, batch_size: int = 1) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    shape = (2, batch_size, 24, 32)
    drawn = [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(ITERATIONS)]
    return [(source, 0.5 * target + 1) for source, target in drawn]


Loss = Callable[[Tensor, float], Tensor]


def squared_error(scores: Tensor, label: float) -> Tensor:
    return F.mse_loss(scores, torch.full_like(scores, label))


def cross_entropy(scores: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy(scores, torch.full_like(scores, label))


LOSSES: dict[str, Loss] = {"one-d": cross_entropy, "two-d": squared_error}


class Plain:
    """Six generator calls, each discriminator called for real and for fake, everything's gradient
    computed in the generators' turn and the discriminators' thrown away, Adam as it was."""

    def __init__(self, networks: Networks, loss: Loss, recipe: Recipe) -> None:
        self.a2b, self.b2a = networks.source_to_target, networks.target_to_source
        self.d_a, self.d_b = networks.discriminator_source, networks.discriminator_target
        self.loss, self.recipe = loss, recipe
        options: dict[str, Any] = {"betas": (0.5, 0.999), "fused": False, "foreach": False}
        self.g_adam = torch.optim.Adam(
            [*self.a2b.parameters(), *self.b2a.parameters()], lr=2e-4, **options
        )
        self.d_adam = torch.optim.Adam(
            [*self.d_a.parameters(), *self.d_b.parameters()], lr=1e-4, **options
        )

    def set_rates(self, iteration: int) -> None:
        r = self.recipe
        assert r.decay_start is not None
        left = 1 - max(0, iteration - r.decay_start) / (r.iterations - r.decay_start)
        self.g_adam.param_groups[0]["lr"] = 2e-4 * left
        self.d_adam.param_groups[0]["lr"] = 1e-4 * left

    def step(self, real_a: Tensor, real_b: Tensor, iteration: int) -> dict[str, Tensor]:
        self.set_rates(iteration)
        fake_b = self.a2b(real_a)
        cycle_a = self.b2a(fake_b)
        fake_a = self.b2a(real_b)
        cycle_b = self.a2b(fake_a)
        identity_a = self.b2a(real_a)
        identity_b = self.a2b(real_b)
        cycle = (real_a - cycle_a).abs().mean() + (real_b - cycle_b).abs().mean()
        identity = (real_a - identity_a).abs().mean() + (real_b - identity_b).abs().mean()
        adversarial = self.loss(self.d_b(fake_b), 1.0) + self.loss(self.d_a(fake_a), 1.0)
        weight = 5.0 if iteration < self.recipe.identity_until else 0.0
        self.g_adam.zero_grad()
        self.d_adam.zero_grad()
        (adversarial + 10.0 * cycle + weight * identity).backward()
        self.g_adam.step()

        self.d_adam.zero_grad()
        total = torch.zeros((), dtype=real_a.dtype)
        for judge, real, fake in ((self.d_a, real_a, fake_a), (self.d_b, real_b, fake_b)):
            of_real = self.loss(judge(real), 1.0)
            of_fake = self.loss(judge(fake.detach()), 0.0)
            total = total + (of_real + of_fake) / 2
        total.backward()
        self.d_adam.step()
        return {
            "generator_adversarial": adversarial.detach(),
            "cycle": cycle.detach(),
            "identity": identity.detach(),
            "discriminator": total.detach(),
        }


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("name", SYSTEMS)
def test_losses_and_weights_are_those_of_the_plain_step(
    name: str, batch_size: int, tmp_path: Path
) -> None:
    gan = system(name, tmp_path)
    plain = Plain(copy.deepcopy(gan.networks), LOSSES[name], gan.recipe)
    start = copy.deepcopy(gan.networks)
    for iteration, (source, target) in enumerate(batches(batch_size=batch_size)):
        losses = gan.step(source, target, iteration)
        expected = plain.step(source, target, iteration)
        assert losses.keys() == expected.keys()
        for loss, value in expected.items():
            torch.testing.assert_close(losses[loss], value, rtol=1e-8, atol=1e-10)
    expected_state = Networks(plain.a2b, plain.b2a, plain.d_a, plain.d_b).state_dict()
    for parameter, value in gan.networks.state_dict().items():
        torch.testing.assert_close(value, expected_state[parameter], rtol=1e-7, atol=1e-9)
    moved = [
        (a - b).abs().max().item()
        for a, b in zip(gan.networks.parameters(), start.parameters(), strict=True)
        if a.ndim > 1
    ]
    assert min(moved) > 1e-4  # else equal weights would prove nothing


@pytest.mark.parametrize("name", SYSTEMS)
def test_losses_in_single_precision(name: str, tmp_path: Path) -> None:
    gan = system(name, tmp_path, torch.float32)
    plain = Plain(copy.deepcopy(gan.networks), LOSSES[name], gan.recipe)
    for iteration, (source, target) in enumerate(batches(torch.float32)):
        losses = gan.step(source, target, iteration)
        for loss, value in plain.step(source, target, iteration).items():
            # Adam lets roundings grow: biases in front of a norm have no other gradient.
            torch.testing.assert_close(losses[loss], value, rtol=2e-3, atol=1e-4)


def trained(gan: CycleGan, iterations: int = 4) -> dict[str, Tensor]:
    for iteration, (source, target) in enumerate(batches()[:iterations]):
        gan.step(source, target, iteration)
    return gan.networks.state_dict()


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("until", "same"), [(0, True), (1, False), (4, False)])
def test_the_identity_loss_has_no_part_once_it_is_off(
    until: int, same: bool, tmp_path: Path
) -> None:
    results = [
        trained(system("two-d", tmp_path, lambda_identity=weight, identity_until=until))
        for weight in (5.0, 500.0)
    ]
    assert equal(*results) == same


def test_the_cycle_weight_counts(tmp_path: Path) -> None:
    results = [trained(system("two-d", tmp_path, lambda_cycle=weight)) for weight in (10.0, 0.0)]
    assert not equal(*results)


@pytest.mark.parametrize("name", SYSTEMS)
def test_validation_changes_nothing(name: str, tmp_path: Path) -> None:
    gan = system(name, tmp_path)
    trained(gan, 2)
    before = copy.deepcopy(gan.state())
    gradients = [p.grad.clone() for p in gan.networks.parameters() if p.grad is not None]
    random_state = torch.get_rng_state()
    value = gan.validate(*batches()[3])
    assert not value.requires_grad
    assert torch.equal(torch.get_rng_state(), random_state)
    torch.testing.assert_close(gan.state(), before, rtol=0, atol=0)
    after = [p.grad for p in gan.networks.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.equal(a, b) for a, b in zip(after, gradients, strict=True))


@pytest.mark.parametrize(("until", "weight"), [(None, 7.0), (0, 0.0)])
def test_the_validation_loss_has_the_weights_that_training_ends_with(
    until: int | None, weight: float, tmp_path: Path
) -> None:
    gan = system("two-d", tmp_path, lambda_cycle=3.0, lambda_identity=7.0, identity_until=until)
    a2b, b2a = gan.networks.source_to_target, gan.networks.target_to_source
    a, b = batches()[0]
    cycle = F.l1_loss(b2a(a2b(a)), a) + F.l1_loss(a2b(b2a(b)), b)
    identity = F.l1_loss(b2a(a), a) + F.l1_loss(a2b(b), b)
    torch.testing.assert_close(gan.validate(a, b), (3 * cycle + weight * identity).detach())


def test_discriminators_learn_after_the_generators_turn(tmp_path: Path) -> None:
    gan = system("one-d", tmp_path)
    frozen = gan.networks.discriminator_source.layers[0].conv.bias
    frozen.requires_grad_(False)  # a plugin may have frozen part of its network
    gan = CycleGan(gan.networks, gan.objective, gan.cell)
    before = frozen.clone()
    trained(gan, 2)
    assert not frozen.requires_grad
    assert torch.equal(frozen, before)
    others = [p for p in gan.networks.parameters() if p is not frozen]
    assert all(p.requires_grad for p in others)


def test_state_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, first, second = (system("one-d", tmp_path) for _ in range(3))
    crops = batches()[:8]
    for i, batch in enumerate(crops):
        whole.step(*batch, i)
    for i, batch in enumerate(crops[:3]):
        first.step(*batch, i)
    second.load_state(copy.deepcopy(first.state()))
    for i, batch in enumerate(crops[3:], start=3):
        second.step(*batch, i)
    torch.testing.assert_close(second.state(), whole.state(), rtol=0, atol=0)


class Recording(nn.Module):
    """Passes through and remembers the batch of each call."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return self.inner(x)


def test_each_generator_is_called_twice_per_step(tmp_path: Path) -> None:
    gan = system("two-d", tmp_path)
    networks = gan.networks
    recording = Networks(
        Recording(networks.source_to_target),
        Recording(networks.target_to_source),
        Recording(networks.discriminator_source),
        Recording(networks.discriminator_target),
    )
    CycleGan(recording, gan.objective, gan.cell).step(*batches(batch_size=3)[0], 0)
    # Fakes with identities in one call, then cycles; fakes judged, then reals with fakes.
    assert [child.batches for child in recording.children()] == [[6, 3], [6, 3], [3, 6], [3, 6]]
