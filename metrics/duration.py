"""Duration: how much longer or shorter the converted speech takes than the reference.

Sequence-to-sequence conversion changes the speed of speech; conversion frame by frame keeps the
source's, and this tells how far from the target's that is.

Conventions
-----------
A duration is the time of the frames that pass the protocol's gate, in seconds: pauses that the gate
leaves out do not count, at the ends or inside. The difference is converted less reference, so that
slower speech is positive; the metric is its magnitude, since too slow and too fast must not cancel
in a mean.

Not comparable with DDUR of seq2seq-vc and s3prl-vc (`evaluate/dtw_based.py`): that is
|difference| in seconds too, but of the waveforms after `librosa.effects.trim` with its defaults,
which cuts the ends 60 dB below the loudest frame and keeps every pause inside.
"""

from __future__ import annotations

from vcbench.alignment import AlignedPair, Analysis
from vcbench.plugins import register_metric


def speech_duration_s(analysis: Analysis) -> float:
    """Time of the frames with speech, in seconds."""
    return float(analysis.speech.sum()) * analysis.frame_period_ms / 1000.0


def duration_difference_s(reference: Analysis, converted: Analysis) -> float:
    """Duration of the converted speech less that of the reference's; positive if it is slower.

    Raises `ValueError` if their frames are not equally far apart.
    """
    periods_ms = reference.frame_period_ms, converted.frame_period_ms
    if periods_ms[0] != periods_ms[1]:
        raise ValueError(f"frame periods of {periods_ms[0]} and {periods_ms[1]} ms must be equal")
    return speech_duration_s(converted) - speech_duration_s(reference)


@register_metric("duration-difference", unit="s", better="lower")
def duration_difference(pair: AlignedPair) -> float:
    """How much longer or shorter the speech is than the reference's, pauses left out."""
    return abs(duration_difference_s(pair.reference, pair.converted))
