"""Dynamic time warping: the path of least total distance between two sequences of frames.

Conventions: arguments stand in the order (reference, converted); a path is (length, 2) integers,
reference frame and converted frame, both non-decreasing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vcbench.errors import DataError

Array = NDArray[np.float64]
Moves = NDArray[np.uint8]
WarpingPath = NDArray[np.intp]

# What bounds the time: 131,072 frames against as many, 10 min 55 s at 5 ms.
MAXIMUM_FRAME_PAIRS = 2**34
# What bounds the memory: moves are kept for so many anti-diagonals at a time.
_BLOCK = 16384

_DIAGONAL, _REFERENCE, _CONVERTED = 0, 1, 2


@dataclass(frozen=True)
class _Front:
    """Least costs of reaching the pairs on anti-diagonals k - 1 (`before`) and k (`last`).

    Both are (n + 1,): the cost of pair (i, k - i) is at place i + 1. What is not on a diagonal is
    infinite or left over from an earlier one.
    """

    k: int
    before: Array
    last: Array


def dtw_path(reference: Array, converted: Array) -> WarpingPath:
    """The path (length, 2) of least total Euclidean distance between two sequences of frames.

    Exact dynamic time warping (Sakoe and Chiba, "Dynamic programming algorithm optimization for
    spoken word recognition", IEEE Trans. ASSP 26(1), 1978) from the first pair of frames to the
    last, with the steps (1, 1), (1, 0) and (0, 1), each of weight 1, and no window. Where steps tie
    the diagonal is preferred, then (1, 0); so a sequence and itself are matched frame by frame.

    reference is (n, d) and converted (m, d), in float64. All frame pairs on one anti-diagonal are
    computed at once. Raises `DataError` where n * m exceeds `MAXIMUM_FRAME_PAIRS`, where a sequence
    is empty or not finite, or where the shapes disagree.

    Memory: at most 128 MiB of moves, and 16 n bytes of costs for each `_BLOCK` diagonals. Of long
    sequences only those costs are kept on the way there; the moves are computed again from them on
    the way back, block by block, inside the triangle that the path can be in (the scheme of
    J. A. Grice, R. Hughey and D. Speck, "Reduced space sequence alignment", Computer Applications
    in the Biosciences 13(1), 1997).

    NumPy, and no compiled code: between two sentences of 750 and 657 frames this takes 18 ms and
    numba 3.5, of 118 ms for all of a pair of 4 s; but numba's first call costs 2.5 s in every
    process (`pytest -s --benchmark tests/benchmark/test_scoring_speed.py`).
    """
    reference, converted = _checked(reference, converted)
    path = [(len(reference) - 1, len(converted) - 1)]
    for front in reversed(_fronts(reference, converted)):
        _walk_back(path, front, reference, converted)
    return np.array(path[::-1], dtype=np.intp)


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
            f"{MAXIMUM_FRAME_PAIRS} pairs of frames, to end within minutes; cut both files into "
            "sentences"
        )
    if not (np.isfinite(reference).all() and np.isfinite(converted).all()):
        raise DataError(f"cannot align {shapes}: a side contains NaN or infinite values")
    return reference, converted


def _fronts(reference: Array, converted: Array) -> list[_Front]:
    """The front at the first pair of frames, and at each further `_BLOCK` diagonals."""
    nowhere = np.full(len(reference) + 1, np.inf)
    first = nowhere.copy()
    first[1] = np.linalg.norm(reference[0] - converted[0])
    fronts = [_Front(0, nowhere, first)]
    stop = (len(reference) + len(converted) - 3) // _BLOCK * _BLOCK  # before the last pair
    for front, _, _ in _sweep(reference, converted, fronts[0], stop):
        if front.k % _BLOCK == 0:
            fronts.append(_Front(front.k, front.before.copy(), front.last.copy()))
    return fronts


def _walk_back(
    path: list[tuple[int, int]], front: _Front, reference: Array, converted: Array
) -> None:
    """Append the pairs that lead from the path's last one back to a front, or one beyond it."""
    i, j = path[-1]
    reach = i + j - front.k
    # No path to (i, j) that leaves the front comes from further away than this.
    i0, j0 = max(0, i - reach), max(0, j - reach)
    near = _Front(front.k - i0 - j0, front.before[i0 : i + 2], front.last[i0 : i + 2])
    swept = _sweep(reference[i0 : i + 1], converted[j0 : j + 1], near, i + j - i0 - j0)
    steps = [(i0 + low, moves) for _, low, moves in swept]
    while i + j > front.k:
        low, moves = steps[i + j - front.k - 1]
        move = moves[i - low]
        i -= int(move != _CONVERTED)
        j -= int(move != _REFERENCE)
        path.append((i, j))


def _sweep(
    reference: Array, converted: Array, front: _Front, stop: int
) -> Iterator[tuple[_Front, int, Moves]]:
    """(front, first reference frame, best moves) of each diagonal after `front`, up to `stop`.

    The moves say by which step each pair of the diagonal is best reached. A front's arrays are used
    again for the diagonals that follow.
    """
    n, m = len(reference), len(converted)
    # On a diagonal j falls as i grows: with one side reversed, both sides of it are plain slices.
    reference, backwards = map(np.ascontiguousarray, (reference, converted[::-1]))
    # Three arrays rotate; the places not yet on a diagonal are still infinite, which makes the
    # borders right.
    before, last, free = front.before.copy(), front.last.copy(), np.full(n + 1, np.inf)
    for k in range(front.k + 1, stop + 1):
        low, high = max(0, k - m + 1), min(n, k + 1)
        shift = m - 1 - k
        difference = reference[low:high] - backwards[low + shift : high + shift]
        distance = np.sqrt(np.einsum("ld,ld->l", difference, difference))
        best, moves = _cheapest(before[low:high], last[low:high], last[low + 1 : high + 1])
        free[low + 1 : high + 1] = best + distance
        before, last, free = last, free, before
        yield _Front(k, before, last), low, moves


def _cheapest(diagonal: Array, up: Array, left: Array) -> tuple[Array, Moves]:
    """Least of three costs and which it was; the diagonal wins ties, then the reference's step."""
    sideways = np.minimum(up, left)
    move = (left < up).view(np.uint8) + np.uint8(_REFERENCE)  # one more is _CONVERTED
    move *= sideways < diagonal  # 0 is _DIAGONAL
    return np.minimum(diagonal, sideways), move
