"""Frames of a converted utterance matched with those of its reference: power gate and exact DTW.

A protocol (`vcbench.protocols`) extracts an `Analysis` from each waveform; `align` drops the frames
without speech and warps time; what comes out, an `AlignedPair`, is what every metric is given.

Conventions: arguments stand in the order (reference, converted); a path is (length, 2) integers,
reference frame and converted frame, both non-decreasing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcbench.errors import DataError

Array = NDArray[np.float64]
WarpingPath = NDArray[np.intp]

# One byte is kept for each pair of frames, so this is also the memory that a path may cost:
# 512 MiB, or 115 s against 115 s of speech at 5 ms.
MAXIMUM_FRAME_PAIRS = 2**29

_DIAGONAL, _REFERENCE, _CONVERTED = 0, 1, 2


@dataclass(frozen=True)
class Analysis:
    """What a protocol extracts from one waveform.

    mcep: (frames, order + 1), c0 to c_order. f0_hz: (frames,), 0 where unvoiced. speech: (frames,)
    bool, the frames that pass the power gate. Frame t lies at t * frame_period_ms.
    """

    mcep: Array
    f0_hz: Array
    speech: NDArray[np.bool_]
    frame_period_ms: float

    def gated(self) -> Analysis:
        """Only the frames with speech, one after the other."""
        kept = self.speech
        return Analysis(self.mcep[kept], self.f0_hz[kept], kept[kept], self.frame_period_ms)


@dataclass(frozen=True)
class AlignedPair:
    """Two gated analyses and the path between them; what a metric is called with.

    `pair.mcep` and `pair.f0_hz` are (reference, converted) arrays of one length, frame by frame.
    Metrics that compare durations or whole trajectories read `reference` and `converted` instead.
    """

    reference: Analysis
    converted: Analysis
    path: WarpingPath

    @property
    def mcep(self) -> tuple[Array, Array]:
        """Mel-cepstra c0 to c_order along the path, each (length, order + 1)."""
        return self.reference.mcep[self.path[:, 0]], self.converted.mcep[self.path[:, 1]]

    @property
    def f0_hz(self) -> tuple[Array, Array]:
        """F0 along the path, each (length,); 0 where unvoiced."""
        return self.reference.f0_hz[self.path[:, 0]], self.converted.f0_hz[self.path[:, 1]]


def align(reference: Analysis, converted: Analysis) -> AlignedPair:
    """Gate both sides and align c1 to c_order by DTW; c0, the level, has no say in it.

    Raises `DataError` if a side has no frame above the gate, or if the pair is too long.
    """
    for side, analysis in (("reference", reference), ("converted", converted)):
        if not analysis.speech.any():
            frames = len(analysis.speech)
            raise DataError(f"no frames above the gate: none of the {side}'s {frames} frames")
    reference, converted = reference.gated(), converted.gated()
    path = dtw_path(reference.mcep[:, 1:], converted.mcep[:, 1:])
    return AlignedPair(reference, converted, path)


def dtw_path(reference: Array, converted: Array) -> WarpingPath:
    """The path (length, 2) of least total Euclidean distance between two sequences of frames.

    Exact dynamic time warping (Sakoe and Chiba, "Dynamic programming algorithm optimization for
    spoken word recognition", IEEE Trans. ASSP 26(1), 1978) from the first pair of frames to the
    last, with the steps (1, 1), (1, 0) and (0, 1), each of weight 1, and no window. Where steps tie
    the diagonal is preferred, then (1, 0); so a sequence and itself are matched frame by frame.

    reference is (n, d) and converted (m, d), in float64. All frame pairs on one anti-diagonal are
    computed at once. Memory is n * m bytes; raises `DataError` where that exceeds
    `MAXIMUM_FRAME_PAIRS`, where a sequence is empty or not finite, or where the shapes disagree.
    """
    reference, converted = _checked(reference, converted)
    moves, starts = _best_moves(reference, converted)
    return _trace(moves, starts, len(reference), len(converted))


def _checked(reference: Array, converted: Array) -> tuple[Array, Array]:
    reference, converted = (np.asarray(side, dtype=np.float64) for side in (reference, converted))
    shapes = f"reference {reference.shape}, converted {converted.shape}"
    if not (reference.ndim == converted.ndim == 2 and reference.shape[1] == converted.shape[1]):
        raise DataError(
            f"cannot align {shapes}: both must be (frames, dimensions), same dimensions"
        )
    if not (len(reference) and len(converted)):
        raise DataError(f"cannot align {shapes}: a side has no frames")
    if len(reference) * len(converted) > MAXIMUM_FRAME_PAIRS:
        raise DataError(
            f"too long to align: {len(reference)} x {len(converted)} frames, at most "
            f"{MAXIMUM_FRAME_PAIRS} pairs of frames; cut both files into sentences"
        )
    if not (np.isfinite(reference).all() and np.isfinite(converted).all()):
        raise DataError(f"cannot align {shapes}: a side contains NaN or infinite values")
    return reference, converted


def _best_moves(reference: Array, converted: Array) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """The step that best leads to each pair (i, j), stored anti-diagonal after anti-diagonal.

    Returns (moves (n * m,), starts (n + m - 1,)): pair (i, j) of diagonal k = i + j is at
    moves[starts[k] + i], so that each diagonal is written as one contiguous slice.
    """
    n, m = len(reference), len(converted)
    # Dimensions first and one side reversed: on a diagonal j falls as i grows, so that both sides
    # are plain slices, and the sum over dimensions adds whole rows.
    rows = np.ascontiguousarray(reference.T)
    columns = np.ascontiguousarray(converted[::-1].T)
    moves = np.empty(n * m, dtype=np.uint8)
    starts = np.empty(n + m - 1, dtype=np.intp)
    # costs[k % 3][i + 1] is the least cost of reaching (i, k - i). Three diagonals rotate; the
    # places not yet on a diagonal are still infinite, which makes the borders right.
    costs = [np.full(n + 1, np.inf) for _ in range(3)]
    costs[0][1] = np.linalg.norm(reference[0] - converted[0])
    moves[0], starts[0], free = _DIAGONAL, 0, 1
    for k in range(1, n + m - 1):
        low, high = max(0, k - m + 1), min(n, k + 1)
        shift = m - 1 - k
        difference = rows[:, low:high] - columns[:, low + shift : high + shift]
        distance = np.sqrt(np.einsum("dl,dl->l", difference, difference))
        last, before = costs[(k - 1) % 3], costs[(k - 2) % 3]
        best, move = _cheapest(before[low:high], last[low:high], last[low + 1 : high + 1])
        costs[k % 3][low + 1 : high + 1] = best + distance
        moves[free : free + high - low] = move
        starts[k] = free - low
        free += high - low
    return moves, starts


def _cheapest(diagonal: Array, up: Array, left: Array) -> tuple[Array, NDArray[np.uint8]]:
    """Least of three costs and which it was; the diagonal wins ties, then the reference's step."""
    sideways = np.minimum(up, left)
    move = np.where(left < up, np.uint8(_CONVERTED), np.uint8(_REFERENCE))
    move *= sideways < diagonal  # 0 is the diagonal
    return np.minimum(diagonal, sideways), move


def _trace(moves: NDArray[np.uint8], starts: NDArray[np.intp], n: int, m: int) -> WarpingPath:
    """Walk back from the last pair of frames to the first."""
    i, j = n - 1, m - 1
    path = [(i, j)]
    while i or j:
        move = int(moves[starts[i + j] + i])
        i -= move != _CONVERTED
        j -= move != _REFERENCE
        path.append((i, j))
    return np.array(path[::-1], dtype=np.intp)
