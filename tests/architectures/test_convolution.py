"""Convolution as a matrix product, against PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from architectures import convolution
from architectures.convolution import MAXIMUM_POSITIONS, MINIMUM_OUTPUTS, convolve

OUTPUTS = MINIMUM_OUTPUTS + 3


def plain(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: tuple[int, ...]) -> Tensor:
    return (F.conv1d if weight.ndim == 3 else F.conv2d)(x, weight, bias, stride=stride)


@st.composite
def calls(draw: st.DrawFn) -> tuple[list[Tensor | None], tuple[int, ...]]:
    """(x, weight, bias) and a stride, of one or two dimensions, few enough to be written out."""
    dims = draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 5)) for _ in range(dims)]
    stride = [draw(st.integers(1, 3)) for _ in range(dims)]
    sizes = [k + draw(st.integers(0, 8)) for k in kernel]
    batch, inputs = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(batch, inputs, *sizes, generator=generator)
    if draw(st.booleans()):  # as a slice or a flip leaves it
        x = x.transpose(1, -1).contiguous().transpose(1, -1)
    weight = torch.randn(OUTPUTS, inputs, *kernel, generator=generator)
    bias = torch.randn(OUTPUTS, generator=generator) if draw(st.booleans()) else None
    return [x, weight, bias], tuple(stride)


def differentiated(function: Any, tensors: list[Tensor | None], **options: Any) -> list[Tensor]:
    """The result, and the gradients of a sum of its squares."""
    leaves = [None if t is None else t.detach().requires_grad_() for t in tensors]
    y = function(*leaves, **options)
    given_ = [t for t in leaves if t is not None]
    return [y.detach(), *torch.autograd.grad((y**2).sum(), given_)]


def assert_near(found: list[Tensor], expected: list[Tensor], *, relative: float) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert (a.double() - b.double()).norm() <= relative * b.double().norm() + 1e-12


@given(calls())
def test_it_is_pytorchs_convolution(call: tuple[list[Tensor | None], tuple[int, ...]]) -> None:
    tensors, stride = call
    found = differentiated(convolve, tensors, stride=stride)
    exact = [None if t is None else t.double() for t in tensors]
    expected = differentiated(plain, exact, stride=stride)
    assert_near(found, [e.float() for e in expected], relative=1e-5)


def test_it_takes_the_matrix_product_where_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("PyTorch's own was called")

    monkeypatch.setattr(convolution, "plain", refuse)
    weight = torch.zeros(MINIMUM_OUTPUTS, 2, 1)
    convolve(torch.zeros(1, 2, MAXIMUM_POSITIONS), weight, None, stride=(1,))
    for x, w in (
        (torch.zeros(1, 2, MAXIMUM_POSITIONS + 1), weight),
        (torch.zeros(2, 2, MAXIMUM_POSITIONS // 2 + 1), weight),
        (torch.zeros(1, 2, 3), weight[1:]),
        (torch.zeros(1, 2, 3, dtype=torch.float64), weight.double()),
        (torch.zeros(1, 2, 3, device="meta"), weight.to("meta")),
    ):
        with pytest.raises(AssertionError, match="PyTorch's own"):
            convolve(x, w, None, stride=(1,))


def test_only_the_gradients_that_are_asked_for_are_computed() -> None:
    x, weight = torch.randn(1, 3, 9), torch.randn(OUTPUTS, 3, 3)
    x.requires_grad_()
    convolve(x, weight, torch.zeros(OUTPUTS), stride=(1,)).sum().backward()
    expected = torch.autograd.grad(F.conv1d(x, weight).sum(), x)[0]
    torch.testing.assert_close(x.grad, expected)
    assert weight.grad is None


@pytest.mark.parametrize("with_bias", [True, False])
def test_a_penalty_on_the_gradient_can_be_differentiated(with_bias: bool) -> None:
    def penalty(function: Any) -> list[Tensor]:
        torch.manual_seed(0)
        x = torch.randn(2, 3, 9, requires_grad=True)
        weight = torch.randn(OUTPUTS, 3, 3, requires_grad=True)
        bias = torch.randn(OUTPUTS, requires_grad=True) if with_bias else None
        scores = function(x, weight, bias, stride=(2,)).sigmoid().sum()
        (of_x,) = torch.autograd.grad(scores, x, create_graph=True)
        (of_x**2).sum().backward()
        return [of_x.detach(), *(t.grad for t in (x, weight) if t.grad is not None)]

    assert_near(penalty(convolve), penalty(plain), relative=1e-5)


def test_under_autocast_it_computes_in_bfloat16() -> None:
    torch.manual_seed(0)
    tensors: list[Tensor | None] = [torch.randn(2, 5, 9), torch.randn(OUTPUTS, 5, 3), None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = differentiated(convolve, tensors, stride=(1,))
        expected = differentiated(plain, tensors, stride=(1,))
    assert found[0].dtype == torch.bfloat16
    assert found[2].dtype == torch.float32
    assert_near(found, expected, relative=2e-2)
