"""Adversarial objectives: what discriminators and generators minimise.

Conventions: a discriminator raises the scores of real speech and lowers those of fakes; every loss
is a mean over the batch and all patches; a discriminator's loss is the mean of its real and its
fake half.

A combination with a discriminator that cannot work is refused with a `ValueError` that says why;
one that works badly (least squares behind a sigmoid) is allowed, since a suite may measure that.
"""

from __future__ import annotations

from math import log
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vcbench.plugins import Objective, register_objective


@register_objective("bce", paper="Goodfellow et al., 2014, arXiv:1406.2661")
def bce(*, sigmoid: bool, scores: Literal["auto", "logits", "probabilities"] = "auto") -> Objective:
    """Binary cross-entropy, non-saturating for the generator; on probabilities or on logits.

    `scores`: what the loss takes scores for; auto: what the discriminator says that they are.
    Raises `ValueError` where they are something else.
    """
    if scores == "logits" and sigmoid:
        raise ValueError(
            "scores=logits does not fit a discriminator with a sigmoid: this loss applies a "
            "sigmoid itself, and that of a value in 0..1 lies in 0.5..0.73, so no fake could be "
            "called one; use scores=probabilities (or auto), or a discriminator with sigmoid=false"
        )
    if scores == "probabilities" and not sigmoid:
        raise ValueError(
            "scores=probabilities does not fit a discriminator without a sigmoid: its scores may "
            "lie outside 0..1, where this loss has no value; use scores=logits (or auto), or a "
            "discriminator with sigmoid=true"
        )
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

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def generator(fake: Tensor) -> Tensor:
        return (fake - 1).square().mean()

    # The same formula either way: that it works badly behind a sigmoid is what one may measure.
    return Objective(
        discriminator, generator, chance_loss=0.25, generator_bound=1.0 if sigmoid else None
    )


@register_objective("hinge", paper="Lim and Ye, 2017, arXiv:1705.02894")
def hinge(*, sigmoid: bool) -> Objective:
    """Hinge loss: real scores above 1 and fake ones below -1 are good enough.

    As in Miyato et al., 2018, arXiv:1802.05957, but for this file's mean of the two halves. The
    generator's loss is minus the mean score: it has no bounds, and its value alone tells nothing.
    Raises `ValueError` behind a sigmoid.
    """
    if sigmoid:
        raise ValueError(
            "hinge does not fit a discriminator with a sigmoid: it asks for real scores of 1 and "
            "more and fake ones of -1 and less, and probabilities end at 1 and 0; use a "
            "discriminator with sigmoid=false, or objective bce or lsgan"
        )

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2

    def generator(fake: Tensor) -> Tensor:
        return -fake.mean()

    return Objective(discriminator, generator, chance_loss=1.0)  # scores of 0
