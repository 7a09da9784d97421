"""Building a system's networks from its plugins, with weights that a seed decides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from vcbench.errors import DataError, PluginError
from vcbench.plugins import Kind, Objective, Plugin, Registry
from vcbench.training.cell import Cell, ComponentSpec

if TYPE_CHECKING:
    from vcbench.training.checkpoint import Checkpoint


@contextmanager
def isolated_rng(*identity: object) -> Iterator[None]:
    """Inside, PyTorch's global generator is seeded by `identity`; outside, nothing has changed."""
    digest = hashlib.sha256("/".join(map(str, identity)).encode()).digest()
    with torch.random.fork_rng():
        torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        yield


class Networks(nn.Module):
    """The networks of a CycleGAN: two generators and the discriminators of their outputs.

    `source_to_target` makes target speech, which `discriminator_target` judges; and the reverse.
    The second discriminators, where a recipe has them (`adversarial_steps: 2`), judge speech of
    their speaker that has gone through both generators (CycleGAN-VC2, arXiv:1904.04631).
    """

    def __init__(
        self,
        source_to_target: nn.Module,
        target_to_source: nn.Module,
        discriminator_source: nn.Module,
        discriminator_target: nn.Module,
        second_discriminator_source: nn.Module | None = None,
        second_discriminator_target: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.source_to_target = source_to_target
        self.target_to_source = target_to_source
        self.discriminator_source = discriminator_source
        self.discriminator_target = discriminator_target
        self.second_discriminator_source = second_discriminator_source
        self.second_discriminator_target = second_discriminator_target

    def generators(self) -> list[nn.Parameter]:
        """Parameters of both generators."""
        return [*self.source_to_target.parameters(), *self.target_to_source.parameters()]

    def discriminators(self) -> list[nn.Parameter]:
        """Parameters of all discriminators."""
        judges = (
            self.discriminator_source,
            self.discriminator_target,
            self.second_discriminator_source,
            self.second_discriminator_target,
        )
        return [p for judge in judges if judge is not None for p in judge.parameters()]


def build_module(
    registry: Registry,
    kind: Kind,
    spec: ComponentSpec,
    *,
    n_mcep: int,
    scale: float,
    segment_frames: int = 128,
) -> nn.Module:
    """One generator or discriminator; raises `PluginError` with the plugin's reason if it fails."""
    plugin = registry.get(kind, spec.name)
    offered = {"n_mcep": n_mcep, "scale": scale, "segment_frames": segment_frames}
    return _built(plugin, offered, spec.options, nn.Module, "torch.nn.Module")


def build_networks(cell: Cell, registry: Registry) -> Networks:
    """All networks; pair, seed and role decide the weights, not what the system is called.

    Two systems with the same discriminator therefore begin with the same weights in it.
    """

    def build(kind: Kind, spec: ComponentSpec, role: str) -> nn.Module:
        with isolated_rng("weights", cell.pair, cell.seed, role):
            return build_module(
                registry,
                kind,
                spec,
                n_mcep=cell.n_mcep,
                scale=cell.scale,
                segment_frames=cell.recipe.segment_frames,
            )

    judges = ["discriminator_source", "discriminator_target"]
    if cell.recipe.adversarial_steps == 2:
        judges += ["second_discriminator_source", "second_discriminator_target"]
    return Networks(
        source_to_target=build("generator", cell.generator, "source_to_target"),
        target_to_source=build("generator", cell.generator, "target_to_source"),
        **{role: build("discriminator", cell.discriminator, role) for role in judges},
    )


def conversion_networks(checkpoint: Checkpoint, registry: Registry) -> Networks:
    """The networks of a checkpoint, with the generators that convert: the recipe's
    `conversion_weights`, which of a training that is not at its end are those so far.

    Raises `DataError` if the checkpoint's weights do not fit the plugins that it names.
    """
    cell, training = checkpoint.cell, checkpoint.training
    networks = build_networks(cell, registry)
    try:
        # What a stranger's file holds may be no mapping at all.
        networks.load_state_dict({**training["networks"], **training["conversion"]["weights"]})
    except (RuntimeError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{cell.id}: the checkpoint's weights do not fit generator '{cell.generator.name}' and "
            f"discriminator '{cell.discriminator.name}' as their source is now; train it again"
        ) from None
    return networks


def build_objective(cell: Cell, registry: Registry, networks: Networks) -> Objective:
    """The objective, told whether the discriminators' scores are probabilities."""
    plugin = registry.get("objective", cell.objective.name)
    offered = {"sigmoid": bool(getattr(networks.discriminator_target, "sigmoid", False))}
    options = cell.objective.options
    return _built(plugin, offered, options, Objective, "vcbench.plugins.Objective")


T = TypeVar("T")


def _built(
    plugin: Plugin,
    offered: Mapping[str, Any],
    options: Mapping[str, Any],
    wanted: type[T],
    name: str,
) -> T:
    """What the plugin returns; raises `PluginError` if it fails or that is no `wanted`."""
    label = f"{plugin.kind} '{plugin.name}' ({plugin.origin})"
    given = plugin.asked(offered)
    try:
        built = plugin.factory(**given, **options)
    except Exception as error:
        values = ", ".join(f"{key}={value}" for key, value in given.items())
        raise PluginError(
            f"{label} cannot be built with {values}, options {dict(options)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(built, wanted):
        raise PluginError(f"{label} must return a {name}, not {type(built).__name__}")
    return built


def count_parameters(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
