"""The training step against one that is written the way public implementations write it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from benchmark.reference_step import LOSSES, ReferenceStep
from tiny_cells import SYSTEMS, tiny_cell
from torch import Tensor, nn

from vcbench.plugins import Registry
from vcbench.training.models import Networks, build_networks, build_objective
from vcbench.training.step import CycleGan

ITERATIONS = 50
# Constant, then falling, then without the identity loss.
RECIPE: dict[str, Any] = {"iterations": ITERATIONS, "decay_start": 16, "identity_until": 30}


def system(name: str, folder: Path, dtype: torch.dtype = torch.float64, **recipe: Any) -> CycleGan:
    cell = tiny_cell(folder, name, recipe={**RECIPE, **recipe})
    networks = build_networks(cell, Registry()).to(dtype)
    return CycleGan(networks, build_objective(cell, Registry(), networks), cell)


def batches(dtype: torch.dtype = torch.float64, batch_size: int = 1) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    shape = (2, batch_size, 24, 32)
    drawn = [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(ITERATIONS)]
    return [(source, 0.5 * target + 1) for source, target in drawn]


def reference(gan: CycleGan) -> ReferenceStep:
    """The reference step, on a copy of the networks."""
    loss = LOSSES[gan.cell.objective.name, gan.networks.discriminator_target.sigmoid]
    return ReferenceStep(copy.deepcopy(gan.networks), loss, gan.recipe)


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("name", SYSTEMS)
def test_losses_and_weights_are_those_of_the_reference_step(
    name: str, batch_size: int, tmp_path: Path
) -> None:
    """At the paper's learning rates, in double precision: see the next test for single."""
    gan = system(name, tmp_path)
    plain = reference(gan)
    start = copy.deepcopy(gan.networks)
    for iteration, (source, target) in enumerate(batches(batch_size=batch_size)):
        losses = gan.step(source, target, iteration)
        expected = plain.step(source, target, iteration)
        if iteration >= RECIPE["identity_until"]:
            del expected["identity"]  # the engine does not compute what has no weight
        assert losses.keys() == expected.keys()
        for loss, value in expected.items():
            torch.testing.assert_close(losses[loss], value, rtol=1e-8, atol=1e-10)
    expected_state = Networks(plain.a2b, plain.b2a, plain.d_a, plain.d_b).state_dict()
    for parameter, value in gan.networks.state_dict().items():
        torch.testing.assert_close(value, expected_state[parameter], rtol=1e-7, atol=1e-8)
    moved = [
        (a - b).abs().max().item()
        for a, b in zip(gan.networks.parameters(), start.parameters(), strict=True)
        if a.ndim > 1
    ]
    assert min(moved) > 1e-4  # else equal weights would prove nothing


# Where the gradient of a value is nothing but rounding, as that of a bias in front of a norm or of
# an absolute value near 0, Adam makes a whole step of it. At the paper's learning rates two
# trainings by one step in single precision, with the last bit of one crop changed, therefore differ
# by 1e-3 and more after 50 iterations; at a hundredth of them they do by 2e-6 at most.
SMALL_RATES = {"learning_rate_generator": 2e-6, "learning_rate_discriminator": 1e-6}


@pytest.mark.parametrize("name", SYSTEMS)
def test_losses_in_single_precision(name: str, tmp_path: Path) -> None:
    gan = system(name, tmp_path, torch.float32, **SMALL_RATES)
    plain = reference(gan)
    for iteration, (source, target) in enumerate(batches(torch.float32)):
        losses = gan.step(source, target, iteration)
        expected = plain.step(source, target, iteration)
        assert losses.keys() >= expected.keys() - {"identity"}
        for loss, value in losses.items():
            torch.testing.assert_close(value, expected[loss], rtol=1e-5, atol=0)


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
    found = gan.validate(*batches()[3])
    assert not any(value.requires_grad for value in found.values())
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
    found = gan.validate(a, b)["validation"]
    torch.testing.assert_close(found, (3 * cycle + weight * identity).detach())


@pytest.mark.parametrize("until", [None, 0])
def test_how_much_the_generators_change(until: int | None, tmp_path: Path) -> None:
    gan = system("two-d", tmp_path, identity_until=until)
    a, b = batches()[0]
    moved, size = 0.0, 0.0
    for network, speech in ((gan.networks.source_to_target, a), (gan.networks.target_to_source, b)):
        made = network(speech).detach()
        moved += sum(abs(x - y) for x, y in zip(made.flatten(), speech.flatten(), strict=True))
        size += sum(abs(y) for y in speech.flatten())
    torch.testing.assert_close(gan.validate(a, b)["change"], moved / size)


class Times(nn.Module):
    """Multiplies its input."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


@pytest.mark.parametrize(("factor", "change"), [(1.0, 0.0), (0.0, 1.0), (-1.0, 2.0), (1.25, 0.25)])
def test_the_change_has_no_unit(factor: float, change: float, tmp_path: Path) -> None:
    gan = system("two-d", tmp_path)
    gan.networks.source_to_target, gan.networks.target_to_source = Times(factor), Times(factor)
    for scale in (1.0, 30.0):
        a, b = (scale * crops for crops in batches()[0])
        assert gan.validate(a, b)["change"].item() == pytest.approx(change)
    silent = torch.zeros_like(a)
    assert gan.validate(silent, silent)["change"] == 0


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
