"""What a cell trains on: the speech of its two speakers, normalised and cut into crops.

Statistics are those of the cell's own training utterances. A recipe that changes which sentences
these are (`sentences: disjoint`) changes the statistics too, in training and in conversion.

With `pitch: cyclegan` continuous log F0 is one more row of every crop, below the mel-cepstra:
networks, and with them the cycle, identity and validation losses, treat it as another coefficient.

Training never waits for data: a block of the crop stream is sent to the device at once, and the
crops of many iterations are cut there in one operation, of which each iteration takes its slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcbench import features
from vcbench.normalization import SpeakerStatistics
from vcbench.training.cell import Cell
from vcbench.training.crops import BLOCK, CropStream

CHUNK_BYTES = 2**24  # of the crops of both speakers that are cut at once


class Speech:
    """One speaker's normalised frames: of all training utterances in one tensor, and where each
    begins; and a crop from the middle of each held-out utterance."""

    def __init__(self, cell: Cell, speaker: str) -> None:
        train = [features.load(Path(p)) for p in cell.train_features[speaker]]
        held_out = [features.load(Path(p)) for p in cell.validation_features[speaker]]
        self.statistics = SpeakerStatistics.from_features(train)
        self.lengths = [len(u.mcep) for u in train]
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]]).astype(np.int64)
        pitch, segment = cell.recipe.pitch, cell.recipe.segment_frames
        # One utterance after the other: interpolated log F0 must not run from one into the next.
        normalized = [self.statistics.normalize_frames(u, pitch=pitch) for u in train]
        self.frames = _tensor(np.concatenate(normalized), cell.device)
        middles = [
            middle(self.statistics.normalize_frames(u, pitch=pitch), segment)
            for u in held_out
            if len(u.mcep) >= segment
        ]
        self.validation = [_tensor(crop, cell.device).unsqueeze(0) for crop in middles]

    def crops(self, begins: Tensor, n: int) -> Tensor:
        """(..., n_mcep, n): `n` of `frames` from each of `begins` (...) on."""
        windows = self.frames.unfold(1, n, 1).transpose(0, 1)  # (begins, n_mcep, n), a view
        found = windows.index_select(0, begins.flatten())
        return found.view(*begins.shape, *found.shape[1:])


def middle(normalized: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """`frames` frames around the middle of an utterance (frames, n_mcep)."""
    begin = (len(normalized) - frames) // 2
    return normalized[begin : begin + frames]


def _tensor(normalized: NDArray[np.float64], device: str) -> Tensor:
    """(frames, n_mcep) -> (n_mcep, frames)."""
    values = normalized.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(values.T)).to(device)


def crop_stream(cell: Cell, speech: Mapping[str, Speech]) -> CropStream:
    """The crops that the cell sees, of the speech of its two speakers."""
    return CropStream(
        pair=cell.pair,
        seed=cell.seed,
        lengths_source=speech[cell.source].lengths,
        lengths_target=speech[cell.target].lengths,
        segment_frames=cell.recipe.segment_frames,
        batch_size=cell.recipe.batch_size,
        crops=cell.recipe.crops,
        pairing=cell.recipe.pairing,
    )


def batches(
    cell: Cell, speech: Mapping[str, Speech], first: int
) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor]]:
    """Of iteration `first` and each one after it, up to the cell's last: its crops (batch, 4), and
    what source and target say in them, each (batch, n_mcep, segment_frames).

    Holds two chunks of `CHUNK_BYTES` at most, or of one iteration if that is larger.
    """
    stream = crop_stream(cell, speech)
    n, last = cell.recipe.segment_frames, cell.recipe.iterations
    size = iterations_at_once(cell)
    for index in range(first // BLOCK, -(-last // BLOCK)):
        block = stream.block(index)
        places = _on_device(
            np.stack(
                [
                    speech[name].starts[block[..., column]] + block[..., column + 1]
                    for name, column in ((cell.source, 0), (cell.target, 2))
                ]
            ),
            cell.device,
        )
        # Always cut at the same places, wherever one begins: an iteration's batch then has the same
        # alignment in memory, on which the rounding of a matrix product may depend.
        for begin in range(index * BLOCK, (index + 1) * BLOCK, size):
            numbers = range(max(first, begin), min(last, begin + size, (index + 1) * BLOCK))
            if not numbers:
                continue
            here = slice(begin % BLOCK, numbers[-1] % BLOCK + 1)
            source = speech[cell.source].crops(places[0, here], n)
            target = speech[cell.target].crops(places[1, here], n)
            for i in numbers:
                yield block[i % BLOCK], source[i - begin], target[i - begin]


def iterations_at_once(cell: Cell) -> int:
    """Of how many iterations the crops are cut in one operation."""
    values = 2 * cell.recipe.batch_size * cell.n_mcep * cell.recipe.segment_frames
    return max(1, min(BLOCK, CHUNK_BYTES // (4 * values)))


def _on_device(values: NDArray[np.int64], device: str) -> Tensor:
    tensor = torch.from_numpy(values)
    # From pinned memory it travels while the processor goes on.
    return tensor.pin_memory().to(device, non_blocking=True) if device == "cuda" else tensor
