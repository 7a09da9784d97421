"""Differences between two systems: what luck in training may account for.

Sentences alone do not tell whether one system is better than another: the same system trained
twice differs by more than an interval over sentences allows. A claim about two systems therefore
needs several trainings of each, and an interval over trainings as well as sentences.

Conventions
-----------
- Equal seeds of two systems are paired: they saw the same crops, and what their networks have in
  common began with the same weights. The evidence is one difference for each seed and sentence.
  An untrained system has the same scores beside every seed.
- Seeds and sentences are resampled independently of each other (Owen, "The Pigeonhole
  Bootstrap", Annals of Applied Statistics 1(2), 2007, where this is shown to be too wide rather
  than too narrow). The interval is mean -+ t * sqrt(n / (n - 1)) * the bootstrap's standard error,
  with n - 1 degrees of freedom, n being the number of seeds or of sentences, whichever is less
  (Hesterberg, "What Teachers Should Know about the Bootstrap", The American Statistician 69(4),
  2015, sections 5.2 and 5.3). Percentiles would need millions of resamples: with 10 seeds and 20
  comparisons the ones to read are near 0.000006, and none can leave the range of the 10 seeds.
- Several comparisons are one family: with k of them each interval is one of 1 - 0.05 / k
  (Bonferroni), so that all hold together with 95 %, whatever they have in common.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from vcbench.statistics import CONFIDENCE, N_RESAMPLES, Estimate

UNTRAINED = ""  # what stands in the column of seeds for a system that trains nothing


def smallest_p(n_seeds: int) -> float:
    """The smallest p of a two-sided exact sign-flip test over `n_seeds` differences, 2 / 2 ** n.

    With `MIN_SEEDS` it first falls below 0.05 (Fisher, The Design of Experiments, 1935).
    """
    return min(1.0, 2.0 / 2**n_seeds)


def seeds_needed(n_comparisons: int = 1) -> int:
    """The fewest differences of which an exact sign-flip test can reach 0.05 / `n_comparisons`."""
    n = 1
    while smallest_p(n) > (1 - CONFIDENCE) / n_comparisons:
        n += 1
    return n


MIN_SEEDS = seeds_needed()  # 6


def difference_over_seeds(
    frame: pd.DataFrame, a: str, b: str, *, n_resamples: int = N_RESAMPLES
) -> Estimate | None:
    """Score of `a` minus score of `b`, with an interval that resamples seeds and sentences.

    `frame` holds the scores of one metric. None where the systems have fewer than `MIN_SEEDS`
    seeds or not the same ones, where either lacks a score, or was scored on other utterances.
    """
    table = differences(scores_by_seed(frame), a, b)
    if table.shape[1] < MIN_SEEDS or table.empty or table.isna().to_numpy().any():
        return None
    return estimate(table, n_resamples=n_resamples)


def scores_by_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """The scores of one metric: a row per (pair, direction, utterance), columns (system, seed).

    Rows and columns are sorted; what was not scored, or is undefined, is NaN.
    """
    keys = ["pair", "direction", "utterance", "system", "seed"]
    wide = frame.set_index(keys)["value"].unstack(["system", "seed"])
    return wide.sort_index().sort_index(axis=1)


def differences(scores: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """`a` minus `b` from what `scores_by_seed` gives: the same rows, a column per seed.

    Two untrained systems give one column, `UNTRAINED`. There is no column for a seed that only one
    of two trained systems has, and none at all where a system was never scored.
    """
    one, other = (_of(scores, system) for system in (a, b))
    if list(other.columns) == [UNTRAINED]:
        return one.sub(other[UNTRAINED], axis=0)
    if list(one.columns) == [UNTRAINED]:
        return other.rsub(one[UNTRAINED], axis=0)
    seeds = [seed for seed in one.columns if seed in other.columns]
    return one[seeds] - other[seeds]


def equal_scores(scores: pd.DataFrame, a: str, b: str) -> bool:
    """Whether both systems have the same scores, to the last bit, of the same seeds."""
    return _of(scores, a).equals(_of(scores, b))


def estimate(
    table: pd.DataFrame,
    *,
    n_comparisons: int = 1,
    expected: int | None = None,
    n_resamples: int = N_RESAMPLES,
) -> Estimate:
    """The mean of what `differences` gives, with an interval, one of `n_comparisons` in a family.

    Utterances that lack a difference at any seed are left out, which shows in `n` of `expected`
    (by default all rows). With fewer than `MIN_SEEDS` seeds they are averaged and the interval
    covers the choice of sentences alone.
    """
    expected = len(table) if expected is None else expected
    whole = table.dropna()
    if whole.empty:
        return Estimate(math.nan, math.nan, math.nan, 0, expected)
    _, sentence = np.unique(
        whole.index.get_level_values("utterance").to_numpy(dtype="str"), return_inverse=True
    )
    counts = np.bincount(sentence)
    # Sums over the pairs and directions of a sentence.
    by_seed = whole.to_numpy(dtype=np.float64).T
    sums = np.array([np.bincount(sentence, weights=v) for v in by_seed], dtype=np.float64)
    if len(sums) < MIN_SEEDS:
        sums = sums.mean(axis=0, keepdims=True)
    mean = float(sums.mean(axis=0).sum() / counts.sum())
    half = half_width(sums, counts, n_comparisons=n_comparisons, n_resamples=n_resamples)
    return Estimate(mean, mean - half, mean + half, len(whole), expected)


def half_width(
    sums: NDArray[np.float64],
    counts: NDArray[np.intp],
    *,
    n_comparisons: int = 1,
    n_resamples: int = N_RESAMPLES,
) -> float:
    """Half the width of the interval around the mean of `sums`, (seeds, sentences), per score.

    A sentence's sum is over `counts`, (sentences,), scores. A single row of `sums` is taken as it
    is, and sentences alone are resampled; NaN where there are fewer than two sentences.
    """
    n_seeds, n_sentences = sums.shape
    if n_sentences < 2:
        return math.nan
    rng = np.random.default_rng(0)
    # How often each seed and each sentence was drawn: (resamples, seeds), (resamples, sentences).
    seeds, sentences = (
        rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) for n in (n_seeds, n_sentences)
    )
    means = ((seeds @ sums) * sentences).sum(axis=1) / n_seeds / (sentences @ counts)
    n = min(n_seeds, n_sentences) if n_seeds > 1 else n_sentences
    t = -stdtrit(n - 1, (1 - CONFIDENCE) / n_comparisons / 2)
    return float(t * math.sqrt(n / (n - 1)) * means.std())


def _of(scores: pd.DataFrame, system: str) -> pd.DataFrame:
    """One system's scores, a column per seed; no column where it has none."""
    of_system = scores.columns.get_level_values("system") == system
    return scores.loc[:, of_system].droplevel("system", axis=1)
