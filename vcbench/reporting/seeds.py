"""Differences between two trained systems: what luck in training may account for.

Sentences alone do not tell whether one system is better than another: the same system trained
twice differs by more than an interval over sentences allows. A claim about two systems therefore
needs several trainings of each, and an interval over trainings as well as sentences.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vcbench.statistics import N_RESAMPLES, Estimate, tail_probability

MIN_SEEDS = 6


def smallest_p(n_seeds: int) -> float:
    """The smallest p of a two-sided exact sign-flip test over `n_seeds` differences, 2 / 2 ** n.

    With `MIN_SEEDS` it first falls below 0.05 (Fisher, The Design of Experiments, 1935).
    """
    return min(1.0, 2.0 / 2**n_seeds)


def difference_over_seeds(
    frame: pd.DataFrame, a: str, b: str, *, n_resamples: int = N_RESAMPLES
) -> Estimate | None:
    """Score of `a` minus score of `b`, with an interval that resamples seeds and sentences.

    `frame` holds the scores of one metric. Equal seeds of two systems are still two trainings, so
    each system's seeds are resampled by themselves; sentences are resampled for both together
    (Owen, "The Pigeonhole Bootstrap", Annals of Applied Statistics 1(2), 2007, where resampling
    both ways is shown to be too wide rather than too narrow). None where either system has fewer
    than `MIN_SEEDS` seeds, lacks a score, or was scored on other utterances.
    """
    tables = [_by_seed(frame[frame["system"] == system]) for system in (a, b)]
    if not tables[0].index.equals(tables[1].index) or tables[0].empty:
        return None
    if any(t.shape[1] < MIN_SEEDS or t.isna().to_numpy().any() for t in tables):
        return None
    labels, sentence = np.unique(
        tables[0].index.get_level_values("utterance").to_numpy(dtype="str"), return_inverse=True
    )
    counts = np.bincount(sentence)
    # (seeds, sentences): sums over the pairs and directions of a sentence.
    sums = [_sums(t.to_numpy().T, sentence, len(labels)) for t in tables]
    means = [s.mean(axis=0) for s in sums]
    n, mean = len(tables[0]), float((means[0] - means[1]).sum() / counts.sum())
    if len(labels) < 2:
        return Estimate(mean, np.nan, np.nan, n, n)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(labels), size=(n_resamples, len(labels)))
    # For each resample, how often a seed was drawn, as weights: (resamples, seeds).
    means_a, means_b = (
        rng.multinomial(len(s), np.full(len(s), 1 / len(s)), size=n_resamples) @ s / len(s)
        for s in sums
    )
    differences = np.take_along_axis(means_a - means_b, drawn, axis=1).sum(axis=1)
    differences /= counts[drawn].sum(axis=1)
    # The scarcest of the resampled things decides how far the percentiles move outwards.
    tail = tail_probability(min(len(sums[0]), len(sums[1]), len(labels)))
    low, high = np.quantile(differences, [tail, 1 - tail])
    return Estimate(mean, float(low), float(high), n, n)


def _by_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per (pair, direction, utterance), one column per seed, both sorted."""
    return frame.pivot_table(
        index=["pair", "direction", "utterance"],
        columns="seed",
        values="value",
        aggfunc="mean",
        dropna=False,
    ).dropna(how="all")


def _sums(
    values: NDArray[np.float64], sentence: NDArray[np.intp], n_sentences: int
) -> NDArray[np.float64]:
    return np.stack([np.bincount(sentence, weights=v, minlength=n_sentences) for v in values])
