"""Every option of the recipe against a naive step, in double precision."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from naive_step import Naive
from small_networks import OPTIONS, small_cell
from torch import Tensor

from vcbench.plugins import Registry
from vcbench.training.models import build_networks, build_objective
from vcbench.training.schedule import loss_weights
from vcbench.training.step import CycleGan

ITERATIONS = 6
RECIPE: dict[str, Any] = {"iterations": ITERATIONS, "decay_start": 3, "identity_until": 4}


def system(folder: Path, **recipe: Any) -> CycleGan:
    cell = small_cell(folder, **{**RECIPE, **recipe})
    registry = Registry(cell.plugin_files)
    networks = build_networks(cell, registry).double()
    return CycleGan(networks, build_objective(cell, registry, networks), cell)


def batches(count: int = ITERATIONS) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    shape = (2, 2, 24, 32)
    drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]
    return [(source, 0.5 * target + 1) for source, target in drawn]


@pytest.mark.parametrize("name", OPTIONS)
def test_losses_and_weights_are_those_of_the_naive_step(name: str, tmp_path: Path) -> None:
    gan = system(tmp_path, **OPTIONS[name])
    naive = Naive(copy.deepcopy(gan.networks), gan.cell)
    for iteration, (source, target) in enumerate(batches()):
        losses = gan.step(source, target, iteration)
        expected = naive.step(source, target, iteration)
        if loss_weights(iteration, gan.recipe).identity == 0:
            del expected["identity"]  # the engine does not compute what has no weight
        assert losses.keys() == expected.keys()
        for loss, value in expected.items():
            torch.testing.assert_close(losses[loss], value, rtol=1e-8, atol=1e-10)
    weights = naive.n.state_dict()
    for parameter, value in gan.networks.state_dict().items():
        torch.testing.assert_close(value, weights[parameter], rtol=1e-7, atol=1e-9)
    kept = gan.state()["conversion"]["weights"]
    if gan.recipe.conversion_weights == "averaged":
        generators = {n for n in weights if n.startswith(("source_to_target", "target_to_source"))}
        assert set(kept) == generators
    else:
        assert kept == {}
    for parameter, value in kept.items():
        expected_value = torch.from_numpy(naive.average[parameter])
        torch.testing.assert_close(value, expected_value, rtol=1e-7, atol=1e-9)


def trained(gan: CycleGan) -> dict[str, Tensor]:
    for iteration, (source, target) in enumerate(batches()):
        gan.step(source, target, iteration)
    return gan.networks.state_dict()


# Those that change what the weights become; else an equal naive step would prove nothing.
@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {"default", "two-optimizers", "averaged"}))
def test_the_option_makes_a_difference(name: str, tmp_path: Path) -> None:
    plain, changed = trained(system(tmp_path)), trained(system(tmp_path, **OPTIONS[name]))
    generator = "source_to_target.last.weight"
    assert (plain[generator] - changed[generator]).abs().max() > 1e-5


@pytest.mark.parametrize("update", ["joint", "alternating"])
def test_one_adam_for_both_generators_is_two(update: str, tmp_path: Path) -> None:
    one, two = (
        trained(system(tmp_path, generator_optimizers=n, generator_update=update)) for n in (1, 2)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_averaging_does_not_change_the_training(tmp_path: Path) -> None:
    plain, averaged = trained(system(tmp_path)), trained(system(tmp_path, **OPTIONS["averaged"]))
    assert all(torch.equal(plain[name], averaged[name]) for name in plain)


def test_validation_sees_everything(tmp_path: Path) -> None:
    masked, plain = system(tmp_path, mask_frames=32), system(tmp_path)
    source, target = batches()[0]
    torch.testing.assert_close(
        masked.validate(source, target), plain.validate(source, target), rtol=0, atol=0
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_everything_learns_again_after_a_step(name: str, tmp_path: Path) -> None:
    gan = system(tmp_path, **OPTIONS[name])
    gan.networks.target_to_source.first.bias.requires_grad_(False)  # a plugin's own wish
    gan = CycleGan(gan.networks, gan.objective, gan.cell)
    trained(gan)
    frozen = [n for n, p in gan.networks.named_parameters() if not p.requires_grad]
    assert frozen == ["target_to_source.first.bias"]
