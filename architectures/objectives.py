"""Adversarial objectives: what discriminators and generators minimise.

Conventions: real scores belong to 1, fake ones to 0; every loss is a mean over the batch and all
patches; a discriminator's loss is the mean of its real and its fake half.
"""

from __future__ import annotations

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

from vcbench.plugins import Objective, register_objective


@register_objective("bce", paper="Goodfellow et al., 2014, arXiv:1406.2661")
def bce(*, sigmoid: bool) -> Objective:
    """Binary cross-entropy, non-saturating for the generator; on probabilities or on logits."""
    # Both are numerically safe: PyTorch bounds the logarithm of a probability at -100.
    loss = F.binary_cross_entropy if sigmoid else F.binary_cross_entropy_with_logits

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        return (loss(real, torch.ones_like(real)) + loss(fake, torch.zeros_like(fake))) / 2

    def generator(fake: Tensor) -> Tensor:
        return loss(fake, torch.ones_like(fake))

    return Objective(discriminator, generator, chance_loss=log(2.0))


@register_objective("lsgan", paper="Mao et al., 2017, arXiv:1611.04076")
def lsgan(*, sigmoid: bool) -> Objective:
    """Least squares; behind a sigmoid its gradient vanishes once the discriminator is sure."""
    del sigmoid  # the same formula either way: that it then works badly is what one may measure

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def generator(fake: Tensor) -> Tensor:
        return (fake - 1).square().mean()

    return Objective(discriminator, generator, chance_loss=0.25)
