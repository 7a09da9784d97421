"""Building networks and objectives from plugins, with weights that a seed decides."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_networks import small_cell
from tiny_cells import SYSTEMS, tiny_cell
from torch import Tensor, nn

from vcbench.errors import PluginError
from vcbench.plugins import Registry
from vcbench.system_check import check_system
from vcbench.training.cell import ComponentSpec
from vcbench.training.models import (
    Networks,
    build_module,
    build_networks,
    build_objective,
    count_parameters,
    isolated_rng,
)

PLUGIN = """\
import torch

from vcbench.plugins import Objective, register_discriminator, register_generator
from vcbench.plugins import register_objective


@register_generator("picky")
def picky(*, n_mcep, scale, depth=1):
    "Refuses."
    raise RuntimeError("depth must be odd")


@register_generator("no-module")
def no_module(*, n_mcep, scale):
    "Returns something else."
    return lambda mcep: mcep


@register_discriminator("no-attribute")
def no_attribute(*, n_mcep, scale):
    "Does not say whether its scores are probabilities."
    return torch.nn.Linear(4, 1)


@register_objective("told")
def told(*, sigmoid, weight=1.0):
    "Remembers what it was told."
    return Objective(None, None, chance_loss=weight * sigmoid)


@register_objective("no-objective")
def no_objective(*, sigmoid):
    "Returns something else."
    return 3
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    path = tmp_path / "plug.py"
    path.write_text(PLUGIN)
    return Registry([path])


def draw(*identity: object) -> Tensor:
    with isolated_rng(*identity):
        return torch.rand(4)


def test_isolated_rng_is_a_function_of_its_identity() -> None:
    torch.rand(3)  # wherever the global generator stands
    first = draw("weights", "SF1-TM3", 0)
    torch.rand(5)
    assert torch.equal(draw("weights", "SF1-TM3", 0), first)
    for other in (("weights", "SF1-TM3", 1), ("training", "SF1-TM3", 0), ("weights",)):
        assert not torch.equal(draw(*other), first)


def test_isolated_rng_changes_nothing_outside() -> None:
    before = torch.get_rng_state()
    with pytest.raises(KeyError), isolated_rng("a"):
        torch.rand(100)
        with isolated_rng("b"):
            torch.rand(100)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


def test_a_nested_scope_does_not_disturb_the_outer_one() -> None:
    with isolated_rng("outer"):
        plain = torch.rand(2), torch.rand(2)
    with isolated_rng("outer"):
        first = torch.rand(2)
        draw("inner")
        again = first, torch.rand(2)
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def weights(networks: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in networks.parameters()])


@pytest.mark.parametrize("system", SYSTEMS)
def test_pair_and_seed_decide_the_weights_not_the_name(system: str, tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, system)
    registry = Registry()
    first = weights(build_networks(cell, registry))
    assert torch.equal(weights(build_networks(cell, registry)), first)
    longer = replace(cell, recipe=replace(cell.recipe, iterations=99))
    assert torch.equal(weights(build_networks(longer, registry)), first)
    renamed = replace(cell, system="other")
    assert torch.equal(weights(build_networks(renamed, registry)), first)
    for change in ({"seed": 1}, {"target": "TM2"}):
        other = weights(build_networks(replace(cell, **change), registry))
        assert other.shape == first.shape
        assert not torch.equal(other, first)


def test_the_four_networks_begin_differently(tmp_path: Path) -> None:
    n = build_networks(tiny_cell(tmp_path), Registry())
    assert not torch.equal(weights(n.source_to_target), weights(n.target_to_source))
    assert not torch.equal(weights(n.discriminator_source), weights(n.discriminator_target))


def test_second_discriminators_are_built_only_where_they_are_wanted(tmp_path: Path) -> None:
    registry = Registry()
    one = build_networks(tiny_cell(tmp_path), registry)
    assert one.second_discriminator_source is None
    assert one.second_discriminator_target is None
    two = build_networks(tiny_cell(tmp_path, recipe={"adversarial_steps": 2}), registry)
    judges = [
        two.discriminator_source,
        two.discriminator_target,
        two.second_discriminator_source,
        two.second_discriminator_target,
    ]
    begun = [weights(judge) for judge in judges if judge is not None]
    assert len(begun) == 4
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(begun, 2))
    assert torch.equal(torch.cat([weights(one), *begun[2:]]), weights(two))  # the rest is the same


@pytest.mark.parametrize("steps", [1, 2])
def test_each_optimiser_gets_its_own_parameters(steps: int, tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, recipe={"adversarial_steps": steps})
    networks = build_networks(cell, Registry())
    generators, discriminators = networks.generators(), networks.discriminators()
    ids = [id(p) for p in [*generators, *discriminators]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in networks.parameters()}
    of_discriminators = {id(p) for p in networks.discriminator_source.parameters()}
    of_discriminators |= {id(p) for p in networks.discriminator_target.parameters()}
    if networks.second_discriminator_source and networks.second_discriminator_target:
        of_discriminators |= {id(p) for p in networks.second_discriminator_source.parameters()}
        of_discriminators |= {id(p) for p in networks.second_discriminator_target.parameters()}
    assert of_discriminators == {id(p) for p in discriminators}


def test_parameters_are_counted_where_they_are_trained() -> None:
    layer = nn.Linear(3, 4)
    assert count_parameters(layer) == 16
    layer.bias.requires_grad_(False)
    assert count_parameters(layer) == 12


def test_a_plugin_that_cannot_be_built(registry: Registry) -> None:
    spec = ComponentSpec("picky", {"depth": 2})
    with pytest.raises(PluginError) as caught:
        build_module(registry, "generator", spec, n_mcep=24, scale=0.5)
    message = str(caught.value)
    assert "generator 'picky' (" in message
    assert "plug.py" in message
    assert "n_mcep=24, scale=0.5, options {'depth': 2}: RuntimeError: depth must be odd" in message


def test_an_option_that_a_plugin_does_not_know(registry: Registry) -> None:
    spec = ComponentSpec("cyclegan-vc-1d", {"depth": 2})
    with pytest.raises(PluginError, match="unexpected keyword argument 'depth'"):
        build_module(registry, "generator", spec, n_mcep=24, scale=0.5)


def test_a_generator_that_is_no_module(registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"'no-module' .* torch\.nn\.Module, not function"):
        build_module(registry, "generator", ComponentSpec("no-module"), n_mcep=24, scale=1)


def networks_with(discriminator: nn.Module) -> Networks:
    return Networks(nn.Identity(), nn.Identity(), discriminator, discriminator)


@pytest.mark.parametrize("sigmoid", [True, False])
def test_the_objective_is_told_of_the_sigmoid(
    sigmoid: bool, registry: Registry, tmp_path: Path
) -> None:
    spec = ComponentSpec("patchgan", {"sigmoid": sigmoid})
    discriminator = build_module(registry, "discriminator", spec, n_mcep=24, scale=0.03)
    cell = tiny_cell(tmp_path, objective=ComponentSpec("told", {"weight": 3.0}))
    objective = build_objective(cell, registry, networks_with(discriminator))
    assert objective.chance_loss == (3.0 if sigmoid else 0.0)


def test_scores_are_taken_for_unbounded_where_nothing_is_said(
    registry: Registry, tmp_path: Path
) -> None:
    spec = ComponentSpec("no-attribute")
    discriminator = build_module(registry, "discriminator", spec, n_mcep=24, scale=0.03)
    cell = tiny_cell(tmp_path, objective=ComponentSpec("told"))
    assert build_objective(cell, registry, networks_with(discriminator)).chance_loss == 0


def test_an_objective_that_is_none(registry: Registry, tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, objective=ComponentSpec("no-objective"))
    with pytest.raises(PluginError, match=r"'no-objective' .*Objective, not int"):
        build_objective(cell, registry, networks_with(nn.Identity()))


@pytest.mark.parametrize(
    "recipe", [{}, {"mask_frames": 8}, {"adversarial_steps": 2}], ids=["plain", "masks", "steps"]
)
def test_a_system_that_can_be_trained(recipe: dict[str, int], tmp_path: Path) -> None:
    cell = small_cell(tmp_path, **recipe)
    state = torch.get_rng_state()
    check_system(cell, Registry(cell.plugin_files))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_generator_that_takes_no_mask(tmp_path: Path) -> None:
    cell = small_cell(tmp_path, generator="maskless", mask_frames=8)
    with pytest.raises(PluginError) as caught:
        check_system(cell, Registry(cell.plugin_files))
    message = str(caught.value)
    assert message.startswith("generator 'maskless' (")
    assert "takes no mask, but training.mask_frames is 8: set mask_frames to 0, or" in message
    without = replace(cell, recipe=replace(cell.recipe, mask_frames=0))
    check_system(without, Registry(cell.plugin_files))


def test_a_generator_that_breaks_with_a_mask(tmp_path: Path) -> None:
    cell = small_cell(tmp_path, mask_frames=8)
    path = Path(cell.plugin_files[0])
    path.write_text(path.read_text().replace("else mask\n", "else mask[0]\n"))
    wanted = r"cannot take \(1, 24, 32\) .* with a mask \(1, 1, 32\): RuntimeError"
    with pytest.raises(PluginError, match=wanted):
        check_system(cell, Registry(cell.plugin_files))
