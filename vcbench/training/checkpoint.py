"""Checkpoints: all that is needed to go on, or to convert speech, in one file.

Written to a temporary file, flushed to the disk and renamed: a kill at any moment leaves the old
checkpoint or the new one. Loaded with `weights_only=True`, so a stranger's file runs no code.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vcbench.errors import DataError
from vcbench.normalization import SpeakerStatistics
from vcbench.training.cell import Cell

FORMAT = "vcbench-checkpoint-1"


@dataclass(frozen=True)
class Checkpoint:
    """State after `iteration` updates.

    training: see `CycleGan.state`. statistics: both speakers', by name.
    pending: sums of the losses since the last line of the log, and their count. crops_sha256:
    chained over every crop that was trained on, in order, beginning with the features they are cut
    from: equal hashes, equal data for two systems. generator_sha256: of the generator's source.
    seconds: spent so far, over all sittings.
    """

    cell: Cell
    iteration: int
    training: dict[str, Any]
    statistics: dict[str, SpeakerStatistics]
    pending: dict[str, float]
    torch_rng: torch.Tensor
    crops_sha256: str
    generator_sha256: str
    seconds: float

    def save(self, path: Path) -> None:
        """Write atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            torch.save(
                {
                    "format": FORMAT,
                    "cell": self.cell.to_json(),
                    "iteration": self.iteration,
                    "training": self.training,
                    "statistics": {name: s.to_json() for name, s in self.statistics.items()},
                    "pending": self.pending,
                    "torch_rng": self.torch_rng,
                    "crops_sha256": self.crops_sha256,
                    "generator_sha256": self.generator_sha256,
                    "seconds": self.seconds,
                },
                file,
            )
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path, *, device: str = "cpu") -> Checkpoint:
        """Read a checkpoint; raises `DataError` if there is none or it is none of ours."""
        try:
            stored = torch.load(path, map_location=device, weights_only=True)
        except FileNotFoundError:
            raise DataError(f"{path}: no such checkpoint") from None
        except Exception as error:  # a damaged file can make the unpickler raise anything
            # PyTorch's own words tell the user to load it unsafely.
            raise DataError(
                f"{path}: not a readable checkpoint: damaged, or something else "
                f"({type(error).__name__})"
            ) from None
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise DataError(f"{path}: not a vcbench checkpoint ('{FORMAT}' is expected)")
        try:
            return cls(
                cell=Cell.from_json(stored["cell"]),
                iteration=stored["iteration"],
                training=stored["training"],
                statistics={
                    name: SpeakerStatistics.from_json(s) for name, s in stored["statistics"].items()
                },
                pending=stored["pending"],
                torch_rng=stored["torch_rng"].cpu(),
                crops_sha256=stored["crops_sha256"],
                generator_sha256=stored["generator_sha256"],
                seconds=stored["seconds"],
            )
        except (KeyError, TypeError) as error:
            reason = " ".join(str(error).split())  # a damaged name may hold anything
            raise DataError(
                f"{path}: written by another version of vcbench ({type(error).__name__}: {reason})"
            ) from None
