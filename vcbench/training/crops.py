"""Which crops a cell sees: a function of (pair, seed, iteration) and of nothing else.

The comparison of systems rests on this file. Crops are drawn in blocks of `BLOCK` iterations, each
from a generator seeded by (pair, seed, block), so every system at one seed sees the same crops in
the same order, and a resumed run goes on at any iteration without any state to save.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vcbench.errors import DataError

BLOCK = 1024


class CropStream:
    """The endless sequence of training crops of one pair and seed.

    lengths_source, lengths_target: frames of each training utterance. A crop is one row
    (source utterance, its first frame, target utterance, its first frame). Utterances come in
    shuffled order, within a block each as often as any other (to one); the two speakers' orders
    are independent, as are the uniformly drawn first frames.

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
    ) -> None:
        self._identity = f"crops/{pair}/{seed}"
        self._lengths = (np.asarray(lengths_source), np.asarray(lengths_target))
        self._segment = segment_frames
        self._batch = batch_size
        for lengths in self._lengths:
            if lengths.size == 0:
                raise DataError(f"pair {pair}: a speaker has no training utterances left")
            if lengths.min() < segment_frames:
                raise DataError(
                    f"pair {pair}: training utterance number {int(lengths.argmin())} has "
                    f"{lengths.min()} frames, fewer than segment_frames ({segment_frames})"
                )

    def block(self, index: int) -> NDArray[np.int64]:
        """Crops of iterations index * BLOCK and on: shape (BLOCK, batch_size, 4)."""
        rng = np.random.Generator(np.random.PCG64(_seed(f"{self._identity}/{index}")))
        wanted = BLOCK * self._batch
        columns = []
        for lengths in self._lengths:
            rounds = -(-wanted // lengths.size)
            order = np.concatenate([rng.permutation(lengths.size) for _ in range(rounds)])[:wanted]
            start = rng.integers(0, lengths[order] - self._segment + 1)
            columns += [order, start]
        return np.stack(columns, axis=-1).reshape(BLOCK, self._batch, 4)

    def from_iteration(self, first: int) -> Iterator[NDArray[np.int64]]:
        """Crops of iteration `first`, `first + 1`, ...: each of shape (batch_size, 4)."""
        index, offset = divmod(first, BLOCK)
        while True:
            yield from self.block(index)[offset:]
            index, offset = index + 1, 0


def chained(sha256: str, crops: NDArray[np.int64]) -> str:
    """The hash of a history that goes on with `crops`; see `Checkpoint.crops_sha256`."""
    return hashlib.sha256(bytes.fromhex(sha256) + crops.astype("<i8").tobytes()).hexdigest()


def _seed(text: str) -> int:
    """A 128-bit seed from a text, the same on every machine and in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
