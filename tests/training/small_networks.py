"""Networks of a few hundred values for tests of the recipe, and the options that are tested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_cells import tiny_cell

from vcbench.training.cell import Cell, ComponentSpec, LossStage

PLUGINS = """\
import torch
from torch import nn

from vcbench.plugins import register_discriminator, register_generator


class Small(nn.Module):
    takes_mask = True

    def __init__(self, n_mcep):
        super().__init__()
        self.first = nn.Conv1d(n_mcep + 1, 6, 3, padding=1)
        self.norm = nn.GroupNorm(1, 6)
        self.last = nn.Conv1d(6, n_mcep, 3, padding=1)
        self.register_buffer("version", torch.tensor(3))  # a state dict holds more than floats

    def forward(self, mcep, mask=None):
        mask = torch.ones_like(mcep[:, :1]) if mask is None else mask
        hidden = self.first(torch.cat([mcep, mask], dim=1))
        return self.last(torch.tanh(self.norm(hidden)))


@register_generator("small")
def small(*, n_mcep, scale):
    "Takes a mask."
    return Small(n_mcep)


@register_generator("maskless")
def maskless(*, n_mcep, scale):
    "Takes none."
    return nn.Conv1d(n_mcep, n_mcep, 3, padding=1)


@register_discriminator("small")
def small_judge(*, n_mcep, scale):
    "Judges every other frame."
    return nn.Sequential(
        nn.Conv1d(n_mcep, 4, 3, stride=2), nn.LeakyReLU(0.2), nn.Conv1d(4, 1, 3)
    )
"""

STAGES = (LossStage(0.0, 0.5, 1.0, 10.0), LossStage(0.4, 1.5, 12.0, 0.0))

# Recipe keys, by what the case is called.
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "adversarial-weight": {"lambda_adversarial": 0.3},
    "stages": {"loss_stages": STAGES},
    "epsilon": {"adam_epsilon": 1e-3},
    "tf-epsilon": {"adam_epsilon": 1e-3, "adam_epsilon_placement": "tf"},
    "two-optimizers": {"generator_optimizers": 2},
    "alternating": {"generator_update": "alternating"},
    "alternating-two": {"generator_update": "alternating", "generator_optimizers": 2},
    "after-update": {"fakes": "after-update"},
    "replay": {"replay_buffer": 3},
    "two-steps": {"adversarial_steps": 2},
    "masks": {"mask_frames": 20},
    "averaged": {"conversion_weights": "averaged", "average_decay": 0.3},
    "all": {
        "loss_stages": STAGES,
        "adam_epsilon": 1e-4,
        "adam_epsilon_placement": "tf",
        "adam_betas": (0.4, 0.9),
        "generator_update": "alternating",
        "generator_optimizers": 2,
        "fakes": "after-update",
        "replay_buffer": 3,
        "adversarial_steps": 2,
        "mask_frames": 32,
        "conversion_weights": "averaged",
        "learning_rate_decay": "none",
    },
}


def small_cell(
    folder: Path,
    *,
    generator: str = "small",
    held_out: Sequence[int] = (50, 36),
    **recipe: Any,
) -> Cell:
    """A cell of the networks above, with the least-squares objective; the rest is `tiny_cell`'s."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small_plugins.py"
    path.write_text(PLUGINS)
    return tiny_cell(
        folder,
        generator=ComponentSpec(generator),
        discriminator=ComponentSpec("small"),
        objective=ComponentSpec("lsgan"),
        plugin_files=(str(path),),
        held_out=held_out,
        recipe={"learning_rate_generator": 0.01, "learning_rate_discriminator": 0.02, **recipe},
    )
