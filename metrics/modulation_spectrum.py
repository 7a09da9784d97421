"""Modulation spectrum (MS): whether a converted spectrum moves as fast as the reference's does.

The modulation spectrum of S. Takamichi, T. Toda, A. W. Black and S. Nakamura, "Modulation
spectrum-constrained trajectory training algorithm for GMM-based voice conversion", ICASSP 2015: the
log power of the Fourier transform of each coefficient's track over an utterance. Averaging, over
time or over possible answers, takes its fast part away and is heard as muffled speech, which
mel-cepstral distortion rewards.

Conventions
-----------
Mel-cepstra are arrays (frames, dimensions) without c0, the frames with speech joined. The sides are
not aligned: a path that repeats frames would change how they move. A track is taken less its mean,
transformed at `FFT_SIZE` points, divided by the number of its frames so that longer speech has no
more power, and expressed in natural logarithms. Bin k lies at k / (FFT_SIZE * frame period),
bins 1 to FFT_SIZE / 2 are used; bin 0 is the mean that was removed. A track longer than `FFT_SIZE`
is folded: its spectrum at the same frequencies, with nothing cut off. Other scripts differ in size,
logarithm and averaging, so that published numbers cannot be compared with these.

The distance is the RMS over coefficients and bins. Of a single pair it has a floor: the log power
of one utterance scatters around what its speaker does on average by pi / sqrt(6), so two utterances
with the same statistics and nothing else in common are pi / sqrt(3) = 1.81 apart. Below it a pair
is only in step, frame by frame; above it the converted side moves otherwise. Averaged over
utterances first, that scatter falls and the distance tells systems apart.

Targets' own mel-cepstra smoothed over 5 and 11 frames, TF2 and TM3 of VCC2016, 54 sentences each,
`vcbench-1`: MCD 1.84 and 2.86 dB, where raw SF1 has 8.99; distance per utterance 2.67 and 3.46; of
averages 2.26 and 3.06, where raw SF1 has 0.33; global variance log-ratio -0.20 and -0.41
(`pytest -s -m slow tests/test_degradations.py` prints it). So no MCD without this beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from vcbench.alignment import AlignedPair
from vcbench.plugins import register_metric

Array = NDArray[np.float64]

FFT_SIZE = 1024
MINIMUM_FRAMES = 2


def validate(mcep: Array) -> None:
    """Raise `ValueError` unless it is finite (frames, dimensions) with at least one dimension."""
    if mcep.ndim != 2 or mcep.shape[1] == 0:
        raise ValueError(f"mel-cepstra {mcep.shape} must be (frames, dimensions), at least one")
    if not np.isfinite(mcep).all():
        raise ValueError("mel-cepstra contain NaN or infinite values")


def log_modulation_spectrum(mcep: Array) -> Array:
    """ln power of each track's movement: (frames, dimensions) -> (FFT_SIZE / 2, dimensions).

    All NaN with fewer than `MINIMUM_FRAMES`; a coefficient that never changes is NaN.
    """
    validate(mcep)
    frames, dimensions = mcep.shape
    if frames < MINIMUM_FRAMES:
        return np.full((FFT_SIZE // 2, dimensions), np.nan)
    folded = np.zeros((-(-frames // FFT_SIZE) * FFT_SIZE, dimensions))
    folded[:frames] = mcep - mcep.mean(axis=0)
    spectrum = np.fft.rfft(folded.reshape(-1, FFT_SIZE, dimensions).sum(axis=0), axis=0)[1:]
    power = np.abs(spectrum) ** 2 / frames
    # The mean of equal numbers may differ from them in the last digit, which is no movement.
    moves = (np.ptp(mcep, axis=0) > 0) & (power > 0).all(axis=0)
    return np.where(moves, np.log(np.where(moves, power, 1.0)), np.nan)


def modulation_spectrum_distance(reference: Array, converted: Array) -> float:
    """RMS difference of two utterances' log modulation spectra; NaN where one is undefined."""
    return averaged_modulation_spectrum_distance([reference], [converted])


def averaged_modulation_spectrum_distance(
    references: Iterable[Array], converted: Iterable[Array]
) -> float:
    """RMS difference of log modulation spectra that were averaged over utterances on each side.

    It belongs to the two sets, not to any utterance. Each holds (frames, dimensions) of any number
    of frames; the sets need not hold the same sentences. NaN where an utterance's is undefined.
    Raises `ValueError` for an empty set or for different dimensions.
    """
    reference, estimate = (_average(side) for side in (references, converted))
    if reference.shape != estimate.shape:
        raise ValueError(
            f"reference has {reference.shape[1]} and converted {estimate.shape[1]} dimensions; "
            "they must be as many"
        )
    return float(np.sqrt(np.mean((reference - estimate) ** 2)))


def _average(utterances: Iterable[Array]) -> Array:
    spectra = [log_modulation_spectrum(mcep) for mcep in utterances]
    if not spectra:
        raise ValueError("an average over utterances needs at least one on each side")
    if len({spectrum.shape for spectrum in spectra}) > 1:
        raise ValueError("the utterances of a side must have as many dimensions")
    return np.mean(spectra, axis=0)


@register_metric(
    "msd",
    unit="ln",
    better="lower",
    paper="modulation spectrum after Takamichi et al., 2015, ICASSP",
)
def msd(pair: AlignedPair) -> float:
    """Modulation spectrum distance of the mel-cepstra without c0, unaligned: over-smoothing.

    Natural speech of the same sentence by another speaker has about 1.8; see above.
    """
    return modulation_spectrum_distance(pair.reference.mcep[:, 1:], pair.converted.mcep[:, 1:])
