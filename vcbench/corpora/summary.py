"""What a corpus holds, speaker by speaker: how much speech, and its log F0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import soundfile

from vcbench import features
from vcbench.corpora import Corpus, ProgressCallback, Utterance
from vcbench.normalization import SpeakerStatistics


@dataclass(frozen=True)
class SpeakerSummary:
    """One speaker. `log_f0_mean` and `log_f0_std` (natural log of Hz) are of training speech."""

    speaker: str
    train: int
    eval: int
    train_minutes: float
    eval_minutes: float
    log_f0_mean: float
    log_f0_std: float


def summarize(
    corpus: Corpus,
    store: features.FeatureStore,
    *,
    jobs: int,
    progress: ProgressCallback | None = None,
) -> list[SpeakerSummary]:
    """Counts, minutes, and log F0 over the voiced frames of the training utterances.

    Features come from the store, `jobs` files at a time. Raises `DataError` for files that are
    missing or cannot be used.
    """
    speech = {
        s: (corpus.utterances(s, "train"), corpus.utterances(s, "eval")) for s in corpus.speakers()
    }
    everything = [utterance for train, _ in speech.values() for utterance in train]
    paths = store.extract(everything, jobs=jobs, progress=progress).paths
    summaries = []
    for speaker, (train, evaluation) in speech.items():
        statistics = SpeakerStatistics.from_features([features.load(paths[u]) for u in train])
        summaries.append(
            SpeakerSummary(
                speaker=speaker,
                train=len(train),
                eval=len(evaluation),
                train_minutes=_minutes(train),
                eval_minutes=_minutes(evaluation),
                log_f0_mean=statistics.log_f0_mean,
                log_f0_std=statistics.log_f0_std,
            )
        )
    return summaries


def _minutes(utterances: Sequence[Utterance]) -> float:
    return sum(soundfile.info(str(u.path)).duration for u in utterances) / 60
