"""Sizes: TensorFlow's "same" padding, frames up to a multiple, and widths at a scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def same_padding(x: Tensor, *, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Zero-pad the last dimensions as TensorFlow's padding="same" does before a convolution.

    `kernel` and `stride` hold one number per spatial dimension, in order. The output length of
    the convolution is ceil(length / stride); an odd total of padding has its extra zero at the
    end, so an even length with kernel 5 and stride 2 gets one zero before and two behind, where
    PyTorch's `padding=2` would shift everything by a frame.
    """
    amounts: list[int] = []
    for length, k, s in zip(x.shape[-len(kernel) :], kernel, stride, strict=True):
        total = max((-(-length // s) - 1) * s + k - length, 0)
        amounts = [total // 2, total - total // 2, *amounts]  # F.pad counts from the last dimension
    return F.pad(x, amounts) if any(amounts) else x


def repeat_edge(x: Tensor, *, multiple: Sequence[int], minimum: Sequence[int]) -> Tensor:
    """Repeat the last frame (and row) until each of the last dimensions is a multiple of its own.

    `multiple` and `minimum` hold one number per spatial dimension, in order. The minimum keeps
    instance normalisation defined, which needs two values to have a variance. Callers crop the
    output to the input's size.
    """
    amounts: list[int] = []
    for length, m, least in zip(x.shape[-len(multiple) :], multiple, minimum, strict=True):
        wanted = -(-max(length, least) // m) * m
        amounts = [0, wanted - length, *amounts]
    return F.pad(x, amounts, mode="replicate") if any(amounts) else x


def scaled(channels: int, scale: float, *, multiple: int = 2) -> int:
    """`channels * scale`, rounded to a positive multiple; `channels` itself at scale 1."""
    return max(multiple, round(channels * scale / multiple) * multiple)
