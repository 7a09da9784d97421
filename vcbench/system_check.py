"""A dry run of a system, before hours go into its neighbours: can its networks be trained at all?

Not part of training, so that rewording what it says trains nothing again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vcbench.errors import PluginError
from vcbench.plugins import Kind, Registry
from vcbench.training.cell import Cell
from vcbench.training.models import build_networks, build_objective, isolated_rng


def check_system(cell: Cell, registry: Registry) -> None:
    """Build the cell's networks and run them once; raises `PluginError` if they cannot be trained.

    A generator must return the shape it is given, also for lengths that no stride divides, and
    where the recipe hides frames from it, with a mask too.
    """
    networks = build_networks(cell, registry).eval()
    build_objective(cell, registry, networks)
    generator = networks.source_to_target
    segment = cell.recipe.segment_frames
    calls = [[torch.zeros(1, cell.n_mcep, frames)] for frames in (segment, 1, 129)]
    if cell.recipe.mask_frames:
        _refuse_unmasked(cell, registry, generator)
        calls.append([torch.zeros(1, cell.n_mcep, segment), torch.ones(1, 1, segment)])
    for given in calls:
        shape = tuple(given[0].shape)
        found = _run(registry, "generator", cell.generator.name, generator, *given)
        if tuple(found.shape) != shape:
            plugin = registry.get("generator", cell.generator.name)
            raise PluginError(
                f"generator '{plugin.name}' ({plugin.origin}) turned {shape} (batch, n_mcep, "
                f"frames) into {tuple(found.shape)}; it must return the shape that it is given"
            )
    crop = torch.zeros(1, cell.n_mcep, segment)
    judge = networks.discriminator_target
    _run(registry, "discriminator", cell.discriminator.name, judge, crop)


def _refuse_unmasked(cell: Cell, registry: Registry, generator: nn.Module) -> None:
    if not getattr(generator, "takes_mask", False):
        plugin = registry.get("generator", cell.generator.name)
        raise PluginError(
            f"generator '{plugin.name}' ({plugin.origin}) takes no mask, but training.mask_frames "
            f"is {cell.recipe.mask_frames}: set mask_frames to 0, or use a generator that fills in "
            "frames (one whose attribute takes_mask is true)"
        )


def _run(
    registry: Registry, kind: Kind, name: str, network: nn.Module, mcep: Tensor, *mask: Tensor
) -> Tensor:
    try:
        with isolated_rng("check"), torch.inference_mode():
            found = network(mcep, *mask)
    except Exception as error:
        plugin = registry.get(kind, name)
        masked = f" with a mask {tuple(mask[0].shape)}" if mask else ""
        raise PluginError(
            f"{kind} '{name}' ({plugin.origin}) cannot take {tuple(mcep.shape)} (batch, n_mcep, "
            f"frames){masked}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, Tensor):
        plugin = registry.get(kind, name)
        raise PluginError(
            f"{kind} '{name}' ({plugin.origin}) must return a tensor, not {type(found).__name__}"
        )
    return found
