"""How sure is sure: the levels of every interval and test, and what few differences can reach."""

from __future__ import annotations

import math

from scipy.special import nctdtrinc, stdtrit

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8


def smallest_p(n: int) -> float:
    """The smallest p of a two-sided exact sign-flip test over `n` differences, 2 / 2 ** n.

    All of one sign is the outermost outcome, however large they are (Fisher, The Design of
    Experiments, 1935). It is that of Wilcoxon's signed-rank test too. 3 differences
    cannot go below 0.25, 5 not below 0.0625; 6 are the first that reach 0.05.
    """
    return min(1.0, 2.0 / 2**n)


def needed(n_comparisons: int = 1) -> int:
    """The fewest differences of which a sign-flip test can reach `ALPHA` / `n_comparisons`."""
    n = 1
    while smallest_p(n) > ALPHA / n_comparisons:
        n += 1
    return n


MIN_SEEDS = needed()  # 6
MIN_SENTENCES = needed()  # 6


def detectable(standard_error: float, degrees: float, level: float) -> float:
    """The difference that a two-sided t test at `level` finds with a probability of `POWER`.

    `standard_error` times the non-centrality at which the t distribution with `degrees` degrees
    of freedom exceeds its critical value in 80 of 100 cases (Cohen, Statistical Power Analysis for
    the Behavioral Sciences, 2nd edition, 1988). The other tail is left out: it holds
    less than 0.0001 there. A sign-flip test has the power of a t test nearly; with few differences
    a little less.
    """
    if not degrees >= 1 or not standard_error >= 0:
        return math.nan
    critical = -float(stdtrit(degrees, level / 2))
    return standard_error * float(nctdtrinc(degrees, 1 - POWER, critical))
