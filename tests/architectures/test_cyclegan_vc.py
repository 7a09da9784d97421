"""CycleGAN-VC: the reference's numbers, its pixel shuffle, and the same networks written plainly.

The plain networks follow the TensorFlow reference step by step: two convolutions per gated layer,
an instance norm for each branch, explicit zeros for "same" padding, reshapes in its memory layout.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from architectures.cyclegan_vc import (
    GatedConv1d,
    GatedConv2d,
    cyclegan_vc_1d,
    gated_patchgan,
    pixel_shuffle_1d,
)
from vcbench.inspection import count_macs, layer_table
from vcbench.training.models import count_parameters

unhurried = settings(deadline=None)  # a busy machine is no failure

State = Mapping[str, Tensor]


def full_size(width: str) -> nn.Module:
    """The generator as published, without memory for its weights: shapes are all that is asked."""
    with torch.device("meta"):
        return cyclegan_vc_1d(n_mcep=24, scale=1.0, width=width)


@pytest.mark.parametrize(
    ("width", "parameters", "million_macs"),
    [("wide", 38_055_704, 1328), ("narrow", 18_296_728, 617)],
)
def test_generator_is_as_large_as_the_reference(
    width: str, parameters: int, million_macs: int
) -> None:
    generator, mcep = full_size(width), torch.zeros(1, 24, 128, device="meta")
    assert count_parameters(generator) == parameters
    assert round(count_macs(generator, mcep) / 1e6) == million_macs


@pytest.mark.parametrize("sigmoid", [True, False])
def test_discriminator_is_as_large_as_the_reference(sigmoid: bool) -> None:
    with torch.device("meta"):
        discriminator = gated_patchgan(n_mcep=24, scale=1.0, sigmoid=sigmoid)
    mcep = torch.zeros(2, 24, 128, device="meta")
    assert discriminator(mcep).shape == (2, 1, 6, 8)
    assert count_parameters(discriminator) == 21_837_825
    assert round(count_macs(discriminator, mcep[:1]) / 1e6) == 1363


def conv_channels(network: nn.Module) -> list[str]:
    mcep = torch.zeros(1, 24, 128, device="meta")
    return [row.channels for row in layer_table(network, mcep) if row.op.startswith("Conv")]


def test_channels_of_the_wide_reading() -> None:
    # Two branches in one convolution: twice the channels that the reference gives to each.
    residual = 6 * ["512->2048", "1024->512"]
    ups = ["512->2048", "512->1024"]
    expected = ["24->256", "128->512", "256->1024", *residual, *ups, "256->24"]
    assert conv_channels(full_size("wide")) == expected


def test_channels_of_the_narrow_reading() -> None:
    residual = 6 * ["512->1024", "512->512"]
    ups = ["512->1024", "256->512"]
    expected = ["24->128", "64->256", "128->1024", *residual, *ups, "128->24"]
    assert conv_channels(full_size("narrow")) == expected


def test_shapes_behind_each_gate() -> None:
    shapes = []
    generator = full_size("wide")
    for module in generator.modules():
        if isinstance(module, GatedConv1d):
            module.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    generator(torch.zeros(1, 24, 128, device="meta"))
    down, up = [(128, 128), (256, 64), (512, 32)], [(512, 64), (256, 128)]
    assert shapes == [*down, *6 * [(1024, 32)], *up]


def test_pixel_shuffle_of_the_reference() -> None:
    x = torch.tensor([[10 * c + t for t in range(3)] for c in range(4)])  # 31: channel 3, frame 1
    assert pixel_shuffle_1d(x[None], 2)[0].tolist() == [
        [0, 20, 1, 21, 2, 22],
        [10, 30, 11, 31, 12, 32],
    ]


shuffles = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))


def counting(batch: int, channels: int, factor: int, frames: int) -> Tensor:
    n = batch * channels * factor * frames
    return torch.arange(float(n)).reshape(batch, channels * factor, frames)


@unhurried
@given(shuffles)
def test_pixel_shuffle_is_tensorflows_reshape(sizes: tuple[int, int, int, int]) -> None:
    batch, channels, factor, frames = sizes
    x = counting(*sizes)
    channels_last = x.numpy().transpose(0, 2, 1)
    reshaped = channels_last.reshape(batch, frames * factor, channels)
    np.testing.assert_array_equal(pixel_shuffle_1d(x, factor).numpy(), reshaped.transpose(0, 2, 1))


@unhurried
@given(shuffles)
def test_pixel_shuffle_is_pytorchs_after_a_permutation(sizes: tuple[int, int, int, int]) -> None:
    batch, channels, factor, frames = sizes
    x = counting(*sizes)
    order = [i * channels + c for c in range(channels) for i in range(factor)]
    # nn.PixelShuffle makes factor x factor blocks: fill what becomes their first row.
    wide = torch.zeros(batch, channels, factor, factor, 1, frames)
    wide[:, :, 0, :, 0] = x[:, order].reshape(batch, channels, factor, frames)
    shuffled = nn.PixelShuffle(factor)(wide.reshape(batch, -1, 1, frames))
    assert torch.equal(pixel_shuffle_1d(x, factor), shuffled[:, :, 0])


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-6) -> Tensor:
    dims = tuple(range(2, x.ndim))
    mean = x.mean(dims, keepdim=True)
    variance = (x - mean).square().mean(dims, keepdim=True)
    shape = (1, -1, *[1 for _ in dims])
    return (x - mean) / (variance + eps).sqrt() * scale.view(shape) + shift.view(shape)


def plain_conv(x: Tensor, weight: Tensor, bias: Tensor, zeros: tuple[int, int], s: int) -> Tensor:
    return F.conv1d(F.pad(x, zeros), weight, bias, stride=s)


def tf_shuffle(x: Tensor) -> Tensor:
    batch, channels, frames = x.shape
    return x.transpose(1, 2).reshape(batch, 2 * frames, channels // 2).transpose(1, 2)


def plain_gated(
    x: Tensor, state: State, name: str, zeros: tuple[int, int], *, s: int = 1, up: bool = False
) -> Tensor:
    """Two convolutions, each shuffled and normalised by itself; value times sigmoid of gate.

    In front of the shuffle, where frame 2t + i of channel c comes from channel i * channels + c,
    the value branch has the first half of each of the two groups, the gate branch the second.
    """
    weight, bias = state[f"{name}.conv.weight"], state[f"{name}.conv.bias"]
    groups = 2 if up else 1
    branches = []
    for branch in (0, 1):
        chosen = torch.arange(len(weight)).reshape(groups, 2, -1)[:, branch].flatten()
        y = plain_conv(x, weight[chosen], bias[chosen], zeros, s)
        y = tf_shuffle(y) if up else y
        if f"{name}.norm.weight" in state:
            scale, shift = state[f"{name}.norm.weight"], state[f"{name}.norm.bias"]
            y = instance_norm(y, scale.chunk(2)[branch], shift.chunk(2)[branch])
        branches.append(y)
    value, gate = branches
    return value * torch.sigmoid(gate)


def plain_generator(state: State, x: Tensor) -> Tensor:
    """The TensorFlow reference's generator; frames must be a multiple of 4."""
    y = plain_gated(x, state, "stem", (7, 7))
    y = plain_gated(y, state, "down1", (1, 2), s=2)
    y = plain_gated(y, state, "down2", (1, 2), s=2)
    for i in range(6):
        block = f"residual.{i}"
        h = plain_gated(y, state, f"{block}.gated", (1, 1))
        h = plain_conv(h, state[f"{block}.conv.weight"], state[f"{block}.conv.bias"], (1, 1), 1)
        y = y + instance_norm(h, state[f"{block}.norm.weight"], state[f"{block}.norm.bias"])
    y = plain_gated(y, state, "up1", (2, 2), up=True)
    y = plain_gated(y, state, "up2", (2, 2), up=True)
    return plain_conv(y, state["head.weight"], state["head.bias"], (7, 7), 1)


def randomized(network: nn.Module, seed: int) -> nn.Module:
    """In float64, with norms that scale and shift, so that a mistake anywhere shows."""
    generator = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise / (parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 1.0))
    return network


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("width", ["wide", "narrow"])
@pytest.mark.parametrize("frames", [8, 32, 128])
def test_generator_equals_the_plain_one(width: str, frames: int) -> None:
    generator = randomized(cyclegan_vc_1d(n_mcep=24, scale=0.05, width=width), seed=2)
    mcep = noise(2, 24, frames)
    expected = plain_generator(generator.state_dict(), mcep)
    assert expected.std() > 0.1
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("frames", [9, 30, 127])
def test_other_lengths_repeat_the_last_frame_and_crop(frames: int) -> None:
    generator = randomized(cyclegan_vc_1d(n_mcep=24, scale=0.05), seed=3)
    mcep = noise(1, 24, frames)
    longer = torch.cat([mcep, *(-frames % 4) * [mcep[..., -1:]]], dim=-1)
    expected = plain_generator(generator.state_dict(), longer)[..., :frames]
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(("upsample", "stride"), [(1, 1), (1, 2), (2, 1)])
def test_one_convolution_holds_both_branches(norm: bool, upsample: int, stride: int) -> None:
    layer = GatedConv1d(6, 4, kernel=5, stride=stride, upsample=upsample, norm=norm)
    randomized(layer, seed=4)
    state = {f"layer.{name}": value for name, value in layer.state_dict().items()}
    x = noise(3, 6, 16)
    zeros = (2, 2) if stride == 1 else (1, 2)
    expected = plain_gated(x, state, "layer", zeros, s=stride, up=upsample == 2)
    torch.testing.assert_close(layer(x), expected, rtol=1e-9, atol=1e-9)


def plain_discriminator(state: State, x: Tensor) -> Tensor:
    """The TensorFlow reference's discriminator on 24 x 128, its dense layer applied per patch."""
    # (left, right, top, bottom) zeros and strides (height, width) of the four gated layers.
    layers = [
        ((0, 1, 1, 1), (1, 2)),
        ((0, 1, 0, 1), (2, 2)),
        ((0, 1, 0, 1), (2, 2)),
        ((0, 1, 2, 3), (1, 2)),
    ]
    y = x[:, None]
    for i, (zeros, strides) in enumerate(layers):
        name = f"layers.{i}"
        branches = []
        for branch in (0, 1):
            weight = state[f"{name}.conv.weight"].chunk(2)[branch]
            bias = state[f"{name}.conv.bias"].chunk(2)[branch]
            b = F.conv2d(F.pad(y, zeros), weight, bias, stride=strides)
            if i > 0:
                scale = state[f"{name}.norm.weight"].chunk(2)[branch]
                b = instance_norm(b, scale, state[f"{name}.norm.bias"].chunk(2)[branch])
            branches.append(b)
        y = branches[0] * torch.sigmoid(branches[1])
    dense = state["score.weight"][:, :, 0, 0]  # (1, channels)
    return (y.permute(0, 2, 3, 1) @ dense.T + state["score.bias"]).permute(0, 3, 1, 2)


@pytest.mark.parametrize("sigmoid", [True, False])
def test_discriminator_equals_the_plain_one(sigmoid: bool) -> None:
    discriminator = randomized(gated_patchgan(n_mcep=24, scale=0.05, sigmoid=sigmoid), seed=5)
    mcep = noise(2, 24, 128)
    logits = plain_discriminator(discriminator.state_dict(), mcep)
    expected = 1 / (1 + torch.exp(-logits)) if sigmoid else logits
    assert expected.std() > 0.01
    torch.testing.assert_close(discriminator(mcep), expected, rtol=1e-9, atol=1e-9)


def test_discriminator_norms_all_but_the_first_layer() -> None:
    discriminator = gated_patchgan(n_mcep=24, scale=0.05)
    layers = [m for m in discriminator.modules() if isinstance(m, GatedConv2d)]
    norms = [isinstance(m.norm, nn.InstanceNorm2d) for m in layers]
    assert norms == [False, True, True, True]
