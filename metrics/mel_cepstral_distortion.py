"""Mel-cepstral distortion (MCD): how far apart two spectral envelopes are, in dB.

R. F. Kubichek, "Mel-cepstral distance measure for objective speech quality assessment", Proc. IEEE
Pacific Rim Conference on Communications, Computers and Signal Processing, vol. 1, pp. 125-128,
1993, doi:10.1109/PACRIM.1993.407206, as voice conversion uses it since T. Toda, A. W. Black and
K. Tokuda, "Voice conversion based on maximum-likelihood estimation of spectral parameter
trajectory", IEEE Trans. ASLP 15(8), pp. 2222-2235, 2007.

Conventions
-----------
Mel-cepstra are arrays (frames, dimensions), reference and converted already aligned frame by frame.
They are SPTK mel-cepstra of natural-log spectra without c0, the level; coefficients of other
definitions (MFCC, WORLD's coded envelope) give other numbers that are not MCD. Distances are in dB.

MCD rewards smoothness: the average of several good answers scores better than any of them. Read it
beside a measure of what smoothing loses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcbench.alignment import AlignedPair
from vcbench.plugins import register_metric

Array = NDArray[np.float64]

# ln power = 2 * sum of c_k cos(k w) on the warped axis, cosines have a mean square of 1/2 and are
# orthogonal, and dB = (10 / ln 10) * ln power: so the RMS difference of two log spectra in dB is
# (10 / ln 10) * 2 * sqrt(sum of squares / 2).
DECIBEL = 10.0 * np.sqrt(2.0) / np.log(10.0)


def validate(reference: Array, converted: Array) -> None:
    """Raise `ValueError` unless both are finite (frames, dimensions) of one shape, not empty."""
    if reference.ndim != 2 or reference.shape != converted.shape or reference.size == 0:
        raise ValueError(
            f"reference {reference.shape} and converted {converted.shape} must be aligned: both "
            "(frames, dimensions), of one shape, with at least one frame and one dimension"
        )
    if not (np.isfinite(reference).all() and np.isfinite(converted).all()):
        raise ValueError("mel-cepstra contain NaN or infinite values")


def frame_distortions_db(reference: Array, converted: Array) -> Array:
    """Distortion of each aligned pair of frames, (frames,), in dB."""
    validate(reference, converted)
    return DECIBEL * np.sqrt(np.sum((reference - converted) ** 2, axis=1))


def mel_cepstral_distortion(reference: Array, converted: Array) -> float:
    """Mean over aligned pairs of frames, in dB; 0 for equal sequences.

    >>> mel_cepstral_distortion(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]))
    6.141851463713754
    """
    return float(np.mean(frame_distortions_db(reference, converted)))


@register_metric(
    "mcd",
    unit="dB",
    better="lower",
    paper="Kubichek, 1993, doi:10.1109/PACRIM.1993.407206",
)
def mcd(pair: AlignedPair) -> float:
    """Mel-cepstral distortion along the path, of what the protocol compares: spectral distance."""
    return pair.mcd_weight * mel_cepstral_distortion(*pair.mcd_features)


@register_metric("path-excess", unit="dB", better="neither")
def path_excess(pair: AlignedPair) -> float:
    """What `mcd` owes to an approximate path; may be negative: exact is least in sum, not mean."""
    return mcd(pair) - mcd(pair.on_exact_path()) if pair.is_approximate else 0.0
