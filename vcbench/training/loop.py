"""The training loop: from a cell to a checkpoint, resumable at any iteration.

What it leaves in the cell's folder: see `vcbench.training.files`.
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
from vcbench.errors import CellFailure
from vcbench.plugins import Registry
from vcbench.training import health
from vcbench.training.cell import Cell
from vcbench.training.checkpoint import (
    Checkpoint,
    ForeignCheckpoint,
    UnusableCheckpoint,
    load_newest,
)
from vcbench.training.crops import chained
from vcbench.training.determinism import deterministic
from vcbench.training.extension import extended, obstacle
from vcbench.training.files import CHECKPOINT, EXTENDED, STATUS, remove_abandoned, write_status
from vcbench.training.log import TrainingLog
from vcbench.training.models import Networks, build_networks, build_objective, isolated_rng
from vcbench.training.precision import float32_products
from vcbench.training.speech import Speech, batches
from vcbench.training.step import CycleGan
from vcbench.training.tensorboard import Board


def train(
    cell: Cell,
    folder: Path,
    *,
    stop_requested: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
) -> dict[str, Any] | None:
    """Train `cell`, or go on with it, in `folder`; returns what status.json then holds.

    tensorboard: also write event files, see `vcbench.training.tensorboard`.

    Returns None if `stop_requested` became true: then a checkpoint of the last whole iteration has
    been written, and calling again continues as if nothing had happened.

    Raises `CellFailure` if a loss or a weight is no longer finite, naming it and the iteration: the
    checkpoint that is left is an earlier one; if a file cannot be written; and before anything is
    trained if the best weights are wanted and no speech is held out to find them by.
    """
    registry = Registry(cell.plugin_files)
    remove_abandoned(folder)
    # One scope for the whole training: dropout in a plugin draws from here and nowhere else.
    with (
        deterministic(cell),
        float32_products(cell.recipe),
        isolated_rng("training", cell.pair, cell.seed),
        Board(folder, cell, wanted=tensorboard) as board,
    ):
        speech = {name: Speech(cell, name) for name in (cell.source, cell.target)}
        if cell.recipe.conversion_weights == "best":
            _refuse_unvalidated(cell, speech)
        gan = _build(cell, registry)
        # Now that all is imported: what is edited later is not what trains here.
        trained_by = cell.checked_code(registry, folder.resolve())
        log = TrainingLog(folder, cell)
        generator = registry.get("generator", cell.generator.name)
        code = fingerprint.of_sources(generator.source_files)
        history = _resume(cell, folder, gan, log, code)
        iteration = history.iteration
        if iteration < cell.recipe.iterations:
            # What an earlier sitting said holds no longer: its last checkpoint is gone.
            (folder / STATUS).unlink(missing_ok=True)
        data = batches(cell, speech, iteration)
        board.begin(iteration)

        def save() -> None:
            log.check(iteration)
            _refuse_ruined(cell, gan.networks, iteration)
            history.iteration = iteration
            _checkpoint(cell, gan, history, speech, log).save(folder / CHECKPOINT)
            (folder / EXTENDED).unlink(missing_ok=True)

        recipe = cell.recipe
        while iteration < recipe.iterations:
            crop, source, target = next(data)
            history.crops_sha256 = chained(history.crops_sha256, crop)
            losses = gan.step(source, target, iteration)
            iteration += 1
            log.add(losses, iteration)
            last = iteration == recipe.iterations
            if iteration % recipe.log_every == 0 or last:
                log.write(iteration)
                board.logged(iteration, gan)
            if iteration % recipe.validate_every == 0 or last:
                log.check(iteration)  # a broken loss is told before what it breaks
                found = _validate(gan, speech, cell)
                log.validation(iteration, found)
                loss = found.get("validation")
                board.validated(iteration, loss, gan, speech)
                gan.conversion_weights.validated(loss)
            stop = not last and stop_requested()
            if iteration % recipe.checkpoint_every == 0 or last or stop:
                save()
            if stop:
                return None
    status = {
        "iterations": iteration,
        "seconds": round(history.seconds(), 3),
        "health": health.flags(
            log.lines(),
            chance_loss=gan.objective.chance_loss,
            generator_bound=gan.objective.generator_bound,
        ),
        "crop_stream_sha256": history.crops_sha256,
        "device": cell.device,
        "threads": torch.get_num_threads(),
        # What it was trained with, where it was trained: results travel.
        "code": trained_by,
        "packages": cell.packages(registry),
    }
    write_status(folder, status)
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


def _build(cell: Cell, registry: Registry) -> CycleGan:
    networks = build_networks(cell, registry).to(cell.device)
    return CycleGan(networks, build_objective(cell, registry, networks), cell)


def _resume(
    cell: Cell, folder: Path, gan: CycleGan, log: TrainingLog, generator_sha256: str
) -> _History:
    """Take up the newest checkpoint that is whole, of this training or, where it has none, of
    another length of it; else begin anew. What was damaged is told in one line on stderr.

    Raises `CellFailure` if the checkpoint is another cell's or another version's.
    """
    path = folder / CHECKPOINT
    try:
        saved, problem = load_newest(path, device=cell.device)
    except ForeignCheckpoint as error:
        raise CellFailure(f"{error}; name another folder") from None
    if saved is not None and saved.cell.identity() != cell.identity():
        raise CellFailure(
            f"{path} belongs to another training ({saved.cell.id}) than the cell {cell.id} given; "
            "name another folder"
        )
    if saved is None:
        saved, also = _of_another_length(cell, folder / EXTENDED)
        problem = "; ".join(filter(None, (problem, also)))
    if problem:
        print(problem if saved else f"{problem}; training begins anew", file=sys.stderr)
    if saved is None:
        log.path.unlink(missing_ok=True)
        return _History(0, _origin(cell), generator_sha256)
    gan.load_state(saved.training)
    torch.set_rng_state(saved.torch_rng)
    if saved.cuda_rng is not None:
        torch.cuda.set_rng_state(saved.cuda_rng, cell.device)
    log.restore(saved.log, saved.pending)
    return _History(saved.iteration, saved.crops_sha256, generator_sha256, saved.seconds)


def _of_another_length(cell: Cell, path: Path) -> tuple[Checkpoint | None, str]:
    """(what to go on from, or None; why it cannot be gone on from, or "")."""
    if not path.exists():
        return None, ""
    try:
        saved = Checkpoint.load(path, device=cell.device)
    except (ForeignCheckpoint, UnusableCheckpoint) as error:
        return None, str(error)
    if saved.cell.family() != cell.family():
        return None, f"{path} belongs to another training ({saved.cell.id})"
    if reason := obstacle(cell.recipe, saved.cell.recipe, saved.iteration):
        return None, f"{path} cannot be gone on from: {reason}"
    return extended(saved), ""


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
        log=log.text(),
        torch_rng=torch.get_rng_state(),
        cuda_rng=torch.cuda.get_rng_state(cell.device) if cell.device == "cuda" else None,
        crops_sha256=history.crops_sha256,
        generator_sha256=history.generator_sha256,
        seconds=history.seconds(),
    )


def _refuse_ruined(cell: Cell, networks: Networks, iteration: int) -> None:
    """Losses are computed before an update: it may have ruined the weights after finite ones."""
    names, extremes = [], []
    for name, weights in networks.named_parameters():
        if weights.is_floating_point() and weights.numel():
            names.append(name)
            # Both are NaN if any weight is. Six times as fast as torch.isfinite on a CPU.
            extremes.append(torch.stack(torch.aminmax(weights.detach())))
    finite = torch.stack(extremes).isfinite().all(dim=1).tolist()
    if not all(finite):
        raise CellFailure(
            f"{cell.id}: weights became infinite or NaN at iteration {iteration} (the first: "
            f"{names[finite.index(False)]}); try a smaller learning rate"
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


def _validate(gan: CycleGan, speech: Mapping[str, Speech], cell: Cell) -> dict[str, float]:
    """What `CycleGan.validate` finds, as means over the held-out sentences; empty if none is long
    enough."""
    crops = zip(speech[cell.source].validation, speech[cell.target].validation, strict=False)
    gan.networks.eval()
    # A network that draws random numbers must train the same however often it is validated.
    with isolated_rng("validation", cell.pair, cell.seed):
        found = [gan.validate(source, target) for source, target in crops]
    gan.networks.train()
    names = found[0] if found else {}
    return {name: sum(values[name].item() for values in found) / len(found) for name in names}
