"""Speech made worse in one known way at a time, for tests of what each metric sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyworld
from numpy.typing import NDArray

from vcbench.alignment import Analysis

Array = NDArray[np.float64]

SAMPLE_RATE = 16000


def noisy(waveform: Array, snr_db: float) -> Array:
    """White noise added, `snr_db` below the mean power of the whole file."""
    noise = np.random.default_rng(0).normal(size=len(waveform))
    return waveform + noise * np.sqrt(np.mean(waveform**2) / 10 ** (snr_db / 10))


def repitched(waveform: Array, factor: float, *, flatten: float = 0.0) -> Array:
    """Through WORLD, with F0 times `factor` and its melody flattened by a share of its movement."""
    coarse_hz, times_s = pyworld.dio(waveform, SAMPLE_RATE)
    f0_hz = pyworld.stonemask(waveform, coarse_hz, times_s, SAMPLE_RATE)
    spectrum = pyworld.cheaptrick(waveform, f0_hz, times_s, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(waveform, f0_hz, times_s, SAMPLE_RATE)
    voiced = f0_hz > 0
    logs = np.log(f0_hz[voiced])
    melody = logs.mean() + (1 - flatten) * (logs - logs.mean())
    changed = np.zeros_like(f0_hz)
    changed[voiced] = factor * np.exp(melody)
    return pyworld.synthesize(changed, spectrum, aperiodicity, SAMPLE_RATE)


def stretched(waveform: Array, factor: float) -> Array:
    """`factor` times as long with its pitch kept, by overlap-add of similar pieces (WSOLA).

    No F0 is estimated for it, so that it favours no way of estimating one.
    """
    size, hop, reach = 640, 320, 160  # 40 ms, 20 ms, and 10 ms to either side
    window = np.hanning(size + 1)[:-1]
    padded = np.pad(waveform, (reach + size, 2 * size + reach))
    pieces = round(len(waveform) * factor / hop) + 1
    out = np.zeros(pieces * hop + size)
    expected = padded[reach + size - hop :][:size]
    for k in range(pieces):
        place = min(round(k * hop / factor), len(waveform)) + size
        around = padded[place : place + 2 * reach + size]
        start = place + int(np.argmax(np.correlate(around, expected, mode="valid")))
        out[k * hop : k * hop + size] += window * padded[start : start + size]
        expected = padded[start + hop : start + hop + size]
    return out[size - hop :][: round(len(waveform) * factor)]


def smoothed(analysis: Analysis, window: int) -> Analysis:
    """The same analysis with a centred moving average, over `window` frames, of its mel-cepstra."""
    padded = np.pad(analysis.mcep, ((window // 2, window // 2), (0, 0)), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)
    return replace(analysis, mcep=views.mean(axis=-1))


def devoiced(analysis: Analysis, share: float) -> Analysis:
    """The same analysis with the last `share` of its voiced frames called unvoiced."""
    voiced = np.flatnonzero(analysis.f0_hz)
    f0_hz = analysis.f0_hz.copy()
    f0_hz[voiced[len(voiced) - round(share * len(voiced)) :]] = 0.0
    return replace(analysis, f0_hz=f0_hz)
