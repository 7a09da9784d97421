"""What a network consists of: a layer table with shapes, parameters and multiply-accumulates."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vcbench.training.models import count_parameters


@dataclass(frozen=True)
class Layer:
    """One leaf module: `output` is its output's shape, `macs` those of one call."""

    name: str
    op: str
    kernel: str
    stride: str
    channels: str
    output: str
    parameters: int
    macs: int

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)


def layer_table(network: nn.Module, inputs: Tensor) -> list[Layer]:
    """Leaf modules in the order of their calls. `inputs`: (batch, n_mcep, frames).

    A module that is called twice appears twice, its parameters counted at the first call alone.
    What a network does outside of modules has no row; `count_macs` counts it all the same.
    """
    rows: list[Layer] = []
    seen: set[nn.Module] = set()
    names = {module: name for name, module in network.named_modules()}

    def record(module: nn.Module, received: tuple[Any, ...], output: Any) -> None:
        while isinstance(output, tuple | list):  # recurrent layers return their state as well
            output = output[0]
        parameters = 0 if module in seen else count_parameters(module)
        seen.add(module)
        rows.append(
            Layer(
                name=names[module],
                op=_op(module),
                kernel=_joined(getattr(module, "kernel_size", "")),
                stride=_joined(getattr(module, "stride", "")),
                channels=_channels(module),
                output=_joined(output.shape[1:]),
                parameters=parameters,
                macs=_macs(module, received, output),
            )
        )

    leaves = [m for m in network.modules() if not list(m.children())]
    hooks = [m.register_forward_hook(record) for m in leaves if not isinstance(m, nn.Identity)]
    try:
        with torch.inference_mode():
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return rows


def count_macs(network: nn.Module, inputs: Tensor) -> int:
    """Multiply-accumulates of one forward pass: convolutions and matrix products, as PyTorch's
    own counter sees them (it counts two operations for each)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(inputs)
    return int(counter.get_total_flops()) // 2


def _op(module: nn.Module) -> str:
    """The class of PyTorch that a layer is, under whatever name a plugin derived from it."""
    for base in type(module).__mro__:
        if base is not nn.Module and base.__module__.startswith("torch.nn.modules"):
            return base.__name__
    return type(module).__name__


def _joined(values: Any) -> str:
    return "x".join(map(str, values)) if isinstance(values, tuple) else str(values)


def _channels(module: nn.Module) -> str:
    if hasattr(module, "in_channels"):
        return f"{module.in_channels}->{module.out_channels}"
    return str(getattr(module, "num_features", ""))


def _macs(module: nn.Module, received: tuple[Any, ...], output: Tensor) -> int:
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
        outputs = module.weight.shape[0]
        return output.numel() // outputs * module.weight.numel()
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d):
        inputs = module.weight.shape[0]
        return received[0].numel() // inputs * module.weight.numel()
    return 0
