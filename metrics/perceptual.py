"""Intelligibility and quality of speech whose timing is the reference's own: STOI, ESTOI, PESQ.

STOI: C. H. Taal, R. C. Hendriks, R. Heusdens and J. Jensen, "An algorithm for intelligibility
prediction of time-frequency weighted noisy speech", IEEE TASLP, 2011. ESTOI: J. Jensen and
C. H. Taal, "An algorithm for predicting the intelligibility of speech masked by modulated noise
maskers", IEEE TASLP, 2016. Both by the package pystoi. PESQ: ITU-T P.862 at 8 kHz and
P.862.2 (wide band) at 16 kHz, by the package pesq. Neither needs weights.

Conventions
-----------
All three compare two waveforms moment by moment and know of no warping. A conversion that keeps the
source's timing, as CycleGAN-VC's does, cannot be measured with them against the target's recording:
they are for resynthesis, vocoders, codecs and noise. So they are NaN, undefined, unless the two
durations agree within `SAME_DURATION_S`; the longer side's rest is cut off, and the waveforms are
neither warped nor stretched. Durations can agree by chance: of 324 pairs of VCC2016's evaluation
recordings (one sentence, two speakers) 4 do. A mean over a few of many utterances means nothing.

PESQ is NaN at other sampling rates: it is defined at these two. NaN, too, is what is too short for
STOI's segments of 384 ms or for PESQ, or holds no speech that PESQ finds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pesq as itu
import pystoi
from numpy.typing import NDArray

from vcbench.alignment import AlignedPair
from vcbench.plugins import register_metric

Array = NDArray[np.float64]
Waveforms = tuple[Array, Array]

SAME_DURATION_S = 0.010
# The mode of P.862 by sampling rate in Hz.
PESQ_MODES = {8000: "nb", 16000: "wb"}


def cut_to_one_length(waveforms: Waveforms, sample_rate: int) -> Waveforms | None:
    """(reference, converted), the longer one's rest cut off; None if their durations differ."""
    lengths = [len(waveform) for waveform in waveforms]
    if abs(lengths[0] - lengths[1]) > SAME_DURATION_S * sample_rate:
        return None
    reference, converted = (waveform[: min(lengths)] for waveform in waveforms)
    return reference, converted


def intelligibility(waveforms: Waveforms, sample_rate: int, *, extended: bool) -> float:
    """STOI or, extended, ESTOI of (reference, converted), (samples,) each; NaN: see the module."""
    sides = cut_to_one_length(waveforms, sample_rate)
    if sides is None:
        return float("nan")
    with _own_random_state(), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # how it tells of too little speech
        try:
            return float(pystoi.stoi(*sides, sample_rate, extended=extended))
        except RuntimeWarning:
            return float("nan")


def quality(waveforms: Waveforms, sample_rate: int) -> float:
    """PESQ as MOS-LQO, from 1 to 4.6, of (reference, converted); NaN: see the module."""
    sides = cut_to_one_length(waveforms, sample_rate)
    if sides is None or sample_rate not in PESQ_MODES:
        return float("nan")
    try:
        return float(itu.pesq(sample_rate, *sides, PESQ_MODES[sample_rate]))
    except (itu.NoUtterancesError, itu.BufferTooShortError):
        return float("nan")


@contextmanager
def _own_random_state() -> Iterator[None]:
    """ESTOI adds noise of the size of rounding, from NumPy's global generator."""
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


# Each is given the aligned pair, as every metric is, and has no use for it.


@register_metric("stoi", unit="index", better="higher", paper="Taal et al., 2011, IEEE TASLP")
def stoi(pair: AlignedPair, *, waveforms: Waveforms, sample_rate: int) -> float:  # noqa: ARG001
    """Intelligibility of speech with the reference's own timing; undefined for any other."""
    return intelligibility(waveforms, sample_rate, extended=False)


@register_metric("estoi", unit="index", better="higher", paper="Jensen and Taal, 2016, IEEE TASLP")
def estoi(pair: AlignedPair, *, waveforms: Waveforms, sample_rate: int) -> float:  # noqa: ARG001
    """The same, extended: bands are not taken as independent; undefined for any other timing."""
    return intelligibility(waveforms, sample_rate, extended=True)


@register_metric("pesq", unit="MOS-LQO", better="higher", paper="ITU-T P.862 and P.862.2")
def pesq(pair: AlignedPair, *, waveforms: Waveforms, sample_rate: int) -> float:  # noqa: ARG001
    """Quality of speech with the reference's own timing; undefined for any other."""
    return quality(waveforms, sample_rate)
