"""Which crops a cell sees: a function of (pair, seed, iteration) and of nothing else.

The comparison of systems rests on this file. Crops are drawn in blocks of `BLOCK` iterations, each
from a generator seeded by (pair, seed, block), so every system at one seed sees the same crops in
the same order, and a resumed run goes on at any iteration without any state to save.

Two options of the recipe change what is drawn, alike for all systems that have them:

- `crops: fixed` cuts each utterance at one place for the whole training, as a cache would that
  keeps the crop it drew first. Utterances come in the same order as with `fresh`.
- `pairing: same-index` gives utterance i of the source together with utterance i of the target
  (karkirowle/cyclegan_pytorch). Indices are those of the sorted ids: where both speakers say the
  same sentences, the two crops come from one sentence, at independent places in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcbench.errors import DataError
from vcbench.training.streams import random_stream

BLOCK = 1024


class CropStream:
    """The endless sequence of training crops of one pair and seed.

    lengths_source, lengths_target: frames of each training utterance. A crop is one row
    (source utterance, its first frame, target utterance, its first frame). Utterances come in
    shuffled order, within a block each as often as any other (to one); the two speakers' orders
    are independent, as are the uniformly drawn first frames.

    crops: `fixed` draws the first frames once, from (pair, seed, speaker), and not in each block.
    pairing: `same-index` draws one order for both speakers. If one has more utterances, all of them
    are in it, and the other's index is theirs modulo the number of its own.

    Raises `DataError` if an utterance is shorter than a crop.
    """

    def __init__(
        self,
        *,
        pair: str,
        seed: int,
        lengths_source: Sequence[int],
        lengths_target: Sequence[int],
        segment_frames: int,
        batch_size: int,
        crops: Literal["fresh", "fixed"] = "fresh",
        pairing: Literal["independent", "same-index"] = "independent",
    ) -> None:
        self._identity = ("crops", pair, seed)
        self._lengths = (np.asarray(lengths_source), np.asarray(lengths_target))
        self._segment = segment_frames
        self._batch = batch_size
        self._same_index = pairing == "same-index"
        for lengths in self._lengths:
            if lengths.size == 0:
                raise DataError(f"pair {pair}: a speaker has no training utterances left")
            if lengths.min() < segment_frames:
                raise DataError(
                    f"pair {pair}: training utterance number {int(lengths.argmin())} has "
                    f"{lengths.min()} frames, fewer than segment_frames ({segment_frames})"
                )
        self._fixed: list[NDArray[np.int64]] | None = None
        if crops == "fixed":
            self._fixed = [
                self._first_frames(random_stream(*self._identity, "fixed", speaker), lengths)
                for speaker, lengths in zip(("source", "target"), self._lengths, strict=True)
            ]

    def block(self, index: int) -> NDArray[np.int64]:
        """Crops of iterations index * BLOCK and on: shape (BLOCK, batch_size, 4)."""
        rng = random_stream(*self._identity, index)
        sizes = [lengths.size for lengths in self._lengths]
        shared = self._shuffled(rng, max(sizes)) if self._same_index else None
        columns = []
        for speaker, lengths in enumerate(self._lengths):
            size = lengths.size
            order = self._shuffled(rng, size) if shared is None else shared % size
            # Drawn in any case: the order of utterances is the same whether crops are fixed or not.
            start = self._first_frames(rng, lengths[order])
            columns += [order, self._fixed[speaker][order] if self._fixed else start]
        return np.stack(columns, axis=-1).reshape(BLOCK, self._batch, 4)

    def _shuffled(self, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
        """Indices below `size`, as many as a block needs: all in random order, repeatedly."""
        wanted = BLOCK * self._batch
        rounds = -(-wanted // size)
        return np.concatenate([rng.permutation(size) for _ in range(rounds)])[:wanted]

    def _first_frames(
        self, rng: np.random.Generator, lengths: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Where a crop of each of these utterances begins."""
        return rng.integers(0, lengths - self._segment + 1)


def chained(sha256: str, crops: NDArray[np.int64]) -> str:
    """The hash of a history that goes on with `crops`; see `Checkpoint.crops_sha256`."""
    return hashlib.sha256(bytes.fromhex(sha256) + crops.astype("<i8").tobytes()).hexdigest()
