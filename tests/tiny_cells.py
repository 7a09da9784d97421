"""Small cells on synthetic features, for the tests of training: no audio, a moment to train."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vcbench import features
from vcbench.training.cell import Cell, ComponentSpec, Recipe
from vcbench.world import FeatureParameters, WorldFeatures

SEGMENT = 32
LENGTHS = {"SF1": (40, 57, 33, 48), "TM3": (61, 32, 45)}

# The two families, each with the discriminator and the objective that belong to it.
SYSTEMS: dict[str, dict[str, ComponentSpec]] = {
    "one-d": {
        "generator": ComponentSpec("cyclegan-vc-1d"),
        "discriminator": ComponentSpec("gated-patchgan", {"sigmoid": True}),
        "objective": ComponentSpec("bce"),
    },
    "two-d": {
        "generator": ComponentSpec("residual-pixelshuffle-2d"),
        "discriminator": ComponentSpec("patchgan", {"sigmoid": False}),
        "objective": ComponentSpec("lsgan"),
    },
}

RECIPE = Recipe(
    iterations=12,
    segment_frames=SEGMENT,
    decay_start=6,
    identity_until=8,
    validation_utterances=2,
    log_every=5,
    validate_every=6,
    checkpoint_every=8,
)


def speech(frames: int, *, seed: int, n_mcep: int = 24) -> WorldFeatures:
    """Features of noise with an offset per coefficient: (frames, n_mcep), half of it voiced."""
    rng = np.random.default_rng(seed)
    f0_hz = np.where(rng.random(frames) < 0.5, rng.uniform(90, 250, frames), 0.0)
    f0_hz[0] = 150.0
    mcep = rng.normal(size=(frames, n_mcep)) * rng.uniform(0.1, 2, n_mcep) - 3.0
    return WorldFeatures(f0_hz, mcep, rng.uniform(-40, 0, size=(frames, 1)))


def feature_files(
    folder: Path, speaker: str, lengths: Sequence[int], *, n_mcep: int = 24
) -> tuple[str, ...]:
    """Paths of one new feature file per length."""
    paths = []
    for index, frames in enumerate(lengths):
        path = folder / f"{speaker}-{index}.npz"
        seed = 100 * sum(speaker.encode()) + index
        features.save(path, speech(frames, seed=seed, n_mcep=n_mcep))
        paths.append(str(path))
    return tuple(paths)


def tiny_cell(
    folder: Path,
    system: str = "one-d",
    *,
    recipe: Mapping[str, Any] | None = None,
    lengths: Mapping[str, Sequence[int]] = LENGTHS,
    held_out: Sequence[int] = (50, 36),
    n_mcep: int = 24,
    **changes: Any,
) -> Cell:
    """A cell of one of `SYSTEMS` whose features lie in `folder`/features.

    recipe: what to change of `RECIPE`. held_out: frames of each speaker's validation utterances.
    """
    speakers = tuple(lengths)
    store = folder / "features"
    fields: dict[str, Any] = {
        "system": system,
        "source": speakers[0],
        "target": speakers[1],
        "seed": 0,
        **SYSTEMS.get(system, SYSTEMS["one-d"]),
        "recipe": replace(RECIPE, **(recipe or {})),
        "scale": 0.03,
        "features": FeatureParameters(n_mcep=n_mcep).to_json(),
        "train_features": {s: feature_files(store, s, lengths[s], n_mcep=n_mcep) for s in speakers},
        "validation_features": {
            s: feature_files(store, f"{s}-held-out", held_out, n_mcep=n_mcep) for s in speakers
        },
    }
    return Cell(**{**fields, **changes})


def write_cell(cell: Cell, folder: Path) -> Path:
    """`folder`/cell.json, as the harness writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cell.json"
    path.write_text(json.dumps(cell.to_json()), encoding="utf-8")
    return path
