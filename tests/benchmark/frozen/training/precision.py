"""The precision that a recipe trains in: `float32`, `tf32` (GPUs) or `bf16`.

In `bf16`, networks compute in bfloat16 where PyTorch's autocast does so, that is convolutions and
matrix products; weights, losses, gradients of weights and Adam stay float32. `tf32` rounds the
factors of the same operations to 10 bits of mantissa on a GPU, and is float32 elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from vcbench.training.cell import Recipe


def autocast(device: str, recipe: Recipe) -> AbstractContextManager[object]:
    """The scope in which networks are called."""
    if recipe.precision != "bf16":
        return nullcontext()
    # Without the cache of converted weights: what it holds would outlive a CUDA graph's capture.
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, cache_enabled=False)


@contextmanager
def float32_products(recipe: Recipe) -> Iterator[None]:
    """Inside, products of float32 are what `recipe` says, and not what PyTorch's defaults are,
    which round those of cuDNN; outside, nothing has changed."""
    cuda = torch.backends.cuda.matmul
    before = cuda.allow_tf32, torch.backends.cudnn.allow_tf32
    cuda.allow_tf32 = torch.backends.cudnn.allow_tf32 = recipe.precision == "tf32"
    try:
        yield
    finally:
        cuda.allow_tf32, torch.backends.cudnn.allow_tf32 = before
