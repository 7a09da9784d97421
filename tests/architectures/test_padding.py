"""TensorFlow's "same" padding against its documentation and a convolution by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from architectures.padding import repeat_edge, same_padding, scaled

unhurried = settings(deadline=None)  # a busy machine is no failure

lengths = st.integers(1, 60)
kernels = st.integers(1, 16)
strides = st.integers(1, 5)


def documented(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, behind), by the case distinction of TensorFlow's guide to convolution padding."""
    rest = length % stride
    total = max(kernel - (stride if rest == 0 else rest), 0)
    return total // 2, total - total // 2


def convolution(
    x: NDArray[np.float64], kernel: NDArray[np.float64], stride: int, before: int
) -> NDArray[np.float64]:
    """ceil(n / stride) outputs; values outside of x are zero."""
    outputs = []
    for i in range(-(-len(x) // stride)):
        places = i * stride - before + np.arange(len(kernel))
        inside = (places >= 0) & (places < len(x))
        outputs.append(np.sum(kernel[inside] * x[places[inside]]))
    return np.array(outputs)


def amounts(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, behind) of zeros that `same_padding` puts around ones."""
    padded = same_padding(torch.ones(1, 1, length), kernel=(kernel,), stride=(stride,))
    ones = torch.nonzero(padded[0, 0]).flatten()
    return int(ones[0]), padded.shape[-1] - 1 - int(ones[-1])


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "expected"),
    [
        (128, 5, 2, (1, 2)),
        (64, 5, 2, (1, 2)),
        (127, 5, 2, (2, 2)),
        (24, 6, 1, (2, 3)),
        (6, 6, 1, (2, 3)),
        (128, 3, 2, (0, 1)),
        (128, 15, 1, (7, 7)),
        (32, 3, 1, (1, 1)),
        (4, 1, 2, (0, 0)),
    ],
)
def test_the_layers_of_the_paper(
    length: int, kernel: int, stride: int, expected: tuple[int, int]
) -> None:
    assert amounts(length, kernel, stride) == expected


@unhurried
@given(lengths, kernels, strides)
def test_equal_to_the_documentation(length: int, kernel: int, stride: int) -> None:
    assert amounts(length, kernel, stride) == documented(length, kernel, stride)


@unhurried
@given(lengths, kernels, strides, st.integers(0, 2**32 - 1))
def test_a_convolution_behind_it(length: int, kernel: int, stride: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weights = rng.normal(size=length), rng.normal(size=kernel)
    padded = same_padding(torch.from_numpy(x)[None, None], kernel=(kernel,), stride=(stride,))
    weight = torch.from_numpy(weights)[None, None]
    found = torch.nn.functional.conv1d(padded, weight, stride=stride)[0, 0].numpy()
    before, _ = documented(length, kernel, stride)
    np.testing.assert_allclose(found, convolution(x, weights, stride, before), atol=1e-12)


@unhurried
@given(lengths, lengths, kernels, kernels, strides, strides)
def test_dimensions_do_not_mix(h: int, w: int, kh: int, kw: int, sh: int, sw: int) -> None:
    padded = same_padding(torch.ones(1, 1, h, w), kernel=(kh, kw), stride=(sh, sw))
    top, bottom = documented(h, kh, sh)
    left, right = documented(w, kw, sw)
    assert padded.shape == (1, 1, top + h + bottom, left + w + right)
    assert torch.equal(padded[0, 0, top : top + h, left : left + w], torch.ones(h, w))
    assert padded.sum() == h * w


@unhurried
@given(lengths, lengths, st.integers(1, 8), st.integers(1, 8), st.integers(1, 20))
def test_edges_are_repeated_up_to_a_multiple(
    rows: int, frames: int, of_rows: int, of_frames: int, least: int
) -> None:
    x = torch.arange(float(rows * frames)).reshape(1, 1, rows, frames)
    found = repeat_edge(x, multiple=(of_rows, of_frames), minimum=(least, least))[0, 0].numpy()
    expected = x[0, 0].numpy()
    while expected.shape[0] % of_rows or expected.shape[0] < least:
        expected = np.concatenate([expected, expected[-1:]])
    while expected.shape[1] % of_frames or expected.shape[1] < least:
        expected = np.concatenate([expected, expected[:, -1:]], axis=1)
    np.testing.assert_array_equal(found, expected)


@given(st.integers(1, 2048), st.floats(0.001, 4), st.sampled_from([1, 2, 4, 8]))
def test_scaled_widths(channels: int, scale: float, multiple: int) -> None:
    width = scaled(channels, scale, multiple=multiple)
    assert width >= multiple
    assert width % multiple == 0
    assert width == multiple or abs(width - channels * scale) <= multiple / 2


@pytest.mark.parametrize("channels", [64, 96, 128, 256, 512, 1024])
def test_scale_one_changes_nothing(channels: int) -> None:
    assert scaled(channels, 1.0) == channels
