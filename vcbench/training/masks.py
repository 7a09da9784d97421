"""Filling in frames: hidden runs of frames (MaskCycleGAN-VC, arXiv:2102.12841)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vcbench.training.cell import Cell
from vcbench.training.streams import random_stream


class Masks(NamedTuple):
    """What the first generator of each cycle may see: each (batch, 1, frames), 1 or 0 (hidden).

    None: all of it, and the generator is called without a mask.
    """

    source: Tensor | None
    target: Tensor | None


NO_MASKS = Masks(None, None)


def draw_masks(cell: Cell, iteration: int, batch: Tensor) -> Masks:
    """Masks of one iteration for crops of the shape of `batch` (batch, n_mcep, frames).

    One run of frames is hidden in each crop, its length uniform in 0 to `mask_frames` and its start
    uniform where it fits; a function of (pair, seed, iteration). Crops of both speakers are masked,
    since both directions are scored.
    """
    longest = cell.recipe.mask_frames
    if not longest:
        return NO_MASKS
    rng = random_stream("masks", cell.pair, cell.seed, iteration)
    crops, _, frames = batch.shape
    length = rng.integers(0, longest, size=(2, crops, 1, 1), endpoint=True)
    start = rng.integers(0, frames - length, endpoint=True)
    place = np.arange(frames)
    seen = torch.from_numpy((place < start) | (place >= start + length)).to(batch.dtype)
    if batch.is_cuda:
        seen = seen.pin_memory().to(batch.device, non_blocking=True)
    return Masks(seen[0], seen[1])


def through(generator: nn.Module, mcep: Tensor, mask: Tensor | None) -> Tensor:
    """What `generator` makes of mel-cepstra (batch, n_mcep, frames) that the mask hides part of.

    Hidden frames are zero, the mean of normalised speech: no generator can look at them.
    """
    converted: Tensor = generator(mcep) if mask is None else generator(mcep * mask, mask)
    return converted


def with_all_seen(mask: Tensor | None) -> Tensor | None:
    """The mask of a batch whose first half `mask` is for and whose second half hides nothing."""
    return None if mask is None else torch.cat([mask, torch.ones_like(mask)])
