"""CycleGAN-VC3: TFAN written plainly, what it becomes without modulation, and that it listens."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architectures.cyclegan_vc2 import cyclegan_vc2_2_1_2d
from architectures.cyclegan_vc3 import Tfan, cyclegan_vc3
from vcbench.inspection import layer_table
from vcbench.training.models import count_parameters

State = Mapping[str, Tensor]


@pytest.mark.parametrize(
    ("n_mcep", "parameters"), [(24, 20_852_545), (36, 22_238_785), (80, 27_321_665)]
)
def test_parameters(n_mcep: int, parameters: int) -> None:
    with torch.device("meta"):
        generator = cyclegan_vc3(n_mcep=n_mcep, scale=1.0)
        without_tfan = cyclegan_vc2_2_1_2d(n_mcep=n_mcep, scale=1.0)
    assert count_parameters(generator) == parameters
    # TFAN of 64 n_mcep channels from n_mcep rows, of 256 and of 128 channels from a plane;
    # weights and biases of three layers and two heads, where an affine norm has two per channel.
    flat = 64 * n_mcep
    one_d = 128 * (5 * n_mcep + 1) + 2 * 128 * (5 * 128 + 1) + 2 * flat * (5 * 128 + 1)
    two_d = [128 * 26 + 2 * 128 * (25 * 128 + 1) + 2 * c * (25 * 128 + 1) for c in (256, 128)]
    affine = 2 * (flat + 256 + 128)
    assert parameters - count_parameters(without_tfan) == one_d + sum(two_d) - affine


def test_shapes_of_the_three_modulations() -> None:
    with torch.device("meta"):
        generator = cyclegan_vc3(n_mcep=24, scale=1.0)
    table = layer_table(generator, torch.zeros(1, 24, 128, device="meta"))
    hidden = [r for r in table if ".norm.hidden" in r.name]
    modulated = [(r.op, r.kernel, r.channels, r.activation, r.output) for r in hidden]
    small, middle, large = "128x32", "128x12x64", "128x24x128"
    expected = []
    for op, kernel, inputs, size in (
        ("Conv1d", "5", 24, small),
        ("Conv2d", "5x5", 1, middle),
        ("Conv2d", "5x5", 1, large),
    ):
        for channels in (f"{inputs}->128", "128->128", "128->128"):
            expected.append((op, kernel, channels, "ReLU", size))
    assert modulated == expected
    heads = [(r.channels, r.output) for r in table if r.name.endswith(("norm.scale", "norm.bias"))]
    assert heads == [
        *2 * [("128->1536", "1536x32")],
        *2 * [("128->256", "256x12x64")],
        *2 * [("128->128", "128x24x128")],
    ]


def seeded(network_of: type, **options: object) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return network_of(**options).double()


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_tfan(state: State, name: str, x: Tensor, source: Tensor) -> Tensor:
    """`source` has the size of `x`; the dimensions decide which convolution it is."""
    dims = tuple(range(2, x.ndim))
    conv = F.conv1d if x.ndim == 3 else F.conv2d
    h = source
    for layer in (0, 2, 4):
        weight, bias = state[f"{name}hidden.{layer}.weight"], state[f"{name}hidden.{layer}.bias"]
        h = conv(h, weight, bias, padding=2).clamp(min=0)
    scale = conv(h, state[f"{name}scale.weight"], state[f"{name}scale.bias"], padding=2)
    shift = conv(h, state[f"{name}bias.weight"], state[f"{name}bias.bias"], padding=2)
    centred = x - x.mean(dims, keepdim=True)
    normalized = centred / (centred.square().mean(dims, keepdim=True) + 1e-6).sqrt()
    return normalized + scale * normalized + shift


@pytest.mark.parametrize(
    ("dims", "x_shape", "source_shape"),
    [
        (1, (2, 6, 10), (2, 8, 40)),
        (2, (2, 6, 4, 10), (2, 1, 8, 20)),
        (2, (2, 6, 8, 20), (2, 1, 8, 20)),
    ],
)
def test_tfan_equals_the_plain_one(
    dims: int, x_shape: tuple[int, ...], source_shape: tuple[int, ...]
) -> None:
    tfan = seeded(Tfan, channels=6, source=source_shape[1], hidden=4, dims=dims)
    x, source = 3 * noise(*x_shape) + 2, 3 * noise(*source_shape, seed=2)
    # Nearest neighbour by a whole number is every n-th value.
    resized = source
    for dim in range(2, x.ndim):
        step = source.shape[dim] // x.shape[dim]
        resized = resized.index_select(dim, torch.arange(0, source.shape[dim], step))
    expected = plain_tfan(tfan.state_dict(), "", x, resized)
    assert (expected - plain_tfan(tfan.state_dict(), "", x, resized.flip(-1))).abs().max() > 0.01
    torch.testing.assert_close(tfan(x, source), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("frames", [8, 30, 33])
def test_without_modulation_it_is_cyclegan_vc2(frames: int) -> None:
    generator = seeded(cyclegan_vc3, n_mcep=26, scale=0.05)
    state = generator.state_dict()
    for name in state:
        if ".norm.scale." in name or ".norm.bias." in name:
            state[name].zero_()
    generator.load_state_dict(state)
    plain = cyclegan_vc2_2_1_2d(n_mcep=26, scale=0.05).double()
    shared = plain.state_dict()
    modulated = ("decoder.norm.", "decoder.up1.norm.", "decoder.up2.norm.")
    # There, affine norms keep the scale of 1 and shift of 0 that they begin with.
    shared.update({n: v for n, v in state.items() if not n.startswith(modulated)})
    plain.load_state_dict(shared)
    mcep = noise(2, 26, frames)
    torch.testing.assert_close(generator(mcep), plain(mcep), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("place", ["decoder.norm", "decoder.up1.norm", "decoder.up2.norm"])
def test_each_modulation_is_computed_from_the_source_at_its_own_place(place: str) -> None:
    generator = seeded(cyclegan_vc3, n_mcep=24, scale=0.05)
    seen: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
    for name in ("decoder.norm", "decoder.up1.norm", "decoder.up2.norm"):
        generator.get_submodule(name).register_forward_hook(
            lambda _module, given, out, name=name: seen.update({name: (*given, out)})
        )
    mcep = noise(2, 24, 32)
    generator(mcep)
    x, source, out = seen[place]
    by_rows, by_frames = {"decoder.norm": (1, 4), "decoder.up1.norm": (2, 2)}.get(place, (1, 1))
    own = mcep[:, ::by_rows, ::by_frames]
    expected = plain_tfan(
        generator.state_dict(), f"{place}.", x, own if x.ndim == 3 else own[:, None]
    )
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    assert source.shape[-1] == 32


@pytest.mark.parametrize("place", ["norm", "up1", "up2"])
def test_the_source_changes_the_decoder_at_every_place(place: str) -> None:
    generator = seeded(cyclegan_vc3, n_mcep=24, scale=0.05)
    state = generator.state_dict()
    others = {"norm", "up1", "up2"} - {place}
    for name in state:
        heads = ".norm.scale." in name or ".norm.bias." in name
        if heads and any(name.startswith(f"decoder.{other}.") for other in others):
            state[name].zero_()
    generator.load_state_dict(state)
    features = generator.encoder(noise(1, 1, 24, 32))
    one, other = noise(1, 1, 24, 32), noise(1, 1, 24, 32, seed=2)
    difference = generator.decoder(features, one) - generator.decoder(features, other)
    assert difference.abs().max() > 1e-3
