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
    loss = _on_probabilities if sigmoid else _on_logits

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        return (loss(real, are_real=True) + loss(fake, are_real=False)) / 2

    def generator(fake: Tensor) -> Tensor:
        return loss(fake, are_real=True)

    return Objective(discriminator, generator, chance_loss=log(2.0))


def _on_logits(scores: Tensor, *, are_real: bool) -> Tensor:
    """-log sigmoid(score) of real ones, -log(1 - sigmoid(score)) of fake ones, without overflow."""
    return F.softplus(-scores if are_real else scores).mean()


def _on_probabilities(scores: Tensor, *, are_real: bool) -> Tensor:
    """The same behind a sigmoid. A NaN passes through, to be named; PyTorch's own function would
    stop the process, and on a GPU ruin it."""
    likelihood = scores if are_real else 1 - scores
    return -likelihood.clamp(min=torch.finfo(scores.dtype).tiny).log().mean()


@register_objective("lsgan", paper="Mao et al., 2017, arXiv:1611.04076")
def lsgan(*, sigmoid: bool) -> Objective:
    """Least squares; behind a sigmoid its gradient vanishes once the discriminator is sure."""
    del sigmoid  # the same formula either way: that it then works badly is what one may measure

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def generator(fake: Tensor) -> Tensor:
        return (fake - 1).square().mean()

    return Objective(discriminator, generator, chance_loss=0.25)
