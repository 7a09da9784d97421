"""What the tests of whole trainings share: plugins, and how two results are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tiny_cells import tiny_cell

from vcbench.training.cell import Cell, ComponentSpec
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.files import CHECKPOINT, read_status
from vcbench.training.log import read_log

PLUGINS = """\
import torch

from vcbench.plugins import Objective, register_generator, register_objective


@register_generator("with-dropout")
def with_dropout(*, n_mcep, scale):
    "Draws random numbers in every training iteration."
    return torch.nn.Sequential(
        torch.nn.Conv1d(n_mcep, 8, 3, padding=1),
        torch.nn.Dropout(0.5),
        torch.nn.Conv1d(8, n_mcep, 3, padding=1),
    )


@register_objective("nan-after-a-while")
def nan_after_a_while(*, sigmoid):
    "Breaks in its seventh iteration."
    calls = []

    def generator(fake):
        calls.append(fake)  # two calls an iteration
        return fake.mean() * (float("nan") if len(calls) > 12 else 1.0)

    return Objective(lambda real, fake: (real - fake).mean(), generator, chance_loss=0.5)


@register_objective("won")
def won(*, sigmoid):
    "The discriminator has won before it began."
    return Objective(
        lambda real, fake: 1e-6 * (real.square().mean() + fake.square().mean()),
        lambda fake: fake.square().mean(),
        chance_loss=0.25,
    )


@register_objective("won-with-a-bound")
def won_with_a_bound(*, sigmoid, generator_loss: float):
    "The same, with a loss of the generators that has a bound and stays where it is."
    return Objective(
        lambda real, fake: 1e-6 * (real.square().mean() + fake.square().mean()),
        lambda fake: generator_loss + 0 * fake.mean(),
        chance_loss=0.25,
        generator_bound=1.0,
    )


@register_generator("unchanging")
def unchanging(*, n_mcep, scale):
    "Begins as the identity, which a few updates hardly change."
    layer = torch.nn.Conv1d(n_mcep, n_mcep, 1, bias=False)
    torch.nn.init.dirac_(layer.weight)
    return layer
"""


def without(line: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in names}


def assert_same_result(first: Path, second: Path) -> None:
    """Bit for bit, but for what was measured with a clock."""
    one, two = (Checkpoint.load(folder / CHECKPOINT) for folder in (first, second))
    torch.testing.assert_close(one.training, two.training, rtol=0, atol=0)
    assert torch.equal(one.torch_rng, two.torch_rng)
    assert (one.iteration, one.pending) == (two.iteration, two.pending)
    lines = [
        [without(line, "iterations_per_second") for line in read_log(folder)]
        for folder in (first, second)
    ]
    assert lines[0] == lines[1]
    statuses = [read_status(folder) or {} for folder in (first, second)]
    assert without(statuses[0], "seconds") == without(statuses[1], "seconds")


def with_dropout(folder: Path, plugin_file: str, **recipe: Any) -> Cell:
    spec = ComponentSpec("with-dropout")
    return tiny_cell(folder, generator=spec, plugin_files=(plugin_file,), recipe=recipe)
