"""What a cell trains on: the speech of its two speakers, normalised and cut into crops.

Statistics are those of the cell's own training utterances. A recipe that changes which sentences
these are (`sentences: disjoint`) changes the statistics too, in training and in conversion.

With `pitch: cyclegan` continuous log F0 is one more row of every crop, below the mel-cepstra:
networks, and with them the cycle, identity and validation losses, treat it as another coefficient.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcbench import features
from vcbench.normalization import SpeakerStatistics
from vcbench.training.cell import Cell
from vcbench.training.crops import CropStream


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

    def crops(self, utterances: NDArray[np.int64], starts: NDArray[np.int64], n: int) -> Tensor:
        """(batch, n_mcep, n): `n` frames from `starts` of each of `utterances`."""
        begin = self.starts[utterances] + starts
        return torch.stack([self.frames[:, b : b + n] for b in begin])


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


def gather(
    speech: Mapping[str, Speech], cell: Cell, crops: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """Source and target frames (batch, n_mcep, frames) of one iteration's `crops`."""
    n = cell.recipe.segment_frames
    source = speech[cell.source].crops(crops[:, 0], crops[:, 1], n)
    return source, speech[cell.target].crops(crops[:, 2], crops[:, 3], n)
