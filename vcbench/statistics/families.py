"""What a family of comparisons may claim together.

Somebody who reads of twenty comparisons will quote the most striking one, so that they are judged
as one family by Holm's procedure ("A simple sequentially rejective multiple test procedure",
Scandinavian Journal of Statistics 6, 1979): with k of them the smallest p is held against
0.05 / k, the next against 0.05 / (k - 1), and so on until one is larger; that one and all that
follow are undecided. The chance that anything false is claimed is at most 5 %, whatever the
comparisons have in common. It claims all that Bonferroni's correction claims, and often more.

How the interval fits
---------------------
An interval has the level at which Holm's procedure tested its comparison: 1 - 0.05 / k for the
smallest p, 1 - 0.05 / (k - 1) for the next, and for the undecided the level at which the first of
them failed. Equal p, which a test that counts outcomes often gives, all have the level of the first
of them, the strictest: one is claimed exactly where all are, and nothing depends on the order in
which comparisons are listed. Because an interval is made of the same evidence as its p, it excludes
zero exactly where the difference is claimed: there is one answer, not a p and an interval that
disagree. All intervals contain the plain 95 % interval, so that each by itself holds with at least
95 %.

What this gives up: the intervals of several claims do not hold *together* with 95 % (Bonferroni's
would). Intervals that are compatible with Holm's procedure and hold together end at zero for every
claim unless all are claimed (Brannath, Kluge & Scharpenberg, arXiv 2402.13719, abstract), which
would not say by how much.

Where the evidence cannot reach significance
--------------------------------------------
With 3 seeds the smallest p is 0.25. Such a comparison stays in its family, since what is missing
must not make the rest easier to claim, and is marked as not `claimable`: too few seeds (or
sentences), which is another thing than undecided. Its interval is the plain 95 % one, of whatever
its evidence covers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vcbench.statistics.levels import ALPHA
from vcbench.statistics.means import Estimate


class Evidence(Protocol):
    """What a comparison rests on, before anything is known of the family it stands in."""

    @property
    def mean(self) -> float: ...
    @property
    def n(self) -> int: ...
    @property
    def expected(self) -> int: ...
    @property
    def over_seeds(self) -> bool: ...
    @property
    def p(self) -> float: ...
    @property
    def smallest_p(self) -> float: ...
    def interval(self, level: float) -> tuple[float, float]: ...
    def detectable(self, level: float) -> float: ...


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean difference, judged in its family.

    `low` and `high` bound it with confidence 1 - `level`. `p` is the comparison's own, `p_holm`
    the one corrected for the family: at most `ALPHA` exactly where the interval excludes zero.
    Both are NaN where the difference is not `claimable`, however large it is.
    `detectable` is the smallest difference that would have been found with 80 % power at `level`,
    given the observed spread (infinite where nothing could be).
    """

    p: float = math.nan
    p_holm: float = math.nan
    level: float = ALPHA
    claimable: bool = False
    detectable: float = math.nan

    @property
    def decided(self) -> bool:
        """Whether a difference may be claimed."""
        return self.claimable and self.has_interval and not self.low <= 0 <= self.high


def holm(p: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corrected p and the level at which each was tested, both (k,), in the order given.

    Equal p have equal levels. NaN, a comparison that could not be made, stays in the family as a p
    of 1.
    """
    raw = np.asarray(p, dtype=np.float64)
    raw = np.where(np.isnan(raw), 1.0, raw)
    order = np.argsort(raw)
    # How many p are not smaller: those that are left when each is tested, its equals among them.
    left = len(raw) - np.searchsorted(raw[order], raw)
    corrected = np.empty(len(raw))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate((left * raw)[order]))
    # The most were left when the first failed; nothing after it has a level of its own.
    first_failed = left[raw > ALPHA / left].max(initial=0)
    return corrected, ALPHA / np.maximum(left, first_failed)


def judged(family: Sequence[Evidence | None]) -> list[Difference]:
    """Every comparison of a family, in the order given; None is one that could not be made."""
    able = [e is not None and e.smallest_p <= ALPHA / len(family) for e in family]
    corrected, levels = holm(
        [e.p if e is not None and ok else 1.0 for e, ok in zip(family, able, strict=True)]
    )
    found = []
    for evidence, ok, p_holm, level in zip(family, able, corrected, levels, strict=True):
        if evidence is None:
            found.append(Difference(math.nan, math.nan, math.nan, 0, 0))
            continue
        level = float(level) if ok else ALPHA
        low, high = evidence.interval(level)
        found.append(
            Difference(
                mean=evidence.mean,
                low=low,
                high=high,
                n=evidence.n,
                expected=evidence.expected,
                over_seeds=evidence.over_seeds,
                p=evidence.p if ok else math.nan,
                p_holm=float(p_holm) if ok else math.nan,
                level=level,
                claimable=ok,
                detectable=evidence.detectable(level) if ok else math.inf,
            )
        )
    return found
