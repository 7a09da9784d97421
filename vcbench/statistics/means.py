"""A mean of scores with its 95 % interval.

Conventions
-----------
- An interval resamples sentences (a sentence with all its scores: pairs, directions, seeds). It is
  a percentile bootstrap interval (Efron & Tibshirani, An Introduction to the Bootstrap, 1993,
  chapter 13), with the percentiles moved outwards for few sentences as in Hesterberg, "What
  Teachers Should Know about the Bootstrap", The American Statistician 69(4), 2015, section 5.3:
  the plain percentile interval of a mean is too narrow by about sqrt((k - 1) / k) * z / t with k
  sentences. No resample can leave the range of the k sentences, so that below `MIN_SENTENCES` the
  interval holds less than 95 % whatever the percentiles (at most 1 - 2 ** (1 - k) for symmetric
  scores).
- Where a system was trained with at least `MIN_SEEDS` seeds, seeds are resampled too, see
  `vcbench.statistics.crossed`: the interval then tells how far the mean would move with other
  sentences and other trainings. With fewer it covers the choice of sentences *for these
  trainings*, and `Estimate.over_seeds` is False: from one training nothing can be learnt of the
  luck of another, and 2 to 5 would tell of it only under the assumption of a normal distribution.
- No interval covers the choice of speakers: pairs are what the suite names, not a sample.
- NaN marks a score that is undefined. It is left out of the mean and shows in `n` of `expected`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtrit

from vcbench.statistics.crossed import Crossed
from vcbench.statistics.levels import ALPHA, MIN_SEEDS

N_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95 % interval, and how many of the expected scores it rests on.

    `mean`, `low` and `high` are in the unit of the values; `low` and `high` are NaN where fewer
    than two sentences were scored, and all three are NaN where none was. `over_seeds`: whether
    the interval covers other trainings too, not other sentences alone.
    """

    mean: float
    low: float
    high: float
    n: int
    expected: int
    over_seeds: bool = False

    @property
    def has_interval(self) -> bool:
        """Whether there was enough for an interval."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


def mean_with_interval(
    values: ArrayLike,
    sentences: ArrayLike,
    *,
    seeds: ArrayLike | None = None,
    expected: int | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of all finite values, with an interval that resamples sentences, and seeds if it can.

    Args:
        values: (n,) scores; NaN where undefined.
        sentences: (n,) the sentence that each score belongs to (any sortable labels).
        seeds: (n,) the seed of the training that each score belongs to; they are resampled where
            there are `MIN_SEEDS` of them. None where nothing was trained.
        expected: how many scores there should be; by default the length of `values`.
        n_resamples: bootstrap resamples; 2000 hold the bounds steady to about 2 % of the width.
        seed: of this call's own generator, so that equal input gives equal output.

    Raises:
        ValueError: the arrays differ in length or are not one-dimensional, or `n_resamples` is
            not positive.
    """
    scores, labels = _checked(values, sentences, n_resamples)
    trainings = np.zeros(len(scores)) if seeds is None else np.asarray(seeds)
    if trainings.shape != scores.shape:
        raise ValueError(f"seeds {trainings.shape} and values {scores.shape} must be equally long")
    expected = len(scores) if expected is None else expected
    finite = np.isfinite(scores)
    scores, labels, trainings = scores[finite], labels[finite], trainings[finite]
    if not len(scores):
        return Estimate(np.nan, np.nan, np.nan, 0, expected)
    mean = float(np.mean(np.sort(scores)))
    found, training = np.unique(trainings, return_inverse=True)
    if len(found) >= MIN_SEEDS:
        crossed = Crossed.of_rows(scores, labels, training)
        low, high = crossed.interval(ALPHA)
        return Estimate(mean, low, high, len(scores), expected, over_seeds=True)
    low, high = _interval(scores, labels, n_resamples, seed)
    return Estimate(mean, low, high, len(scores), expected)


def _checked(
    values: ArrayLike, sentences: ArrayLike, n_resamples: int
) -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    scores = np.asarray(values, dtype=np.float64)
    labels = np.asarray(sentences)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(
            f"values {scores.shape} and sentences {labels.shape} must be one-dimensional and "
            "equally long"
        )
    if n_resamples < 1:
        raise ValueError(f"n_resamples is {n_resamples}; it must be at least 1")
    return scores, labels


def _interval(
    scores: NDArray[np.float64], labels: NDArray[np.generic], n_resamples: int, seed: int
) -> tuple[float, float]:
    """Percentiles of the means of resampled sentences; (NaN, NaN) with fewer than two of them."""
    _, sentence = np.unique(labels, return_inverse=True)
    n_sentences = int(sentence.max()) + 1
    if n_sentences < 2:
        return np.nan, np.nan
    # Summing in one fixed order makes the result independent of the order of the rows, to the bit.
    order = np.lexsort((scores, sentence))
    sums = np.bincount(sentence[order], weights=scores[order])
    counts = np.bincount(sentence[order])
    rng = np.random.default_rng(seed)
    means = np.empty(n_resamples)
    # In parts of some 16 MB: the memory of 10,000 sentences stays that of few.
    size = max(1, 2_000_000 // n_sentences)
    for start in range(0, n_resamples, size):
        part = slice(start, min(start + size, n_resamples))
        drawn = rng.integers(n_sentences, size=(part.stop - start, n_sentences))
        means[part] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = tail_probability(n_sentences)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def tail_probability(n_sentences: int) -> float:
    """Probability left out on each side: 0.025 with many sentences, less with few (Hesterberg)."""
    t = stdtrit(n_sentences - 1, ALPHA / 2)
    return float(ndtr(np.sqrt(n_sentences / (n_sentences - 1)) * t))
