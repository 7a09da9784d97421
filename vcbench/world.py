"""WORLD analysis and synthesis, and mel-cepstra. The only file that imports pyworld and pysptk.

WORLD: Morise, Yokomori and Ozawa, "WORLD: a vocoder-based high-quality speech synthesis system for
real-time applications", IEICE Transactions E99-D(7), 2016.

Conventions: waveforms are float64, shape (samples,); frame t lies at t * frame_period_ms; 0 Hz
means unvoiced; spectra are power spectra, shape (frames, fft_size // 2 + 1).
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import metadata
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vcbench.errors import DataError

Array = NDArray[np.float64]
F0Method = Literal["harvest", "dio"]
MelCepstrum = Literal["world-codec", "sptk"]


@dataclass(frozen=True)
class FeatureParameters:
    """What systems are trained on; part of the key of every cached feature.

    mel_cepstrum: `world-codec` is `pyworld.code_spectral_envelope`, which every public CycleGAN-VC
    implementation calls MCEP (a DCT on a mel axis); `sptk` is the all-pass mel-cepstrum, c0 to
    c(n_mcep - 1). The two are not comparable.
    """

    sample_rate: int = 16000
    frame_period_ms: float = 5.0
    f0: F0Method = "harvest"
    f0_floor_hz: float = 71.0
    f0_ceil_hz: float = 800.0
    n_mcep: int = 24
    mel_cepstrum: MelCepstrum = "world-codec"

    def to_json(self) -> dict[str, Any]:
        """A plain dict, for keys and checkpoints."""
        return asdict(self)


@dataclass(frozen=True)
class WorldFeatures:
    """One analysed utterance.

    f0_hz: (frames,). mcep: (frames, n_mcep). coded_aperiodicity: (frames, bands) in dB. Decoding it
    gives back D4C's aperiodicity, since D4C itself only estimates these bands; but a frame whose
    bands average above -0.5 dB, nearly all noise, becomes wholly aperiodic.
    """

    f0_hz: Array
    mcep: Array
    coded_aperiodicity: Array


def estimate_f0(
    waveform: Array,
    *,
    sample_rate: int,
    frame_period_ms: float,
    method: F0Method,
    floor_hz: float,
    ceil_hz: float,
) -> tuple[Array, Array]:
    """Fundamental frequency: (f0_hz (frames,), times_s (frames,)).

    `harvest` is Harvest alone, as public CycleGAN-VC implementations use it; it marks most frames
    voiced. `dio` is DIO refined by StoneMask.
    """
    pyworld = _pyworld()
    limits = {"f0_floor": floor_hz, "f0_ceil": ceil_hz, "frame_period": frame_period_ms}
    if method == "harvest":
        f0_hz, times_s = pyworld.harvest(waveform, sample_rate, **limits)
        return f0_hz, times_s
    coarse_hz, times_s = pyworld.dio(waveform, sample_rate, **limits)
    return pyworld.stonemask(waveform, coarse_hz, times_s, sample_rate), times_s


def spectral_envelope(
    waveform: Array,
    f0_hz: Array,
    times_s: Array,
    *,
    sample_rate: int,
    fft_size: int | None = None,
) -> Array:
    """CheapTrick's power spectrum, (frames, fft_size // 2 + 1); WORLD's own size by default."""
    return _pyworld().cheaptrick(waveform, f0_hz, times_s, sample_rate, fft_size=fft_size)


def mel_cepstrum(power_spectrum: Array, *, order: int, alpha: float) -> Array:
    """Mel-cepstrum c0..c_order, (frames, order + 1), of power spectra with all-pass constant alpha.

    Equal to SPTK's `sp2mc` (tests compare with pysptk), but as one matrix product with the log
    spectra in place of a transform and a recursion per frame.
    """
    return np.log(power_spectrum) @ _mel_cepstrum_matrix(power_spectrum.shape[-1], order, alpha)


def sptk_mcep(
    frames: Array,
    *,
    order: int,
    alpha: float,
    epsilon: float,
    is_amplitude: bool = False,
    iterations: int = 30,
) -> Array:
    """Mel-cepstra c0..c_order, (n, order + 1), by SPTK's `mcep`: an unbiased log spectrum's.

    frames: (n, samples), windowed waveforms, or (n, bins), amplitude spectra. epsilon is added to
    the periodogram; the other constants are SPTK's defaults. Raises `DataError` where SPTK's
    equations have no solution. T. Fukada, K. Tokuda, T. Kobayashi and S. Imai, "An adaptive
    algorithm for mel-cepstral analysis of speech", ICASSP 1992.
    """
    kind = 3 if is_amplitude else 0
    try:
        return np.asarray(
            _pysptk().mcep(
                frames, order, alpha, maxiter=iterations, etype=1, eps=epsilon, itype=kind
            )
        )
    except RuntimeError as error:
        raise DataError(f"SPTK's mel-cepstral analysis failed ({error})") from None


def analyze(waveform: Array, parameters: FeatureParameters) -> WorldFeatures:
    """F0, mel-cepstra and aperiodicity of one utterance."""
    pyworld = _pyworld()
    p = parameters
    f0_hz, times_s = estimate_f0(
        waveform,
        sample_rate=p.sample_rate,
        frame_period_ms=p.frame_period_ms,
        method=p.f0,
        floor_hz=p.f0_floor_hz,
        ceil_hz=p.f0_ceil_hz,
    )
    power = spectral_envelope(waveform, f0_hz, times_s, sample_rate=p.sample_rate)
    aperiodicity = pyworld.d4c(waveform, f0_hz, times_s, p.sample_rate)
    if p.mel_cepstrum == "world-codec":
        mcep = pyworld.code_spectral_envelope(power, p.sample_rate, p.n_mcep)
    else:
        mcep = mel_cepstrum(power, order=p.n_mcep - 1, alpha=_alpha(p.sample_rate))
    return WorldFeatures(f0_hz, mcep, pyworld.code_aperiodicity(aperiodicity, p.sample_rate))


def synthesize(features: WorldFeatures, parameters: FeatureParameters) -> Array:
    """The waveform of analysed or converted features, (samples,)."""
    pyworld = _pyworld()
    p = parameters
    fft_size = pyworld.get_cheaptrick_fft_size(p.sample_rate)
    mcep = np.ascontiguousarray(features.mcep, dtype=np.float64)
    coded = np.ascontiguousarray(features.coded_aperiodicity, dtype=np.float64)
    if p.mel_cepstrum == "world-codec":
        power = pyworld.decode_spectral_envelope(mcep, p.sample_rate, fft_size)
    else:
        power = _pysptk().mc2sp(mcep, alpha=_alpha(p.sample_rate), fftlen=fft_size)
    return pyworld.synthesize(
        np.ascontiguousarray(features.f0_hz, dtype=np.float64),
        power,
        pyworld.decode_aperiodicity(coded, p.sample_rate, fft_size),
        p.sample_rate,
        p.frame_period_ms,
    )


@lru_cache(maxsize=8)
def _mel_cepstrum_matrix(bins: int, order: int, alpha: float) -> Array:
    """Matrix (bins, order + 1) that makes mel-cepstra of log power spectra.

    Both steps are linear: the cepstrum, c0 halved, and the frequency transform of A. V. Oppenheim
    and D. H. Johnson, "Discrete representation of signals", Proc. IEEE 60(6), 1972.
    """
    cepstrum = np.fft.irfft(np.eye(bins), axis=-1)  # of each bin by itself
    cepstrum[:, 0] /= 2.0
    matrix = np.asarray(cepstrum @ _frequency_transform(cepstrum.shape[1], order, alpha))
    matrix.flags.writeable = False  # it is cached and shared
    return matrix


def _frequency_transform(n: int, order: int, alpha: float) -> Array:
    """Matrix (n, order + 1) that warps a cepstrum of length n to mel-cepstra."""
    matrix = np.zeros((n, order + 1))
    matrix[0, 0] = 1.0
    for i in range(1, n):
        before, row = matrix[i - 1], matrix[i]
        row[0] = alpha * before[0]
        if order >= 1:
            row[1] = (1.0 - alpha**2) * before[0] + alpha * before[1]
        for m in range(2, order + 1):
            row[m] = before[m - 1] + alpha * (before[m] - row[m - 1])
    return matrix


@lru_cache(maxsize=8)
def _alpha(sample_rate: int) -> float:
    """The all-pass constant that fits the mel scale best at this rate (0.41 at 16 kHz)."""
    return float(_pysptk().util.mcepalpha(sample_rate))


def pyworld_version() -> str:
    """Version of pyworld or of its prebuilt twin; `absent` where only cached features are used."""
    for name in ("pyworld", "pyworld-prebuilt"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "absent"


def _pyworld() -> Any:
    return _quietly_imported("pyworld")


def _pysptk() -> Any:
    return _quietly_imported("pysptk")


def _quietly_imported(name: str) -> Any:
    """Both packages warn about their own use of pkg_resources: no concern of our users."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        return importlib.import_module(name)
