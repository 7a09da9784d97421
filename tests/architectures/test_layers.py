"""The family's layers against NumPy and the plain ones, and the forms that are one function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain_layers import branch_channels, noise, plain_gated, randomized
from torch import Tensor, nn

from architectures.layers import (
    GatedConv1d,
    GatedConv2d,
    PixelShuffle1d,
    ResidualBlock1d,
    SameConv1d,
    SameConv2d,
    instance_norm,
)
from vcbench.training.models import count_parameters

unhurried = settings(deadline=None)  # a busy machine is no failure
ORDERS = ["tf", "torch", "concat"]
orders = pytest.mark.parametrize("order", ORDERS)


# Convolutions.


def zeros_around(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's documentation of padding="same"."""
    total = max(kernel - (length % stride or stride), 0)
    return total // 2, total - total // 2


def convolved(
    x: NDArray[np.float64], weight: NDArray[np.float64], stride: tuple[int, int]
) -> NDArray[np.float64]:
    """(inputs, height, width) and (outputs, inputs, kernel height, width), without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[-2:], axis=(1, 2))
    strided = windows[:, :: stride[0], :: stride[1]]
    return np.asarray(np.einsum("ihwkl,oikl->ohw", strided, weight))


sizes = st.tuples(st.integers(6, 20), st.integers(6, 20))
kernels = st.tuples(st.integers(1, 6), st.integers(1, 6))
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))
edges = st.tuples(st.sampled_from(["same", "valid"]), st.sampled_from(["same", "valid"]))


@unhurried
@given(sizes, kernels, strides, edges)
def test_2d_convolution_is_tensorflows(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], edges: tuple[str, str]
) -> None:
    layer = randomized(SameConv2d(2, 3, kernel=kernel, stride=stride, edges=edges), seed=1)
    x = noise(2, *size)
    zeros = [
        zeros_around(n, k, s) if e == "same" else (0, 0)
        for n, k, s, e in zip(size, kernel, stride, edges, strict=True)
    ]
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = convolved(np.pad(x.numpy(), [(0, 0), *zeros]), weight, stride)
    found = layer(x[None])[0].detach().numpy()
    np.testing.assert_allclose(found, expected + bias[:, None, None], atol=1e-12)


@unhurried
@given(st.integers(1, 40), st.integers(1, 15), st.integers(1, 3))
def test_1d_convolution_is_tensorflows(frames: int, kernel: int, stride: int) -> None:
    layer = randomized(SameConv1d(2, 3, kernel=kernel, stride=stride), seed=2)
    x = noise(2, frames)
    padded = np.pad(x.numpy(), [(0, 0), zeros_around(frames, kernel, stride)])
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = convolved(padded[:, None], weight[:, :, None], (1, stride))[:, 0]
    assert expected.shape[1] == -(-frames // stride)
    found = layer(x[None])[0].detach().numpy()
    np.testing.assert_allclose(found, expected + bias[:, None], atol=1e-12)


# Pixel shuffle.


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("tf", [[0, 20, 1, 21, 2, 22], [10, 30, 11, 31, 12, 32]]),
        ("torch", [[0, 10, 1, 11, 2, 12], [20, 30, 21, 31, 22, 32]]),
        ("concat", [[0, 1, 2, 10, 11, 12], [20, 21, 22, 30, 31, 32]]),
    ],
)
def test_where_each_value_goes(order: str, expected: list[list[int]]) -> None:
    x = torch.tensor([[10 * c + t for t in range(3)] for c in range(4)])  # 31: channel 3, frame 1
    assert PixelShuffle1d(2, order=order)(x[None])[0].tolist() == expected


shuffles = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))


def counting(batch: int, channels: int, factor: int, frames: int) -> Tensor:
    n = batch * channels * factor * frames
    return torch.arange(float(n)).reshape(batch, channels * factor, frames)


@unhurried
@given(shuffles)
def test_tf_order_is_tensorflows_reshape(sizes: tuple[int, int, int, int]) -> None:
    batch, channels, factor, frames = sizes
    channels_last = counting(*sizes).numpy().transpose(0, 2, 1)
    reshaped = channels_last.reshape(batch, frames * factor, channels)
    found = PixelShuffle1d(factor, order="tf")(counting(*sizes)).numpy()
    np.testing.assert_array_equal(found, reshaped.transpose(0, 2, 1))


@unhurried
@given(shuffles)
def test_torch_order_is_pytorchs_in_one_dimension(sizes: tuple[int, int, int, int]) -> None:
    batch, channels, factor, frames = sizes
    # nn.PixelShuffle makes factor x factor blocks: fill what becomes their first row.
    wide = torch.zeros(batch, channels, factor, factor, 1, frames)
    wide[:, :, 0, :, 0] = counting(*sizes).reshape(batch, channels, factor, frames)
    expected = nn.PixelShuffle(factor)(wide.reshape(batch, -1, 1, frames))[:, :, 0]
    assert torch.equal(PixelShuffle1d(factor, order="torch")(counting(*sizes)), expected)


@unhurried
@given(shuffles)
def test_tf_and_torch_differ_by_a_permutation_of_channels(
    sizes: tuple[int, int, int, int],
) -> None:
    _, channels, factor, _ = sizes
    x = counting(*sizes)
    permutation = [i * channels + c for c in range(channels) for i in range(factor)]
    permuted = PixelShuffle1d(factor, order="torch")(x[:, permutation])
    assert torch.equal(PixelShuffle1d(factor, order="tf")(x), permuted)


@unhurried
@given(shuffles)
def test_concat_is_tensorflows_reshape_in_the_wrong_layout(
    sizes: tuple[int, int, int, int],
) -> None:
    batch, channels, factor, frames = sizes
    reshaped = counting(*sizes).numpy().reshape(batch, channels, frames * factor)
    found = PixelShuffle1d(factor, order="concat")(counting(*sizes)).numpy()
    np.testing.assert_array_equal(found, reshaped)


def frames_reached(order: str, *, frame: int, frames: int, factor: int) -> set[int]:
    """The output frames that hold anything of one input frame."""
    x = torch.zeros(1, 3 * factor, frames)
    x[:, :, frame] = 1
    return set(PixelShuffle1d(factor, order=order)(x)[0].any(dim=0).nonzero().flatten().tolist())


@unhurried
@given(st.integers(2, 12), st.integers(2, 4), st.data())
def test_concat_is_neither_for_any_permutation(
    frames: int, factor: int, data: st.DataObject
) -> None:
    """A permutation of channels changes no frame's place, and the places differ."""
    frame = data.draw(st.integers(0, frames - 1))
    size = {"frame": frame, "frames": frames, "factor": factor}
    in_place = set(range(factor * frame, factor * (frame + 1)))
    assert frames_reached("tf", **size) == frames_reached("torch", **size) == in_place
    assert frames_reached("concat", **size) == {frame + i * frames for i in range(factor)}
    assert frames_reached("concat", **size) != in_place


# Norms.


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("eps", [1e-6, 0.5])
@pytest.mark.parametrize(("kind", "parameters"), [("instance", 0), ("instance-affine", 10)])
def test_instance_norm(kind: str, parameters: int, eps: float, dims: int) -> None:
    norm = instance_norm(kind, 5, dims=dims, eps=eps).double()
    x = 3 * noise(2, 5, *[6, 7][:dims]) + 4
    over = tuple(range(2, x.ndim))
    mean = x.mean(over, keepdim=True)
    expected = (x - mean) / torch.sqrt(x.var(over, unbiased=False, keepdim=True) + eps)
    torch.testing.assert_close(norm(x), expected, rtol=1e-12, atol=1e-12)
    assert count_parameters(norm) == parameters


def test_no_norm_is_nothing() -> None:
    norm = instance_norm("none", 5, dims=1)
    x = noise(2, 5, 6)
    assert torch.equal(norm(x), x)
    assert count_parameters(norm) == 0


# Gated layers.

kinds = pytest.mark.parametrize("norm", ["instance-affine", "instance", "none"])
rates = pytest.mark.parametrize(("upsample", "stride"), [(1, 1), (1, 2), (2, 1)])


@kinds
@rates
@orders
@pytest.mark.parametrize("silu", [False, True])
def test_a_gated_layer_is_the_plain_one(
    silu: bool, order: str, upsample: int, stride: int, norm: str
) -> None:
    layer = GatedConv1d(
        6,
        4,
        kernel=5,
        stride=stride,
        upsample=upsample,
        order=order,
        norm=norm,
        norm_eps=0.1,
        glu="silu" if silu else "single-conv",
    )
    randomized(layer, seed=4)
    state = {f"layer.{name}": value for name, value in layer.state_dict().items()}
    x, up = noise(3, 6, 16), upsample == 2
    expected = plain_gated(
        x, state, "layer", s=stride, up=up, order=order, norm=norm, eps=0.1, silu=silu
    )
    torch.testing.assert_close(layer(x), expected, rtol=1e-9, atol=1e-9)


def single_and_two(seed: int, **options: object) -> tuple[GatedConv1d, GatedConv1d]:
    forms = []
    for glu in ("single-conv", "two-convs"):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            forms.append(GatedConv1d(6, 4, kernel=5, glu=glu, **options).double())
    return forms[0], forms[1]


@kinds
@rates
@orders
def test_two_convolutions_are_one_with_the_same_weights(
    order: str, upsample: int, stride: int, norm: str
) -> None:
    single, two = single_and_two(
        5, order=order, upsample=upsample, stride=stride, norm=norm, norm_eps=0.1
    )
    randomized(single, seed=6)
    randomized(two, seed=7)
    x = noise(2, 6, 16)
    assert (single(x) - two(x)).abs().max() > 0.1
    with torch.no_grad():
        for number, branch in enumerate([two.value, two.gate]):
            chosen = branch_channels(len(single.conv.weight), number, up=upsample == 2, order=order)
            branch[0].weight.copy_(single.conv.weight[chosen])
            branch[0].bias.copy_(single.conv.bias[chosen])
            if norm == "instance-affine":
                branch[2].weight.copy_(single.norm.weight.chunk(2)[number])
                branch[2].bias.copy_(single.norm.bias.chunk(2)[number])
    torch.testing.assert_close(two(x), single(x), rtol=1e-12, atol=1e-12)
    assert count_parameters(two) == count_parameters(single)


@rates
@orders
def test_two_convolutions_and_one_start_alike(order: str, upsample: int, stride: int) -> None:
    single, two = single_and_two(8, order=order, upsample=upsample, stride=stride)
    x = noise(2, 6, 16)
    torch.testing.assert_close(two(x), single(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("glu", ["single-conv", "two-convs"])
def test_both_forms_draw_as_much(glu: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(9)
        GatedConv1d(6, 4, kernel=5, upsample=2, glu=glu)
        after = torch.random.get_rng_state()
        torch.manual_seed(9)
        SameConv1d(6, 16, kernel=5)
        assert torch.equal(after, torch.random.get_rng_state())


@pytest.mark.parametrize("upsample", [1, 2])
def test_the_branches_of_two_convolutions_share_no_memory(upsample: int) -> None:
    two = GatedConv1d(6, 4, kernel=5, upsample=upsample, glu="two-convs")
    owned = [parameter.untyped_storage() for parameter in two.parameters()]
    assert len({storage.data_ptr() for storage in owned}) == len(owned) == 8
    held = sum(storage.nbytes() for storage in owned)
    assert held == 4 * count_parameters(two)


def test_silu_is_another_function_with_half_the_weights() -> None:
    silu = randomized(GatedConv1d(6, 4, kernel=5, glu="silu"), seed=11)
    gated = randomized(GatedConv1d(6, 4, kernel=5), seed=12)
    assert 2 * count_parameters(silu) == count_parameters(gated)
    # With the value's weights in both, what gates differs: the value itself or the gate.
    with torch.no_grad():
        for name in ("conv", "norm"):
            getattr(silu, name).weight.copy_(getattr(gated, name).weight[:4])
            getattr(silu, name).bias.copy_(getattr(gated, name).bias[:4])
    x = noise(2, 6, 16)
    value, gate = gated.norm(gated.conv(x)).chunk(2, dim=1)
    torch.testing.assert_close(silu(x), value * torch.sigmoid(value), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gated(x), value * torch.sigmoid(gate), rtol=1e-12, atol=1e-12)
    assert (silu(x) - gated(x)).abs().max() > 0.1


def test_a_residual_block_adds_its_input() -> None:
    block = randomized(ResidualBlock1d(4, 6, kernel=5, norm_eps=0.1), seed=13)
    x = noise(2, 4, 12)
    hidden = block.norm(block.conv(block.gated(x)))
    assert hidden.std() > 0.1
    torch.testing.assert_close(block(x) - x, hidden, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        block.norm.weight.zero_()
        block.norm.bias.zero_()
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("upsample", [1, 2])
def test_a_gated_2d_layer_is_two_convolutions(upsample: int) -> None:
    layer = GatedConv2d(
        3, 4, kernel=(6, 3), upsample=upsample, edges=("valid", "same"), norm_eps=0.1
    )
    randomized(layer, seed=14)
    x = noise(2, 3, 6, 9)
    y = nn.functional.conv2d(x, layer.conv.weight, layer.conv.bias, padding=(0, 1))
    assert y.shape == (2, 8 * upsample**2, 1, 9)
    if upsample == 2:  # out[c, 2h + i, 2w + j] = in[4c + 2i + j, h, w]
        y = y.reshape(2, 8, 2, 2, 1, 9).permute(0, 1, 4, 2, 5, 3).reshape(2, 8, 2, 18)
    mean = y.mean((2, 3), keepdim=True)
    y = (y - mean) / (y.var((2, 3), unbiased=False, keepdim=True) + 0.1).sqrt()
    y = y * layer.norm.weight[:, None, None] + layer.norm.bias[:, None, None]
    expected = y[:, :4] * torch.sigmoid(y[:, 4:])
    torch.testing.assert_close(layer(x), expected, rtol=1e-9, atol=1e-9)
