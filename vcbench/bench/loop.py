"""What the training loop costs beside the steps that it makes: on one thread of a processor.

A real training, `vcbench.training.loop.train`, of which each step, validation and checkpoint is
timed by itself; the rest of the time between the first step and the last is the loop's own: crops,
their hash, the log and its checks. Steps and the rest are timed in the same moments, so that what
else the machine does falls out of their ratio, and the clock is the processor's time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from vcbench import features
from vcbench.bench.train import PAPER_SYSTEM
from vcbench.threads import torch_threads
from vcbench.training import loop
from vcbench.training.cell import Cell
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.step import CycleGan
from vcbench.world import FeatureParameters, WorldFeatures

UTTERANCES, FRAMES = 81, 600  # of each speaker, as in the paper's corpus


@dataclass
class _Times:
    """Seconds of each call of each part, and when steps began and ended."""

    parts: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str, owner: object, attribute: str) -> Iterator[None]:
        """Time every call of `owner.attribute` while this is open."""
        original: Callable[..., Any] = getattr(owner, attribute)
        calls = self.parts.setdefault(name, [])

        def timed(*given: Any, **named: Any) -> Any:
            begin = time.process_time()
            try:
                return original(*given, **named)
            finally:
                calls.append((begin, time.process_time()))

        with mock.patch.object(owner, attribute, timed):
            yield

    def seconds(self, name: str, since: float, until: float) -> float:
        """Spent in this part between two moments."""
        return sum(end - begin for begin, end in self.parts[name] if since <= begin < until)


def measure(
    *, scale: float = 0.125, segment_frames: int = 128, iterations: int = 600, warm_up: int = 20
) -> list[dict[str, Any]]:
    """Rows {metric, value, unit}: the step, and what is spent beside it in percent of it.

    The paper's 1D system at `scale`, batch 1, logged every 50 iterations, validated once after 500;
    the first `warm_up` iterations are not counted, nor is the checkpoint at the end, in which
    training does not wait for the next step.
    """
    times = _Times()
    with tempfile.TemporaryDirectory() as name, torch_threads(1):
        folder = Path(name)
        cell = _cell(folder, scale, segment_frames, iterations)
        with (
            times.of("step", CycleGan, "step"),
            times.of("validation", loop, "_validate"),
            times.of("checkpoint", Checkpoint, "save"),
        ):
            loop.train(cell, folder / "cell")
    steps = times.parts["step"][warm_up:]
    since, until = steps[0][0], steps[-1][0]
    step = times.seconds("step", since, until)
    validation = times.seconds("validation", since, until)
    checkpoint = times.seconds("checkpoint", since, until)
    own = until - since - step - validation - checkpoint
    count = len(steps) - 1
    rows = [
        ("scale", scale, "ratio"),
        ("segment_frames", segment_frames, "frames"),
        ("iterations", count, "count"),
        ("step", 1e3 * step / count, "ms"),
        ("loop", 1e3 * own / count, "ms"),
        ("loop_overhead", 100 * own / step, "%"),
        ("validation_overhead", 100 * validation / step, "%"),
    ]
    return [{"metric": m, "value": value, "unit": unit} for m, value, unit in rows]


def _cell(folder: Path, scale: float, segment_frames: int, iterations: int) -> Cell:
    """The paper's system on features of noise: only how many there are costs time."""
    rng = np.random.default_rng(0)
    n_mcep = int(PAPER_SYSTEM.features["n_mcep"])
    paths: dict[str, list[str]] = {}
    for speaker in (PAPER_SYSTEM.source, PAPER_SYSTEM.target):
        for number in range(UTTERANCES):
            path = folder / f"{speaker}-{number}.npz"
            mcep = rng.normal(size=(FRAMES, n_mcep))
            f0_hz = rng.uniform(90, 250, FRAMES)
            features.save(path, WorldFeatures(f0_hz, mcep, np.zeros((FRAMES, 1))))
            paths.setdefault(speaker, []).append(str(path))
    held_out = PAPER_SYSTEM.recipe.validation_utterances
    recipe = replace(PAPER_SYSTEM.recipe, iterations=iterations, segment_frames=segment_frames)
    return replace(
        PAPER_SYSTEM,
        scale=scale,
        recipe=recipe,
        features=FeatureParameters(n_mcep=n_mcep).to_json(),
        train_features={s: tuple(p[held_out:]) for s, p in paths.items()},
        validation_features={s: tuple(p[:held_out]) for s, p in paths.items()},
    )
