"""Intervals around means, and differences between systems on the same sentences.

One sentence is scored many times: once for every pair, direction, seed and system. Those scores
rise and fall together, so they are not independent evidence. Everything here therefore resamples
*sentences*: a resample that holds a sentence holds all its scores.

Conventions
-----------
- Intervals are 95 % percentile bootstrap intervals (Efron & Tibshirani, 1993, chapter 13), with
  the percentiles moved outwards for few sentences as in Hesterberg, "What Teachers Should Know
  about the Bootstrap", The American Statistician 69(4), 2015, section 5.3: the plain percentile
  interval of a mean is too narrow by about sqrt((k - 1) / k) * z / t with k sentences.
  No resample can leave the range of the k sentences, so that below `MIN_SENTENCES` the interval
  holds less than 95 % whatever the percentiles (at most 1 - 2 ** (1 - k) for symmetric scores).
- An interval tells how far the mean would move with other sentences of the same kind. It knows
  nothing of other speakers; `vcbench.reporting.seeds` resamples the seeds, where there are enough.
- NaN marks a score that is undefined. It is left out of the mean and shows in `n` of `expected`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, stdtrit

CONFIDENCE = 0.95
N_RESAMPLES = 2000
MIN_SENTENCES = 6


@dataclass(frozen=True)
class Estimate:
    """A mean, its 95 % interval, and how many of the expected scores it rests on.

    `mean`, `low` and `high` are in the unit of the values; `low` and `high` are NaN where fewer
    than two sentences were scored, and all three are NaN where none was.
    """

    mean: float
    low: float
    high: float
    n: int
    expected: int

    @property
    def has_interval(self) -> bool:
        """Whether there were sentences enough for an interval."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


def mean_with_interval(
    values: ArrayLike,
    sentences: ArrayLike,
    *,
    expected: int | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of all finite values, with an interval that resamples sentences.

    Args:
        values: (n,) scores; NaN where undefined.
        sentences: (n,) the sentence that each score belongs to (any sortable labels).
        expected: how many scores there should be; by default the length of `values`.
        n_resamples: bootstrap resamples; 2000 hold the bounds steady to about 2 % of the width.
        seed: of this call's own generator, so that equal input gives equal output.

    Raises:
        ValueError: the two arrays differ in length or are not one-dimensional, or `n_resamples`
            is not positive.
    """
    scores, labels = _checked(values, sentences, n_resamples)
    expected = len(scores) if expected is None else expected
    finite = np.isfinite(scores)
    scores, labels = scores[finite], labels[finite]
    if not len(scores):
        return Estimate(np.nan, np.nan, np.nan, 0, expected)
    mean = float(np.mean(np.sort(scores)))
    low, high = _interval(scores, labels, n_resamples, seed)
    return Estimate(mean, low, high, len(scores), expected)


def paired_difference(
    values_a: ArrayLike,
    values_b: ArrayLike,
    sentences: ArrayLike,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Mean of `a - b` over rows where both are finite, with an interval that resamples sentences.

    Row i of both arrays is the same utterance in the same direction, scored for two systems: what
    makes a sentence hard for both cancels, which is why the interval of a difference may exclude
    zero where the intervals of the two means overlap. Arguments and errors as in
    `mean_with_interval`.
    """
    a = np.asarray(values_a, dtype=np.float64)
    b = np.asarray(values_b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"the two systems have {a.shape} and {b.shape} scores; pair them first")
    # An infinite score on both sides would give NaN with a warning; it is undefined either way.
    difference = np.full(a.shape, np.nan)
    both = np.isfinite(a) & np.isfinite(b)
    difference[both] = a[both] - b[both]
    return mean_with_interval(difference, sentences, n_resamples=n_resamples, seed=seed)


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
    drawn = np.random.default_rng(seed).integers(n_sentences, size=(n_resamples, n_sentences))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = tail_probability(n_sentences)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def tail_probability(n_sentences: int) -> float:
    """Probability left out on each side: 0.025 with many sentences, less with few (Hesterberg)."""
    t = stdtrit(n_sentences - 1, (1 - CONFIDENCE) / 2)
    return float(ndtr(np.sqrt(n_sentences / (n_sentences - 1)) * t))
