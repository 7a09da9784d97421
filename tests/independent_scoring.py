"""The default protocol put together from the field's own tools, for tests to compare with."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pysptk
import pyworld
import scipy.signal
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Sampling rate in Hz -> order of the mel-cepstrum.
ORDERS = {16000: 24, 22050: 34, 24000: 39, 44100: 40, 48000: 40}


def analysis(waveform: Array, sample_rate: int) -> tuple[Array, Array, Array]:
    """(mcep, f0_hz, gate in dB) as the text of `vcbench-1` has it."""
    taps = scipy.signal.firwin(255, 70, fs=sample_rate, pass_zero=False)
    x = scipy.signal.lfilter(taps, 1, waveform * 32768)
    coarse, times = pyworld.dio(x, sample_rate, f0_floor=40, f0_ceil=700, frame_period=5)
    f0_hz = pyworld.stonemask(x, coarse, times, sample_rate)
    fft_size = 2048 if sample_rate >= 44100 else 1024
    spectrum = pyworld.cheaptrick(x, f0_hz, times, sample_rate, fft_size=fft_size)
    mcep = pysptk.sp2mc(spectrum, ORDERS[sample_rate], pysptk.util.mcepalpha(sample_rate))
    power = np.array([sum(np.concatenate([frame, frame[-2:0:-1]])) for frame in spectrum])
    return mcep, f0_hz, 10 * np.log10(power / np.mean(power))


def warping_path(reference: Array, converted: Array) -> Array:
    """Exact DTW by the textbook loop; ties go to the diagonal, then to (1, 0)."""
    distance = np.linalg.norm(reference[:, None] - converted[None], axis=2)
    cost = np.full((len(reference) + 1, len(converted) + 1), np.inf)
    cost[0, 0] = 0.0
    for i, j in itertools.product(*map(range, distance.shape)):
        cost[i + 1, j + 1] = distance[i, j] + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    i, j = distance.shape
    path = []
    while i and j:
        path.append((i - 1, j - 1))
        steps = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        i, j = min(steps, key=lambda step: cost[step])
    return np.array(path[::-1])


def eval_wav(data_dir: Path, speaker: str, sentence: str) -> Path:
    """An evaluation sentence of VCC2016, in whichever of its two layouts is there."""
    repacked = data_dir / "npVCC2016" / "evals" / speaker / "wavs" / f"{sentence}.wav"
    official = data_dir / "evaluation_all" / speaker / f"{sentence}.wav"
    return repacked if repacked.exists() else official
