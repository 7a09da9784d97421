"""Learning curves: has a system's score levelled off, or is it still falling?

The rule, stated once. A cell's curve is its mean score over both directions and all sentences of
the curve, by iteration. A straight line is fitted to its last third (least squares); the slope
times the length of that third is the cell's change. Over the cells of a system (pairs and seeds)
the changes have a mean and a 95 % t interval. A system has

- levelled off, where the interval lies within `TOLERANCE` of 0 on both sides;
- else is still falling, or rising, where the interval lies below or above 0;
- else is undecided: the interval is too wide to tell.

With fewer than `MIN_POINTS` points in the last third, or fewer than two cells, nothing is said.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import stdtrit

from vcbench.reporting import format as fmt
from vcbench.reporting.figures import _STYLE, INK, RULE, styles
from vcbench.statistics import ALPHA

METRIC, UNIT = "mcd", "dB"  # what curves are judged by
TOLERANCE = 0.1  # of that unit
MIN_POINTS = 3
REFERENCES = ("source-copy", "mean-variance")
POINT = ["system", "pair", "direction", "seed", "iteration"]
CURVES = [*POINT, "utterance", "metric", "protocol", "value", "unit"]


@dataclass(frozen=True)
class Levelling:
    """One system: its last point, the change over the last third of its curve, and what follows.

    `last`: mean score at the last iteration. `change`, `low`, `high`: NaN where nothing is said.
    `points`: in the last third.
    """

    system: str
    cells: int
    points: int
    iterations: int
    last: float
    change: float
    low: float
    high: float
    verdict: str


def levelling(curves: pd.DataFrame) -> list[Levelling]:
    """The rule, applied to each system in the order in which `curves` names them.

    curves: with the columns of `CURVES`, `iteration` numeric, of one metric.
    """
    means = curves.groupby(["system", "pair", "seed", "iteration"], sort=False)["value"].mean()
    found = []
    for system, of_system in means.groupby(level="system", sort=False):
        cells = [
            cell.droplevel(["system", "pair", "seed"]).sort_index()
            for _, cell in of_system.groupby(level=["pair", "seed"], sort=False)
        ]
        last = max(int(cell.index.max()) for cell in cells)
        ends = [cell.loc[last] for cell in cells if last in cell.index]
        thirds = [cell[cell.index >= last * 2 / 3] for cell in cells]
        points = min(map(len, thirds))
        change = low = high = math.nan
        if points >= MIN_POINTS and len(cells) > 1:
            change, low, high = _interval(np.array([_change(third, last / 3) for third in thirds]))
        verdict = _verdict(low, high, points, len(cells))
        mean = float(np.mean(ends))
        found.append(
            Levelling(str(system), len(cells), points, last, mean, change, low, high, verdict)
        )
    return found


def _change(third: pd.Series, length: float) -> float:
    """Slope of the least-squares line times the length of the last third."""
    x = third.index.to_numpy(dtype=np.float64)
    y = third.to_numpy(dtype=np.float64)
    x = x - x.mean()
    return float((x * (y - y.mean())).sum() / (x * x).sum() * length)


def _interval(changes: NDArray[np.float64]) -> tuple[float, float, float]:
    n = len(changes)
    half = -stdtrit(n - 1, ALPHA / 2) * changes.std(ddof=1) / math.sqrt(n)
    mean = float(changes.mean())
    return mean, float(mean - half), float(mean + half)


def _verdict(low: float, high: float, points: int, cells: int) -> str:
    if cells < 2:
        return "one cell alone: nothing can be said"
    if points < MIN_POINTS:
        return "too few points"
    if low > -TOLERANCE and high < TOLERANCE:
        return "levelled off"
    if high < 0:
        return "still falling"
    return "rising" if low > 0 else "undecided"


def table(found: Sequence[Levelling]) -> list[dict[str, Any]]:
    """Rows of `levelling.csv`: raw values, None where there is none."""
    names = ("change", "low", "high")
    return [
        {
            "system": one.system,
            "cells": one.cells,
            "points_in_last_third": one.points,
            "iterations": one.iterations,
            "last": one.last,
            **{n: v if math.isfinite(v := getattr(one, n)) else None for n in names},
            "verdict": one.verdict,
        }
        for one in found
    ]


def references(results: pd.DataFrame, curves: pd.DataFrame) -> dict[str, float]:
    """Mean scores of untrained baselines on the sentences and directions of the curves."""
    keys = ["direction", "utterance", "metric", "protocol"]
    wanted = curves[keys].drop_duplicates()
    same = results.merge(wanted, on=keys)
    means = same.groupby("system")["value"].mean()
    return {name: float(means[name]) for name in REFERENCES if name in means.index}


def drawing(curves: pd.DataFrame, baselines: dict[str, float]) -> bytes:
    """The curves as an SVG: a thin line for each cell, a strong one for the system's mean."""
    first = curves.iloc[0]
    look = styles(list(dict.fromkeys(curves["system"])))
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for system, frame in curves.groupby("system", sort=False):
            style = look[str(system)]
            cells = frame.groupby(["pair", "seed", "iteration"])["value"].mean()
            wide = cells.unstack(["pair", "seed"]).sort_index()
            axes.plot(wide.index, wide, color=style.colour, linewidth=0.5, alpha=0.3)
            mean = wide.dropna().mean(axis=1)
            axes.plot(
                mean.index,
                mean,
                color=style.colour,
                linewidth=1.5,
                dashes=style.dashes or (None, None),
                label=fmt.one_line(system),
            )
        for name, value in baselines.items():
            axes.axhline(value, color=INK, linewidth=0.8, linestyle=":")
            axes.annotate(
                name, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom"
            )
        axes.set_xlabel("iteration")
        axes.set_ylabel(
            f"{fmt.metric_label(first['metric'])} ({first['unit']}, {first['protocol']})"
        )
        axes.grid(axis="y", color=RULE, linewidth=0.4)
        figure.legend(loc="outside right upper", frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
