"""The least time that a training step can take: its operations and bytes over measured ceilings.

Operations are those of convolutions and matrix products, as PyTorch's counter sees them in a step
of the engine. Bytes are those that Adam cannot avoid: it reads each weight, its gradient and two
moments, and writes all but the gradient. The ceilings are what the same device does in the same
process with one large matrix product and one large copy. Norms, gates, losses and launches are not
in the floor, so no step reaches it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from architectures import convolution
from vcbench.inspection import known_flops
from vcbench.training.precision import autocast, float32_products
from vcbench.training.schedule import loss_weights
from vcbench.training.step import CycleGan

SIZE = 2048  # rows and columns of the matrices of the product
COPIED = 2**26  # values of the copy: 256 MiB read, 256 MiB written
REPEATS = 7
ADAM_BYTES = 7 * 4  # per weight, in float32


@dataclass(frozen=True)
class Floor:
    """operations: floating-point, of one step. bytes: of Adam. Ceilings per second."""

    operations: int
    bytes: int
    operations_per_second: float
    bytes_per_second: float

    @property
    def seconds(self) -> float:
        """Products first, then Adam: neither can begin before the other has ended."""
        return self.operations / self.operations_per_second + self.bytes / self.bytes_per_second


def measure(gan: CycleGan, source: Tensor, target: Tensor, iteration: int) -> Floor:
    """The floor of a step without masks on these crops, which updates `gan` once."""
    with FlopCounterMode(display=False, custom_mapping=known_flops()) as counter:
        # Not `step`, which may play back a recording that the counter does not see.
        gan.update_all((loss_weights(iteration, gan.recipe), 0), source, target)
    weights = sum(p.numel() for p in gan.networks.parameters() if p.requires_grad)
    device = source.device
    a = torch.randn(SIZE, SIZE, device=device)
    with autocast(gan.cell.device, gan.recipe), float32_products(gan.recipe):
        # The same product that the networks' convolutions are computed with.
        product = convolution.product if device.type == "cpu" else None
        if product is not None:
            weight, x = a[:, :, None], a[None]
            if gan.recipe.precision == "bf16":
                weight, x = weight.bfloat16(), x.bfloat16()
            seconds = _fastest(lambda: product(x, weight, None, (1,)), device)
        else:
            seconds = _fastest(lambda: a @ a, device)
    kept, copied = torch.empty(COPIED, device=device), torch.zeros(COPIED, device=device)
    return Floor(
        operations=int(counter.get_total_flops()),
        bytes=ADAM_BYTES * weights,
        operations_per_second=2 * SIZE**3 / seconds,
        bytes_per_second=8 * COPIED / _fastest(lambda: kept.copy_(copied), device),
    )


def _fastest(function: Callable[[], object], device: torch.device) -> float:
    # As the steps are timed: see `paired`.
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter

    def once() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begin = clock()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - begin

    once()
    return min(once() for _ in range(REPEATS))
