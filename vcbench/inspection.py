"""What a network consists of: a layer table with shapes, parameters and multiply-accumulates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vcbench.training.models import count_parameters

# What may follow a layer in its row, in this order alone, as in the papers' "Conv-PS-IN-GLU".
FOLLOWERS = ("shuffle", "norm", "activation")


@dataclass
class Layer:
    """A leaf module and the pixel shuffle, norm and activation that directly follow it.

    name, op, kernel, stride, channels: the first module's. output: the shape behind the last of
    them. parameters, macs: of all of them, in one call.
    """

    name: str
    op: str
    kernel: str
    stride: str
    channels: str
    shuffle: str
    norm: str
    activation: str
    output: str
    parameters: int
    macs: int

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)


@dataclass(frozen=True)
class Inspection:
    """A network's layers and totals; `macs` are those of one input."""

    parameters: int
    macs: int
    layers: list[Layer]


def inspect_network(
    build: Callable[[], nn.Module], *, n_mcep: int, frames: int, layers: bool = True
) -> Inspection:
    """What `build()` returns, as it works on one (1, n_mcep, frames); `layers`: list them too.

    The network is made without memory for its weights where that works, which is quick at any
    width. Raises what `build` and the network raise.
    """

    def look() -> Inspection:
        network, inputs = build().eval(), torch.zeros(1, n_mcep, frames)
        rows = layer_table(network, inputs) if layers else []
        return Inspection(count_parameters(network), count_macs(network, inputs), rows)

    try:
        with torch.device("meta"):
            return look()
    except Exception:  # a plugin may look at values, which the meta device does not have
        return look()


def layer_table(network: nn.Module, inputs: Tensor) -> list[Layer]:
    """Leaf modules in the order of their calls, `FOLLOWERS` in the row of what they follow.

    inputs: (batch, n_mcep, frames). A module that is called twice appears twice, its parameters
    counted at the first call alone. What a network does outside of modules has no row; `count_macs`
    counts it all the same.
    """
    rows: list[Layer] = []
    seen: set[nn.Module] = set()
    names = {module: name for name, module in network.named_modules()}
    last: dict[int, tuple[Tensor, Layer]] = {}  # by the id of the tensor that a row ends with

    def record(module: nn.Module, received: tuple[Any, ...], output: Any) -> None:
        while isinstance(output, tuple | list):  # recurrent layers return their state as well
            output = output[0]
        parameters = 0 if module in seen else count_parameters(module)
        seen.add(module)
        role = _role(module)
        ended = last.get(id(received[0])) if received else None
        if ended and role and not _holds(ended[1], role):
            row = ended[1]
            del last[id(received[0])]
            setattr(row, role, _follower(module))
            row.output = _joined(output.shape[1:])
            row.parameters += parameters
        else:
            row = Layer(
                name=names[module],
                op=_op(module),
                kernel=_joined(getattr(module, "kernel_size", "")),
                stride=_joined(getattr(module, "stride", "")),
                channels=_channels(module),
                shuffle="",
                norm="",
                activation="",
                output=_joined(output.shape[1:]),
                parameters=parameters,
                macs=_macs(module, received, output),
            )
            rows.append(row)
        last[id(output)] = output, row  # which keeps the tensor, and its id with it

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
    with FlopCounterMode(display=False, custom_mapping=known_flops()) as counter, torch.no_grad():
        network(inputs)
    return int(counter.get_total_flops()) // 2


def _linear_flops(x: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    """Operations of (rows, inputs) times (outputs, inputs), two for each multiplication."""
    return 2 * x[0] * x[1] * weight[0]


def known_flops() -> dict[Any, Callable[..., int]]:
    """What PyTorch's counter does not know: the product of `architectures.convolution`."""
    product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return {} if product is None else {product: _linear_flops}


def _of_torch(module: nn.Module) -> type | None:
    """The class of PyTorch that a layer is, under whatever name a plugin derived from it."""
    bases = (base for base in type(module).__mro__ if base is not nn.Module)
    return next((b for b in bases if b.__module__.startswith("torch.nn.modules")), None)


def _op(module: nn.Module) -> str:
    return (_of_torch(module) or type(module)).__name__


def _follower(module: nn.Module) -> str:
    """How a column names a module: an instance norm as papers do, and whether it scales and shifts;
    the layer tells in how many dimensions all of this is."""
    if isinstance(module, nn.InstanceNorm1d | nn.InstanceNorm2d):
        return "IN affine" if module.affine else "IN"
    return _op(module).removesuffix("1d").removesuffix("2d")


def _role(module: nn.Module) -> str:
    """Which of `FOLLOWERS` a module is, or an empty string; a plugin's own is told by its name."""
    name, known = _op(module).lower(), _of_torch(module)
    if "shuffle" in name:
        return "shuffle"
    if "norm" in name:
        return "norm"
    from_torch = known is not None and known.__module__ == "torch.nn.modules.activation"
    return "activation" if (from_torch and "attention" not in name) or name.endswith("lu") else ""


def _holds(row: Layer, role: str) -> bool:
    """Whether a row has this follower already, or one that stands behind it."""
    return any(getattr(row, name) for name in FOLLOWERS[FOLLOWERS.index(role) :])


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
