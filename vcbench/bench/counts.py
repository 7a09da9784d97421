"""What a network consists of, as numbers without noise: parameters, MACs, PyTorch's operators."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vcbench.bench import clone
from vcbench.discovery import Kind
from vcbench.inspection import count_macs
from vcbench.plugins import Registry
from vcbench.training.cell import ComponentSpec
from vcbench.training.models import build_module, count_parameters

N_MCEP = 24
FRAMES = 128


@dataclass(frozen=True)
class Counts:
    """Of one full-size network and one call on (1, 24, 128). `operators` are those that PyTorch
    dispatches, below autograd; their number depends on PyTorch's version."""

    parameters: int
    macs: int
    operators: int


def torch_version() -> str:
    """Major and minor: `2.13`."""
    return ".".join(torch.__version__.split(".")[:2])


def count(registry: Registry, kind: Kind, name: str) -> Counts:
    """Those of a registered network with default options; its weights get no memory."""
    return count_of(lambda: build_module(registry, kind, ComponentSpec(name), n_mcep=24, scale=1.0))


def count_of(build: Callable[[], nn.Module]) -> Counts:
    """Those of what `build()` returns."""
    with torch.device("meta"), torch.no_grad():
        network, inputs = build().eval(), torch.zeros(1, N_MCEP, FRAMES)
        with _Operators() as operators:
            network(inputs)
        return Counts(count_parameters(network), count_macs(network, inputs), operators.count)


def recorded() -> dict[str, Any]:
    """`counts.json`, which `freeze.py` wrote: `sha256` of the frozen sources, and under `generator`
    and `discriminator`, by name, parameters, macs, and operators by PyTorch's version.

    Raises `UsageError` outside a clone."""
    return dict(json.loads(clone.path("counts.json").read_text(encoding="utf-8")))


def differences(recorded: Mapping[str, Any], found: Counts) -> list[str]:
    """What is not as recorded, in words; an operator count only where PyTorch's version has one."""
    expected = {
        "parameters": recorded["parameters"],
        "macs": recorded["macs"],
        "operators": recorded["operators"].get(torch_version(), found.operators),
    }
    return [
        f"{what} were {was:,} and are {getattr(found, what):,}"
        for what, was in expected.items()
        if was != getattr(found, what)
    ]


class _Operators(TorchDispatchMode):
    """Counts what is dispatched inside."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))
