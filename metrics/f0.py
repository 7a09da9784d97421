"""Fundamental frequency: errors of pitch where both sides are voiced, and errors of voicing.

Gross pitch error and voicing decision error as T. Nakatani, S. Amano, T. Irino, K. Ishizuka and
T. Kondo, "A method for fundamental frequency estimation and voicing decision: application to infant
utterances recorded in real acoustical environments", Speech Communication 50(3), pp. 203-214, 2008;
F0 frame error, which counts both, as W. Chu and A. Alwan, "Reducing F0 frame error of F0 tracking
algorithms under noisy conditions with an unvoiced/voiced classification frontend", ICASSP 2009,
pp. 3969-3972.

Conventions
-----------
F0 is an array (frames,) in Hz, 0 where unvoiced, reference and converted already aligned frame by
frame. What compares pitch (RMSE in Hz, natural logarithm or cents, correlation, gross error) reads
the frames voiced on both sides and is NaN where fewer than `MINIMUM_VOICED` of them exist: a
handful of frames says nothing about pitch, and `voiced-frames` tells how many there were. What
counts wrong frames (voicing error, F0 frame error) is a percentage of all aligned frames and stays
defined: a conversion without any voice is its worst case, not one to leave out of the mean.

Every number holds what the estimator gets wrong. The same recording at 0.9 and 1.1 times its tempo
(VCC2016, three sentences of four speakers, mean over utterances, all else as `vcbench-1`; splices
of the change of tempo included) differs from itself by 7.5 Hz, 0.059 ln Hz and 5.2 % in voicing
with DIO and StoneMask; by 16.7 Hz, 0.114 ln Hz and 2.5 % with Harvest, which calls 81 % of all
frames voiced where DIO calls 62 %; with a floor of 71 Hz in place of 40, Harvest has 14.8 Hz,
0.083 ln Hz and 2.2 %. `pytest -s -m slow tests/test_f0_methods.py` prints it.

RMSE holds two errors at once. The mean-removed RMSE and the correlation leave out a constant factor
of F0: they tell whether the melody is right, whatever its register.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcbench.alignment import AlignedPair
from vcbench.plugins import register_metric

Array = NDArray[np.float64]

MINIMUM_VOICED = 10
GROSS_ERROR = 0.2  # of the reference's F0
CENTS = 1200.0 / np.log(2.0)  # cents in a unit of ln F0

_NAKATANI = "Nakatani et al., 2008, Speech Communication 50(3)"


def validate(reference_hz: Array, converted_hz: Array) -> None:
    """Raise `ValueError` unless both are (frames,) of one length, finite and at least 0."""
    if reference_hz.ndim != 1 or reference_hz.shape != converted_hz.shape:
        raise ValueError(
            f"reference {reference_hz.shape} and converted {converted_hz.shape} must be aligned: "
            "both (frames,), of one length"
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
    return _rms(np.subtract(*voiced_in_both(reference_hz, converted_hz)))


def f0_rmse_hz_of_all_frames(reference_hz: Array, converted_hz: Array) -> float:
    """RMS difference in Hz over all frames, 0 Hz where unvoiced: errors of voicing dominate it.

    NaN with fewer than `MINIMUM_VOICED` frames.
    """
    validate(reference_hz, converted_hz)
    return _rms(reference_hz - converted_hz)


def log_f0_rmse(reference_hz: Array, converted_hz: Array) -> float:
    """RMS difference of ln F0 over frames voiced on both sides; NaN if they are too few.

    An octave is 0.693; a semitone 0.0578.
    """
    return _rms(np.subtract(*_logarithms(reference_hz, converted_hz)))


def f0_rmse_cents(reference_hz: Array, converted_hz: Array) -> float:
    """RMS difference in cents over frames voiced on both sides; NaN if they are too few.

    An octave is 1200, a semitone 100. It is `log_f0_rmse` in another unit.
    """
    return float(CENTS * log_f0_rmse(reference_hz, converted_hz))


def centred_log_f0_rmse(reference_hz: Array, converted_hz: Array) -> float:
    """RMS difference of ln F0, each side less its mean over the frames voiced on both sides.

    Another register, a constant factor of F0, leaves it alone. NaN if the frames are too few.
    """
    reference, converted = _logarithms(reference_hz, converted_hz)
    if len(reference) < MINIMUM_VOICED:
        return float("nan")
    return _rms((reference - reference.mean()) - (converted - converted.mean()))


def f0_correlation(reference_hz: Array, converted_hz: Array) -> float:
    """Pearson's correlation of ln F0 over frames voiced on both sides.

    NaN if they are too few, or if F0 never changes on a side.
    """
    return _correlation(*_logarithms(reference_hz, converted_hz))


def f0_correlation_hz(reference_hz: Array, converted_hz: Array) -> float:
    """The same of F0 in Hz, as s3prl-vc and VERSA print it."""
    return _correlation(*voiced_in_both(reference_hz, converted_hz))


def f0_correlation_hz_of_all_frames(reference_hz: Array, converted_hz: Array) -> float:
    """The same over all frames, 0 Hz where unvoiced: it tells of voicing more than of pitch."""
    validate(reference_hz, converted_hz)
    return _correlation(reference_hz, converted_hz)


def _correlation(*sides: Array) -> float:
    if len(sides[0]) < MINIMUM_VOICED or not all(np.ptp(side) > 0 for side in sides):
        return float("nan")
    reference, converted = (side - side.mean() for side in sides)
    norms = np.linalg.norm(reference) * np.linalg.norm(converted)
    return float(np.clip(reference @ converted / norms, -1.0, 1.0))


def gross_pitch_error_percent(reference_hz: Array, converted_hz: Array) -> float:
    """Percentage of the frames voiced on both sides whose F0 is more than 20 % off the reference's.

    NaN if the frames are too few.
    """
    reference_hz, converted_hz = voiced_in_both(reference_hz, converted_hz)
    if len(reference_hz) < MINIMUM_VOICED:
        return float("nan")
    return 100.0 * float(np.mean(_is_gross(reference_hz, converted_hz)))


def voicing_error_percent(reference_hz: Array, converted_hz: Array) -> float:
    """Percentage of aligned frames that are voiced on one side only; NaN without a frame."""
    validate(reference_hz, converted_hz)
    return _percentage((reference_hz > 0) != (converted_hz > 0))


def f0_frame_error_percent(reference_hz: Array, converted_hz: Array) -> float:
    """Percentage of aligned frames with an error of voicing or a gross error of pitch.

    NaN without a frame.
    """
    validate(reference_hz, converted_hz)
    of_voicing = (reference_hz > 0) != (converted_hz > 0)
    of_pitch = (reference_hz > 0) & (converted_hz > 0) & _is_gross(reference_hz, converted_hz)
    return _percentage(of_voicing | of_pitch)


def _is_gross(reference_hz: Array, converted_hz: Array) -> NDArray[np.bool_]:
    return np.abs(converted_hz - reference_hz) > GROSS_ERROR * reference_hz


def _logarithms(reference_hz: Array, converted_hz: Array) -> tuple[Array, Array]:
    reference_hz, converted_hz = voiced_in_both(reference_hz, converted_hz)
    return np.log(reference_hz), np.log(converted_hz)


def _rms(differences: Array) -> float:
    if len(differences) < MINIMUM_VOICED:
        return float("nan")
    return float(np.sqrt(np.mean(differences**2)))


def _percentage(wrong: NDArray[np.bool_]) -> float:
    return 100.0 * float(np.mean(wrong)) if wrong.size else float("nan")


def _whole_path(pair: AlignedPair) -> tuple[Array, Array]:
    """F0 along the path through voiced and unvoiced frames.

    A protocol may compare pitch on another path, which has only voiced frames.
    """
    return pair.reference.f0_hz[pair.path[:, 0]], pair.converted.f0_hz[pair.path[:, 1]]


@register_metric("f0-rmse", unit="Hz", better="lower")
def f0_rmse(pair: AlignedPair) -> float:
    """RMS error of F0 along the path, where both sides are voiced."""
    rmse_hz = f0_rmse_hz_of_all_frames if pair.unvoiced_counts else f0_rmse_hz
    return rmse_hz(*pair.f0_hz)


@register_metric("log-f0-rmse", unit="ln Hz", better="lower")
def log_f0_rmse_metric(pair: AlignedPair) -> float:
    """RMS error of ln F0 along the path, where both sides are voiced."""
    return log_f0_rmse(*pair.f0_hz)


@register_metric("f0-rmse-cents", unit="cents", better="lower")
def f0_rmse_cents_metric(pair: AlignedPair) -> float:
    """RMS error of F0 in cents along the path, where both sides are voiced."""
    return f0_rmse_cents(*pair.f0_hz)


@register_metric("log-f0-rmse-centred", unit="ln Hz", better="lower")
def log_f0_rmse_centred(pair: AlignedPair) -> float:
    """RMS error of ln F0 less each side's mean: of the melody, whatever its register."""
    return centred_log_f0_rmse(*pair.f0_hz)


@register_metric("f0-correlation", unit="r", better="higher")
def f0_correlation_metric(pair: AlignedPair) -> float:
    """Correlation of ln F0 along the path, where both sides are voiced."""
    return f0_correlation(*pair.f0_hz)


@register_metric("f0-correlation-hz", unit="r", better="higher")
def f0_correlation_hz_metric(pair: AlignedPair) -> float:
    """Correlation of F0 in Hz along the path, where both sides are voiced."""
    correlation = f0_correlation_hz_of_all_frames if pair.unvoiced_counts else f0_correlation_hz
    return correlation(*pair.f0_hz)


@register_metric("gpe", unit="%", better="lower", paper=_NAKATANI)
def gpe(pair: AlignedPair) -> float:
    """Gross pitch error: share of frames voiced on both sides whose F0 is over 20 % off."""
    return gross_pitch_error_percent(*pair.f0_hz)


@register_metric("vuv-error", unit="%", better="lower", paper=_NAKATANI)
def vuv_error(pair: AlignedPair) -> float:
    """Voicing decision error: share of the path whose frames are voiced on one side only."""
    return voicing_error_percent(*_whole_path(pair))


@register_metric("ffe", unit="%", better="lower", paper="Chu and Alwan, 2009, ICASSP")
def ffe(pair: AlignedPair) -> float:
    """F0 frame error: share of the path with an error of voicing or a gross error of pitch."""
    return f0_frame_error_percent(*_whole_path(pair))


@register_metric("voiced-frames", unit="frames", better="neither")
def voiced_frames(pair: AlignedPair) -> float:
    """How many pairs of the path are voiced on both sides, which errors of pitch are taken over."""
    return float(len(voiced_in_both(*pair.f0_hz)[0]))
