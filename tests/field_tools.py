"""What the field's tools compute, put together from pyworld, pysptk, scipy and fastdtw.

For tests of the protocols whose tool does not install: each function follows the steps that the
tool's source makes, for two waveforms in 16-bit integers, and returns what the tool prints.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pysptk
import pyworld
import scipy.signal
import scipy.stats
from fastdtw import fastdtw
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, euclidean

Array = NDArray[np.float64]
Samples = NDArray[np.int16]
Scores = dict[str, float]

ESPNET2 = {16000: (23, 0.42), 22050: (34, 0.45), 24000: (34, 0.46)}
SPROCKET = {16000: (24, 0.41, 5.0), 22050: (34, 0.455, 4.988662131519274)}
CRANK = {22050: (34, 0.466, 5.80499), 24000: (34, 0.466, 5.333333)}


def espnet2(reference: Samples, converted: Samples, rate: int) -> Scores:
    """`evaluate_mcd.py` and `evaluate_f0.py` of ESPnet 2."""
    order, alpha = ESPNET2[rate]
    window = pysptk.hamming(1024)
    spectra, world = [], []
    for x in (converted, reference):
        starts = range(0, len(x) - 1024 + 1, 256)
        frames = [
            pysptk.mcep(x[i : i + 1024] * window, order, alpha, eps=1e-6, etype=1) for i in starts
        ]
        spectra.append(np.array(frames))
        f0, power = harvest(x.astype(float), rate, 256 / rate * 1000, 40, 800)
        world.append((pysptk.sp2mc(power, order, alpha), f0))
    path = fast_path(spectra[0], spectra[1])
    mcd = distortion(spectra[0], spectra[1], path)
    path = fast_path(world[0][0], world[1][0])
    f0s = [side[1][path[i]] for i, side in enumerate(world)]
    both = (f0s[0] != 0) & (f0s[1] != 0)
    errors = np.log(f0s[0][both]) - np.log(f0s[1][both])
    return {"mcd": mcd, "log-f0-rmse": float(np.sqrt(np.mean(errors**2)))}


def espnet_vc(reference: Samples, converted: Samples, rate: int, *, voiced: bool = False) -> Scores:
    """`mcd_calculate.py` of ESPnet 1, gated by power or, before December 2020, by F0."""
    sides = []
    for x in (converted, reference):
        f0, power = harvest(low_cut(x.astype(float), rate), rate, 5, 40, 700)
        keep = f0 > 0 if voiced else normalized_power(power) > -20
        sides.append(pysptk.sp2mc(power, 24, 0.41)[keep])
    return {"mcd": distortion(sides[0], sides[1], fast_path(sides[0], sides[1]))}


def s3prl_vc(reference: Samples, converted: Samples, rate: int) -> Scores:
    """`dtw_based.py` of s3prl-vc, which VERSA has too."""
    loud, voiced, f0s = [], [], []
    for x in (converted, reference):
        f0, mcep, power = s3prl_features(x, rate)
        loud.append(mcep[normalized_power(power) > -20])
        voiced.append(mcep[f0 > 0])
        f0s.append(f0[f0 > 0])
    mcd = distortion(loud[0], loud[1], fast_path(loud[0], loud[1]))
    path = fast_path(voiced[0], voiced[1])
    converted_hz, reference_hz = f0s[0][path[0]], f0s[1][path[1]]
    return {
        "mcd": mcd,
        "f0-rmse": float(np.sqrt(np.mean((converted_hz - reference_hz) ** 2))),
        "f0-correlation-hz": float(scipy.stats.pearsonr(converted_hz, reference_hz)[0]),
    }


def versa_default(reference: Samples, converted: Samples, rate: int) -> Scores:
    """`mcd_f0` of VERSA with dtw: false."""
    f0s, mceps = [], []
    for x in (converted, reference):
        f0, mcep, _ = s3prl_features(x, rate)
        f0s.append(f0)
        mceps.append(mcep)
    shorter = min(map(len, f0s))
    path = np.array([np.arange(shorter)] * 2)
    converted_hz, reference_hz = (f0[:shorter] for f0 in f0s)
    return {
        "mcd": distortion(mceps[0], mceps[1], path),
        "f0-rmse": float(np.sqrt(np.mean((converted_hz - reference_hz) ** 2))),
        "f0-correlation-hz": float(scipy.stats.pearsonr(converted_hz, reference_hz)[0]),
    }


def sprocket(reference: Samples, converted: Samples, rate: int) -> Scores:
    """The final distortion of `estimate_twf_and_jnt.py`, which leaves out c0 (sd=1)."""
    order, alpha, period = SPROCKET[rate]
    sides = []
    for x in (converted, reference):
        _, power = harvest(low_cut(x.astype(float), rate), rate, period, 40, 700)
        static = pysptk.sp2mc(power, order, alpha)[:, 1:]
        delta = static - np.roll(static, 1, axis=0)
        delta[0] = static[1] - static[0]
        sides.append(np.hstack([static, delta])[normalized_power(power) > -15])
    return {"mcd": distortion(sides[0], sides[1], fast_path(sides[0], sides[1]))}


def crank(reference: Samples, converted: Samples, rate: int) -> Scores:
    """`evaluate_mcd.py` of crank; its float32 reference features are not imitated."""
    order, alpha, period = CRANK[rate]
    sides = []
    for x in (converted, reference):
        f0, power = harvest(low_cut(x / 32768, rate), rate, period, 40, 700)
        sides.append(pysptk.sp2mc(power, order, alpha)[f0 > 0])
    return {"mcd": distortion(sides[0], sides[1], fast_path(sides[0], sides[1]))}


def mattshannon(natural: Array, synthetic: Array) -> float:
    """`get_mcd_dtw` for one utterance, mel-cepstra with c0: least total cost by natural frames."""
    costs = 10 / np.log(10) * np.sqrt(2) * cdist(natural[:, 1:], synthetic[:, 1:])
    total = np.full((len(natural) + 1, len(synthetic) + 1), np.inf)
    total[0, 0] = 0.0
    for i, j in np.ndindex(*costs.shape):
        total[i + 1, j + 1] = costs[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    return float(total[-1, -1]) / len(natural)


BY_PROTOCOL: dict[str, Callable[[Samples, Samples, int], Scores]] = {
    "espnet2": espnet2,
    "espnet-vc": espnet_vc,
    "espnet-vc-2020-06": lambda r, c, rate: espnet_vc(r, c, rate, voiced=True),
    "s3prl-vc": s3prl_vc,
    "versa-default": versa_default,
    "sprocket": sprocket,
    "crank": crank,
}


def s3prl_features(x: Samples, rate: int) -> tuple[Array, Array, Array]:
    """(f0, mcep, power spectrum)."""
    f0, power = harvest(low_cut(x / 32768 * 32767, rate), rate, 5, 40, 800)
    return f0, pysptk.sp2mc(power, 39, 0.466), power


def harvest(x: Array, rate: int, period: float, floor: float, ceil: float) -> tuple[Array, Array]:
    """F0 and the spectrum by CheapTrick of FFT size 1024."""
    f0, times = pyworld.harvest(x, rate, f0_floor=floor, f0_ceil=ceil, frame_period=period)
    return f0, pyworld.cheaptrick(x, f0, times, rate, fft_size=1024)


def low_cut(x: Array, rate: int) -> Array:
    """The 70 Hz filter that all of Nagoya's tools have."""
    taps = scipy.signal.firwin(255, 70 / (rate // 2), pass_zero=False)
    return scipy.signal.lfilter(taps, 1, x)


def normalized_power(power: Array) -> Array:
    """In dB relative to the mean of the file."""
    whole = np.array([np.sum(np.concatenate([frame, frame[-2:0:-1]])) for frame in power])
    return 10 * np.log10(whole / whole.mean())


def fast_path(a: Array, b: Array) -> NDArray[np.intp]:
    """(2, length)."""
    return np.array(fastdtw(a, b, dist=euclidean)[1]).T


def distortion(a: Array, b: Array, path: NDArray[np.intp]) -> float:
    """Mean over the path in dB."""
    squares = np.sum((a[path[0]] - b[path[1]]) ** 2, axis=1)
    return float(np.mean(10 / np.log(10) * np.sqrt(2 * squares)))
