"""One iteration of CycleGAN-VC as public PyTorch implementations write it; never to be optimised.

What the engine's step is compared with: its losses by the tests of training, its time by `vcbench
bench train`. Six generator calls; discriminators called apart for real and for fake speech; the
generators' total loss differentiated with respect to the discriminators too, and that thrown away;
an identity loss that is computed even where its weight is 0; `torch.optim.Adam` as it is by
default. The fakes are those of the generators' turn, as in the TensorFlow reference. Convolutions
are PyTorch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architectures.layers import SameConv1d, SameConv2d
from architectures.padding import same_padding
from vcbench.training.cell import Recipe
from vcbench.training.models import Networks

Loss = Callable[[Tensor, float], Tensor]


def squared_error(scores: Tensor, label: float) -> Tensor:
    return F.mse_loss(scores, torch.full_like(scores, label))


def cross_entropy(scores: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy(scores, torch.full_like(scores, label))


def cross_entropy_of_logits(scores: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))


# By an objective's name, and whether the discriminators end in a sigmoid.
LOSSES: dict[tuple[str, bool], Loss] = {
    ("bce", True): cross_entropy,
    ("bce", False): cross_entropy_of_logits,
    ("lsgan", True): squared_error,
    ("lsgan", False): squared_error,
}

# What of a recipe this step follows; all other keys must have their defaults.
RECIPE_KEYS = frozenset(
    {
        "iterations",
        "batch_size",
        "segment_frames",
        "learning_rate_generator",
        "learning_rate_discriminator",
        "decay_start",
        "adam_betas",
        "lambda_adversarial",
        "lambda_cycle",
        "lambda_identity",
        "identity_until",
    }
)


def with_pytorchs_convolutions(networks: nn.Module) -> None:
    """Have PyTorch compute the networks' convolutions, not `architectures.convolution`."""

    def padded(conv: SameConv1d | SameConv2d, x: Tensor) -> Tensor:
        two = isinstance(conv, SameConv2d)
        kernel = conv.padded_kernel if two else conv.kernel_size
        convolution = F.conv2d if two else F.conv1d
        x = same_padding(x, kernel=kernel, stride=conv.stride)
        return convolution(x, conv.weight, conv.bias, stride=conv.stride)

    for module in networks.modules():
        if isinstance(module, SameConv1d | SameConv2d):
            module.forward = partial(padded, module)


class ReferenceStep:
    """The networks, their optimisers, and the step that trains them: `step` is called as
    `vcbench.training.step.CycleGan.step` is, and returns the same losses."""

    def __init__(self, networks: Networks, loss: Loss, recipe: Recipe) -> None:
        with_pytorchs_convolutions(networks)
        self.a2b, self.b2a = networks.source_to_target, networks.target_to_source
        self.d_a, self.d_b = networks.discriminator_source, networks.discriminator_target
        self.loss, self.recipe = loss, recipe
        self.g_adam = torch.optim.Adam(
            [*self.a2b.parameters(), *self.b2a.parameters()],
            lr=recipe.learning_rate_generator,
            betas=recipe.adam_betas,
        )
        self.d_adam = torch.optim.Adam(
            [*self.d_a.parameters(), *self.d_b.parameters()],
            lr=recipe.learning_rate_discriminator,
            betas=recipe.adam_betas,
        )

    def set_rates(self, iteration: int) -> None:
        r = self.recipe
        start = r.iterations // 2 if r.decay_start is None else r.decay_start
        left = 1.0
        if iteration > start:
            left -= (iteration - start) / (r.iterations - start)
        self.g_adam.param_groups[0]["lr"] = r.learning_rate_generator * left
        self.d_adam.param_groups[0]["lr"] = r.learning_rate_discriminator * left

    def step(self, real_a: Tensor, real_b: Tensor, iteration: int) -> dict[str, Tensor]:
        r = self.recipe
        self.set_rates(iteration)
        fake_b = self.a2b(real_a)
        cycle_a = self.b2a(fake_b)
        fake_a = self.b2a(real_b)
        cycle_b = self.a2b(fake_a)
        identity_a = self.b2a(real_a)
        identity_b = self.a2b(real_b)
        cycle = (real_a - cycle_a).abs().mean() + (real_b - cycle_b).abs().mean()
        identity = (real_a - identity_a).abs().mean() + (real_b - identity_b).abs().mean()
        adversarial = self.loss(self.d_b(fake_b), 1.0) + self.loss(self.d_a(fake_a), 1.0)
        weight = r.lambda_identity
        if r.identity_until is not None and iteration >= r.identity_until:
            weight = 0.0
        total = r.lambda_adversarial * adversarial + r.lambda_cycle * cycle + weight * identity
        self.g_adam.zero_grad()
        self.d_adam.zero_grad()
        total.backward()
        self.g_adam.step()

        self.d_adam.zero_grad()
        judged = torch.zeros((), dtype=real_a.dtype, device=real_a.device)
        for judge, real, fake in ((self.d_a, real_a, fake_a), (self.d_b, real_b, fake_b)):
            of_real = self.loss(judge(real), 1.0)
            of_fake = self.loss(judge(fake.detach()), 0.0)
            judged = judged + (of_real + of_fake) / 2
        judged.backward()
        self.d_adam.step()
        return {
            "generator_adversarial": adversarial.detach(),
            "cycle": cycle.detach(),
            "identity": identity.detach(),
            "discriminator": judged.detach(),
        }
