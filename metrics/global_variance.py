"""Global variance (GV): whether a converted spectrum moves as much as the reference's does.

Global variance after Toda, Black and Tokuda, 2007, IEEE TASLP 15(8): the variance of each
mel-cepstral coefficient over an utterance. Averaging, over time or over possible answers, lowers it
and is heard as muffled speech, which mel-cepstral distortion does not punish and often rewards.

Conventions
-----------
Mel-cepstra are arrays (frames, dimensions) without c0. The sides are not aligned: they may differ
in length, and a path that repeats frames would change their variances. Variances are those of the
population (divided by the number of frames). Both numbers are means over dimensions of
ln(converted variance / reference variance), which has no dimension; a factor of 2 in every variance
is 0.693. The log-ratio keeps the sign: below 0 the converted spectrum moves too little (it is
over-smoothed), above 0 too much. The distance takes magnitudes first, so that too little and too
much count alike and 0 is equality. Both are NaN with fewer than `MINIMUM_FRAMES` on a side, and
where a coefficient of a side never changes.

seq2seq-vc prints as GV the mean of |ln variance| of one side alone, which is another number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcbench.alignment import AlignedPair
from vcbench.plugins import register_metric

Array = NDArray[np.float64]

MINIMUM_FRAMES = 2


def validate(reference: Array, converted: Array) -> None:
    """Raise `ValueError` unless both are finite (frames, dimensions), of as many dimensions."""
    if reference.ndim != 2 or converted.ndim != 2 or not reference.shape[1] == converted.shape[1]:
        raise ValueError(
            f"reference {reference.shape} and converted {converted.shape} must both be "
            "(frames, dimensions), of as many dimensions"
        )
    if reference.shape[1] == 0:
        raise ValueError("mel-cepstra need at least one dimension")
    if not (np.isfinite(reference).all() and np.isfinite(converted).all()):
        raise ValueError("mel-cepstra contain NaN or infinite values")


def global_variance(mcep: Array) -> Array:
    """Variance of each coefficient over the frames: (frames, dimensions) -> (dimensions,).

    `mcep` has at least one frame. The variance of a constant is exactly 0.
    """
    # The mean of equal numbers may differ from them in the last digit: no variance of exactly 0.
    changes = np.ptp(mcep, axis=0) > 0
    return np.where(changes, np.var(mcep, axis=0), 0.0)


def log_ratios(reference: Array, converted: Array) -> Array:
    """ln(converted variance / reference variance) of each coefficient, (dimensions,).

    All NaN with fewer than `MINIMUM_FRAMES` on a side or where a variance is 0.
    """
    validate(reference, converted)
    undefined = np.full(reference.shape[1], np.nan)
    if min(len(reference), len(converted)) < MINIMUM_FRAMES:
        return undefined
    sides = np.stack([global_variance(reference), global_variance(converted)])
    if not (sides > 0).all():
        return undefined
    of_reference, of_converted = np.log(sides)
    return of_converted - of_reference


def global_variance_distance(reference: Array, converted: Array) -> float:
    """Mean over coefficients of |ln(converted variance / reference variance)|; NaN if undefined.

    >>> round(global_variance_distance(np.array([[0.0], [2.0]]), np.array([[0.0], [1.0]])), 3)
    1.386
    """
    return float(np.mean(np.abs(log_ratios(reference, converted))))


def global_variance_log_ratio(reference: Array, converted: Array) -> float:
    """Mean over coefficients of ln(converted variance / reference variance); NaN if undefined.

    >>> round(global_variance_log_ratio(np.array([[0.0], [2.0]]), np.array([[0.0], [1.0]])), 3)
    -1.386
    """
    return float(np.mean(log_ratios(reference, converted)))


@register_metric(
    "gv-distance",
    unit="ln",
    better="lower",
    paper="global variance after Toda, Black and Tokuda, 2007, IEEE TASLP 15(8)",
)
def gv_distance(pair: AlignedPair) -> float:
    """Global variance distance of the mel-cepstra without c0, unaligned: tells over-smoothing."""
    return global_variance_distance(pair.reference.mcep[:, 1:], pair.converted.mcep[:, 1:])


@register_metric(
    "gv-log-ratio",
    unit="ln",
    better="neither",
    paper="global variance after Toda, Black and Tokuda, 2007, IEEE TASLP 15(8)",
)
def gv_log_ratio(pair: AlignedPair) -> float:
    """Signed global variance ratio, unaligned: below 0 is over-smoothed, above 0 moves too much."""
    return global_variance_log_ratio(pair.reference.mcep[:, 1:], pair.converted.mcep[:, 1:])
