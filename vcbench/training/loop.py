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

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcbench import features, fingerprint
from vcbench.errors import CellFailure, DataError
from vcbench.normalization import SpeakerStatistics
from vcbench.plugins import Registry
from vcbench.training import health
from vcbench.training.cell import Cell
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.crops import CropStream, chained
from vcbench.training.log import TrainingLog, write_json
from vcbench.training.models import build_networks, build_objective, isolated_rng
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

    Raises `CellFailure` if a loss is no longer finite, naming it and the iterations.
    """
    registry = Registry(cell.plugin_files)
    speech = {name: _Speech(cell, name) for name in (cell.source, cell.target)}
    # One scope for the whole training: dropout in a plugin draws from here and nowhere else.
    with isolated_rng("training", cell.pair, cell.seed):
        gan, chance_loss = _build(cell, registry)
        log = TrainingLog(folder, cell)
        generator = registry.get("generator", cell.generator.name)
        code = fingerprint.of_sources(generator.source_files)
        history = _resume(cell, folder / CHECKPOINT, gan, log, code)
        iteration = history.iteration
        crops = _crop_stream(cell, speech).from_iteration(iteration)

        def save() -> None:
            history.iteration = iteration
            _checkpoint(cell, gan, history, speech, log).save(folder / CHECKPOINT)

        recipe = cell.recipe
        while iteration < recipe.iterations:
            crop = next(crops)
            source, target = _gather(speech, cell, crop)
            history.crops_sha256 = chained(history.crops_sha256, crop)
            log.add(gan.step(source, target, iteration))
            iteration += 1
            last = iteration == recipe.iterations
            if iteration % recipe.log_every == 0 or last:
                log.write(iteration)
            if iteration % recipe.validate_every == 0 or last:
                log.validation(iteration, _validate(gan, speech, cell))
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


class _Speech:
    """One speaker's normalised frames: of all training utterances in one tensor, and where each
    begins; and a crop from the middle of each held-out utterance."""

    def __init__(self, cell: Cell, speaker: str) -> None:
        train = [features.load(Path(p)) for p in cell.train_features[speaker]]
        held_out = [features.load(Path(p)) for p in cell.validation_features[speaker]]
        self.statistics = SpeakerStatistics.from_features(train)
        self.lengths = [len(u.mcep) for u in train]
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        self.frames = self._tensor(np.concatenate([u.mcep for u in train]), cell.device)
        segment = cell.recipe.segment_frames
        middles = [_middle(u.mcep, segment) for u in held_out if len(u.mcep) >= segment]
        self.validation = [self._tensor(crop, cell.device).unsqueeze(0) for crop in middles]

    def crops(self, utterances: NDArray[np.int64], starts: NDArray[np.int64], n: int) -> Tensor:
        """(batch, n_mcep, n): `n` frames from `starts` of each of `utterances`."""
        begin = self.starts[utterances] + starts
        return torch.stack([self.frames[:, b : b + n] for b in begin])

    def _tensor(self, mcep: NDArray[np.float64], device: str) -> Tensor:
        """(frames, n_mcep) as it was analysed -> (n_mcep, frames), normalised."""
        normalized = self.statistics.normalize(mcep).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(normalized.T)).to(device)


def _middle(mcep: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    begin = (len(mcep) - frames) // 2
    return mcep[begin : begin + frames]


def _build(cell: Cell, registry: Registry) -> tuple[CycleGan, float]:
    networks = build_networks(cell, registry).to(cell.device)
    objective = build_objective(cell, registry, networks)
    return CycleGan(networks, objective, cell.recipe), objective.chance_loss


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
    cell: Cell, gan: CycleGan, history: _History, speech: Mapping[str, _Speech], log: TrainingLog
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


def _crop_stream(cell: Cell, speech: Mapping[str, _Speech]) -> CropStream:
    return CropStream(
        pair=cell.pair,
        seed=cell.seed,
        lengths_source=speech[cell.source].lengths,
        lengths_target=speech[cell.target].lengths,
        segment_frames=cell.recipe.segment_frames,
        batch_size=cell.recipe.batch_size,
    )


def _gather(
    speech: Mapping[str, _Speech], cell: Cell, crops: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    n = cell.recipe.segment_frames
    source = speech[cell.source].crops(crops[:, 0], crops[:, 1], n)
    return source, speech[cell.target].crops(crops[:, 2], crops[:, 3], n)


def _validate(gan: CycleGan, speech: Mapping[str, _Speech], cell: Cell) -> float | None:
    """Mean validation loss over the held-out sentences, or None if none is long enough."""
    crops = zip(speech[cell.source].validation, speech[cell.target].validation, strict=False)
    gan.networks.eval()
    # A network that draws random numbers must train the same however often it is validated.
    with isolated_rng("validation", cell.pair, cell.seed):
        values = [gan.validate(source, target).item() for source, target in crops]
    gan.networks.train()
    return sum(values) / len(values) if values else None
