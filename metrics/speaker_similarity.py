"""Speaker similarity without weights: whether statistics of a spectrum are the target speaker's.

Mean and deviation of mel-cepstra over time, scaled by their spread over many utterances, compared
by the cosine: what a learned speaker embedding does, with nothing that has to be downloaded and
nothing that a conversion system may have been trained against.

Conventions
-----------
Mel-cepstra are arrays (frames, dimensions) without c0, frames with speech only. An embedding is
(2 * dimensions,): means, then deviations. It is scaled by mean and deviation of the embeddings of
training speech of several speakers (`Scale.of`), without which all speech is alike (raw cosines lie
above 0.9). The cosine is 1 for equal directions and about 0 or below for other speakers.

The metric is the cosine between the converted utterance and the mean embedding of the target's
training speech; the reference is not read. One utterance against one other, even of the same
sentence, says mostly which sentences they are; against a speaker's training speech it says who
speaks. The scale is that of all speakers that are given (of a run: those in the suite's pairs), so
only numbers with the same speakers can be compared. With two, equally much of each, the cosine to
the one is that to the other with its sign turned.

On VCC2016 in the split of npVCC2016 (four speakers, 81 training and 54 evaluation sentences each,
scaled on the training speech, analysis of `vcbench-1`) the equal error rate is 15.1 % for an
utterance against another (of another sentence) and 0.9 % against speakers' training speech:
`pytest -s -m slow tests/metrics/test_speaker_similarity.py` prints both. Four speakers, recorded
alike: elsewhere it has to be measured again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vcbench.alignment import AlignedPair, Analysis
from vcbench.plugins import register_metric
from vcbench.speakers import Speakers

Array = NDArray[np.float64]

MINIMUM_FRAMES = 2


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of embeddings over training utterances, each (2 * dimensions,)."""

    mean: Array
    deviation: Array

    @classmethod
    def of(cls, embeddings: Array) -> Scale:
        """From (utterances, 2 * dimensions).

        Raises `ValueError` where an entry never changes: it needs speech of several speakers.
        """
        if embeddings.ndim != 2 or not (np.ptp(embeddings, axis=0) > 0).all():
            raise ValueError(
                f"embeddings {embeddings.shape} must be (utterances, 2 * dimensions), and every "
                "entry must differ between utterances"
            )
        return cls(embeddings.mean(axis=0), embeddings.std(axis=0))

    def __call__(self, embedding: Array) -> Array:
        """The embedding in units of the training speech's spread; any leading shape."""
        return (embedding - self.mean) / self.deviation


def validate(mcep: Array) -> None:
    """Raise `ValueError` unless it is finite (frames, dimensions) of `MINIMUM_FRAMES` or more."""
    if mcep.ndim != 2 or len(mcep) < MINIMUM_FRAMES or mcep.shape[1] == 0:
        raise ValueError(
            f"mel-cepstra {mcep.shape} must be (frames, dimensions), at least {MINIMUM_FRAMES} "
            "frames and one dimension"
        )
    if not np.isfinite(mcep).all():
        raise ValueError("mel-cepstra contain NaN or infinite values")


def embed(mcep: Array) -> Array:
    """Mean and deviation of each coefficient over time: (frames, d) -> (2 * d,)."""
    validate(mcep)
    return np.concatenate([mcep.mean(axis=0), mcep.std(axis=0)])


def enrol(training: Mapping[str, Iterable[Array]]) -> tuple[Scale, dict[str, Array]]:
    """The scale of all training speech, and each speaker's mean scaled embedding.

    training: by speaker, utterances (frames, dimensions). Raises `ValueError` for a speaker without
    one, and as `Scale.of`.
    """
    embeddings = {name: [embed(mcep) for mcep in spoken] for name, spoken in training.items()}
    if silent := [name for name, found in embeddings.items() if not found]:
        raise ValueError(f"speaker '{silent[0]}' has no utterance to be known by")
    scale = Scale.of(np.array([e for found in embeddings.values() for e in found]))
    return scale, {name: scale(np.array(found)).mean(axis=0) for name, found in embeddings.items()}


def cosine(reference: Array, converted: Array) -> float:
    """Cosine of the angle between two scaled embeddings, -1 to 1; NaN where one is zero.

    >>> cosine(np.array([1.0, 0.0]), np.array([0.0, 2.0]))
    0.0
    """
    if reference.ndim != 1 or reference.shape != converted.shape:
        raise ValueError(
            f"embeddings {reference.shape} and {converted.shape} must be one-dimensional and equal"
        )
    norms = float(np.linalg.norm(reference) * np.linalg.norm(converted))
    if norms == 0.0:
        return float("nan")
    return float(np.clip(reference @ converted / norms, -1.0, 1.0))


def equal_error_rate(same: Array, different: Array) -> float:
    """Share of wrong answers where a threshold refuses as many of `same` as it lets in others.

    same and different, (n,) and (m,), are similarities of pairs with one speaker and with two. Of
    all thresholds between scores the one where both rates are nearest is taken, and their mean
    returned. Raises `ValueError` for an empty or not finite side.

    >>> equal_error_rate(np.array([0.9, 0.8, 0.4, 0.2]), np.array([0.1, 0.0, 0.3, 0.2]))
    0.25
    """
    for scores in (same, different):
        if scores.ndim != 1 or scores.size == 0 or not np.isfinite(scores).all():
            raise ValueError(f"similarities {scores.shape} must be (n,), not empty and finite")
    thresholds = np.append(np.unique(np.concatenate([same, different])), np.inf)
    refused = np.searchsorted(np.sort(same), thresholds) / len(same)
    let_in = 1.0 - np.searchsorted(np.sort(different), thresholds) / len(different)
    nearest = np.argmin(np.abs(refused - let_in))
    return float((refused[nearest] + let_in[nearest]) / 2.0)


@lru_cache(maxsize=1)  # of one scoring at a time; thousands of pairs have the same
def _enrolled(speakers: Speakers) -> tuple[Scale, dict[str, Array]]:
    mcep = {name: map(_without_level, speakers.analyses(name)) for name in speakers.names}
    return enrol({n: (x for x in xs if len(x) >= MINIMUM_FRAMES) for n, xs in mcep.items()})


def _without_level(analysis: Analysis) -> Array:
    return analysis.mcep[:, 1:]


@register_metric("speaker-similarity", unit="cosine", better="higher")
def speaker_similarity(pair: AlignedPair, *, speakers: Speakers, target: str) -> float:
    """Cosine to the target speaker's training speech: whether the voice is the target's."""
    mcep = _without_level(pair.converted)
    if len(mcep) < MINIMUM_FRAMES:
        return float("nan")
    scale, voices = _enrolled(speakers)
    return cosine(voices[target], scale(embed(mcep)))
