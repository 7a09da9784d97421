"""Means with intervals, and differences between systems that say how sure they are.

One sentence is scored many times: once for every pair, direction, seed and system. Those scores
rise and fall together, so they are not independent evidence. Everything here therefore treats a
*sentence*, with all its scores, as one piece of evidence, and a *seed* (a training) as another
where there are enough of them.

- `means`: a mean and the interval around it.
- `sign_flip`: a paired difference over sentences alone.
- `crossed`: a paired difference over seeds and sentences.
- `families`: Holm's procedure, and what a family of differences may claim.
- `conditions`: several conversions of the same sentences against each other.

Needs numpy and scipy.special alone.
"""

from vcbench.statistics.conditions import Contrast, compare_conditions
from vcbench.statistics.crossed import Crossed
from vcbench.statistics.families import Difference, Evidence, holm, judged
from vcbench.statistics.levels import (
    ALPHA,
    CONFIDENCE,
    MIN_SEEDS,
    MIN_SENTENCES,
    POWER,
    needed,
    smallest_p,
)
from vcbench.statistics.means import N_RESAMPLES, Estimate, mean_with_interval
from vcbench.statistics.sign_flip import SignFlip

__all__ = [
    "ALPHA",
    "CONFIDENCE",
    "MIN_SEEDS",
    "MIN_SENTENCES",
    "N_RESAMPLES",
    "POWER",
    "Contrast",
    "Crossed",
    "Difference",
    "Estimate",
    "Evidence",
    "SignFlip",
    "compare_conditions",
    "holm",
    "judged",
    "mean_with_interval",
    "needed",
    "smallest_p",
]
