"""The contract of generators and discriminators, for every registered one with every choice that
its options offer."""

from __future__ import annotations

import itertools
import typing
from functools import lru_cache
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vcbench.errors import PluginError
from vcbench.inspection import count_macs, layer_table
from vcbench.plugins import Kind, Option, Registry
from vcbench.training.cell import ComponentSpec
from vcbench.training.models import build_module, count_parameters, isolated_rng

SCALE = 0.03
unhurried = settings(deadline=None, max_examples=25)  # a busy machine is no failure


def choices(option: Option) -> list[Any]:
    if option.annotation is bool:
        return [False, True]
    return list(typing.get_args(option.annotation)) or [option.default]


def variants(*kinds: Kind) -> list[Any]:
    found = []
    for kind in kinds:
        for name in Registry().names(kind):
            options = Registry().get(kind, name).options
            for values in itertools.product(*map(choices, options)):
                chosen = {o.name: value for o, value in zip(options, values, strict=True)}
                label = "-".join([name, *map(str, values)])
                found.append(pytest.param(kind, ComponentSpec(name, chosen), id=label))
    return found


generators = pytest.mark.parametrize(("kind", "spec"), variants("generator"))
discriminators = pytest.mark.parametrize(("kind", "spec"), variants("discriminator"))
networks = pytest.mark.parametrize(("kind", "spec"), variants("generator", "discriminator"))


def build(
    kind: Kind, spec: ComponentSpec, *, seed: int = 0, n_mcep: int = 24, scale: float = SCALE
) -> nn.Module:
    with isolated_rng("test", seed):
        return build_module(Registry(), kind, spec, n_mcep=n_mcep, scale=scale)


@lru_cache
def built(kind: Kind, name: str, options: tuple[tuple[str, Any], ...]) -> nn.Module:
    """The same network for every example of a property."""
    return build(kind, ComponentSpec(name, dict(options))).eval()


def mceps(batch: int, frames: int, *, n_mcep: int = 24, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, n_mcep, frames, generator=generator)


def test_the_built_ins_are_registered() -> None:
    registry = Registry()
    assert {"cyclegan-vc-1d", "residual-pixelshuffle-2d"} <= set(registry.names("generator"))
    assert {"gated-patchgan", "patchgan"} <= set(registry.names("discriminator"))
    assert {"bce", "lsgan"} <= set(registry.names("objective"))


@generators
def test_any_number_of_frames(kind: Kind, spec: ComponentSpec) -> None:
    generator = built(kind, spec.name, tuple(spec.options.items()))

    @unhurried
    @given(st.integers(1, 600))
    @example(1)
    @example(2)
    @example(3)
    @example(7)
    @example(8)
    @example(9)
    @example(599)
    @example(600)
    def property_holds(frames: int) -> None:
        mcep = mceps(1, frames, seed=frames)
        with torch.inference_mode():
            converted = generator(mcep)
        assert converted.shape == mcep.shape
        assert torch.isfinite(converted).all()

    property_holds()


@generators
def test_silence_and_constants_stay_finite(kind: Kind, spec: ComponentSpec) -> None:
    generator = build(kind, spec)
    for value in (0.0, -4.0):
        mcep = torch.full((1, 24, 40), value, requires_grad=True)
        converted = generator(mcep)
        converted.square().sum().backward()
        assert torch.isfinite(converted).all()
        assert all(torch.isfinite(p.grad).all() for p in generator.parameters())


@networks
@pytest.mark.parametrize("frames", [32, 128])
def test_samples_of_a_batch_do_not_see_each_other(
    kind: Kind, spec: ComponentSpec, frames: int
) -> None:
    network = build(kind, spec)  # as in training: that is where inputs are joined
    one, other = mceps(1, frames, seed=1), 5 * mceps(2, frames, seed=2) + 3
    apart = torch.cat([network(one), network(other)])
    torch.testing.assert_close(network(torch.cat([one, other])), apart, rtol=1e-4, atol=1e-5)


@networks
def test_gradients_reach_every_parameter_and_the_input(kind: Kind, spec: ComponentSpec) -> None:
    network = build(kind, spec)
    mcep = mceps(2, 64).requires_grad_(True)
    # Squares of one row, since the mean of a normalised output tells nothing.
    network(mcep)[:, 0].square().sum().backward()
    assert mcep.grad is not None
    assert mcep.grad.abs().amax(dim=(1, 2)).min() > 0
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if parameter.ndim > 1:  # an instance norm takes away the bias in front of it
            assert parameter.grad.abs().max() > 1e-6, name


@networks
def test_a_seed_decides_the_weights(kind: Kind, spec: ComponentSpec) -> None:
    first, again, other = (build(kind, spec, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@networks
def test_building_leaves_the_global_generator_alone(kind: Kind, spec: ComponentSpec) -> None:
    before = torch.get_rng_state()
    build(kind, spec, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


@networks
def test_state_dict_round_trip(kind: Kind, spec: ComponentSpec) -> None:
    first, second = build(kind, spec, seed=1).eval(), build(kind, spec, seed=2).eval()
    mcep = mceps(1, 64)
    assert not torch.equal(first(mcep), second(mcep))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(mcep), second(mcep))


@generators
@pytest.mark.parametrize("n_mcep", [1, 5, 13, 25, 36, 80])
def test_other_numbers_of_coefficients(kind: Kind, spec: ComponentSpec, n_mcep: int) -> None:
    mcep = mceps(1, 37, n_mcep=n_mcep)
    converted = build(kind, spec, n_mcep=n_mcep)(mcep)
    assert converted.shape == mcep.shape
    assert torch.isfinite(converted).all()


@discriminators
@pytest.mark.parametrize("n_mcep", [1, 15, 16, 25, 36, 80])
def test_other_numbers_of_coefficients_or_a_reason(
    kind: Kind, spec: ComponentSpec, n_mcep: int
) -> None:
    if spec.name == "patchgan" and n_mcep < 16:
        with pytest.raises(PluginError, match=rf"'patchgan' .*n_mcep \({n_mcep}\) .*at least 16"):
            build(kind, spec, n_mcep=n_mcep)
        return
    scores = build(kind, spec, n_mcep=n_mcep)(mceps(2, 64, n_mcep=n_mcep))
    assert scores.shape[0] == 2
    assert torch.isfinite(scores).all()


@discriminators
def test_scores_are_probabilities_where_a_discriminator_says_so(
    kind: Kind, spec: ComponentSpec
) -> None:
    discriminator = build(kind, spec)
    with torch.no_grad():  # so large that scores without a sigmoid must leave [0, 1]
        for parameter in discriminator.parameters():
            parameter.mul_(50)
    scores = discriminator(mceps(4, 128))
    inside = bool(((scores >= 0) & (scores <= 1)).all())
    assert inside == discriminator.sigmoid


@networks
def test_scale_shrinks_every_width(kind: Kind, spec: ComponentSpec) -> None:
    with torch.device("meta"):
        large, half, small = (build(kind, spec, scale=scale) for scale in (1.0, 0.5, 0.125))
    assert count_parameters(large) > 3 * count_parameters(half) > 9 * count_parameters(small)
    own = {1, 24}  # sizes of input and output, which must stay
    sizes = [dict(n.named_parameters()) for n in (large, half, small)]
    for name, parameter in sizes[0].items():
        for axis in (0, 1):  # output and input channels; what follows is the kernel
            if axis >= parameter.ndim:
                continue
            full, middle, low = (named[name].shape[axis] for named in sizes)
            if full in own:
                assert full == middle == low, name
            else:
                assert (middle, low) == (full / 2, full / 8), name


@networks
@pytest.mark.parametrize("frames", [128, 45])
def test_layer_table_adds_up(kind: Kind, spec: ComponentSpec, frames: int) -> None:
    with torch.device("meta"):
        network, mcep = build(kind, spec, scale=1.0), torch.zeros(1, 24, frames)
    rows = layer_table(network, mcep)
    assert sum(row.macs for row in rows) == count_macs(network, mcep) > 1e6
    assert sum(row.parameters for row in rows) == count_parameters(network)
