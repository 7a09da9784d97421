"""Protocols: named, versioned definitions of what a score is computed from.

The same two files differ by several dB between definitions that all call themselves mel-cepstral
distortion, so no number is printed without the id of its protocol, and `Protocol.text` tells enough
to compute it again elsewhere. A published protocol is never changed: a change gets a new id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vcbench import world
from vcbench.alignment import Analysis
from vcbench.errors import DataError, UsageError, did_you_mean

Array = NDArray[np.float64]

# (sampling rate in Hz, order, all-pass constant) of the mel-cepstrum. Orders as in sprocket
# (Kobayashi and Toda, "sprocket: open-source voice conversion software", Odyssey 2018), which has
# none for 24 kHz; the constant is the one that fits the mel scale best (SPTK, pysptk's mcepalpha).
_MEL_CEPSTRA = (
    (16000, 24, 0.41),
    (22050, 34, 0.455),
    (24000, 39, 0.466),
    (44100, 40, 0.544),
    (48000, 40, 0.554),
)


@dataclass(frozen=True)
class Protocol:
    """What a waveform becomes before it is aligned and measured; every number of it is here.

    mel_cepstra lists (sampling rate in Hz, order, all-pass constant); a rate that is not in it
    cannot be scored.
    """

    id: str
    frame_period_ms: float = 5.0
    low_cut_hz: float = 70.0
    low_cut_taps: int = 255
    f0_method: world.F0Method = "dio"
    f0_floor_hz: float = 40.0
    f0_ceil_hz: float = 700.0
    gate_db: float = -20.0
    mel_cepstra: tuple[tuple[int, int, float], ...] = _MEL_CEPSTRA

    def analyze(self, waveform: Array, sample_rate: int) -> Analysis:
        """Features and speech mask of one waveform, (samples,) in [-1, 1].

        Raises `DataError` for a sampling rate that the protocol does not define.
        """
        order, alpha = self.order_and_alpha(sample_rate)
        scaled = 32768.0 * np.asarray(waveform, dtype=np.float64)
        taps = low_cut_filter(self.low_cut_taps, self.low_cut_hz, sample_rate)
        filtered = np.convolve(scaled, taps)[: len(scaled)]
        f0_hz, times_s = world.estimate_f0(
            filtered,
            sample_rate=sample_rate,
            frame_period_ms=self.frame_period_ms,
            method=self.f0_method,
            floor_hz=self.f0_floor_hz,
            ceil_hz=self.f0_ceil_hz,
        )
        power_spectrum = world.spectral_envelope(
            filtered, f0_hz, times_s, sample_rate=sample_rate, fft_size=_fft_size(sample_rate)
        )
        return Analysis(
            mcep=world.mel_cepstrum(power_spectrum, order=order, alpha=alpha),
            f0_hz=f0_hz,
            speech=normalized_power_db(power_spectrum) > self.gate_db,
            frame_period_ms=self.frame_period_ms,
        )

    @property
    def text(self) -> str:
        """The whole definition in a paragraph, precise enough to compute a score without vcbench.

        The numbers that are fields are written from them. The rest is prose about code elsewhere
        (`vcbench.world`, `vcbench.alignment`, the metrics) and has to be kept true by hand.
        """
        orders = ", ".join(
            f"{rate} Hz: {order} and {alpha:g}" for rate, order, alpha in self.mel_cepstra
        )
        f0 = {"dio": "DIO refined by StoneMask", "harvest": "Harvest"}[self.f0_method]
        return (
            f"{self.id}: both waveforms mono, at one sampling rate, never resampled, in float64 "
            f"scaled to 16-bit range (x 32768), through a causal linear-phase high-pass FIR filter "
            f"(Hamming-windowed sinc, {self.low_cut_taps} taps, cut-off {self.low_cut_hz:g} Hz, "
            "unit gain at the Nyquist frequency; output as long as the input, its delay left in). "
            f"WORLD analysis every {self.frame_period_ms:g} ms: F0 by {f0}, "
            f"{self.f0_floor_hz:g} to {self.f0_ceil_hz:g} Hz; power spectrum by CheapTrick "
            "(q1 -0.15), FFT size 1024 below 44.1 kHz, 2048 from there; WORLD's defaults for all "
            "else. Mel-cepstrum c0 to cD of the power spectrum as SPTK's sp2mc (ln power = 2 sum "
            "of ck cos kw on the warped axis), order D and all-pass constant by sampling rate: "
            f"{orders}; no other rate. Gate, on each side by itself: the power of a frame is its "
            "power spectrum summed over both halves of the FFT (inner bins twice), in dB relative "
            "to the mean of that power over all frames of the file; frames above "
            f"{self.gate_db:g} dB are kept and joined. Alignment of the kept frames: exact dynamic "
            "time warping from the first pair to the last, Euclidean distance of c1 to cD, steps "
            "(1,1), (1,0) and (0,1) of weight 1, no window; among equally cheap steps into a pair "
            "(1,1) is taken, then (1,0), which advances the reference. "
            "Mel-cepstral distortion: 10 sqrt(2) / ln 10 times that distance, averaged over the "
            "pairs of the path, in dB. Global variance distance, without the path: population "
            "variance of each of c1 to cD over the kept frames of each side, mean over the "
            "coefficients of |ln(variance converted / variance reference)|, undefined with fewer "
            "than 2 kept frames on a side or where a variance is 0. "
            "F0 on the path again: root mean square differences over the pairs voiced "
            "on both sides, in Hz and in ln Hz, undefined with fewer than 10 of them; "
            "voicing error: percentage of all pairs that are voiced on one side only. "
            "A score is the mean over utterances."
        )

    def order_and_alpha(self, sample_rate: int) -> tuple[int, float]:
        """Order and all-pass constant of the mel-cepstrum; `DataError` for an undefined rate."""
        for rate, order, alpha in self.mel_cepstra:
            if rate == sample_rate:
                return order, alpha
        rates = ", ".join(str(rate) for rate, _, _ in self.mel_cepstra)
        raise DataError(
            f"{sample_rate} Hz: protocol {self.id} defines the mel-cepstrum at {rates} Hz only; "
            "resample both sides to one of them"
        )


_PROTOCOLS = {protocol.id: protocol for protocol in (Protocol("vcbench-1"),)}
DEFAULT = "vcbench-1"


def names() -> list[str]:
    """Ids of all protocols, sorted."""
    return sorted(_PROTOCOLS)


def get(name: str) -> Protocol:
    """The protocol with this id; raises `UsageError` with the nearest valid one."""
    if name not in _PROTOCOLS:
        raise UsageError(f"unknown protocol '{name}': {did_you_mean(name, _PROTOCOLS)}")
    return _PROTOCOLS[name]


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


def _fft_size(sample_rate: int) -> int:
    return 1024 if sample_rate < 44100 else 2048
