"""One iteration of CycleGAN-VC: arXiv:1711.11293, equations 1 to 5, both directions at once.

Mathematically the step of the public implementations, with three savings that change nothing:
a generator is called once for the two inputs it gets at a time (its own speaker's opposite and,
for the identity loss, its target), since no sample sees another of its batch; the discriminators
are frozen in the generators' turn instead of computing gradients that are thrown away; and the
discriminators judge the fakes that the generators' turn has made already, as the TensorFlow
reference does.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from vcbench.errors import CellFailure
from vcbench.plugins import Objective
from vcbench.training.cell import Recipe
from vcbench.training.models import Networks
from vcbench.training.schedule import identity_weight, learning_rate_factor


class CycleGan:
    """Four networks, their two optimisers, and the step that trains them."""

    def __init__(self, networks: Networks, objective: Objective, recipe: Recipe) -> None:
        self.networks = networks
        self.objective = objective
        self.recipe = recipe
        self._judges = [p for p in networks.discriminators() if p.requires_grad]
        self.generator_optimizer = torch.optim.Adam(
            networks.generators(),
            lr=recipe.learning_rate_generator,
            betas=recipe.adam_betas,
            fused=True,
        )
        self.discriminator_optimizer = torch.optim.Adam(
            networks.discriminators(),
            lr=recipe.learning_rate_discriminator,
            betas=recipe.adam_betas,
            fused=True,
        )

    def step(self, source: Tensor, target: Tensor, iteration: int) -> dict[str, Tensor]:
        """Update all four networks on one batch of crops, each (batch, n_mcep, segment_frames).

        Returns the losses before the update, unweighted, as scalars that are not synchronised.
        """
        self._set_learning_rates(iteration)
        losses, fake_source, fake_target = self._update_generators(source, target, iteration)
        losses |= self._update_discriminators(source, target, fake_source, fake_target)
        return losses

    @torch.no_grad()
    def validate(self, source: Tensor, target: Tensor) -> Tensor:
        """Weighted cycle and identity loss on held-out crops, without touching any weight.

        The identity loss counts in full, also after training has stopped using it: the numbers
        of one curve must mean the same thing throughout.
        """
        cycle, identity, _, _ = self._translate(source, target)
        return self.recipe.lambda_cycle * cycle + self.recipe.lambda_identity * identity

    def state(self) -> dict[str, object]:
        """All that a checkpoint must hold of networks and optimisers."""
        return {
            "networks": self.networks.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
        }

    def load_state(self, state: Mapping[str, dict[str, object]]) -> None:
        """Continue from what `state` returned."""
        self.networks.load_state_dict(state["networks"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])

    def _translate(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(cycle loss, identity loss, fake source speech, fake target speech)."""
        to_target, to_source = self.networks.source_to_target, self.networks.target_to_source
        fake_target, same_target = to_target(torch.cat([source, target])).chunk(2)
        fake_source, same_source = to_source(torch.cat([target, source])).chunk(2)
        if fake_target.shape != source.shape or fake_source.shape != target.shape:
            # Losses would broadcast and train on nonsense.
            raise CellFailure(
                f"the generator turned {tuple(source.shape)} (batch, n_mcep, frames) into "
                f"{tuple(fake_target.shape)}; it must return the shape that it is given"
            )
        cycle_loss = F.l1_loss(to_source(fake_target), source) + F.l1_loss(
            to_target(fake_source), target
        )
        identity_loss = F.l1_loss(same_source, source) + F.l1_loss(same_target, target)
        return cycle_loss, identity_loss, fake_source, fake_target

    def _update_generators(
        self, source: Tensor, target: Tensor, iteration: int
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        networks, recipe = self.networks, self.recipe
        for parameter in self._judges:
            parameter.requires_grad_(False)
        cycle, identity, fake_source, fake_target = self._translate(source, target)
        adversarial = self.objective.generator(
            networks.discriminator_target(fake_target)
        ) + self.objective.generator(networks.discriminator_source(fake_source))
        total = adversarial + recipe.lambda_cycle * cycle
        weight = identity_weight(iteration, recipe)
        if weight:
            total = total + weight * identity
        self.generator_optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.generator_optimizer.step()
        for parameter in self._judges:
            parameter.requires_grad_(True)
        losses = {
            "generator_adversarial": adversarial.detach(),
            "cycle": cycle.detach(),
            "identity": identity.detach(),
        }
        return losses, fake_source.detach(), fake_target.detach()

    def _update_discriminators(
        self, source: Tensor, target: Tensor, fake_source: Tensor, fake_target: Tensor
    ) -> dict[str, Tensor]:
        judge_source = self.networks.discriminator_source
        judge_target = self.networks.discriminator_target
        real_source, false_source = judge_source(torch.cat([source, fake_source])).chunk(2)
        real_target, false_target = judge_target(torch.cat([target, fake_target])).chunk(2)
        total = self.objective.discriminator(
            real_source, false_source
        ) + self.objective.discriminator(real_target, false_target)
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.discriminator_optimizer.step()
        return {"discriminator": total.detach()}

    def _set_learning_rates(self, iteration: int) -> None:
        factor = learning_rate_factor(iteration, self.recipe)
        for optimizer, rate in (
            (self.generator_optimizer, self.recipe.learning_rate_generator),
            (self.discriminator_optimizer, self.recipe.learning_rate_discriminator),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
