"""One iteration of CycleGAN-VC: arXiv:1711.11293, equations 1 to 5, both directions at once.

Mathematically the step of the public implementations, with savings that change nothing: a generator
is called once for the two inputs it gets at a time (its own speaker's opposite and, for the
identity loss, its target), since no sample sees another of its batch; the identity loss is not
computed where its weight is 0; the discriminators are frozen in the generators' turn instead of
computing gradients that are thrown away; and the discriminators judge the fakes that the
generators' turn has made already, as the TensorFlow reference does. On a GPU the step is a graph
that was recorded once (`graphs`).

Options of the recipe add to it: second discriminators of what went through both generators
(CycleGAN-VC2, arXiv:1904.04631), masks (`masks`), a replay buffer (`replay`), generators updated
one after the other, fakes made anew after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcbench.errors import CellFailure
from vcbench.plugins import Objective
from vcbench.training.averaging import ConversionWeights
from vcbench.training.cell import Cell
from vcbench.training.graphs import Recorded, recorder
from vcbench.training.masks import NO_MASKS, Masks, draw_masks, through, with_all_seen
from vcbench.training.models import Networks
from vcbench.training.optimizers import (
    discriminator_optimizer,
    generator_optimizers,
    set_for_iteration,
)
from vcbench.training.precision import autocast
from vcbench.training.replay import ReplayBuffers
from vcbench.training.schedule import LossWeights, loss_weights, validation_weights


class Translation(NamedTuple):
    """What the generators make of a batch of both speakers, each (batch, n_mcep, frames); the last
    two are None where no identity loss is wanted."""

    fake_source: Tensor  # target speech, converted
    fake_target: Tensor
    cycled_source: Tensor  # source speech, converted and back
    cycled_target: Tensor
    same_source: Tensor | None  # source speech, through the generator of source speech
    same_target: Tensor | None

    def each(self, change: Callable[[Tensor], Tensor]) -> Translation:
        """All of them, changed."""
        changed: Any = (None if value is None else change(value) for value in self)
        return Translation(*changed)


class CycleGan:
    """The networks, their optimisers, and the step that trains them."""

    def __init__(self, networks: Networks, objective: Objective, cell: Cell) -> None:
        self.networks, self.objective, self.cell = networks, objective, cell
        self.recipe = recipe = cell.recipe
        self.generator_optimizers = generator_optimizers(networks, recipe)
        self.discriminator_optimizer = discriminator_optimizer(networks, recipe)
        self.replay = ReplayBuffers(cell)
        self._update = Recorded(self.update_all, recorder(cell))
        self.conversion_weights = ConversionWeights(networks, recipe)
        # What stands still in each turn of the generators.
        judges = _trained(networks.discriminators())
        self._turns = [judges]
        if recipe.generator_update == "alternating":
            self._turns = [
                [*judges, *_trained(networks.target_to_source.parameters())],
                [*judges, *_trained(networks.source_to_target.parameters())],
            ]

    def step(self, source: Tensor, target: Tensor, iteration: int) -> dict[str, Tensor]:
        """Update all networks on one batch of crops, each (batch, n_mcep, segment_frames).

        Returns the losses before the update, unweighted, as scalars that are not synchronised; the
        identity loss only where it has a weight.
        """
        self._set_optimizers(iteration)
        masks = [m for m in draw_masks(self.cell, iteration, source) if m is not None]
        # The iteration counts for the buffer alone, and with a buffer nothing is recorded.
        key = loss_weights(iteration, self.recipe), iteration if self.recipe.replay_buffer else 0
        losses = self._update(key, source, target, *masks)
        self.conversion_weights.updated(iteration)
        return losses

    @torch.no_grad()
    def validate(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """What a validation line of the log holds of held-out crops; touches no weight.

        validation: weighted cycle and identity loss; the weights of the losses never change, see
        `validation_weights`. change: mean |G(x) - x| over mean |x|, both directions in each mean;
        0 where the generators return what they are given. Nothing is masked.
        """
        weights = validation_weights(self.recipe)
        made = self._translate(source, target, NO_MASKS, same=weights.identity != 0)
        loss = weights.cycle * _cycle_loss(made, source, target)
        if weights.identity:
            loss = loss + weights.identity * _identity_loss(made, source, target)
        changed = F.l1_loss(made.fake_target, source) + F.l1_loss(made.fake_source, target)
        size = source.abs().mean() + target.abs().mean()
        return {"validation": loss, "change": changed / size.clamp_min(torch.finfo(size.dtype).eps)}

    def state(self) -> dict[str, object]:
        """All that a checkpoint must hold of the networks and of what trains them."""
        return {
            "networks": self.networks.state_dict(),
            "generator_optimizers": [o.state_dict() for o in self.generator_optimizers],
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "replay": self.replay.state(),
            "conversion": self.conversion_weights.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.networks.load_state_dict(state["networks"])
        for optimizer, saved in zip(
            self.generator_optimizers, state["generator_optimizers"], strict=True
        ):
            optimizer.load_state_dict(saved)
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        self.replay.load_state(state["replay"])
        self.conversion_weights.load_state(state["conversion"])

    def update_all(
        self, key: tuple[LossWeights, int], source: Tensor, target: Tensor, *masks: Tensor
    ) -> dict[str, Tensor]:
        """One update of everything. Only `key` and the shapes may decide what is done."""
        weights, iteration = key
        seen = Masks(*masks) if masks else NO_MASKS
        losses, made = self._update_generators(source, target, seen, weights)
        if self.recipe.fakes == "after-update":
            with torch.no_grad():
                made = self._translate(source, target, seen, same=False)
        return losses | self._update_discriminators(source, target, made, iteration)

    def _translate(
        self, source: Tensor, target: Tensor, masks: Masks, *, same: bool
    ) -> Translation:
        """All conversions of a batch, in float32. A mask hides frames from the first generator of a
        cycle; the second one and those of the identity loss see everything."""
        to_target, to_source = self.networks.source_to_target, self.networks.target_to_source
        with autocast(self.cell.device, self.recipe):
            same_target = same_source = None
            if same:
                fake_target, same_target = through(
                    to_target, torch.cat([source, target]), with_all_seen(masks.source)
                ).chunk(2)
                fake_source, same_source = through(
                    to_source, torch.cat([target, source]), with_all_seen(masks.target)
                ).chunk(2)
            else:
                fake_target = through(to_target, source, masks.source)
                fake_source = through(to_source, target, masks.target)
            if fake_target.shape != source.shape or fake_source.shape != target.shape:
                # Losses would broadcast and train on nonsense.
                raise CellFailure(
                    f"the generator turned {tuple(source.shape)} (batch, n_mcep, frames) into "
                    f"{tuple(fake_target.shape)}; it must return the shape that it is given"
                )
            made = Translation(
                fake_source=fake_source,
                fake_target=fake_target,
                cycled_source=to_source(fake_target),
                cycled_target=to_target(fake_source),
                same_source=same_source,
                same_target=same_target,
            )
        return made.each(lambda value: value.to(source))

    def _judged(self, name: str, speech: Tensor) -> Tensor:
        """A discriminator's scores of (batch, n_mcep, frames), in the precision of its input."""
        with autocast(self.cell.device, self.recipe):
            scores: Tensor = self.networks.get_submodule(name)(speech)
        return scores.to(speech)

    def _update_generators(
        self, source: Tensor, target: Tensor, masks: Masks, weights: LossWeights
    ) -> tuple[dict[str, Tensor], Translation]:
        """(losses, what the generators made), both from before any update.

        Jointly, both generators go down the total loss in one turn. Alternating, they go down the
        same total loss in two: `source_to_target` first, then `target_to_source`, against the other
        as it is by then. Terms without the generator whose turn it is are constants in it.
        """
        before: list[tuple[dict[str, Tensor], Translation]] = []
        for others in self._turns:
            with _frozen(others):
                made = self._translate(source, target, masks, same=weights.identity != 0)
                losses = self._generator_losses(source, target, made)
                adversarial = losses["generator_adversarial"]
                if self.recipe.adversarial_steps == 2:
                    adversarial = adversarial + losses["second_generator_adversarial"]
                total = weights.adversarial * adversarial + weights.cycle * losses["cycle"]
                if weights.identity:
                    total = total + weights.identity * losses["identity"]
                for optimizer in self.generator_optimizers:
                    optimizer.zero_grad(set_to_none=True)
                total.backward()
                for optimizer in self.generator_optimizers:
                    optimizer.step()  # passes over what has no gradient
            before.append(
                ({n: loss.detach() for n, loss in losses.items()}, made.each(Tensor.detach))
            )
        return before[0]

    def _generator_losses(
        self, source: Tensor, target: Tensor, made: Translation
    ) -> dict[str, Tensor]:
        def deceived(name: str, fake: Tensor) -> Tensor:
            return self.objective.generator(self._judged(name, fake))

        losses = {
            "generator_adversarial": deceived("discriminator_target", made.fake_target)
            + deceived("discriminator_source", made.fake_source),
            "cycle": _cycle_loss(made, source, target),
        }
        if made.same_source is not None:
            losses["identity"] = _identity_loss(made, source, target)
        if self.recipe.adversarial_steps == 2:
            losses["second_generator_adversarial"] = deceived(
                "second_discriminator_source", made.cycled_source
            ) + deceived("second_discriminator_target", made.cycled_target)
        return losses

    def _update_discriminators(
        self, source: Tensor, target: Tensor, made: Translation, iteration: int
    ) -> dict[str, Tensor]:
        fakes = {
            "discriminator_source": made.fake_source,
            "discriminator_target": made.fake_target,
        }
        if self.recipe.adversarial_steps == 2:
            fakes["second_discriminator_source"] = made.cycled_source
            fakes["second_discriminator_target"] = made.cycled_target
        fakes = self.replay.exchange(fakes, iteration)

        def judged(name: str, real: Tensor) -> Tensor:
            scores = self._judged(name, torch.cat([real, fakes[name]]))
            return self.objective.discriminator(*scores.chunk(2))

        losses = {
            "discriminator": judged("discriminator_source", source)
            + judged("discriminator_target", target)
        }
        total = losses["discriminator"]
        if self.recipe.adversarial_steps == 2:
            losses["second_discriminator"] = judged("second_discriminator_source", source) + judged(
                "second_discriminator_target", target
            )
            total = total + losses["second_discriminator"]
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.discriminator_optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _set_optimizers(self, iteration: int) -> None:
        recipe = self.recipe
        for optimizer in self.generator_optimizers:
            rate = recipe.learning_rate_generator
            set_for_iteration(optimizer, rate=rate, iteration=iteration, recipe=recipe)
        rate = recipe.learning_rate_discriminator
        judges = self.discriminator_optimizer
        set_for_iteration(judges, rate=rate, iteration=iteration, recipe=recipe)


def _cycle_loss(made: Translation, source: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(made.cycled_source, source) + F.l1_loss(made.cycled_target, target)


def _identity_loss(made: Translation, source: Tensor, target: Tensor) -> Tensor:
    assert made.same_source is not None and made.same_target is not None
    return F.l1_loss(made.same_source, source) + F.l1_loss(made.same_target, target)


def _trained(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those that are trained: a plugin may have frozen part of its network for good."""
    return [p for p in parameters if p.requires_grad]


@contextmanager
def _frozen(parameters: list[nn.Parameter]) -> Iterator[None]:
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
