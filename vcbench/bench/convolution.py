"""Where a matrix product convolves faster than PyTorch does: `vcbench bench convolution`.

The shapes are those of the full-size systems, padded, with batch 1 and 2; forward and backward, one
thread. `architectures.convolution` has its limits from here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from architectures import convolution
from vcbench.bench.paired import compare
from vcbench.training.models import isolated_rng

# (inputs, sizes, outputs, kernel, stride), from few positions to many.
SHAPES = (
    (512, (34,), 2048, (3,), (1,)),  # the 1D generator's residual blocks
    (1024, (34,), 512, (3,), (1,)),
    (512, (11, 17), 2048, (6, 3), (1, 2)),  # the 2D discriminator's last layer
    (512, (68,), 1024, (5,), (1,)),  # upsampling
    (256, (13, 33), 1024, (3, 3), (2, 2)),
    (256, (142,), 24, (15,), (1,)),  # the generator's last layer
    (128, (25, 65), 512, (3, 3), (2, 2)),
    (64, (26, 130), 64, (3, 3), (1, 1)),  # a 2D generator
)


def measure() -> list[dict[str, Any]]:
    """One row per shape: how many times as fast the matrix product is."""
    rows = []
    for inputs, sizes, outputs, kernel, stride in SHAPES:
        for batch in (1, 2):
            with isolated_rng("bench", "convolution"):
                x = torch.randn(batch, inputs, *sizes, requires_grad=True)
                weight = torch.randn(outputs, inputs, *kernel, requires_grad=True)
                bias = torch.randn(outputs, requires_grad=True)
            positions = batch
            for n, k, s in zip(sizes, kernel, stride, strict=True):
                positions *= (n - k) // s + 1
            chosen = convolution.pays(x, weight, stride)

            call = (x, weight, bias), stride
            found = compare(
                partial(_forward_and_backward, convolution.plain, *call),
                partial(_forward_and_backward, convolution.product, *call),
            )
            shape = f"{batch} x {inputs} x {'x'.join(map(str, sizes))}"
            what = f"{shape} -> {outputs}, kernel {'x'.join(map(str, kernel))}"
            low, high = found.ci95
            unit = f"times as fast, {low:.2f} to {high:.2f}; {positions} positions, "
            unit += "used" if chosen else "not used"
            rows.append({"metric": what, "value": found.ratio, "unit": unit})
    return rows


def _forward_and_backward(
    function: Callable[..., Tensor], leaves: tuple[Tensor, ...], stride: tuple[int, ...]
) -> None:
    y = function(*leaves, stride)
    torch.autograd.grad(y, leaves, torch.ones_like(y))
