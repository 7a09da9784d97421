"""Over-smoothing: why mel-cepstral distortion is never shown, or believed, by itself.

An average over time, or over possible answers, lowers the distortion and is heard as muffled
speech. Two metrics see it: `msd`, how far modulation spectra differ, and `gv-distance`, how far
global variances do. A report shows all three beside each other, says where one is missing, and
doubts a system that lowers the distortion while it raises one of the others.
"""

from __future__ import annotations

from collections.abc import Iterable

from vcbench.reporting import format as fmt
from vcbench.reporting.model import Column, Leaderboard

DISTORTION = "mcd"
BESIDE = ("msd", "gv-distance")


def together(metrics: Iterable[str]) -> list[str]:
    """Names of metrics in their order, with those of `BESIDE` right after the distortion.

    >>> together(["mcd", "f0-rmse", "gv-distance", "msd"])
    ['mcd', 'msd', 'gv-distance', 'f0-rmse']
    """
    names = list(metrics)
    if DISTORTION not in names:
        return names
    beside = [name for name in BESIDE if name in names]
    names = [name for name in names if name not in beside]
    at = names.index(DISTORTION) + 1
    return [*names[:at], *beside, *names[at:]]


def missing_beside(leaderboard: Leaderboard) -> list[str]:
    """A doubt where the distortion stands without the metrics that see over-smoothing, or none."""
    metrics = {column.metric for column in leaderboard.columns}
    lacking = [name for name in BESIDE if name not in metrics]
    if DISTORTION not in metrics or not lacking:
        return []
    labels = fmt.listing(map(fmt.metric_label, lacking))
    return [
        f"{fmt.metric_label(DISTORTION)} without {labels}: smoothed spectra may lower it. Add "
        f"{fmt.listing(lacking)} to the suite's metrics."
    ]


def over_smoothing_note(leaderboard: Leaderboard) -> list[str]:
    """How far the distortion can be trusted by itself; nothing where it was not measured."""
    metrics = {column.metric for column in leaderboard.columns}
    if DISTORTION not in metrics:
        return []
    label = fmt.metric_label(DISTORTION)
    there = [fmt.metric_label(name) for name in BESIDE if name in metrics]
    if there:
        beside = f"it must be read beside {fmt.listing(there)}"
    else:
        beside = "no measure of over-smoothing was in the suite"
    return [f"{label} alone rewards over-smoothing: {beside}."]


def over_smoothing_doubt(leaderboard: Leaderboard) -> list[str]:
    """A warning for each measure of over-smoothing that rises where the distortion falls."""
    comparison = leaderboard.comparison
    if comparison is None or comparison.column.metric != DISTORTION:
        return []
    columns = {column.metric: column for column in leaderboard.columns}
    return [
        text for name in BESIDE if name in columns for text in _doubt(leaderboard, columns[name])
    ]


def _doubt(leaderboard: Leaderboard, smoothing: Column) -> list[str]:
    comparison = leaderboard.comparison
    if comparison is None:
        return []
    suspects = [
        effect.system
        for effect in comparison.effects
        if effect.decision == "better" and effect.differences[smoothing.key].low > 0
    ]
    if not suspects:
        return []
    lower, larger = fmt.metric_label(DISTORTION), fmt.metric_label(smoothing.metric)
    return [
        f"{fmt.listing(suspects)}: lower {lower} than {comparison.baseline} but a larger {larger}; "
        "over-smoothing may be all there is to it."
    ]
