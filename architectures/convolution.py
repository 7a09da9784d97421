"""Convolution as one matrix product, for small inputs and large weights on a CPU.

A CycleGAN-VC network convolves a few dozen frames with millions of weights. There the convolution
of PyTorch's CPU build spends its time on bringing the weights into its own order, forward and
backward, once for every call. Here the windows of the input, which are few, are written out
(im2col: Chellapilla et al., 2006, "High Performance Convolutional Neural Networks for Document
Processing"), and the weights stay as they are. `vcbench bench train` measures what it brings.

The result is that of `torch.nn.functional.conv1d` and `conv2d` but for the order of additions.
Everywhere else than on a CPU in float32 or bfloat16 these are what is called.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Writing out the windows costs the more, the more there are; they are used as often as there are
# outputs. `vcbench bench convolution` measures where that pays.
MAXIMUM_POSITIONS = 256  # of all of a batch
MINIMUM_OUTPUTS = 64


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: Sequence[int]) -> Tensor:
    """Cross-correlation without padding, one or two spatial dimensions.

    x: (batch, inputs, *sizes); weight: (outputs, inputs, *kernel); bias: (outputs,). Returns
    (batch, outputs, *positions). Under autocast it computes in autocast's type, as PyTorch's does.
    """
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
        bias = bias if bias is None else bias.to(dtype)
    return (product if pays(x, weight, stride) else plain)(x, weight, bias, stride)


def product(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int]) -> Tensor:
    """`convolve` as a matrix product, whether it pays or not."""
    y: Tensor = _Convolution.apply(x, weight, bias, tuple(stride))
    return y


def plain(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int]) -> Tensor:
    """`convolve` by PyTorch."""
    convolution = F.conv1d if weight.ndim == 3 else F.conv2d
    return convolution(x, weight, bias, stride=tuple(stride))


def pays(x: Tensor, weight: Tensor, stride: Sequence[int]) -> bool:
    """Whether `convolve` takes the matrix product."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and len(weight) >= MINIMUM_OUTPUTS
        and len(x) * math.prod(_positions(x, weight.shape[2:], stride)) <= MAXIMUM_POSITIONS
    )


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...]
    ) -> Tensor:
        columns, positions = _columns(x, weight, stride)
        y = _product(weight.flatten(1), columns)  # (O, B * positions)
        if bias is not None:
            y += bias[:, None]
        ctx.save_for_backward(x, weight, bias)
        ctx.stride = stride
        return y.view(len(weight), len(x), *positions).transpose(0, 1).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        for_x, for_weight, for_bias, _ = wanted = ctx.needs_input_grad
        if torch.is_grad_enabled():
            # Someone differentiates the gradient itself (a penalty on it, say): PyTorch can.
            inputs = [t for t, w in zip((x, weight, bias), wanted, strict=False) if w]
            y = plain(x, weight, bias, ctx.stride)
            found = iter(torch.autograd.grad(y, inputs, gradients[0], create_graph=True))
            return *(next(found) if w else None for w in wanted[:3]), None
        of_y = gradients[0].transpose(0, 1).flatten(1)  # (O, B * positions)
        of_x = of_weight = of_bias = None
        if for_weight:
            columns, _ = _columns(x, weight, ctx.stride)
            of_weight = _product(of_y, columns.t()).view_as(weight)
        if for_bias:
            of_bias = of_y.sum(1)
        if for_x:
            # Four times faster than the transposed weights as the left factor.
            of_columns = _product(of_y.t(), weight.flatten(1))  # (B * positions, I * kernel)
            of_x = _summed(of_columns.t().contiguous(), x, weight, ctx.stride)
        return of_x, of_weight, of_bias, None


def _columns(x: Tensor, weight: Tensor, stride: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """The windows that the kernel sees, (inputs * kernel, batch * positions), and how many."""
    kernel = tuple(weight.shape[2:])
    positions = _positions(x, kernel, stride)
    if math.prod(kernel) == 1 and math.prod(stride) == 1:
        return x.transpose(0, 1).flatten(1), positions
    columns = x.new_empty(x.shape[1], *kernel, len(x), *positions)
    for at, window in _windows(x.transpose(0, 1), kernel, stride, positions):
        columns[at] = window
    return columns.view(x.shape[1] * math.prod(kernel), -1), positions


def _summed(of_columns: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Gradient of `x` from that of its columns: what each value has got at all its places."""
    kernel = tuple(weight.shape[2:])
    positions = _positions(x, kernel, stride)
    of_columns = of_columns.view(x.shape[1], *kernel, len(x), *positions)
    of_x = torch.zeros_like(x, memory_format=torch.contiguous_format)
    for at, window in _windows(of_x.transpose(0, 1), kernel, stride, positions):
        window += of_columns[at]
    return of_x


def _windows(
    x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], positions: tuple[int, ...]
) -> Iterator[tuple[Any, Tensor]]:
    """For each place in the kernel: where it stands in the columns of (inputs, *kernel, ...), and
    what lies under it at all positions, a view of `x`."""
    for at in itertools.product(*map(range, kernel)):
        steps = zip(at, stride, positions, strict=True)
        under: Any = (..., *(slice(k, k + s * (n - 1) + 1, s) for k, s, n in steps))
        yield (slice(None), *at), x[under]


def _positions(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    return tuple((n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, stride, strict=True))


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b. In float32 by oneDNN, which knows more processors than the MKL behind `torch.mm`."""
    # None of PyTorch's public functions leads to it in float32. Not every build has it.
    product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if a.dtype == torch.float32 and product is not None:
        return product(a, b.t(), None, "none", [], "")
    return a @ b
