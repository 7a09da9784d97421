"""The layers of CycleGAN-VC written plainly, for tests to compare with.

They follow the TensorFlow reference step by step: two convolutions per gated layer, an instance
norm for each branch, explicit zeros for "same" padding, reshapes in its memory layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = Mapping[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)


def calls(network: nn.Module, x: Tensor) -> list[tuple[nn.Module, Tensor]]:
    """Modules without children in the order in which they run, each with its output."""
    found: list[tuple[nn.Module, Tensor]] = []
    for module in network.modules():
        if not list(module.children()) and not isinstance(module, nn.Identity):
            module.register_forward_hook(lambda m, _received, output: found.append((m, output)))
    network(x)
    return found


def randomized(network: Network, seed: int) -> Network:
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


def instance_norm(
    x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None, eps: float = 1e-6
) -> Tensor:
    dims = tuple(range(2, x.ndim))
    mean = x.mean(dims, keepdim=True)
    variance = (x - mean).square().mean(dims, keepdim=True)
    x = (x - mean) / (variance + eps).sqrt()
    if scale is None or shift is None:
        return x
    shape = (1, -1, *[1 for _ in dims])
    return x * scale.view(shape) + shift.view(shape)


def plain_conv(x: Tensor, weight: Tensor, bias: Tensor, s: int = 1) -> Tensor:
    """Odd kernels; with stride 2, an even number of frames."""
    kernel = weight.shape[-1]
    before, behind = (kernel // 2, kernel // 2) if s == 1 else ((kernel - 2) // 2, kernel // 2)
    if s == 2 and kernel == 1:
        before, behind = 0, 0
    return F.conv1d(F.pad(x, (before, behind)), weight, bias, stride=s)


def plain_shuffle(x: Tensor, order: str) -> Tensor:
    """By a factor of 2."""
    batch, channels, frames = x.shape
    if order == "tf":
        return x.transpose(1, 2).reshape(batch, 2 * frames, channels // 2).transpose(1, 2)
    if order == "torch":
        return torch.stack([x[:, 0::2], x[:, 1::2]], dim=-1).flatten(2)
    return torch.cat([x[:, 0::2], x[:, 1::2]], dim=-1)


def branch_channels(outputs: int, branch: int, *, up: bool, order: str) -> Tensor:
    """Which outputs of a convolution that holds both branches are those of value (0) or gate (1).

    In TensorFlow's order, where frame 2t + i of channel c comes from channel i * channels + c, the
    value branch has the first half of each of the two groups, the gate branch the second.
    """
    groups = 2 if up and order == "tf" else 1
    return torch.arange(outputs).reshape(groups, 2, -1)[:, branch].flatten()


def plain_gated(
    x: Tensor,
    state: State,
    name: str,
    *,
    s: int = 1,
    up: bool = False,
    order: str = "tf",
    norm: str = "instance-affine",
    eps: float = 1e-6,
    silu: bool = False,
) -> Tensor:
    """Two convolutions, each shuffled and normalised by itself; value times sigmoid of gate."""
    weight, bias = state[f"{name}.conv.weight"], state[f"{name}.conv.bias"]

    def branch(number: int, of: int) -> Tensor:
        chosen = torch.arange(len(weight))
        if of == 2:
            chosen = branch_channels(len(weight), number, up=up, order=order)
        y = plain_conv(x, weight[chosen], bias[chosen], s)
        y = plain_shuffle(y, order) if up else y
        if norm == "none":
            return y
        if norm == "instance":
            return instance_norm(y, eps=eps)
        scale, shift = state[f"{name}.norm.weight"], state[f"{name}.norm.bias"]
        return instance_norm(y, scale.chunk(of)[number], shift.chunk(of)[number], eps)

    if silu:
        y = branch(0, of=1)
        return y * torch.sigmoid(y)
    return branch(0, of=2) * torch.sigmoid(branch(1, of=2))
