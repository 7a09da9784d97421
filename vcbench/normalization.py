"""Statistics of one speaker and the transforms built on them. NumPy only: training uses it.

A `SpeakerStatistics` always travels with its speaker, and the functions take `source=` and
`target=` by name: denormalising with the wrong speaker's statistics is the mistake that public
implementations made (GANtastic3/MaskCycleGAN-VC, pull request 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vcbench.errors import DataError

Array = NDArray[np.float64]
Pitch = Literal["log-gaussian", "mean-shift", "cyclegan"]

# What never moves would be divided by zero, or by the rounding error of its own mean.
MINIMUM_STD = 1e-8


class HasSpeech(Protocol):
    """What statistics are computed from: see `vcbench.world.WorldFeatures`."""

    @property
    def f0_hz(self) -> Array:
        """(frames,), 0 where unvoiced."""

    @property
    def mcep(self) -> Array:
        """(frames, n_mcep)."""


@dataclass(frozen=True)
class SpeakerStatistics:
    """Mean and standard deviation of a speaker's training features.

    `mcep_mean`, `mcep_std`: shape (n_mcep,). `log_f0_mean`, `log_f0_std`: natural log of Hz, over
    voiced frames only. `continuous_log_f0_mean`, `continuous_log_f0_std`: of `continuous_log_f0`,
    over all frames. Standard deviations are population ones (ddof 0), over all frames pooled.
    """

    mcep_mean: Array
    mcep_std: Array
    log_f0_mean: float
    log_f0_std: float
    continuous_log_f0_mean: float
    continuous_log_f0_std: float

    @classmethod
    def from_features(cls, features: Sequence[HasSpeech]) -> SpeakerStatistics:
        """Pool the frames of all utterances; raises `DataError` if none of them is voiced."""
        mcep = np.concatenate([f.mcep for f in features]).astype(np.float64)
        f0_hz = np.concatenate([f.f0_hz for f in features])
        log_f0 = np.log(f0_hz[f0_hz > 0])
        if log_f0.size == 0:
            raise DataError(
                f"no voiced frame in {len(features)} utterances: log-F0 statistics are undefined"
            )
        continuous = np.concatenate([continuous_log_f0(f.f0_hz) for f in features if is_voiced(f)])
        return cls(
            mcep_mean=mcep.mean(axis=0),
            mcep_std=np.maximum(mcep.std(axis=0), MINIMUM_STD),
            log_f0_mean=float(log_f0.mean()),
            log_f0_std=float(log_f0.std()),
            continuous_log_f0_mean=float(continuous.mean()),
            continuous_log_f0_std=max(float(continuous.std()), MINIMUM_STD),
        )

    def normalize(self, mcep: Array) -> Array:
        """This speaker's mel-cepstra (frames, n_mcep) to zero mean and unit variance."""
        return (mcep - self.mcep_mean) / self.mcep_std

    def denormalize(self, normalized: Array) -> Array:
        """The inverse of `normalize`: gives mel-cepstra of this speaker."""
        return normalized * self.mcep_std + self.mcep_mean

    def normalize_frames(self, spoken: HasSpeech, *, pitch: Pitch) -> Array:
        """What networks see of this speaker's utterance: (frames, n_mcep), normalised.

        With `cyclegan` one value more, behind the coefficients: continuous log F0 to zero mean and
        unit variance over all frames; an utterance without a voiced frame has the mean there.
        """
        mcep = self.normalize(spoken.mcep)
        if pitch != "cyclegan":
            return mcep
        log_f0 = np.zeros(len(mcep))
        if is_voiced(spoken):
            centred = continuous_log_f0(spoken.f0_hz) - self.continuous_log_f0_mean
            log_f0 = centred / self.continuous_log_f0_std
        return np.column_stack([mcep, log_f0])

    def denormalize_log_f0(self, normalized: Array) -> Array:
        """The last value of `normalize_frames`, (frames,), back to log F0 of this speaker."""
        return normalized * self.continuous_log_f0_std + self.continuous_log_f0_mean

    def to_json(self) -> dict[str, list[float] | float]:
        """Plain lists and floats, for a checkpoint; `from_json` reads them back."""
        return {
            "mcep_mean": [float(v) for v in self.mcep_mean],
            "mcep_std": [float(v) for v in self.mcep_std],
            "log_f0_mean": self.log_f0_mean,
            "log_f0_std": self.log_f0_std,
            "continuous_log_f0_mean": self.continuous_log_f0_mean,
            "continuous_log_f0_std": self.continuous_log_f0_std,
        }

    @classmethod
    def from_json(cls, stored: dict[str, list[float] | float]) -> SpeakerStatistics:
        """Read what `to_json` wrote."""
        return cls(
            mcep_mean=np.asarray(stored["mcep_mean"], dtype=np.float64),
            mcep_std=np.asarray(stored["mcep_std"], dtype=np.float64),
            **{name: float(stored[name]) for name in _SCALARS},  # type: ignore[arg-type]
        )


_SCALARS = ("log_f0_mean", "log_f0_std", "continuous_log_f0_mean", "continuous_log_f0_std")


def is_voiced(spoken: HasSpeech) -> bool:
    """Whether any frame of the utterance has a pitch."""
    return bool((spoken.f0_hz > 0).any())


def continuous_log_f0(f0_hz: Array) -> Array:
    """Log F0 (frames,) in every frame: linear in between voiced ones, and held before the first
    and after the last. Some frame must be voiced."""
    voiced = np.flatnonzero(f0_hz > 0)
    return np.interp(np.arange(len(f0_hz)), voiced, np.log(f0_hz[voiced]))


def convert_f0(
    f0_hz: Array,
    *,
    source: SpeakerStatistics,
    target: SpeakerStatistics,
    pitch: Literal["log-gaussian", "mean-shift"] = "log-gaussian",
) -> Array:
    """F0 (frames,) with the target's mean log F0; unvoiced frames (0 Hz) stay unvoiced.

        log f_target = mean_target + ratio * (log f_source - mean_source)

    `log-gaussian`: ratio = std_target / std_source, so that the variance is the target's too. Liu
    et al., "High quality voice conversion through phoneme-based linear mapping functions with
    STRAIGHT for Mandarin", 2007, as used by CycleGAN-VC (arXiv:1711.11293, section 4.1). A source
    whose log F0 never varies is only shifted to the target's mean.

    `mean-shift`: ratio = 1; F0 in Hz is multiplied by exp(mean_target - mean_source).
    """
    converted = np.zeros_like(f0_hz, dtype=np.float64)
    voiced = f0_hz > 0
    ratio = 1.0
    if pitch == "log-gaussian" and source.log_f0_std > MINIMUM_STD:
        ratio = target.log_f0_std / source.log_f0_std
    centred = np.log(f0_hz[voiced]) - source.log_f0_mean
    converted[voiced] = np.exp(centred * ratio + target.log_f0_mean)
    return converted
