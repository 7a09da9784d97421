"""Phrases that several sentences of the report share."""

from __future__ import annotations

import math
from collections.abc import Iterable

from vcbench.reporting import format as fmt
from vcbench.reporting.model import Column, Leaderboard
from vcbench.statistics import ALPHA, Difference, Estimate


def decimals_of(leaderboard: Leaderboard, column: Column) -> int:
    """Decimals for all means and intervals of a column."""
    return fmt.decimals_for(row.scores[column.key].mean for row in leaderboard.rows)


def amount(estimate: Estimate, column: Column, decimals: int) -> str:
    """A mean with unit and interval: `7.91 dB [7.80, 8.02]`."""
    mean = fmt.number(estimate.mean, decimals)
    return " ".join(t for t in (mean, column.unit, fmt.interval(estimate, decimals)) if t)


def gap(difference: Estimate, column: Column, decimals: int, *, sign: bool = True) -> str:
    """A difference with unit and interval: `+0.21 dB [0.10, 0.33]`."""
    decimals = fmt.decimals_for_difference(difference, decimals)
    text = amount(difference, column, decimals)
    return f"+{text}" if sign and fmt.signed(difference.mean, decimals).startswith("+") else text


def detectable_amount(differences: Iterable[Difference], column: Column, decimals: int) -> str:
    """`differences from 0.25 dB on`: the largest of what the designs find with 80 % power."""
    sizes = [d.detectable for d in differences if math.isfinite(d.detectable)]
    if not sizes:
        return ""
    size = max(sizes)
    while decimals < 4 and 0 < size < 4 * 10.0**-decimals:
        decimals += 1
    return " ".join(
        t for t in ("differences from", fmt.number(size, decimals), column.unit, "on") if t
    )


def confidence(level: float) -> str:
    """The confidence of an interval at `level`, in percent: `99.17 %`."""
    return f"{100 * (1 - level):.4g} %"


def intervals_at(differences: Iterable[Difference]) -> str:
    """`intervals at 95 % to 99.17 %`: the confidence of those with an interval.

    Nothing where all have 95 %, which a reader takes for granted.
    """
    levels = {d.level for d in differences if d.has_interval}
    if levels <= {ALPHA}:
        return ""
    # As written: levels that differ by rounding alone are one.
    ends = dict.fromkeys((confidence(max(levels)), confidence(min(levels))))
    return f"intervals at {' to '.join(ends)}"


def turned(difference: Estimate | None) -> Estimate:
    """The same difference seen from the other side."""
    if difference is None:
        nan = float("nan")
        return Estimate(nan, nan, nan, 0, 0)
    return Estimate(
        -difference.mean, -difference.high, -difference.low, difference.n, difference.expected
    )


def magnitude(difference: Estimate | None) -> Estimate:
    """A difference without its direction, which the sentence tells in words."""
    return difference if difference is not None and difference.mean >= 0 else turned(difference)
