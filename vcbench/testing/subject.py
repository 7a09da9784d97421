"""The plugin under test: building it, feeding it, and saying what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from vcbench.errors import PluginError
from vcbench.plugins import Kind, Plugin, Registry
from vcbench.training.cell import ComponentSpec
from vcbench.training.models import build_module, isolated_rng

N_MCEP = 24
# The smallest that works is used: the contract is the same at any width, and this one is quick.
SCALES = (0.03, 0.125, 1.0)
SHAKE = 0.02


@dataclass
class Subject:
    """One generator or discriminator with the options that it is tested with."""

    registry: Registry
    kind: Kind
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    reseeded: bool = False  # whether building it seeded PyTorch

    @property
    def label(self) -> str:
        """Kind, name, options and where it is defined."""
        origin = self.registry.declaration(self.kind, self.name).origin
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{self.kind} '{self.name}' ({f'{options}; ' if options else ''}{origin})"

    @property
    def plugin(self) -> Plugin:
        """The imported plugin; raises `PluginError` if it cannot be used."""
        return self.registry.get(self.kind, self.name)

    @property
    def is_generator(self) -> bool:
        """Whether it is a generator, otherwise a discriminator."""
        return self.kind == "generator"

    @property
    def frames(self) -> int:
        """A length that every network of this kind must take."""
        return 64 if self.is_generator else 128

    @cached_property
    def scale(self) -> float:
        """The smallest of `SCALES` that it can be built with."""
        for scale in SCALES[:-1]:
            try:
                self.build(scale=scale)
                return scale
            except PluginError:
                pass
        return SCALES[-1]

    def build(
        self,
        *,
        seed: int = 0,
        n_mcep: int = N_MCEP,
        scale: float | None = None,
        segment_frames: int = 128,
    ) -> nn.Module:
        """A new network in training mode, its weights decided by the seed."""
        chosen = self.scale if scale is None else scale
        with isolated_rng("vcbench.testing", seed):
            before = torch.initial_seed()
            network = build_module(
                self.registry,
                self.kind,
                ComponentSpec(self.name, self.options),
                n_mcep=n_mcep,
                scale=chosen,
                segment_frames=segment_frames,
            )
            self.reseeded = torch.initial_seed() != before
        return network

    def shaken(self, *, seed: int = 0) -> nn.Module:
        """The same with a little noise on every parameter: layers that begin as zeros hide what
        stands before them."""
        network = self.build(seed=seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
                parameter.add_(SHAKE * noise.to(parameter.dtype))
        return network

    def mcep(
        self, batch: int = 1, *, frames: int | None = None, n_mcep: int = N_MCEP, seed: int = 0
    ) -> Tensor:
        """Normal noise, (batch, n_mcep, frames)."""
        shape = (batch, n_mcep, frames or self.frames)
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=torch.float32)


def require(condition: bool, message: str) -> None:
    """Raise `AssertionError`, also where Python runs without its `assert` statements."""
    if not condition:
        raise AssertionError(message)


def tensor(found: object) -> Tensor:
    """What a network returned, which must be one tensor."""
    if not isinstance(found, Tensor):
        raise AssertionError(f"it returned a {type(found).__name__}; return one torch.Tensor")
    return found


def require_equal(found: Tensor, expected: Tensor, message: str) -> None:
    """Equal up to rounding; the message is followed by how far apart they are."""
    found, expected = tensor(found), tensor(expected)
    require(
        found.shape == expected.shape,
        f"{message}: shapes {tuple(found.shape)} and {tuple(expected.shape)}",
    )
    equal = torch.allclose(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    if not equal:
        worst = float((found - expected).abs().max().detach())
        raise AssertionError(f"{message}: they differ by up to {worst:.3g}")
