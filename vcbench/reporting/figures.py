"""Figures as SVG: loss curves; scores and differences as dots with their intervals.

Each panel is a small SVG of its own, so that the page can lay panels out for a phone as for a wide
screen. Its colours are the page's: CSS variables `--series-0` to `--series-5`, `--rule`, `--muted`
and the text's colour, which differ between light and dark. matplotlib is used through its objects,
without pyplot, and the same data give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vcbench.reporting import format as fmt
from vcbench.reporting.model import Column, Effect
from vcbench.statistics import Estimate

# Okabe & Ito, "Color Universal Design", 2008, without yellow, which is lost on white. Beyond six
# systems the colours come again with another dash.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2))
INK, RULE, MUTED, PAPER = "#222222", "#c8c8c8", "#707070", "#fdfcfb"

MAX_POINTS = 160
MAX_LABEL = 36  # characters of a system's name
_FIRST_PANELS = ("discriminator", "generator_adversarial", "cycle", "identity", "validation")
_MEANING = {  # of what is drawn without being a loss
    "change": "no loss: mean |G(x) - x| / mean |x| on held-out speech; near 0 the generators "
    "return what they are given",
}
_NOT_LOSSES = ("learning_rate", "iterations_per_second", "seconds", "peak_memory")
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vcbench",
    "font.family": "sans-serif",
    "font.size": 8,
    "text.parse_math": False,  # a name may hold dollar signs
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Style:
    """How a system's lines look: an index for the page's theme, a colour, a dash pattern."""

    index: int
    colour: str
    dashes: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """One figure: its title, SVG text to put into a page, and what a reader should know.

    `name` is what its files are called, `alone` its SVG with colours of its own, `figure` what it
    was drawn from; see `figure_files`.
    """

    title: str
    svg: str
    note: str = ""
    name: str = ""
    alone: str = field(default="", compare=False, repr=False)
    figure: Figure | None = field(default=None, compare=False, repr=False)


def styles(systems: Sequence[str]) -> dict[str, Style]:
    """The look of each system, by its place in `systems`."""
    n = len(COLOURS)
    return {
        system: Style(i % n, COLOURS[i % n], DASHES[(i // n) % len(DASHES)])
        for i, system in enumerate(systems)
    }


def loss_panels(
    training: pd.DataFrame,
    look: Mapping[str, Style],
    beside: Mapping[str, tuple[pd.DataFrame, str]] | None = None,
) -> list[Panel]:
    """One panel per loss: a thin line for each cell, a strong one for their mean.

    `training` has the columns system, pair, seed, iteration, name, value. A series longer than
    `MAX_POINTS` is averaged in equal blocks, which the panel's note says; nothing else is smoothed.
    `beside` has, by loss, what is drawn dotted in the same panel, each system's mean alone, and
    what it is, in words.
    """
    names = [n for n in training["name"].unique() if not str(n).startswith(_NOT_LOSSES)]
    ordered = sorted(
        names, key=lambda n: (_FIRST_PANELS.index(n) if n in _FIRST_PANELS else 99, str(n))
    )
    panels = []
    for position, name in enumerate(ordered):
        frame = training[(training["name"] == name) & np.isfinite(training["value"])]
        if frame.empty:
            continue
        with matplotlib.rc_context(_STYLE):
            figure = Figure(figsize=(3.3, 2.0), layout="constrained")
            axes = figure.add_subplot()
            block = _draw_losses(axes, frame, look)
            axes.set_xlabel("iteration")
            notes = [_MEANING[str(name)]] if str(name) in _MEANING else []
            if block > 1:
                notes.append(f"each point is the mean of {block} logged values")
            if beside and name in beside:
                dotted, said = beside[name]
                if _draw_dotted(axes, dotted, look):
                    notes.append(f"dotted: {said}")
            panels.append(
                panel_of(
                    figure,
                    title=str(name).replace("_", " "),
                    name=f"loss-{_slug(str(name))}",
                    prefix=f"loss-{position}",
                    note="; ".join(notes),
                )
            )
    return panels


def direction_panel(
    direction: str,
    scores: Mapping[str, Estimate],
    look: Mapping[str, Style],
    *,
    axis_label: str,
    limits: tuple[float, float],
    prefix: str,
) -> Panel:
    """Means of one direction as dots with intervals, one labelled line per system.

    Systems without a look of their own (the baselines) are drawn hollow and grey. `limits` is the
    range of the horizontal axis, shared by the panels that are to be compared; `prefix` keeps the
    ids of several figures in one page apart.
    """
    systems = list(scores)
    with matplotlib.rc_context(_STYLE):
        labels = fmt.shortened(systems, MAX_LABEL)
        size = (3.3 + _room_for(labels), 0.55 + 0.2 * len(systems))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        for y, system in enumerate(systems):
            estimate, style = scores[system], look.get(system)
            colour = style.colour if style else MUTED
            if estimate.has_interval:
                axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=1.4)
            axes.plot(
                [estimate.mean],
                [y],
                marker="o" if style else "D",
                markersize=4.5 if style else 3.5,
                markerfacecolor=colour if style else "none",
                markeredgecolor=colour,
                linestyle="none",
            )
        axes.set_yticks(range(len(systems)), labels)
        axes.set_ylim(len(systems) - 0.4, -0.6)
        axes.set_xlim(*limits)
        axes.set_xlabel(axis_label)
        axes.grid(axis="x", color=RULE, linewidth=0.4)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        return panel_of(
            figure, title=direction, name=f"direction-{_slug(direction)}", prefix=prefix
        )


def effects_panel(
    effects: Sequence[Effect],
    column: Column,
    *,
    title: str,
    axis_label: str,
    name: str = "effects",
) -> Panel | None:
    """Differences to a baseline as dots with intervals, a row per system, and a line at zero.

    A filled dot is decided (better, worse, equal), a grey, hollow one is not. Systems' own
    colours would say nothing here and repeat in a sweep. None where there is nothing to draw.
    """
    found = [effect.differences[column.key] for effect in effects]
    limits = shared_limits([*found, Estimate(0.0, 0.0, 0.0, 1, 1)])
    if limits is None or not any(np.isfinite(d.mean) for d in found):
        return None
    with matplotlib.rc_context(_STYLE):
        labels = fmt.shortened([effect.system for effect in effects], MAX_LABEL)
        size = (4.6 + _room_for(labels), 0.75 + 0.2 * len(effects))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for y, (effect, difference) in enumerate(zip(effects, found, strict=True)):
            filled = effect.decided or effect.decision == "equal"
            colour = INK if filled else MUTED
            if not np.isfinite(difference.mean):
                axes.annotate(
                    "not compared",
                    (0, y),
                    xytext=(5, 0),
                    textcoords="offset points",
                    color=MUTED,
                    fontsize=7,
                    va="center",
                )
                continue
            if difference.has_interval:
                ends = [difference.low, difference.high]
                axes.plot(ends, [y, y], color=colour, linewidth=1.4)
            axes.plot(
                [difference.mean],
                [y],
                marker="o",
                markersize=4.8,
                markerfacecolor=colour if filled else PAPER,
                markeredgecolor=colour,
                linestyle="none",
            )
        axes.set_yticks(range(len(effects)), labels)
        axes.set_ylim(len(effects) - 0.4, -0.6)
        axes.set_xlim(*limits)
        axes.set_xlabel(axis_label)
        axes.grid(axis="x", color=RULE, linewidth=0.4)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        return panel_of(figure, title=title, name=name)


def panel_of(figure: Figure, *, title: str, name: str, prefix: str = "", note: str = "") -> Panel:
    """A figure that was drawn under this module's style, as a panel with files of its own.

    `name` is a file's name without its ending; `prefix` keeps the ids of several figures in one
    page apart and is `name` where it is not given.
    """
    svg = _as_svg(figure)
    figure.set_layout_engine("none")  # what was laid out stays, and is not laid out again
    inline = _for_page(svg, prefix=prefix or name)
    return Panel(title, inline, note=note, name=name, alone=svg, figure=figure)


def figure_files(panel: Panel) -> dict[str, bytes]:
    """`NAME.svg` and `NAME.pdf` of a panel, for a paper: its colours and sizes are fixed.

    Text is text in both: the SVG asks for a sans-serif face, the PDF holds its own (TrueType, which
    journals ask for).
    """
    if panel.figure is None or not panel.name:
        return {}
    metadata = {"CreationDate": None, "Creator": None, "Producer": None}
    buffer = io.BytesIO()
    with matplotlib.rc_context({**_STYLE, "pdf.fonttype": 42}):
        panel.figure.savefig(buffer, format="pdf", transparent=True, metadata=metadata)
    return {
        f"{panel.name}.svg": panel.alone.encode(),
        f"{panel.name}.pdf": buffer.getvalue(),
    }


def shared_limits(estimates: Sequence[Estimate]) -> tuple[float, float] | None:
    """A range that holds every mean and interval with a little room, or None if there is none."""
    values = np.array([[e.mean, e.low, e.high] for e in estimates], dtype=np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _room_for(labels: Sequence[str]) -> float:
    """Inches that a figure needs beyond its usual width where its labels are long."""
    return 0.055 * max(0, max(map(len, labels), default=0) - 20)


def _draw_losses(axes: Axes, frame: pd.DataFrame, look: Mapping[str, Style]) -> int:
    """Draws every cell's curve and the systems' means; returns the largest block averaged over."""
    block = 1
    lowest, highest = np.inf, -np.inf
    for system, of_system in frame.groupby("system", sort=False):
        style = look.get(str(system))
        if style is None:
            continue
        curves = []
        for _, cell in of_system.groupby(["pair", "seed"], sort=True):
            x, y, size = _in_blocks(cell.sort_values("iteration"))
            block = max(block, size)
            curves.append(pd.Series(y, index=x))
            lowest, highest = min(lowest, y.min()), max(highest, y.max())
        for curve in curves if len(curves) > 1 else []:
            axes.plot(curve.index, curve, color=style.colour, linewidth=0.5, alpha=0.35)
        # Only where every cell has a value: a cell that stopped early must not bend the mean.
        mean = pd.concat(curves, axis=1, join="inner").mean(axis=1)
        axes.plot(
            mean.index,
            mean,
            color=style.colour,
            linewidth=1.3,
            dashes=style.dashes or (None, None),
            # One point alone makes no line.
            marker="o" if len(mean) == 1 else "",
            markersize=3,
        )
    if lowest > 0 and highest > 30 * lowest:
        axes.set_yscale("log")
    axes.grid(axis="y", color=RULE, linewidth=0.4)
    axes.margins(x=0.02)
    return block


def _draw_dotted(axes: Axes, frame: pd.DataFrame, look: Mapping[str, Style]) -> bool:
    """Draws each system's mean over its cells; returns whether there was anything to draw."""
    drawn = False
    for system, of_system in frame.groupby("system", sort=False):
        style = look.get(str(system))
        if style is None:
            continue
        cells = [cell for _, cell in of_system.groupby(["pair", "seed"], sort=True)]
        curves = [_in_blocks(cell.sort_values("iteration"))[:2] for cell in cells]
        series = [pd.Series(y, index=x) for x, y in curves]
        mean = pd.concat(series, axis=1, join="inner").mean(axis=1)
        axes.plot(mean.index, mean, color=style.colour, linewidth=0.9, dashes=(1, 1.2))
        drawn = drawn or not mean.empty
    return drawn


def _slug(text: str) -> str:
    """A name for a file: letters, digits and dashes; unlike texts may become alike."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() or "figure"


def _in_blocks(cell: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Iterations and values of one cell, averaged in blocks to at most `MAX_POINTS` points."""
    x = cell["iteration"].to_numpy(dtype=np.float64)
    y = cell["value"].to_numpy(dtype=np.float64)
    size = -(-len(x) // MAX_POINTS)
    starts = np.arange(0, len(x), size)
    counts = np.diff([*starts, len(x)])
    ends = starts + counts - 1
    return x[ends], np.add.reduceat(y, starts) / counts, size


def _as_svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _for_page(svg: str, *, prefix: str) -> str:
    """An SVG element of no fixed size, with the page's colours and ids of its own."""
    head, _, body = svg[svg.index("<svg") :].partition(">")
    view = re.search(r'viewBox="[^"]+"', head)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', body)
    body = re.sub(r'(xlink:href="#|url\(#)', rf"\1{prefix}-", body)
    for i, colour in enumerate(COLOURS):
        body = body.replace(colour, f"var(--series-{i})")
    body = body.replace(INK, "currentColor").replace(RULE, "var(--rule)")
    body = body.replace(MUTED, "var(--muted)").replace(PAPER, "var(--paper)")
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {namespaces} {view.group(0) if view else ""} aria-hidden="true">{body}'
