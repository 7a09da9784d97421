"""The training loop: from a cell to a checkpoint, resumable at any iteration.

Files in the cell's folder: `cell.json` (what is trained), `log.jsonl` (losses, learning rates,
speed), `checkpoint.pt`, and at the end `status.json`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vcbench import fingerprint
from vcbench.errors import CellFailure, DataError
from vcbench.plugins import Registry
from vcbench.training import health
from vcbench.training.cell import Cell
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.crops import chained
from vcbench.training.log import TrainingLog, write_json
from vcbench.training.models import build_networks, build_objective, isolated_rng
from vcbench.training.speech import Speech, crop_stream, gather
from vcbench.training.step import CycleGan

CHECKPOINT, STATUS = "checkpoint.pt", "status.json"


def train(
    cell: Cell,
    folder: Path,
    *,
    stop_requested: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Train `cell`, or go on with it, in `folder`; returns what status.json then holds.

    Returns None if `stop_requested` became true: then a checkpoint of the last whole iteration has
    been written, and calling again continues as if nothing had happened.

    Raises `CellFailure` if a loss is no longer finite, naming it and the iterations, and before
    anything is trained if the best weights are wanted and no speech is held out to find them by.
    """
    registry = Registry(cell.plugin_files)
    speech = {name: Speech(cell, name) for name in (cell.source, cell.target)}
    if cell.recipe.conversion_weights == "best":
        _refuse_unvalidated(cell, speech)
    # One scope for the whole training: dropout in a plugin draws from here and nowhere else.
    with isolated_rng("training", cell.pair, cell.seed):
        gan, chance_loss = _build(cell, registry)
        log = TrainingLog(folder, cell)
        generator = registry.get("generator", cell.generator.name)
        code = fingerprint.of_sources(generator.source_files)
        history = _resume(cell, folder / CHECKPOINT, gan, log, code)
        iteration = history.iteration
        crops = crop_stream(cell, speech).from_iteration(iteration)

        def save() -> None:
            history.iteration = iteration
            _checkpoint(cell, gan, history, speech, log).save(folder / CHECKPOINT)

        recipe = cell.recipe
        while iteration < recipe.iterations:
            crop = next(crops)
            source, target = gather(speech, cell, crop)
            history.crops_sha256 = chained(history.crops_sha256, crop)
            log.add(gan.step(source, target, iteration))
            iteration += 1
            last = iteration == recipe.iterations
            if iteration % recipe.log_every == 0 or last:
                log.write(iteration)
            if iteration % recipe.validate_every == 0 or last:
                loss = _validate(gan, speech, cell)
                log.validation(iteration, loss)
                gan.conversion_weights.validated(loss)
            stop = not last and stop_requested()
            if iteration % recipe.checkpoint_every == 0 or last or stop:
                save()
            if stop:
                return None
    status = {
        "iterations": iteration,
        "seconds": round(history.seconds(), 3),
        "health": health.flags(log.lines(), chance_loss=chance_loss),
        "crop_stream_sha256": history.crops_sha256,
        "device": cell.device,
        "threads": torch.get_num_threads(),
    }
    write_json(folder / STATUS, status)
    return status


@dataclass
class _History:
    """What a cell has been through, over all sittings."""

    iteration: int
    crops_sha256: str
    generator_sha256: str
    seconds_before: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """Time spent training, this sitting's included."""
        return self.seconds_before + time.monotonic() - self.since


def _build(cell: Cell, registry: Registry) -> tuple[CycleGan, float]:
    networks = build_networks(cell, registry).to(cell.device)
    objective = build_objective(cell, registry, networks)
    return CycleGan(networks, objective, cell), objective.chance_loss


def _resume(
    cell: Cell, path: Path, gan: CycleGan, log: TrainingLog, generator_sha256: str
) -> _History:
    """Take up the checkpoint, if there is one that can be read, else begin anew.

    Raises `CellFailure` if it is another cell's.
    """
    try:
        saved = Checkpoint.load(path, device=cell.device)
    except DataError as error:
        if path.exists():
            print(f"{error}; training begins anew", file=sys.stderr)
        log.path.unlink(missing_ok=True)
        return _History(0, _origin(cell), generator_sha256)
    if saved.cell.identity() != cell.identity():
        raise CellFailure(
            f"{path} belongs to another training ({saved.cell.id}) than the cell {cell.id} given; "
            "name another folder"
        )
    gan.load_state(saved.training)
    torch.set_rng_state(saved.torch_rng)
    log.restore(saved.iteration, saved.pending)
    return _History(saved.iteration, saved.crops_sha256, generator_sha256, saved.seconds)


def _origin(cell: Cell) -> str:
    """Where the history of crops begins: the features that they are cut from, and their size."""
    names = cell.identity()["train_features"]
    files = [names[cell.source], names[cell.target]]
    return fingerprint.of_json([files, cell.recipe.segment_frames, cell.recipe.batch_size])


def _checkpoint(
    cell: Cell, gan: CycleGan, history: _History, speech: Mapping[str, Speech], log: TrainingLog
) -> Checkpoint:
    return Checkpoint(
        cell=cell,
        iteration=history.iteration,
        training=gan.state(),
        statistics={name: s.statistics for name, s in speech.items()},
        pending=log.pending(),
        torch_rng=torch.get_rng_state(),
        crops_sha256=history.crops_sha256,
        generator_sha256=history.generator_sha256,
        seconds=history.seconds(),
    )


def _refuse_unvalidated(cell: Cell, speech: Mapping[str, Speech]) -> None:
    for name, of_speaker in speech.items():
        if not of_speaker.validation:
            raise CellFailure(
                f"{cell.id}: conversion_weights 'best' is chosen by the validation loss, but "
                f"{len(cell.validation_features[name])} sentences of {name} are held out, none of "
                f"them with {cell.recipe.segment_frames} frames (segment_frames); hold out more "
                "(validation_utterances), or convert with the 'last' or 'averaged' weights"
            )


def _validate(gan: CycleGan, speech: Mapping[str, Speech], cell: Cell) -> float | None:
    """Mean validation loss over the held-out sentences, or None if none is long enough."""
    crops = zip(speech[cell.source].validation, speech[cell.target].validation, strict=False)
    gan.networks.eval()
    # A network that draws random numbers must train the same however often it is validated.
    with isolated_rng("validation", cell.pair, cell.seed):
        values = [gan.validate(source, target).item() for source, target in crops]
    gan.networks.train()
    return sum(values) / len(values) if values else None
