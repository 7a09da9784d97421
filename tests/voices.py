"""Speech-like signals for tests that need no corpus: a buzz through formants, with pauses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def voice(
    seconds: float = 0.8,
    *,
    f0_hz: float = 120.0,
    formant_scale: float = 1.0,
    sample_rate: int = 16000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """A waveform (samples,) that WORLD takes for speech: gliding pitch, moving formants, a pause.

    A low noise floor keeps the pause from being digital zero.
    """
    t = np.arange(round(seconds * sample_rate)) / sample_rate
    pitch_hz = f0_hz * (1 + 0.15 * np.sin(2 * np.pi * 1.3 * t))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate
    wave = np.zeros_like(t)
    for harmonic in range(1, int(0.45 * sample_rate / (1.15 * f0_hz))):
        wave += _gain(harmonic * pitch_hz, t, formant_scale) * np.sin(harmonic * phase)
    wave *= (t < 0.4 * seconds) | (t > 0.55 * seconds)
    noise = np.random.default_rng(seed).normal(size=len(t))
    return 0.5 * wave / np.max(np.abs(wave)) + 1e-4 * noise


def noise(seconds: float = 0.8, *, sample_rate: int = 16000, seed: int = 0) -> NDArray[np.float64]:
    """White noise, (samples,): sound without pitch."""
    return 0.1 * np.random.default_rng(seed).normal(size=round(seconds * sample_rate))


def _gain(
    frequency_hz: NDArray[np.float64], t: NDArray[np.float64], formant_scale: float
) -> NDArray[np.float64]:
    """Sum of three resonances, 80 to 150 Hz wide, of which two move."""
    sway = 0.2 * np.sin(2 * np.pi * 2.1 * t)
    gain = np.zeros_like(t)
    for centre_hz, width_hz in ((600 * (1 + sway), 80), (1500 * (1 - sway), 100), (2600, 150)):
        gain += 1.0 / (1.0 + ((frequency_hz - centre_hz * formant_scale) / width_hz) ** 2)
    return gain
