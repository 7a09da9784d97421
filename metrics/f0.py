"""Fundamental frequency: error of pitch where both sides are voiced, and error of voicing.

Errors over frames voiced on both sides, and the voicing decision error, as T. Nakatani, S. Amano,
T. Irino, K. Ishizuka and T. Kondo, "A method for fundamental frequency estimation and voicing
decision: application to infant utterances recorded in real acoustical environments", Speech
Communication 50(3), pp. 203-214, 2008, and W. Chu and A. Alwan, "Reducing F0 frame error of F0
tracking algorithms under noisy conditions with an unvoiced/voiced classification frontend",
ICASSP 2009, pp. 3969-3972.

Conventions
-----------
F0 is an array (frames,) in Hz, 0 where unvoiced, reference and converted already aligned frame by
frame. RMSE is taken over frames voiced on both sides, in Hz or in natural logarithms of Hz, and is
NaN where fewer than `MINIMUM_VOICED` of them exist: a handful of frames says nothing about pitch.
Voicing error is a percentage of all aligned frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcbench.alignment import AlignedPair
from vcbench.plugins import register_metric

Array = NDArray[np.float64]

MINIMUM_VOICED = 10


def validate(reference_hz: Array, converted_hz: Array) -> None:
    """Raise `ValueError` unless both are (frames,) of one length, not empty, finite and >= 0."""
    if reference_hz.ndim != 1 or reference_hz.shape != converted_hz.shape or reference_hz.size == 0:
        raise ValueError(
            f"reference {reference_hz.shape} and converted {converted_hz.shape} must be aligned: "
            "both (frames,), of one length, with at least one frame"
        )
    for hz in (reference_hz, converted_hz):
        if not (np.isfinite(hz).all() and (hz >= 0).all()):
            raise ValueError("F0 must be finite and at least 0 Hz (0 where unvoiced)")


def voiced_in_both(reference_hz: Array, converted_hz: Array) -> tuple[Array, Array]:
    """F0 of both sides at the frames where both are voiced."""
    validate(reference_hz, converted_hz)
    both = (reference_hz > 0) & (converted_hz > 0)
    return reference_hz[both], converted_hz[both]


def f0_rmse_hz(reference_hz: Array, converted_hz: Array) -> float:
    """RMS difference in Hz over frames voiced on both sides; NaN if they are too few."""
    return _rms(*voiced_in_both(reference_hz, converted_hz))


def log_f0_rmse(reference_hz: Array, converted_hz: Array) -> float:
    """RMS difference of ln F0 over frames voiced on both sides; NaN if they are too few.

    An octave is 0.693; a semitone 0.0578.
    """
    reference_hz, converted_hz = voiced_in_both(reference_hz, converted_hz)
    return _rms(np.log(reference_hz), np.log(converted_hz))


def voicing_error_percent(reference_hz: Array, converted_hz: Array) -> float:
    """Percentage of aligned frames that are voiced on one side only."""
    validate(reference_hz, converted_hz)
    return 100.0 * float(np.mean((reference_hz > 0) != (converted_hz > 0)))


def _rms(reference: Array, converted: Array) -> float:
    if len(reference) < MINIMUM_VOICED:
        return float("nan")
    return float(np.sqrt(np.mean((reference - converted) ** 2)))


@register_metric("f0-rmse", unit="Hz", better="lower")
def f0_rmse(pair: AlignedPair) -> float:
    """RMS error of F0 along the path, where both sides are voiced."""
    return f0_rmse_hz(*pair.f0_hz)


@register_metric("log-f0-rmse", unit="ln Hz", better="lower")
def log_f0_rmse_metric(pair: AlignedPair) -> float:
    """RMS error of ln F0 along the path, where both sides are voiced."""
    return log_f0_rmse(*pair.f0_hz)


@register_metric(
    "vuv-error",
    unit="%",
    better="lower",
    paper="Nakatani et al., 2008, Speech Communication 50(3)",
)
def vuv_error(pair: AlignedPair) -> float:
    """Share of the path whose frames are voiced on one side only."""
    return voicing_error_percent(*pair.f0_hz)
