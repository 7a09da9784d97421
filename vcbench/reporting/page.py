"""The page: one HTML file that works from `file://` without a network.

This module turns a leaderboard into plain values; `templates/index.html.j2` lays them out and
escapes every one of them. Only the figures' SVG, which matplotlib has escaped, goes in as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from vcbench.reporting import format as fmt
from vcbench.reporting.answer import doubts, sentences
from vcbench.reporting.explorer import as_script_data, explorer
from vcbench.reporting.figures import (
    Panel,
    Style,
    shared_limits,
    styles,
)
from vcbench.reporting.gallery import Gallery
from vcbench.reporting.grid import (
    NOT_BETTER,
    UNHEALTHY,
    effect_columns,
    effect_decimals,
    header,
    mark_words,
    marks,
    notes,
    reference_gap,
)
from vcbench.reporting.inline_audio import put_sounds_in
from vcbench.reporting.listening import listening
from vcbench.reporting.method import how_it_was_done, throughput_table
from vcbench.reporting.model import REFERENCE, Column, Leaderboard, Row
from vcbench.reporting.run_files import RunFiles
from vcbench.reporting.templating import render_page
from vcbench.reporting.training_curves import health
from vcbench.reporting.verdict import decision_words, effect_notes
from vcbench.reporting.wording import decimals_of
from vcbench.statistics import Estimate

# One script of the page in the order in which its parts need each other.
SCRIPTS = ("scores.js", "sorting.js", "filtering.js", "differences.js", "page.js")


def page(
    run: RunFiles, leaderboard: Leaderboard, figures: Gallery, *, inline_audio: bool = False
) -> str:
    """The whole page as text. Raises `DataError` where a sample lies outside the run's folder.

    inline_audio: the sounds are in the page itself, which can then be sent without its folder.
    """
    look = styles([row.system for row in leaderboard.trained])
    choices = explorer(run, leaderboard)
    sounds = listening(run, leaderboard)
    if inline_audio:
        put_sounds_in(run.folder, sounds)
    return render_page(
        "index.html.j2",
        scripts=SCRIPTS,
        suite=fmt.one_line(leaderboard.suite),
        question=fmt.one_line(leaderboard.question),
        answer=[
            _pieces(sentence, [row.system for row in leaderboard.rows])
            for sentence in sentences(leaderboard)
        ],
        effects=_effects(leaderboard, figures.comparison, look),
        doubts=doubts(leaderboard),
        facts=_facts(leaderboard),
        columns=[_column(column) for column in leaderboard.columns],
        groups=_groups(leaderboard, look),
        against=choices["against"] if choices else [],
        options=_options(choices),
        scores=as_script_data(choices) if choices else "",
        quality=_inlined(figures.quality),
        notes=notes(leaderboard),
        reference=REFERENCE,
        unfinished=[*leaderboard.failed, *leaderboard.skipped],
        directions=[fmt.direction_label(d) for d in leaderboard.directions],
        per_direction=[_per_direction(leaderboard, c, look) for c in leaderboard.columns],
        direction_panels=_inlined(figures.directions),
        listening=sounds,
        losses=_inlined(figures.training),
        health=health(run),
        legend=[(row.system, look[row.system]) for row in leaderboard.trained],
        throughput=throughput_table(leaderboard),
        method=how_it_was_done(run, leaderboard),
    )


def _options(choices: dict[str, Any] | None) -> dict[str, list[tuple[int, str]]]:
    """What the page's controls offer: (place, label); empty where nothing was scored."""
    if choices is None:
        return {}
    names = {
        "pair": [pair["label"] for pair in choices["pairs"]],
        "direction": [direction["label"] for direction in choices["directions"]],
        "seed": choices["seeds"],
        "baseline": [against["name"] for against in choices["against"]],
        "system": choices["systems"],
        "metric": [metric["label"] for metric in choices["metrics"]],
    }
    return {key: list(enumerate(found)) for key, found in names.items()}


def _inlined(panels: Iterable[Panel]) -> list[dict[str, Any]]:
    return [{"title": p.title, "note": p.note, "svg": Markup(p.svg)} for p in panels]


def _pieces(text: str, names: Iterable[str]) -> list[tuple[str, str]]:
    """The answer in pieces with their CSS class: intervals, and names too short to be broken."""
    interval = rf"\[[{fmt.MINUS}\d., ]+\]"
    short = sorted((n for n in names if n in text and len(n) <= 24), key=len, reverse=True)
    words = [rf"(?<![\w.-]){re.escape(name)}(?![\w-])" for name in short]
    parts = re.split(f"({'|'.join([interval, *words])})", text)
    return [
        (part, "" if i % 2 == 0 else "interval" if part.startswith("[") else "short")
        for i, part in enumerate(parts)
        if part
    ]


def _effects(
    leaderboard: Leaderboard, panel: Panel | None, look: dict[str, Style]
) -> dict[str, Any] | None:
    """The comparison: a plot in the metric it asks about, and a table with the other metrics."""
    comparison = leaderboard.comparison
    if comparison is None:
        return None
    column = comparison.column
    columns = effect_columns(leaderboard)
    decimals = {c.key: effect_decimals(leaderboard, c) for c in columns}
    return {
        "baseline": fmt.one_line(comparison.baseline),
        "asked": fmt.metric_label(column.metric),
        "panel": _inlined([panel])[0] if panel else None,
        "columns": [_column(c) for c in columns],
        "rows": [
            {
                "system": fmt.one_line(effect.system),
                "style": look.get(effect.system),
                "decision": decision_words(effect, comparison),
                "decided": effect.decided,
                "scores": [
                    _score(effect.differences[c.key], decimals[c.key], sign=True) for c in columns
                ],
            }
            for effect in comparison.effects
        ],
        "notes": effect_notes(leaderboard),
    }


def _facts(leaderboard: Leaderboard) -> list[str]:
    manifest = leaderboard.manifest
    n_ok = sum(cell.ok for cell in leaderboard.cells)
    n_begun = len(leaderboard.cells) - len(leaderboard.skipped) - len(leaderboard.left_out)
    n_skipped = len(leaderboard.cells) - n_begun
    git = manifest.get("git") or {}
    commit = str(git.get("sha") or "")[:7] + (" with local changes" if git.get("dirty") else "")
    found = [
        f"{n_ok} of {fmt.count_of(n_begun, 'cell')} ok",
        f"{fmt.count_of(n_skipped, 'cell')} skipped" if n_skipped else "",
        fmt.count_of(leaderboard.n_sentences, "held-out sentence"),
        f"protocol {', '.join(leaderboard.protocols)}" if leaderboard.protocols else "",
        f"budget {manifest['budget']}" if manifest.get("budget") else "",
        _utc(str(manifest.get("created_utc") or "")),
        f"vcbench {manifest['vcbench']}" if manifest.get("vcbench") else "",
        f"commit {commit}" if git.get("sha") else "",
    ]
    return [fmt.one_line(fact) for fact in found if fact]


def _utc(stamp: str) -> str:
    """`2026-11-20 21:30 UTC`, or the stored text where it is no time."""
    try:
        return datetime.fromisoformat(stamp).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except ValueError:
        return stamp


def _column(column: Column) -> dict[str, str]:
    return {
        "label": fmt.metric_label(column.metric),
        "arrow": fmt.ARROWS.get(column.better, ""),
        "better": column.good,
        "unit": fmt.one_line(column.unit),
        "protocol": fmt.one_line(column.protocol),
        "summary": fmt.one_line(" ".join(t for t in (column.summary, column.paper) if t)),
    }


def _groups(leaderboard: Leaderboard, look: dict[str, Style]) -> list[dict[str, Any]]:
    """The leaderboard's bodies: ranked systems, incomplete ones, baselines."""
    groups = [
        ("Trained systems", leaderboard.ranked),
        ("Trained, incomplete: not ranked", [r for r in leaderboard.trained if r.rank is None]),
        ("Baselines", leaderboard.baselines),
    ]
    places = {row.system: i for i, row in enumerate(leaderboard.rows)}
    tracks = {column.key: _Track(leaderboard, column) for column in leaderboard.columns}
    return [
        {
            "title": title,
            "rows": [
                {"place": places[row.system], **_row(leaderboard, row, look, tracks)}
                for row in rows
            ],
        }
        for title, rows in groups
        if rows
    ]


def _row(
    leaderboard: Leaderboard, row: Row, look: dict[str, Style], tracks: dict[str, _Track]
) -> dict[str, Any]:
    remarks = []
    if NOT_BETTER in marks(row):
        words, gap = mark_words(leaderboard, [row]), reference_gap(leaderboard, row)
        remarks.append(f"{NOT_BETTER} {words} {REFERENCE} ({gap})")
    if row.health:
        remarks.append(f"{UNHEALTHY} {fmt.count_of(len(row.health), 'training flag')}, see below")
    if row.unranked:
        remarks.append(row.unranked)
    speeds = [row.iterations_per_second, row.real_time_factor]
    sizes = [row.parameters, row.macs]
    return {
        "rank": row.rank,
        "system": fmt.one_line(row.system),
        "style": look.get(row.system),
        "remarks": [fmt.one_line(remark) for remark in remarks],
        "scores": [
            _score(row.scores[c.key], decimals_of(leaderboard, c), tracks[c.key])
            for c in leaderboard.columns
        ],
        "measures": [(fmt.measurement(v), _sortable(v)) for v in speeds]
        + [(fmt.quantity(v), _sortable(v)) for v in sizes],
        "cells": f"{row.cells_ok}/{len(row.cells)}",
        "cells_ok": row.cells_ok,
        "complete": row.cells_ok == len(row.cells),
    }


class _Track:
    """The scale of the little interval pictures in one column, in percent of their width.

    It spans the trained systems and the reference; a baseline far outside (the floor that
    resynthesis sets) would press the differences that matter into a few pixels.
    """

    def __init__(self, leaderboard: Leaderboard, column: Column) -> None:
        reference = leaderboard.row(REFERENCE)
        rows = [*leaderboard.trained, *([reference] if reference else [])]
        self.limits = shared_limits([row.scores[column.key] for row in rows]) if rows else None
        mean = reference.scores[column.key].mean if reference else math.nan
        self.reference = self._percent(mean)

    def of(self, estimate: Estimate) -> dict[str, Any] | None:
        """Positions of the mean and the interval, and on which sides they leave the scale.

        None where there is no scale, or no mean. What lies beyond is empty (the mean), or ends at
        the edge (the interval).
        """
        if self.limits is None or not math.isfinite(estimate.mean):
            return None
        ends = [estimate.low, estimate.high] if estimate.has_interval else [estimate.mean] * 2
        low, high = (min(max(end, self.limits[0]), self.limits[1]) for end in ends)
        beyond = [
            side
            for side, is_beyond in (
                ("left", min(*ends, estimate.mean) < self.limits[0]),
                ("right", max(*ends, estimate.mean) > self.limits[1]),
            )
            if is_beyond
        ]
        start, end = self._percent(low) or 0.0, self._percent(high) or 0.0
        return {
            "at": _place(self._percent(estimate.mean)),
            "low": _place(start),
            "width": _place(end - start) if high > low else "",
            "reference": _place(self.reference),
            "beyond": beyond,
        }

    def _percent(self, value: float) -> float | None:
        if self.limits is None or not self.limits[0] <= value <= self.limits[1]:
            return None
        return 100 * (value - self.limits[0]) / (self.limits[1] - self.limits[0])


def _place(percent: float | None) -> str:
    return "" if percent is None else f"{percent:.2f}%"


def _score(
    estimate: Estimate, decimals: int, track: _Track | None = None, *, sign: bool = False
) -> dict[str, Any]:
    return {
        "mean": (fmt.signed if sign else fmt.number)(estimate.mean, decimals),
        "interval": fmt.interval(estimate, decimals),
        "scored": fmt.scored(estimate),
        "complete": estimate.n == estimate.expected,
        "sort": _sortable(estimate.mean),
        "track": track.of(estimate) if track else None,
    }


def _sortable(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else repr(float(value))


def _per_direction(
    leaderboard: Leaderboard, column: Column, look: dict[str, Style]
) -> dict[str, Any]:
    decimals = decimals_of(leaderboard, column)
    means = leaderboard.per_direction[column.key]
    return {
        "title": header(column),
        "rows": [
            {
                "system": fmt.one_line(row.system),
                "style": look.get(row.system),
                "scores": [_score(means[row.system][d], decimals) for d in leaderboard.directions],
            }
            for row in leaderboard.rows
        ],
    }
