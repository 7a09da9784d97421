"""CycleGAN-VC2: the layer table of the figure's narrow reading, and the same networks written
plainly, with one convolution for each branch and shapes made by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architectures.cyclegan_vc2 import cyclegan_vc2_2_1_2d, cyclegan_vc2_patchgan
from vcbench.inspection import count_macs, layer_table
from vcbench.training.models import count_parameters

State = Mapping[str, Tensor]
Zeros = tuple[int, int, int, int]  # left, right, top, bottom


def full_size(n_mcep: int = 24, residual_blocks: int = 6) -> nn.Module:
    """As published, without memory for its weights: shapes are all that is asked."""
    with torch.device("meta"):
        return cyclegan_vc2_2_1_2d(n_mcep=n_mcep, scale=1.0, residual_blocks=residual_blocks)


@pytest.mark.parametrize(
    ("n_mcep", "parameters"), [(24, 14_603_713), (35, 14_999_233), (36, 14_999_233)]
)
def test_parameters_of_the_generator(n_mcep: int, parameters: int) -> None:
    assert count_parameters(full_size(n_mcep)) == parameters


def test_parameters_with_80_rows_are_those_of_the_reference() -> None:
    assert round(count_parameters(full_size(80)) / 1e6, 2) == 16.45


def test_macs_of_the_generator() -> None:
    assert round(count_macs(full_size(), torch.zeros(1, 24, 128, device="meta")) / 1e6) == 3328


def test_discriminator_is_as_large_as_the_reference() -> None:
    with torch.device("meta"):
        discriminator = cyclegan_vc2_patchgan(scale=1.0)
        mcep = torch.zeros(2, 24, 128)
    assert count_parameters(discriminator) == 5_729_281
    assert discriminator(mcep).shape == (2, 1, 3, 16)
    assert round(count_macs(discriminator, mcep[:1]) / 1e6) == 469


def rows_of(network: nn.Module, n_mcep: int) -> list[tuple[str, ...]]:
    """(operation, kernel, stride, channels, norm, activation, output) of each row, in order."""
    table = layer_table(network, torch.zeros(1, n_mcep, 128, device="meta"))
    return [(r.op, r.kernel, r.stride, r.channels, r.norm, r.activation, r.output) for r in table]


def test_layer_table_of_the_generator() -> None:
    affine = "IN affine"
    residual = [
        ("Conv1d", "3", "1", "256->512", affine, "GLU", "256x32"),
        ("Conv1d", "3", "1", "256->256", affine, "", "256x32"),
    ]
    assert rows_of(full_size(36), 36) == [
        ("Conv2d", "5x15", "1x1", "1->128", "", "GLU", "64x36x128"),
        ("Conv2d", "5x5", "2x2", "64->256", affine, "GLU", "128x18x64"),
        ("Conv2d", "5x5", "2x2", "128->512", affine, "GLU", "256x9x32"),
        ("Flatten", "", "", "", "", "", "2304x32"),
        ("Conv1d", "1", "1", "2304->256", affine, "", "256x32"),
        *6 * residual,
        ("Conv1d", "1", "1", "256->2304", affine, "", "2304x32"),
        ("Unflatten", "", "", "", "", "", "256x9x32"),
        ("Conv2d", "5x5", "1x1", "256->1024", affine, "GLU", "128x18x64"),
        ("Conv2d", "5x5", "1x1", "128->512", affine, "GLU", "64x36x128"),
        ("Conv2d", "5x15", "1x1", "64->1", "", "", "1x36x128"),
    ]
    table = layer_table(full_size(36), torch.zeros(1, 36, 128, device="meta"))
    shuffled = [row.channels for row in table if row.shuffle == "PixelShuffle"]
    assert shuffled == ["256->1024", "128->512"]


def test_layer_table_of_the_discriminator() -> None:
    affine = "IN affine"
    with torch.device("meta"):
        discriminator = cyclegan_vc2_patchgan(scale=1.0)
    assert rows_of(discriminator, 24) == [
        ("Conv2d", "3x3", "1x1", "1->128", "", "GLU", "64x24x128"),
        ("Conv2d", "3x3", "2x2", "64->256", affine, "GLU", "128x12x64"),
        ("Conv2d", "3x3", "2x2", "128->512", affine, "GLU", "256x6x32"),
        ("Conv2d", "3x3", "2x2", "256->1024", affine, "GLU", "512x3x16"),
        ("Conv2d", "1x5", "1x1", "512->1024", affine, "GLU", "512x3x16"),
        ("Conv2d", "1x3", "1x1", "512->1", "", "", "1x3x16"),
    ]


def randomized(network: nn.Module, seed: int) -> nn.Module:
    """In float64, with norms that scale and shift, so that a mistake anywhere shows."""
    generator = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values / (parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 1.0))
    return network


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def instance_norm(x: Tensor, state: State, name: str, part: slice = slice(None)) -> Tensor:
    dims = tuple(range(2, x.ndim))
    mean = x.mean(dims, keepdim=True)
    x = (x - mean) / ((x - mean).square().mean(dims, keepdim=True) + 1e-6).sqrt()
    if f"{name}.weight" not in state:
        return x
    shape = (-1, *[1 for _ in dims])
    scale, shift = state[f"{name}.weight"][part], state[f"{name}.bias"][part]
    return x * scale.view(shape) + shift.view(shape)


def plain_conv_1d(x: Tensor, state: State, name: str, zeros: int = 0) -> Tensor:
    return F.conv1d(F.pad(x, (zeros, zeros)), state[f"{name}.weight"], state[f"{name}.bias"])


def shuffled(x: Tensor) -> Tensor:
    """Channel 4c + 2i + j becomes row 2y + i and column 2x + j of channel c."""
    batch, channels, rows, columns = x.shape
    out = x.new_zeros(batch, channels // 4, 2 * rows, 2 * columns)
    for i in range(2):
        for j in range(2):
            out[:, :, i::2, j::2] = x[:, 2 * i + j :: 4]
    return out


def plain_gated_2d(
    x: Tensor,
    state: State,
    name: str,
    zeros: Zeros,
    *,
    stride: int = 1,
    up: bool = False,
    norm: bool = True,
) -> Tensor:
    """Two convolutions, each shuffled and normalised by itself; value times sigmoid of gate."""
    branches = []
    half = len(state[f"{name}.conv.bias"]) // 2
    for part in (slice(0, half), slice(half, None)):
        weight, bias = state[f"{name}.conv.weight"][part], state[f"{name}.conv.bias"][part]
        y = F.conv2d(F.pad(x, zeros), weight, bias, stride=stride)
        y = shuffled(y) if up else y
        if norm:
            quarter = half // 4 if up else half
            start = 0 if part.start == 0 else quarter
            y = instance_norm(y, state, f"{name}.norm", slice(start, start + quarter))
        branches.append(y)
    value, gate = branches
    return value * torch.sigmoid(gate)


def plain_residual(x: Tensor, state: State, name: str) -> Tensor:
    h = plain_conv_1d(x, state, f"{name}.gated.conv", zeros=1)
    value, gate = instance_norm(h, state, f"{name}.gated.norm").chunk(2, dim=1)
    h = plain_conv_1d(value * torch.sigmoid(gate), state, f"{name}.conv", zeros=1)
    return x + instance_norm(h, state, f"{name}.norm")


def plain_encoder(state: State, planes: Tensor, residual_blocks: int = 6) -> Tensor:
    """(batch, planes, rows, frames), both sides multiples of 4, to what the decoder gets."""
    y = plain_gated_2d(planes, state, "encoder.stem", (7, 7, 2, 2), norm=False)
    y = plain_gated_2d(y, state, "encoder.down1", (1, 2, 1, 2), stride=2)
    y = plain_gated_2d(y, state, "encoder.down2", (1, 2, 1, 2), stride=2)
    y = torch.cat(list(y.unbind(1)), dim=1)  # a channel's rows adjoin
    y = instance_norm(plain_conv_1d(y, state, "encoder.to_1d"), state, "encoder.norm")
    for i in range(residual_blocks):
        y = plain_residual(y, state, f"encoder.residual.{i}")
    return y


def plain_decoder(state: State, y: Tensor, rows: int) -> Tensor:
    y = instance_norm(plain_conv_1d(y, state, "decoder.to_2d"), state, "decoder.norm")
    y = torch.stack(y.split(rows // 4, dim=1), dim=1)
    y = plain_gated_2d(y, state, "decoder.up1", (2, 2, 2, 2), up=True)
    y = plain_gated_2d(y, state, "decoder.up2", (2, 2, 2, 2), up=True)
    y = F.pad(y, (7, 7, 2, 2))
    return F.conv2d(y, state["decoder.head.weight"], state["decoder.head.bias"])[:, 0]


def plain_generator(state: State, mcep: Tensor, residual_blocks: int = 6) -> Tensor:
    y = plain_encoder(state, mcep[:, None], residual_blocks)
    return plain_decoder(state, y, mcep.shape[1])


@pytest.mark.parametrize("norm", ["instance", "instance-affine"])
@pytest.mark.parametrize(("n_mcep", "frames"), [(24, 8), (24, 64), (36, 32)])
def test_generator_equals_the_plain_one(norm: str, n_mcep: int, frames: int) -> None:
    generator = randomized(cyclegan_vc2_2_1_2d(n_mcep=n_mcep, scale=0.05, norm=norm), seed=2)
    mcep = noise(2, n_mcep, frames)
    expected = plain_generator(generator.state_dict(), mcep)
    assert expected.std() > 0.1
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("n_mcep", "frames"), [(25, 31), (35, 9), (1, 1), (6, 30), (24, 5)])
def test_other_sizes_repeat_the_last_row_and_frame_and_crop(n_mcep: int, frames: int) -> None:
    generator = randomized(cyclegan_vc2_2_1_2d(n_mcep=n_mcep, scale=0.05), seed=3)
    mcep = noise(1, n_mcep, frames)
    rows = [min(i, n_mcep - 1) for i in range(-(-n_mcep // 4) * 4)]
    columns = [min(i, frames - 1) for i in range(max(-(-frames // 4) * 4, 8))]
    expected = plain_generator(generator.state_dict(), mcep[:, rows][..., columns])
    expected = expected[:, :n_mcep, :frames]
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("residual_blocks", [1, 2, 9])
def test_number_of_residual_blocks(residual_blocks: int) -> None:
    block = 393_728 + 2 * 512 + 196_864 + 2 * 256  # two convolutions, two norms
    parameters = count_parameters(full_size(residual_blocks=residual_blocks))
    assert parameters == 14_603_713 + (residual_blocks - 6) * block
    generator = randomized(
        cyclegan_vc2_2_1_2d(n_mcep=8, scale=0.05, residual_blocks=residual_blocks), seed=4
    )
    mcep = noise(1, 8, 16)
    expected = plain_generator(generator.state_dict(), mcep, residual_blocks)
    torch.testing.assert_close(generator(mcep), expected, rtol=1e-9, atol=1e-9)


def test_norm_without_scale_and_shift_leaves_convolutions_alone() -> None:
    affine = cyclegan_vc2_2_1_2d(n_mcep=24, scale=0.05)
    plain = cyclegan_vc2_2_1_2d(n_mcep=24, scale=0.05, norm="instance")
    convolutions = {name for name in affine.state_dict() if ".norm." not in name}
    assert set(plain.state_dict()) == convolutions < set(affine.state_dict())


def test_no_residual_blocks() -> None:
    with pytest.raises(ValueError, match=r"residual_blocks \(0\) must be at least 1"):
        cyclegan_vc2_2_1_2d(n_mcep=24, scale=0.05, residual_blocks=0)


def plain_discriminator(state: State, mcep: Tensor) -> Tensor:
    """24 x 128 alone: the zeros are those of even sizes."""
    y = plain_gated_2d(mcep[:, None], state, "layers.0", (1, 1, 1, 1), norm=False)
    for i in (1, 2, 3):
        y = plain_gated_2d(y, state, f"layers.{i}", (0, 1, 0, 1), stride=2)
    y = plain_gated_2d(y, state, "layers.4", (2, 2, 0, 0))
    return F.conv2d(F.pad(y, (1, 1)), state["score.weight"], state["score.bias"])


@pytest.mark.parametrize("sigmoid", [True, False])
def test_discriminator_equals_the_plain_one(sigmoid: bool) -> None:
    discriminator = randomized(cyclegan_vc2_patchgan(scale=0.05, sigmoid=sigmoid), seed=5)
    assert discriminator.sigmoid is sigmoid
    mcep = noise(2, 24, 128)
    logits = plain_discriminator(discriminator.state_dict(), mcep)
    expected = 1 / (1 + torch.exp(-logits)) if sigmoid else logits
    assert expected.std() > 0.01
    torch.testing.assert_close(discriminator(mcep), expected, rtol=1e-9, atol=1e-9)
