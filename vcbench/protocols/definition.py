"""What a protocol is: its numbers and choices as data, and the two steps that follow them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vcbench import world
from vcbench.alignment import (
    AlignedPair,
    Analysis,
    PathFinder,
    align,
    fastdtw_path,
    frame_by_frame,
    frame_by_frame_of_shorter,
)
from vcbench.dtw import dtw_path
from vcbench.errors import DataError
from vcbench.protocols import features

Array = NDArray[np.float64]

Cepstrum = Literal["sp2mc", "mcep", "mcep-of-power", "mel-bands"]
Kept = Literal["power", "voiced", "all"]
Path = Literal["exact", "fastdtw", "truncated", "padded"]
Mean = Literal["path", "reference", "length-ratio"]
Pitch = Literal["path", "voiced", "world"]

# (sampling rate in Hz, order, all-pass constant) of the mel-cepstrum. Orders as in sprocket
# (Kobayashi and Toda, "sprocket: open-source voice conversion software", Odyssey 2018), which has
# none for 24 kHz; the constant is the one that fits the mel scale best (SPTK, pysptk's mcepalpha).
MEL_CEPSTRA = (
    (16000, 24, 0.41),
    (22050, 34, 0.455),
    (24000, 39, 0.466),
    (44100, 40, 0.544),
    (48000, 40, 0.554),
)
ANY_RATE = 0
# What makes a distance of mel-cepstra one in dB; the metric's file has the derivation.
_DECIBEL = 10.0 * math.sqrt(2.0) / math.log(10.0)
# Metrics in dB that are in the protocol's own unit where its distance is in another.
_IN_UNIT_OF_MCD = ("mcd", "path-excess")


@dataclass(frozen=True)
class Protocol:
    """What a waveform becomes before it is aligned and measured; every number of it is here.

    The defaults are those of `vcbench-1`.

    waveform: `scale` multiplies it, from [-1, 1]; `resample_hz` is the only rate at which the
    protocol works, if it has one; `low_cut_hz` and `low_cut_taps` are those of the high-pass
    filter, 0 Hz for none.

    F0 and envelope by WORLD: every `frame_period_ms`, which is another at the rates (in Hz) of
    `frame_periods_ms`, or every `hop_samples`; `fft_size` of CheapTrick, None for 1024 below
    44.1 kHz and 2048 from there.

    cepstrum: `sp2mc` of WORLD's envelope; `mcep` of the windowed waveform, SPTK's; `mcep-of-power`,
    pymcd's; or `mel-bands`, a DCT of log10 band energies. `mel_cepstra` lists (sampling rate in Hz
    or ANY_RATE, order, all-pass constant); a rate that is not in it cannot be scored.

    kept: frames whose power is above `gate_db`, `voiced` ones, or all. `path_from` and `mcd_from`:
    the first coefficient that the path and the distance see, so 0 is with the level. `deltas`: both
    see differences of neighbouring frames too. path: `exact` DTW, `fastdtw` of `fastdtw_radius`,
    or frame i with frame i, of the shorter side (`truncated`) or after zeros were appended to its
    waveform (`padded`). mean: over the pairs of the path, over the `reference`'s frames, or over
    the path and times the `length-ratio`, longer by shorter. `mcd_unit` is not dB where the
    distance is not multiplied with 10 sqrt(2) / ln 10.

    pitch: F0 is compared on the same `path`; on one through the `voiced` frames of each side alone;
    or on one by mel-cepstra of WORLD's envelope, all frames (`world`). `unvoiced_counts`: see
    `AlignedPair`.

    For readers: `differs` from vcbench-1, what the tool `prints`, what it leaves open and is
    `chosen` here, and a `warning` that belongs beside every number.
    """

    id: str
    scale: float = 32768.0
    resample_hz: int | None = None
    low_cut_hz: float = 70.0
    low_cut_taps: int = 255
    frame_period_ms: float = 5.0
    frame_periods_ms: tuple[tuple[int, float], ...] = ()
    hop_samples: int | None = None
    f0_method: world.F0Method = "dio"
    f0_floor_hz: float = 40.0
    f0_ceil_hz: float = 700.0
    fft_size: int | None = None
    cepstrum: Cepstrum = "sp2mc"
    mel_cepstra: tuple[tuple[int, int, float], ...] = MEL_CEPSTRA
    kept: Kept = "power"
    gate_db: float = -20.0
    path_from: int = 1
    mcd_from: int = 1
    deltas: bool = False
    path: Path = "exact"
    fastdtw_radius: int = 1
    mean: Mean = "path"
    mcd_unit: str = "dB"
    pitch: Pitch = "path"
    unvoiced_counts: bool = False
    differs: str = ""
    prints: str = ""
    chosen: str = ""
    warning: str = ""

    def analyze(self, waveform: Array, sample_rate: int) -> Analysis:
        """Features and kept frames of one waveform, (samples,) in [-1, 1].

        Raises `DataError` for a sampling rate that the protocol does not define, and for a waveform
        that is too short or cannot be analysed.
        """
        self.order_and_alpha(sample_rate)
        waveform = np.asarray(waveform, dtype=np.float64)
        if self.resample_hz is None:
            return self._analyze(waveform, sample_rate)
        if sample_rate != self.resample_hz:
            waveform = features.resampled(waveform, sample_rate, self.resample_hz)
        return self._analyze(waveform, self.resample_hz)

    def align(self, reference: Analysis, converted: Analysis) -> AlignedPair:
        """Two analyses of this protocol, frames kept and matched: what every metric is given.

        Raises `DataError` if no frame of a side is kept, if the pair is too long to align, or if
        its lengths are too different for a protocol that matches frame by frame.
        """
        if self.path == "padded":
            reference, converted = self._padded(reference, converted)
        pair = align(reference, converted, find_path=self._find_path)
        return replace(
            pair,
            mcd_scale=self._mcd_scale(pair),
            per_reference_frame=self.mean == "reference",
            unvoiced_counts=self.unvoiced_counts,
            is_approximate=self.path == "fastdtw",
        )

    def unit(self, metric: str, default: str) -> str:
        """The unit of a metric's values under this protocol; `default` is the metric's own."""
        return self.mcd_unit if metric in _IN_UNIT_OF_MCD else default

    @property
    def text(self) -> str:
        """The whole definition, precise enough to compute a score without vcbench."""
        from vcbench.protocols.text import text_of

        return text_of(self)

    def order_and_alpha(self, sample_rate: int) -> tuple[int, float]:
        """Order and all-pass constant of the mel-cepstrum; `DataError` for an undefined rate."""
        for rate, order, alpha in self.mel_cepstra:
            if rate in (sample_rate, ANY_RATE):
                return order, alpha
        rates = ", ".join(str(rate) for rate, _, _ in self.mel_cepstra)
        raise DataError(
            f"{sample_rate} Hz: protocol {self.id} defines the mel-cepstrum at {rates} Hz only; "
            "resample both sides to one of them"
        )

    def period_ms(self, sample_rate: int) -> float:
        """The time between two frames at a sampling rate in Hz."""
        if self.cepstrum == "mel-bands":
            return 1000.0 * features.whole_samples(self.frame_period_ms, sample_rate) / sample_rate
        if self.hop_samples is not None:
            return 1000.0 * self.hop_samples / sample_rate
        return dict(self.frame_periods_ms).get(sample_rate, self.frame_period_ms)

    def _analyze(self, waveform: Array, sample_rate: int) -> Analysis:
        order, alpha = self.order_and_alpha(sample_rate)
        period_ms = self.period_ms(sample_rate)
        signal = self.scale * waveform
        if self.low_cut_hz:
            taps = features.low_cut_filter(self.low_cut_taps, self.low_cut_hz, sample_rate)
            signal = np.convolve(signal, taps)[: len(signal)]
        f0_hz, times_s = world.estimate_f0(
            signal,
            sample_rate=sample_rate,
            frame_period_ms=period_ms,
            method=self.f0_method,
            floor_hz=self.f0_floor_hz,
            ceil_hz=self.f0_ceil_hz,
        )
        power_spectrum = world.spectral_envelope(
            signal, f0_hz, times_s, sample_rate=sample_rate, fft_size=self._fft_size(sample_rate)
        )
        pitch = self._pitch(f0_hz, power_spectrum, order, alpha, period_ms)
        dtw_features = None
        if self.cepstrum == "sp2mc":
            mcep = world.mel_cepstrum(power_spectrum, order=order, alpha=alpha)
        elif self.cepstrum == "mcep-of-power":
            mcep = features.mcep_of_power(power_spectrum, order=order, alpha=alpha)
        else:
            if self.cepstrum == "mcep":
                mcep = features.framed_mcep(signal, order=order, alpha=alpha)
            else:
                mcep, dtw_features = features.mel_band_cepstrum(waveform, sample_rate)
            # These frames begin where WORLD's are centred, and are centred two frames later.
            f0_hz = f0_hz[2 : 2 + len(mcep)]
            power_spectrum = power_spectrum[2 : 2 + len(mcep)]
        return Analysis(
            mcep=mcep,
            f0_hz=f0_hz,
            speech=self._kept(f0_hz, power_spectrum),
            frame_period_ms=period_ms,
            power_spectrum=power_spectrum,
            dtw_features=self._seen(mcep, self.path_from) if dtw_features is None else dtw_features,
            mcd_features=self._seen(mcep, self.mcd_from),
            pitch=pitch,
            waveform=waveform if self.path == "padded" else None,
        )

    def _kept(self, f0_hz: Array, power_spectrum: Array) -> NDArray[np.bool_]:
        if self.kept == "power":
            return features.normalized_power_db(power_spectrum) > self.gate_db
        return f0_hz > 0 if self.kept == "voiced" else np.ones(len(f0_hz), dtype=bool)

    def _seen(self, mcep: Array, first: int) -> Array | None:
        """What path or distance see of the mel-cepstra; None is c1 to c_order, no copy of it."""
        if self.deltas:
            return features.with_deltas(mcep[:, first:])
        return None if first == 1 else mcep[:, first:]

    def _pitch(
        self, f0_hz: Array, power_spectrum: Array, order: int, alpha: float, period_ms: float
    ) -> Analysis | None:
        if self.pitch == "path":
            return None
        mcep = world.mel_cepstrum(power_spectrum, order=order, alpha=alpha)
        kept = f0_hz > 0 if self.pitch == "voiced" else np.ones(len(f0_hz), dtype=bool)
        seen = mcep[:, self.path_from :]
        return Analysis(mcep, f0_hz, kept, period_ms, dtw_features=seen)

    def _padded(self, reference: Analysis, converted: Analysis) -> tuple[Analysis, Analysis]:
        """Both analysed anew where needed, with zeros behind the shorter waveform."""
        sides = []
        longest = max(len(side.waveform) for side in (reference, converted))  # type: ignore[arg-type]
        for side in (reference, converted):
            assert side.waveform is not None and self.resample_hz is not None
            missing = longest - len(side.waveform)
            padded = np.pad(side.waveform, (0, missing))
            sides.append(self._analyze(padded, self.resample_hz) if missing else side)
        return sides[0], sides[1]

    @property
    def _find_path(self) -> PathFinder:
        if self.path == "fastdtw":
            return partial(fastdtw_path, radius=self.fastdtw_radius)
        if self.path == "exact":
            return dtw_path
        return frame_by_frame if self.path == "padded" else frame_by_frame_of_shorter

    def _mcd_scale(self, pair: AlignedPair) -> float:
        scale = 1.0 if self.mcd_unit == "dB" else 1.0 / _DECIBEL
        if self.mean == "length-ratio":
            lengths = len(pair.reference.mcep), len(pair.converted.mcep)
            return scale * max(lengths) / min(lengths)
        return scale

    def _fft_size(self, sample_rate: int) -> int:
        return self.fft_size or (1024 if sample_rate < 44100 else 2048)
