"""A mean over seeds and sentences: how far it would move with other trainings and other sentences.

Conventions
-----------
- Every sentence is scored for every seed: the two are crossed. No bootstrap is exact for the mean
  of such data (McCullagh, Bernoulli 6, 2000, 285-301); the one that resamples both independently
  overestimates its variance mildly (Owen & Eckles, "Bootstrapping data arrays of arbitrary order",
  arXiv 1106.2125). That one is used, part by part: the variance of the mean is the variance under
  resampling of seeds plus the variance under resampling of sentences, each times n / (n - 1) for
  its own number n (Hesterberg, The American Statistician 69(4), 2015, section 5.2: a bootstrap's
  variance is too small by that factor). The noise that is common to both is counted twice, which
  keeps it on the safe side. For a mean these variances have a closed form (to first order, where
  sentences have different numbers of scores), so that nothing needs to be drawn.
- The interval is mean -+ t * standard error, with the degrees of freedom of a sum of two variances
  (Satterthwaite, Biometrics Bulletin 2(6), 1946): those of the seeds where luck in training
  dominates, more where it does not. Percentiles would need millions of resamples: with 10 seeds
  and 20 comparisons the ones to read are near 0.001, and none can leave the range of the 10 seeds.
- p is the level whose interval ends at zero, so that p and interval say one thing. It is never
  less than what an exact sign-flip test over as many seeds, or sentences, could give: that a few
  differences are normally distributed, which t takes for granted, they cannot show themselves.
- A sign-flip test over the seeds alone would ignore that other sentences might have given another
  difference, one over sentences alone that another training might have; with both there is none
  that is exact, so none is used here.
- Where there are several pairs, a seed is the trainings of all pairs with it. Those are
  independent of each other, so that there is somewhat more evidence than is counted here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from vcbench.statistics.levels import detectable, smallest_p


@dataclass(frozen=True)
class Crossed:
    """Evidence for a mean over `n_seeds` and `n_sentences`.

    `n` of `expected` were there. `standard_error` and `degrees` (of freedom) are NaN where there
    are fewer than two seeds or sentences.
    """

    mean: float
    n: int
    expected: int
    n_sentences: int
    n_seeds: int
    standard_error: float
    degrees: float
    over_seeds: bool = True

    @classmethod
    def of_rows(
        cls,
        values: ArrayLike,
        sentences: ArrayLike,
        seeds: ArrayLike,
        *,
        n: int | None = None,
        expected: int | None = None,
    ) -> Crossed:
        """From (rows,) finite scores or differences with the sentence and the seed of each.

        `n` of `expected` is what is reported to have been there; by default all rows.
        """
        scores = np.asarray(values, dtype=np.float64)
        _, sentence = np.unique(np.asarray(sentences), return_inverse=True)
        _, training = np.unique(np.asarray(seeds), return_inverse=True)
        # One fixed order of summing: the order of the rows does not matter, to the bit.
        order = np.lexsort((scores, sentence, training))
        scores, sentence, training = scores[order], sentence[order], training[order]
        mean = float(scores.mean())
        of_seeds, of_sentences = (_variance(scores - mean, by) for by in (training, sentence))
        n_seeds, n_sentences = int(training.max()) + 1, int(sentence.max()) + 1
        total = of_seeds + of_sentences
        degrees = math.nan
        if total > 0:
            parts = of_seeds**2 / (n_seeds - 1) + of_sentences**2 / (n_sentences - 1)
            degrees = total**2 / parts
        elif total == 0:
            degrees = min(n_seeds, n_sentences) - 1.0
        n = len(scores) if n is None else n
        return cls(
            mean=mean,
            n=n,
            expected=n if expected is None else expected,
            n_sentences=n_sentences,
            n_seeds=n_seeds,
            standard_error=math.sqrt(total) if total >= 0 else math.nan,
            degrees=degrees,
        )

    @property
    def smallest_p(self) -> float:
        """What p can fall to, however large the difference."""
        return smallest_p(min(self.n_seeds, self.n_sentences))

    @property
    def p(self) -> float:
        """Two-sided p of a mean of zero; NaN where there is no standard error."""
        if not math.isfinite(self.standard_error):
            return math.nan
        if self.mean == 0:
            return 1.0
        if self.standard_error == 0:
            return self.smallest_p
        t = abs(self.mean) / self.standard_error
        return max(2 * float(stdtr(self.degrees, -t)), self.smallest_p)

    def interval(self, level: float) -> tuple[float, float]:
        """The interval of confidence 1 - `level`."""
        if not math.isfinite(self.standard_error):
            return math.nan, math.nan
        half = -float(stdtrit(self.degrees, level / 2)) * self.standard_error
        return self.mean - half, self.mean + half

    def detectable(self, level: float) -> float:
        """The smallest difference found with 80 % power at `level`; infinite if none can be."""
        if self.smallest_p > level:
            return math.inf
        return detectable(self.standard_error, self.degrees, level)


def _variance(residuals: NDArray[np.float64], group: NDArray[np.intp]) -> float:
    """Variance of a mean when whole groups of its scores are drawn; NaN with fewer than two.

    `residuals` are scores less their mean, `group` is 0, 1, ... for each.
    """
    sums = np.bincount(group, weights=residuals)
    k = len(sums)
    if k < 2:
        return math.nan
    return float(np.square(sums).sum()) * k / (k - 1) / len(residuals) ** 2
