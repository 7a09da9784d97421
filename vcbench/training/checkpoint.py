"""Checkpoints: all that is needed to go on, or to convert speech, in one file.

Written to a temporary file, flushed to the disk and renamed: a kill at any moment leaves whole
files only. The one before is kept beside it. Each takes 12 bytes (a weight and two moments) for
every parameter of the system, 16 with averaged weights: a cell keeps two, and needs the space of a
third while that is written.

The checksum is the CRC-32 of every record that `torch.save` puts into its zip archive: it finds any
damage of up to 32 bits in a row and all but one in 2^32 of the others. `torch.load` does not look
at it; `Checkpoint.load` does, before anything else. Of 1.4 GB on one processor, writing them took
0.2 s of 2.2 s and comparing them 0.8 s; SHA-256 took 2.0 s and BLAKE2b 2.8 s.

Loaded with `weights_only=True`, so a stranger's file runs no code.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vcbench.errors import CellFailure, DataError
from vcbench.normalization import SpeakerStatistics
from vcbench.sealed import temporary_of, unpacks_to_more
from vcbench.training.cell import Cell
from vcbench.training.files import previous_of
from vcbench.typed import is_typed

FORMAT = "vcbench-checkpoint-2"


class UnusableCheckpoint(DataError):
    """The file can be read, but is damaged."""


class ForeignCheckpoint(DataError):
    """The file is whole, but another program's, or another version's of vcbench."""


@dataclass(frozen=True)
class Checkpoint:
    """State after `iteration` updates.

    training: see `CycleGan.state`. statistics: both speakers', by name.
    pending: sums of the losses since the last regular line of the log, and of how many iterations.
    log: the text of the log so far. torch_rng, cuda_rng: states of PyTorch's generators, the second
    for a cell trained on a GPU. crops_sha256: chained over every crop that was trained on, in
    order, beginning with the features they are cut from: equal hashes, equal data for two systems.
    generator_sha256: of the generator's source. seconds: spent so far, over all sittings.
    """

    cell: Cell
    iteration: int
    training: dict[str, Any]
    statistics: dict[str, SpeakerStatistics]
    pending: dict[str, tuple[float, int]]
    log: str
    torch_rng: torch.Tensor
    cuda_rng: torch.Tensor | None
    crops_sha256: str
    generator_sha256: str
    seconds: float

    def save(self, path: Path) -> None:
        """Write atomically; what was at `path` is then at `previous_of(path)`.

        Raises `CellFailure` if it cannot be written (a full disk, say); what was there is whole and
        still there.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_of(path)
        try:
            with temporary.open("wb") as file:
                torch.save(self._stored(), file)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                path.replace(previous_of(path))
            temporary.replace(path)
            _sync_folder(path.parent)
        except (OSError, RuntimeError) as error:  # PyTorch turns some of the first into the second
            raise CellFailure(
                f"{self.cell.id}: the checkpoint of iteration {self.iteration} cannot be written "
                f"to {path} ({_reason(error)}); what was saved before is kept: the same command "
                "goes on from there"
            ) from None
        finally:
            temporary.unlink(missing_ok=True)

    def _stored(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "cell": self.cell.to_json(),
            "iteration": self.iteration,
            "training": self.training,
            "statistics": {name: s.to_json() for name, s in self.statistics.items()},
            "pending": self.pending,
            "log": self.log,
            "torch_rng": self.torch_rng,
            "cuda_rng": self.cuda_rng,
            "crops_sha256": self.crops_sha256,
            "generator_sha256": self.generator_sha256,
            "seconds": self.seconds,
        }

    @classmethod
    def load(cls, path: Path, *, device: str = "cpu") -> Checkpoint:
        """Read a checkpoint, its checksums first.

        Raises `UnusableCheckpoint` if it is damaged, `ForeignCheckpoint` if it is none of ours, and
        `DataError` if there is none or it cannot be read.
        """
        _verify(path)
        stored = _read(path, device=device)
        try:
            return cls(
                cell=Cell.from_json(stored["cell"]),
                iteration=stored["iteration"],
                training=stored["training"],
                statistics={
                    name: SpeakerStatistics.from_json(s) for name, s in stored["statistics"].items()
                },
                pending=stored["pending"],
                log=stored["log"],
                torch_rng=stored["torch_rng"].cpu(),
                cuda_rng=None if stored["cuda_rng"] is None else stored["cuda_rng"].cpu(),
                crops_sha256=stored["crops_sha256"],
                generator_sha256=stored["generator_sha256"],
                seconds=stored["seconds"],
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ForeignCheckpoint(
                f"{path}: written by another version of vcbench "
                f"({type(error).__name__}: {_one_line(error)})"
            ) from None


def load_newest(path: Path, *, device: str = "cpu") -> tuple[Checkpoint | None, str]:
    """(the checkpoint at `path`, or the one before if that is damaged or missing, or None; what was
    wrong, in one line, or "").

    A damaged newest one is deleted where the one before is whole: the next to be saved would push
    it into that one's place.
    """
    problems: list[str] = []
    for candidate in (path, previous_of(path)):
        try:
            if candidate.exists():
                found = Checkpoint.load(candidate, device=device)
                if problems:
                    path.unlink()
                    problems.append(f"going on from the one before, of iteration {found.iteration}")
                return found, "; ".join(problems)
        except UnusableCheckpoint as error:
            problems.append(str(error))
    return None, "; ".join(problems)


def iteration_of(path: Path) -> int | None:
    """Updates done in a checkpoint, or None if there is none of ours: without reading the weights
    and without looking at the checksums, so in milliseconds."""
    try:
        _refuse_bomb(path)
        return int(_read(path, device="cpu", mmap=True)["iteration"])
    except (DataError, KeyError, TypeError, ValueError):
        return None


def cell_of(path: Path) -> Cell:
    """The cell that a checkpoint was trained for, without reading the weights and without looking
    at the checksums; raises `DataError` if there is none of ours."""
    _refuse_bomb(path)
    try:
        cell = Cell.from_json(_read(path, device="cpu", mmap=True)["cell"])
        if not is_typed(cell, Cell):
            raise ValueError("a value of another type than it must have")
        cell.to_json()  # its options are JSON too
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ForeignCheckpoint(
            f"{path}: names no cell of this version of vcbench ({type(error).__name__})"
        ) from None
    return cell


def _read(path: Path, *, device: str, mmap: bool = False) -> dict[str, Any]:
    try:
        stored = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise DataError(f"{path}: no such checkpoint") from None
    except Exception as error:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "memory" in str(error):
            raise  # no reason to take the file for a damaged one
        # PyTorch's own words tell the user to load it unsafely.
        raise _damaged(path, error) from None
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ForeignCheckpoint(f"{path}: not a vcbench checkpoint ('{FORMAT}' is expected)")
    return stored


def _verify(path: Path) -> None:
    """Compare every record of the archive with its CRC-32."""
    _refuse_bomb(path)
    with _reading(path), zipfile.ZipFile(path) as archive:
        torn = archive.testzip()
    if torn is not None:
        raise UnusableCheckpoint(
            f"{path}: not a readable checkpoint: damaged (checksum of {_one_line(torn)})"
        )


def _refuse_bomb(path: Path) -> None:
    """Reading takes no more memory than the file's size; of a good one this takes milliseconds."""
    with _reading(path):
        is_bomb = unpacks_to_more(path)
    if is_bomb:
        raise UnusableCheckpoint(f"{path}: unpacks to more than its size, as no checkpoint does")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever reading a zip archive raises as the errors of `Checkpoint.load`."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # damaged headers can make the reader raise anything
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UnusableCheckpoint:
    return UnusableCheckpoint(
        f"{path}: not a readable checkpoint: damaged, or something else ({type(error).__name__})"
    )


def _one_line(value: object) -> str:
    return " ".join(str(value).split())  # a damaged name may hold anything


def _reason(error: OSError | RuntimeError) -> str:
    """The system's words, which PyTorch may have put behind an error of its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return _one_line(error).split(". ")[0]


def _sync_folder(folder: Path) -> None:
    """Let the renames reach the disk as well."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
