"""A paired difference over sentences alone: a sign-flip test and the interval that goes with it.

The test
--------
Under the hypothesis that the mean difference is m, each sentence's difference from m is as likely
to be as large in the other direction: its sign may be flipped. p is the share of all flips of signs
whose mean lies at least as far from zero as the observed one (Fisher, The Design of Experiments,
1935; `scipy.stats.permutation_test` with `permutation_type="samples"`). It asks for
independent sentences and symmetric differences, no normal distribution. Wilcoxon's signed-rank
test is the same test over ranks. It is not used because it tests another quantity than the mean
that the report prints, and could contradict its sign.

The interval
------------
Flipping the sentences of a set A moves the sum beyond the observed one exactly if their mean
difference lies on the other side of m. The p of every m can therefore be read off the means of all
sets of sentences, and the m that are not rejected at a level lie between two of those means in
sorted order: the means of random sets are "typical values" (Hartigan, "Using subsample values as
typical values", Journal of the American Statistical Association 64, 1969). Like a bootstrap it
resamples sentences, each in or out with an even chance; unlike one it is exact for few, and it
excludes zero exactly where the test rejects it. p and interval cannot contradict each other.

Up to `EXACT` sentences all sets are counted; beyond, `N_SETS` random ones, with the observed signs
counted among them, so that p is never zero and never too small (Phipson & Smyth, "Permutation
p-values should never be zero", arXiv 1603.05766).

A sentence with several scores (pairs, directions) counts as one piece of evidence, with the weight
of its scores. Where systems were trained with few seeds, the scores are means over them: then all
this holds for these trainings and tells nothing of other ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from vcbench.statistics.levels import POWER, detectable, smallest_p

EXACT = 14
N_SETS = 2**EXACT  # of sentences, the empty set among them
_PART = 2**21  # numbers in memory at a time

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SignFlip:
    """Evidence for a mean difference over `n_sentences`.

    `n` of `expected` differences were there. `sets` holds the sorted means of sets of sentences.
    `n_seeds` is 0 where no other trainings are asked about. Otherwise the differences are means
    over so many seeds, too few to be resampled, and nothing can be claimed of other trainings.
    """

    mean: float
    n: int
    expected: int
    n_sentences: int
    standard_error: float
    sets: Array = field(repr=False, compare=False)
    n_seeds: int = 0
    over_seeds: bool = False

    @classmethod
    def of_rows(
        cls,
        differences: ArrayLike,
        sentences: ArrayLike,
        *,
        expected: int | None = None,
        n_seeds: int = 0,
    ) -> SignFlip:
        """From (n,) finite differences with the sentence of each, n > 0."""
        values = np.asarray(differences, dtype=np.float64)
        _, sentence = np.unique(np.asarray(sentences), return_inverse=True)
        # One fixed order of summing: the order of the rows does not matter, to the bit.
        order = np.lexsort((values, sentence))
        sums = np.bincount(sentence[order], weights=values[order]).astype(np.float64)
        counts = np.bincount(sentence).astype(np.float64)
        mean = float(sums.sum() / counts.sum())
        k = len(sums)
        error = math.nan
        if k > 1:
            spread = float(np.square(sums - mean * counts).sum()) * k / (k - 1)
            error = math.sqrt(spread) / float(counts.sum())
        return cls(
            mean=mean,
            n=len(values),
            expected=len(values) if expected is None else expected,
            n_sentences=k,
            standard_error=error,
            sets=set_means(sums, counts),
            n_seeds=n_seeds,
        )

    @property
    def smallest_p(self) -> float:
        """What p can fall to, however large the difference."""
        of_seeds = smallest_p(self.n_seeds) if self.n_seeds else 0.0
        return max(of_seeds, smallest_p(self.n_sentences), 2 / (len(self.sets) + 1))

    @property
    def p(self) -> float:
        """Two-sided p of a mean of zero."""
        below = int(np.searchsorted(self.sets, 0.0, side="right"))
        above = len(self.sets) - int(np.searchsorted(self.sets, 0.0, side="left"))
        return min(1.0, 2 * (1 + min(below, above)) / (len(self.sets) + 1))

    def interval(self, level: float) -> tuple[float, float]:
        """The interval of confidence 1 - `level`; NaN where so few sentences allow none."""
        # A p of exactly `level` rejects; 1e-9 is for what rounding does to the product.
        left_out = math.floor(level / 2 * (len(self.sets) + 1) + 1e-9)
        if left_out < 1:
            return math.nan, math.nan
        return float(self.sets[left_out - 1]), float(self.sets[-left_out])

    def detectable(self, level: float) -> float:
        """The smallest difference found with 80 % power at `level`; infinite if none can be."""
        if self.smallest_p > level:
            return math.inf
        found = detectable(self.standard_error, self.n_sentences - 1, level)
        if 2 * self.smallest_p > level:
            # Only differences that are all of one sign are significant: a t test has more power.
            spread = self.standard_error * math.sqrt(self.n_sentences)
            found = max(found, spread * float(ndtri(POWER ** (1 / self.n_sentences))))
        return found


def set_means(sums: Array, counts: Array) -> Array:
    """Sorted means of sets of sentences that have these `sums` and `counts` of scores, (k,) each.

    All sets but the empty one for up to `EXACT` sentences, else `N_SETS` - 1 random ones.
    """
    means = np.concatenate([(part @ sums) / (part @ counts) for part in _sets(len(sums))])
    # A mean that is zero but for rounding is a tie with zero, and counts for both sides.
    means[np.abs(means) < 1e-12 * np.abs(sums / counts).max()] = 0.0
    means.sort()
    return means


def _sets(k: int) -> Iterator[Array]:
    """Sets as rows of 0 and 1, (sets, k), some at a time."""
    if k <= EXACT:
        yield ((np.arange(1, 2**k)[:, None] >> np.arange(k)) & 1).astype(np.float64)
        return
    rng = np.random.default_rng(0)
    left = N_SETS - 1
    while left:
        rows = min(left, max(1, _PART // k))
        drawn = rng.integers(2, size=(rows, k), dtype=np.uint8).astype(np.float64)
        drawn[~drawn.any(axis=1), 0] = 1.0  # the empty set has no mean, and is counted already
        yield drawn
        left -= rows
