"""One training iteration with every option of the recipe, written naively.

Every network is called for one sample at a time, each loss is computed where it is needed, each
generator's loss holds its own terms alone, gradients are asked for one network at a time, and Adam,
the average and the buffers are loops. No line is shared with the engine except the two random
streams, which `test_masks` and `test_replay` test.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from vcbench.training.cell import Cell, Recipe
from vcbench.training.masks import draw_masks
from vcbench.training.models import Networks
from vcbench.training.streams import random_stream


class NumpyAdam:
    """Kingma and Ba 2015, algorithm 1; or as TensorFlow documents `AdamOptimizer`."""

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self.parameters = list(network.parameters())
        self.recipe = recipe
        self.m = [np.zeros(p.shape) for p in self.parameters]
        self.v = [np.zeros(p.shape) for p in self.parameters]
        self.t = 0

    def step(self, loss: Tensor, rate: float) -> None:
        gradients = torch.autograd.grad(loss, self.parameters, retain_graph=True)
        (beta1, beta2), epsilon = self.recipe.adam_betas, self.recipe.adam_epsilon
        self.t += 1
        for i, gradient in enumerate(gradients):
            g = gradient.numpy()
            self.m[i] = beta1 * self.m[i] + (1 - beta1) * g
            self.v[i] = beta2 * self.v[i] + (1 - beta2) * g**2
            if self.recipe.adam_epsilon_placement == "torch":
                m_hat = self.m[i] / (1 - beta1**self.t)
                v_hat = self.v[i] / (1 - beta2**self.t)
                change = rate * m_hat / (np.sqrt(v_hat) + epsilon)
            else:
                rate_t = rate * math.sqrt(1 - beta2**self.t) / (1 - beta1**self.t)
                change = rate_t * self.m[i] / (np.sqrt(self.v[i]) + epsilon)
            with torch.no_grad():
                self.parameters[i] -= torch.from_numpy(change)


def each(network: nn.Module, batch: Tensor, mask: Tensor | None = None) -> Tensor:
    """The network, called for one sample at a time."""
    rows = []
    for i in range(len(batch)):
        if mask is None:
            rows.append(network(batch[i : i + 1]))
        else:
            seen = batch[i : i + 1].clone()
            for frame in range(batch.shape[-1]):
                if mask[i, 0, frame] == 0:
                    seen[0, :, frame] = 0
            rows.append(network(seen, mask[i : i + 1]))
    return torch.cat(rows)


def distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean()


def weights_at(iteration: int, recipe: Recipe) -> tuple[float, float, float]:
    weights = (recipe.lambda_adversarial, recipe.lambda_cycle, recipe.lambda_identity)
    if recipe.identity_until is not None and iteration >= recipe.identity_until:
        weights = (*weights[:2], 0.0)
    for stage in recipe.loss_stages:
        if iteration >= stage.from_share * recipe.iterations:
            weights = (stage.adversarial, stage.cycle, stage.identity)
    return weights


class Naive:
    """The step of the module's docstring, on networks of its own."""

    def __init__(self, networks: Networks, cell: Cell) -> None:
        self.n, self.cell, self.recipe = networks, cell, cell.recipe
        self.judges = ["discriminator_source", "discriminator_target"]
        if self.recipe.adversarial_steps == 2:
            self.judges += ["second_discriminator_source", "second_discriminator_target"]
        names = ["source_to_target", "target_to_source", *self.judges]
        self.adam = {name: NumpyAdam(getattr(networks, name), self.recipe) for name in names}
        self.pools: dict[str, list[Tensor]] = {name: [] for name in self.judges}
        self.average = {n: v.numpy().copy() for n, v in networks.state_dict().items()}

    def step(self, a: Tensor, b: Tensor, iteration: int) -> dict[str, Tensor]:
        r = self.recipe
        left = 1.0
        if r.learning_rate_decay == "linear":
            assert r.decay_start is not None
            left -= max(0, iteration - r.decay_start) / (r.iterations - r.decay_start)
        rate_g, rate_d = r.learning_rate_generator * left, r.learning_rate_discriminator * left
        if r.mask_frames:
            mask_a, mask_b = draw_masks(self.cell, iteration, a)
        else:
            mask_a = mask_b = None
        w_adv, w_cycle, w_same = weights_at(iteration, r)

        def fakes() -> dict[str, Tensor]:
            fake_b = each(self.n.source_to_target, a, mask_a)
            fake_a = each(self.n.target_to_source, b, mask_b)
            return {
                "discriminator_source": fake_a,
                "discriminator_target": fake_b,
                "second_discriminator_source": each(self.n.target_to_source, fake_b),
                "second_discriminator_target": each(self.n.source_to_target, fake_a),
            }

        def fool(name: str, fake: Tensor) -> Tensor:
            return ((each(getattr(self.n, name), fake) - 1) ** 2).mean()

        def terms() -> dict[str, Tensor]:
            f = fakes()
            return {
                "adversarial_a": fool("discriminator_source", f["discriminator_source"]),
                "adversarial_b": fool("discriminator_target", f["discriminator_target"]),
                "second": sum(fool(n, f[n]) for n in self.judges[2:]) + torch.zeros(()),
                "cycle": distance(f["second_discriminator_source"], a)
                + distance(f["second_discriminator_target"], b),
                "same_a": distance(each(self.n.target_to_source, a), a),
                "same_b": distance(each(self.n.source_to_target, b), b),
            }

        def own_loss(t: dict[str, Tensor], letter: str) -> Tensor:
            adversarial = t[f"adversarial_{letter}"] + t["second"]
            return w_adv * adversarial + w_cycle * t["cycle"] + w_same * t[f"same_{letter}"]

        made = {name: fake.detach() for name, fake in fakes().items()}
        before = terms()
        if r.generator_update == "joint":
            # Gradients of both before either is updated.
            loss_b, loss_a = own_loss(before, "b"), own_loss(before, "a")
            kept = torch.autograd.grad(
                loss_a, self.adam["target_to_source"].parameters, retain_graph=True
            )
            self.adam["source_to_target"].step(loss_b, rate_g)
            parameters = self.adam["target_to_source"].parameters
            linear = sum((g * p).sum() for g, p in zip(kept, parameters, strict=True))
            self.adam["target_to_source"].step(linear, rate_g)  # its gradient is `kept`
        else:
            self.adam["source_to_target"].step(own_loss(before, "b"), rate_g)
            self.adam["target_to_source"].step(own_loss(terms(), "a"), rate_g)
        if r.fakes == "after-update":
            made = {name: fake.detach() for name, fake in fakes().items()}
        if r.replay_buffer:
            made = self._replayed(made, iteration)

        of_judges = {}
        for name in self.judges:
            real = a if name.endswith("source") else b
            judge = getattr(self.n, name)
            of_real = ((each(judge, real) - 1) ** 2).mean()
            of_fake = (each(judge, made[name]) ** 2).mean()
            of_judges[name] = (of_real + of_fake) / 2
        for name, loss in of_judges.items():
            self.adam[name].step(loss, rate_d)
        self._average(iteration)
        losses = {
            "generator_adversarial": before["adversarial_a"] + before["adversarial_b"],
            "cycle": before["cycle"],
            "identity": before["same_a"] + before["same_b"],
            "discriminator": of_judges[self.judges[0]] + of_judges[self.judges[1]],
        }
        if r.adversarial_steps == 2:
            losses["second_generator_adversarial"] = before["second"]
            losses["second_discriminator"] = sum(of_judges[n] for n in self.judges[2:])
        return {name: loss.detach() for name, loss in losses.items()}

    def _replayed(self, made: dict[str, Tensor], iteration: int) -> dict[str, Tensor]:
        rng = random_stream("replay", self.cell.pair, self.cell.seed, iteration)
        shown = {}
        for name in self.judges:
            pool, batch = self.pools[name], made[name].clone()
            for i in range(len(batch)):
                old_one = rng.random() < 0.5
                place = rng.integers(self.recipe.replay_buffer)
                if len(pool) < self.recipe.replay_buffer:
                    pool.append(made[name][i])
                elif old_one:
                    batch[i] = pool[place]
                    pool[place] = made[name][i]
            shown[name] = batch
        return shown

    def _average(self, iteration: int) -> None:
        decay = min(self.recipe.average_decay, (1 + iteration) / (10 + iteration))
        for name, value in self.n.state_dict().items():
            if value.is_floating_point():
                self.average[name] = decay * self.average[name] + (1 - decay) * value.numpy()
