"""The steps that protocols are made of: filters, resampling, cepstra, power."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vcbench import world
from vcbench.errors import DataError

Array = NDArray[np.float64]

# ESPnet2's frames, in samples at every rate; its hop is the protocol's.
FRAME_SAMPLES, FRAME_HOP_SAMPLES = 1024, 256
# mel-cepstral-distance 0.0.4's defaults.
MEL_WINDOW_MS, MEL_HOP_MS, MEL_BANDS, MEL_COEFFICIENTS = 32.0, 8.0, 20, 16


@lru_cache(maxsize=8)
def low_cut_filter(taps: int, cut_off_hz: float, sample_rate: int) -> Array:
    """Coefficients (taps,) of a high-pass FIR filter: windowed sinc, unit gain at Nyquist.

    Equal to `scipy.signal.firwin(taps, cut_off_hz, fs=sample_rate, pass_zero=False)`; written out
    because importing scipy.signal takes longer than scoring several sentences.
    """
    cut_off = cut_off_hz / (sample_rate / 2)
    k = np.arange(taps) - (taps - 1) / 2
    ideal = np.sinc(k) - cut_off * np.sinc(cut_off * k)
    coefficients = ideal * np.hamming(taps)
    coefficients /= np.sum(coefficients * np.cos(np.pi * k))
    coefficients.flags.writeable = False  # it is cached and shared
    return coefficients


def normalized_power_db(power_spectrum: Array) -> Array:
    """Power of each frame relative to the mean over frames, in dB: (frames, bins) -> (frames,).

    The power is that of the whole FFT, of which the spectrum holds one half: the inner bins count
    twice, the first and the last once.
    """
    power = 2.0 * power_spectrum.sum(axis=1) - power_spectrum[:, 0] - power_spectrum[:, -1]
    return np.asarray(10.0 * np.log10(power / power.mean()))


def resampled(waveform: Array, from_hz: int, to_hz: int) -> Array:
    """The waveform at another rate as `librosa.load` has it: soxr's HQ in float32.

    (samples,) -> (ceil(samples * to_hz / from_hz),), a sample of 0 appended where soxr stops short
    of that.
    """
    import soxr

    length = int(np.ceil(len(waveform) * to_hz / from_hz))
    resampled = soxr.resample(waveform.astype(np.float32), from_hz, to_hz, quality="HQ")[:length]
    return np.pad(resampled, (0, length - len(resampled))).astype(np.float64)


def with_deltas(features: Array) -> Array:
    """Features and their change since the frame before: (frames, d) -> (frames, 2 d).

    The first frame, which has none before it, has the change to the second (sprocket's
    `static_delta` with its window [-1, 1, 0]).
    """
    if len(features) < 2:
        raise DataError(f"too short for differences of frames: {len(features)} frame")
    change = np.diff(features, axis=0)
    return np.concatenate([features, np.concatenate([change[:1], change])], axis=1)


def framed_mcep(signal: Array, *, order: int, alpha: float) -> Array:
    """SPTK mel-cepstra of the waveform's own frames: (samples,) -> (frames, order + 1).

    Frame i is samples 256 i to 256 i + 1023, in a Hamming window of unit energy (`pysptk.hamming`);
    1e-6 is added to its periodogram, which decides what digital silence is like.
    Raises `DataError` for a waveform shorter than a frame.
    """
    if len(signal) < FRAME_SAMPLES:
        raise DataError(f"too short: {len(signal)} samples, a frame has {FRAME_SAMPLES}")
    frames = sliding_window_view(signal, FRAME_SAMPLES)[::FRAME_HOP_SAMPLES]
    window = np.hamming(FRAME_SAMPLES)
    windowed = frames * (window / np.linalg.norm(window))
    return world.sptk_mcep(windowed, order=order, alpha=alpha, epsilon=1e-6)


def mcep_of_power(power_spectrum: Array, *, order: int, alpha: float) -> Array:
    """pymcd's mel-cepstra: (frames, bins) -> (frames, order + 1).

    SPTK's `mcep` takes its input for an amplitude spectrum (itype 3), and it is given a power
    spectrum; 1e-8 is added to its square, and no iteration is made (maxiter 0).
    """
    return world.sptk_mcep(
        power_spectrum, order=order, alpha=alpha, epsilon=1e-8, is_amplitude=True, iterations=0
    )


def mel_band_cepstrum(waveform: Array, sample_rate: int) -> tuple[Array, Array]:
    """Cepstra as mel-cepstral-distance 0.0.4 has them, and the log10 band energies before them.

    (samples,) -> ((frames, MEL_COEFFICIENTS), (frames, MEL_BANDS)). The waveform is divided by its
    peak; frames of 32 ms every 8 ms, both in whole samples, rounded down, in a symmetric Hann
    window, as long as one starts before the last 32 ms; energies in triangular bands that are
    equally wide in mel, 0 to sampling rate / 2, their corners at whole bins; log10 of energy plus
    the smallest difference from 1; coefficient i, from 1 on, is the sum over bands n, from 1 on, of
    cos(i (n - 1/2) pi / 20) times that, without a factor. Raises `DataError` for a waveform not
    longer than a frame, or silent.
    """
    window = whole_samples(MEL_WINDOW_MS, sample_rate)
    peak = np.max(np.abs(waveform), initial=0.0)
    if len(waveform) <= window or peak == 0.0:
        raise DataError(
            f"{len(waveform)} samples with a peak of {peak:g}: more than {window} samples are "
            "needed, not all 0"
        )
    hop = whole_samples(MEL_HOP_MS, sample_rate)
    starts = np.arange(0, len(waveform) - window, hop)
    frames = sliding_window_view(waveform / peak, window)[starts]
    energy = np.abs(np.fft.rfft(frames * np.hanning(window))) ** 2
    bands = np.log10(energy @ _mel_filters(sample_rate, window).T + np.finfo(float).eps)
    i, n = np.arange(1, MEL_COEFFICIENTS + 1), np.arange(1, MEL_BANDS + 1)
    return bands @ np.cos(np.outer(n - 0.5, i) * np.pi / MEL_BANDS), bands


@lru_cache(maxsize=8)
def _mel_filters(sample_rate: int, window: int) -> Array:
    """Triangles (MEL_BANDS, window // 2 + 1) of height 1; a band without a bin has weight 0."""
    top_mel = 2595.0 * np.log10(1.0 + (sample_rate // 2) / 700.0)
    corners_hz = 700.0 * (10.0 ** (np.linspace(0.0, top_mel, MEL_BANDS + 2) / 2595.0) - 1.0)
    corners = np.floor((window + 1) * corners_hz / sample_rate).astype(int)
    filters = np.zeros((MEL_BANDS, window // 2 + 1))
    for band, (low, centre, high) in enumerate(
        zip(corners, corners[1:], corners[2:], strict=False)
    ):
        filters[band, low:centre] = np.arange(centre - low) / max(centre - low, 1)
        filters[band, centre:high] = 1.0 - np.arange(high - centre) / max(high - centre, 1)
    filters.flags.writeable = False  # it is cached and shared
    return filters


def whole_samples(duration_ms: float, sample_rate: int) -> int:
    """A duration in samples, rounded down."""
    return int(duration_ms / 1000.0 * sample_rate)
