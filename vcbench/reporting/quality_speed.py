"""Quality against speed and size: which systems nobody beats in both at once.

The Pareto front holds the ranked systems that no other ranked one equals or beats in both figures
and beats in one. It is drawn through means, so that a step between two systems that cannot be told
apart is no finding. Baselines are drawn for their place, outside the front: they convert nothing,
or another way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from vcbench.reporting import format as fmt
from vcbench.reporting.figures import (
    _STYLE,
    INK,
    MUTED,
    PAPER,
    RULE,
    Panel,
    Style,
    panel_of,
    shared_limits,
)
from vcbench.reporting.grid import header
from vcbench.reporting.model import REFERENCE, Column, Leaderboard, Row

MAX_LABEL = 24  # characters of a system's name beside its point
SIZE_INCHES = (4.1, 2.9)
FONT_POINTS = 7.0


@dataclass(frozen=True)
class Cost:
    """What quality is set against; less of it is better."""

    key: str
    title: str
    axis_label: str
    of: Callable[[Row], float | None]
    write: Callable[[float | None], str]


COSTS = (
    Cost(
        "speed",
        "real-time factor",
        "real-time factor of the whole conversion ↓ (s per s of speech)",
        lambda row: row.real_time_factor,
        fmt.measurement,
    ),
    Cost(
        "size",
        "parameters",
        "parameters of one generator ↓",
        lambda row: row.parameters,
        fmt.quantity,
    ),
)


@dataclass(frozen=True)
class Point:
    """One system: its cost and its mean score."""

    row: Row
    cost: float
    score: float


def quality_panels(leaderboard: Leaderboard, look: Mapping[str, Style]) -> list[Panel]:
    """A scatter of the first metric against each of `COSTS` that was measured.

    `look` holds the trained systems' styles.
    """
    column = leaderboard.ranked_by
    if column is None or column.better == "neither":
        return []
    panels = [_panel(leaderboard, column, cost, look) for cost in COSTS]
    return [panel for panel in panels if panel]


def pareto(points: Sequence[Point], *, lower_is_better: bool) -> list[Point]:
    """Points that no other one equals or beats in both figures and beats in one, by cost."""
    sign = 1 if lower_is_better else -1
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, sign * p.score)):
        best = sign * front[-1].score if front else math.inf
        level = bool(front) and (point.cost, point.score) == (front[-1].cost, front[-1].score)
        if sign * point.score < best or level:
            front.append(point)
    return front


def _panel(
    leaderboard: Leaderboard, column: Column, cost: Cost, look: Mapping[str, Style]
) -> Panel | None:
    points = _points(leaderboard, column, cost)
    trained = [p for p in points if p.row.trained]
    if not trained:
        return None
    # What lies far from the trained systems (resynthesis) would press them into a corner.
    scale = [p.row.scores[column.key] for p in points if p.row.trained or p.row.system == REFERENCE]
    limits = shared_limits(scale)
    if limits is None:
        return None
    shown = [p for p in points if limits[0] <= p.score <= limits[1]]
    front = pareto(
        [p for p in shown if p.row.rank is not None], lower_is_better=column.lower_is_better
    )
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        _axes(axes, shown, column, cost, limits)
        _step(axes, front, column)
        for point in shown:
            _dot(axes, point, column, look.get(point.row.system))
        figure.draw_without_rendering()
        _labels(axes, shown)
        return panel_of(
            figure,
            title=f"{fmt.metric_label(column.metric)} against {cost.title}",
            name=f"quality-{cost.key}",
            note=_note(
                leaderboard, column, cost, front, shown, [p for p in points if p not in shown]
            ),
        )


def _points(leaderboard: Leaderboard, column: Column, cost: Cost) -> list[Point]:
    found = []
    for row in leaderboard.rows:
        value, score = cost.of(row), row.scores[column.key].mean
        if value is not None and value > 0 and math.isfinite(value) and math.isfinite(score):
            found.append(Point(row, value, score))
    return found


def _axes(
    axes: Axes, points: Sequence[Point], column: Column, cost: Cost, limits: tuple[float, float]
) -> None:
    costs = [p.cost for p in points]
    low, high = min(costs), max(costs)
    if high > 4 * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(low / (high / low) ** 0.08, high * (high / low) ** 0.08)
    else:
        # Costs that differ by less than a few percent stand together.
        room = max(0.08 * (high - low), 0.02 * high)
        axes.set_xlim(max(0.0, low - room), high + room)
        axes.xaxis.set_major_locator(_distinct_ticks(axes, cost))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: cost.write(value)))
    axes.set_ylim(*limits)
    axes.set_xlabel(cost.axis_label)
    axes.set_ylabel(header(column))
    axes.grid(color=RULE, linewidth=0.4)
    axes.set_axisbelow(True)


def _distinct_ticks(axes: Axes, cost: Cost) -> MaxNLocator:
    """As many ticks as are written differently, in three digits."""
    for n_intervals in range(6, 1, -1):
        locator = MaxNLocator(n_intervals)
        labels = [cost.write(tick) for tick in locator.tick_values(*axes.get_xlim())]
        if len(set(labels)) == len(labels):
            return locator
    return MaxNLocator(1)


def _step(axes: Axes, front: Sequence[Point], column: Column) -> None:
    """What the front's systems reach at each cost, to the edges of the plot."""
    if not front:
        return
    worst = axes.get_ylim()[1 if column.lower_is_better else 0]
    x = [front[0].cost, *(p.cost for p in front), axes.get_xlim()[1]]
    y = [worst, *(p.score for p in front), front[-1].score]
    axes.step(x, y, where="post", color=INK, linewidth=0.8, dashes=(3, 2))


def _dot(axes: Axes, point: Point, column: Column, style: Style | None) -> None:
    estimate = point.row.scores[column.key]
    colour = style.colour if style else MUTED
    if estimate.has_interval:
        axes.plot([point.cost] * 2, [estimate.low, estimate.high], color=colour, linewidth=1.2)
    axes.plot(
        [point.cost],
        [point.score],
        marker="o" if style else "D",
        markersize=5.5 if style else 4,
        markerfacecolor=colour if style and point.row.rank is not None else PAPER,
        markeredgecolor=colour,
        linestyle="none",
    )


def _labels(axes: Axes, points: Sequence[Point]) -> None:
    """Each name beside its point, where it hides no point and no other name."""
    pixel = axes.figure.dpi / 72
    height, letter = 1.25 * FONT_POINTS * pixel, 0.6 * FONT_POINTS * pixel
    centres = axes.transData.transform([(p.cost, p.score) for p in points])
    frame = axes.bbox
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in centres]
    names = fmt.shortened([p.row.system for p in points], MAX_LABEL)
    for (x, y), point, name in zip(centres, points, names, strict=True):
        width = letter * len(name)
        best: tuple[float, float, float, str] | None = None
        for dx, dy, align in _places(height, pixel):
            left = x + dx - {"left": 0.0, "right": width, "center": width / 2}[align]
            box = (left, y + dy - height / 2, left + width, y + dy + height / 2)
            inside = (frame.x0, frame.y0, frame.x1, frame.y1)
            cost = sum(_overlap(box, other) for other in taken) + 3 * _outside(box, inside)
            if best is None or cost < best[0]:
                best, best_box = (cost, dx, dy, align), box
        if best is None:
            continue
        taken.append(best_box)
        axes.annotate(
            name,
            (point.cost, point.score),
            xytext=(best[1] / pixel, best[2] / pixel),
            textcoords="offset points",
            fontsize=FONT_POINTS,
            color=INK if point.row.trained else MUTED,
            ha=best[3],
            va="center_baseline",
        )


def _places(height: float, pixel: float) -> list[tuple[float, float, str]]:
    """Offsets in pixels from the point, the best first."""
    aside, above = 6 * pixel, 6 * pixel + height / 2
    found = []
    for step in (0.7, -0.7, 0.0, 1.7, -1.7):  # off the point's height first: the front runs there
        found += [(aside, step * height, "left"), (-aside, step * height, "right")]
    return [*found, (0.0, above, "center"), (0.0, -above, "center")]


Box = tuple[float, float, float, float]


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def _outside(box: Box, frame: Box) -> float:
    area = (box[2] - box[0]) * (box[3] - box[1])
    return area - _overlap(box, frame)


def _note(
    leaderboard: Leaderboard,
    column: Column,
    cost: Cost,
    front: Sequence[Point],
    shown: Sequence[Point],
    off_scale: Sequence[Point],
) -> str:
    """The front in words, which is also what a screen reader is told, and what is not drawn."""
    decimals = fmt.decimals_for(row.scores[column.key].mean for row in leaderboard.rows)
    unit = f" {fmt.one_line(column.unit)}" if column.unit else ""

    def said(point: Point) -> str:
        score = f"{fmt.number(point.score, decimals)}{unit}"
        return f"{fmt.one_line(point.row.system)} ({cost.write(point.cost)}, {score})"

    parts = []
    if front:
        names = fmt.listing((said(p) for p in front), shown=6)
        parts.append(f"Pareto front (dashed), by means: {names}.")
    if any(not point.row.trained for point in shown):
        parts.append("Hollow diamonds are baselines.")
    if any(point.row.trained and point.row.rank is None for point in shown):
        parts.append("A hollow dot is a system that is not ranked.")
    if off_scale:
        parts.append(f"Off the scale: {fmt.listing((said(p) for p in off_scale), shown=6)}.")
    return " ".join(parts)
