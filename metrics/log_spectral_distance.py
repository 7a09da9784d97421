"""Log-spectral distance (LSD): how far apart two spectral envelopes are, bin by bin, in dB.

A. H. Gray and J. D. Markel, "Distance measures for speech processing", IEEE Trans. ASSP 24(5),
pp. 380-391, 1976: the RMS difference of two log power spectra over frequency.

Conventions
-----------
Power spectra are arrays (frames, bins), greater than 0, reference and converted aligned frame by
frame, on a linear axis from 0 Hz to half the sampling rate. Distances are in dB, averaged over the
frames. Beside mel-cepstral distortion, which sees a smoothed spectrum on a mel axis, it weighs all
frequencies alike and sees the level of each frame.

The level of a recording says nothing about its conversion: the metric first takes off the mean
difference over all frames and bins, so that a gain changes nothing. `log_spectral_distance_db` does
not; it is the distance of what it is given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcbench.alignment import AlignedPair, WarpingPath
from vcbench.plugins import register_metric

Array = NDArray[np.float64]

# Pairs of frames at a time: spectra along the whole path of a long file would fill the memory.
_BLOCK = 4096


def validate(reference: Array, converted: Array) -> None:
    """Raise `ValueError` unless both are (frames, bins), of as many bins, not empty, above 0."""
    if reference.ndim != 2 or converted.ndim != 2 or reference.shape[1] != converted.shape[1]:
        raise ValueError(
            f"reference {reference.shape} and converted {converted.shape} must both be "
            "(frames, bins), of as many bins"
        )
    for power in (reference, converted):
        if not (power.size and np.isfinite(power).all() and (power > 0).all()):
            raise ValueError("power spectra must hold at least one frame, finite and above 0")


def log_spectral_distance_db(reference: Array, converted: Array) -> float:
    """Mean over aligned frames of the RMS difference in dB over bins; 0 for equal spectra.

    >>> round(log_spectral_distance_db(np.ones((3, 5)), np.full((3, 5), 2.0)), 4)
    3.0103
    """
    if reference.shape != converted.shape:
        raise ValueError(
            f"reference {reference.shape} and converted {converted.shape} must be aligned: "
            "both (frames, bins), of one shape"
        )
    validate(reference, converted)
    along = np.arange(len(reference))
    return _mean_distance(_decibels(reference), _decibels(converted), np.stack([along, along], 1))


def level_matched_distance_db(reference: Array, converted: Array, path: WarpingPath) -> float:
    """`log_spectral_distance_db` along a path, (length, 2), less the mean difference of level.

    The sides, (frames, bins), may differ in length.
    """
    validate(reference, converted)
    reference_db, converted_db = _decibels(reference), _decibels(converted)
    levels_db = reference_db.mean(axis=1)[path[:, 0]] - converted_db.mean(axis=1)[path[:, 1]]
    return _mean_distance(reference_db, converted_db + levels_db.mean(), path)


def _decibels(power: Array) -> Array:
    return 10.0 * np.log10(power)


def _mean_distance(reference_db: Array, converted_db: Array, path: WarpingPath) -> float:
    total = 0.0
    for start in range(0, len(path), _BLOCK):
        i, j = path[start : start + _BLOCK].T
        difference = reference_db[i] - converted_db[j]
        total += float(np.sqrt(np.mean(difference**2, axis=1)).sum())
    return total / len(path)


@register_metric(
    "lsd", unit="dB", better="lower", paper="Gray and Markel, 1976, IEEE Trans. ASSP 24(5)"
)
def lsd(pair: AlignedPair) -> float:
    """Log-spectral distance along the path, without the level of the recordings.

    NaN under a protocol that has no power spectrum.
    """
    reference, converted = pair.reference.power_spectrum, pair.converted.power_spectrum
    if reference is None or converted is None:
        return float("nan")
    return level_matched_distance_db(reference, converted, pair.path)
