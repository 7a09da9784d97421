"""What the page's script works with: every utterance's score, and each possible baseline.

The script computes means and counts of a selection, and paired differences; intervals and tests
come from here, ready to be shown. Names and texts go in as JSON strings and come out as text nodes.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd
from markupsafe import Markup

from vcbench.reporting import format as fmt
from vcbench.reporting.against import verdict_of
from vcbench.reporting.model import Against, Column, Leaderboard
from vcbench.reporting.run_files import RunFiles
from vcbench.reporting.wording import decimals_of, intervals_at
from vcbench.statistics import Difference

SIGNIFICANT_DIGITS = 6
NONE = -1  # the place of a seed where there is none
_NOTHING = Difference(math.nan, math.nan, math.nan, 0, 0)


def explorer(run: RunFiles, leaderboard: Leaderboard) -> dict[str, Any] | None:
    """The choices that the page offers, and all scores; None where nothing was scored.

    Systems, pairs, directions, seeds and metrics stand for their places in these lists. A block
    of `scores` is [system, pair, direction, seed, values], the values (metrics, sentences), null
    where there is none.
    """
    board = leaderboard
    if not board.columns or not board.rows:
        return None
    results = run.results
    systems = [row.system for row in board.rows]
    directions = list(board.directions)
    scored = results.groupby("pair")["direction"].unique()
    pairs = [p for p in dict.fromkeys(cell.pair for cell in board.cells) if p in scored.index]
    seeds = sorted({c.seed for row in board.rows for c in row.cells if c.seed is not None})
    sentences = [
        sorted(results.loc[results["direction"] == d, "utterance"].unique()) for d in directions
    ]
    return {
        "systems": [fmt.one_line(system) for system in systems],
        "trained": [row.trained for row in board.rows],
        "metrics": [_metric(board, column) for column in board.columns],
        "pairs": [
            {"label": fmt.one_line(p), "directions": [directions.index(d) for d in scored[p]]}
            for p in pairs
        ],
        "directions": [
            {"label": fmt.direction_label(d), "sentences": [fmt.one_line(s) for s in of_direction]}
            for d, of_direction in zip(directions, sentences, strict=True)
        ],
        "seeds": [str(seed) for seed in seeds],
        "cells": [
            [i, pairs.index(c.pair), NONE if c.seed is None else seeds.index(c.seed), c.ok]
            for i, row in enumerate(board.rows)
            for c in row.cells
            if c.pair in pairs
        ],
        "scores": _blocks(board, results, systems, pairs, directions, seeds, sentences),
        "against": [against_column(board, against) for against in board.against],
    }


def as_script_data(found: dict[str, Any]) -> Markup:
    """JSON that can stand in a script element: no name in it can end the element or begin one."""
    text = json.dumps(found, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def against_column(leaderboard: Leaderboard, against: Against) -> dict[str, Any]:
    """The leaderboard's column of differences to one baseline, in the order of its rows."""
    column = leaderboard.columns[0]
    decimals = decimals_of(leaderboard, column)
    for difference in against.differences.values():
        decimals = max(decimals, fmt.decimals_for_difference(difference, decimals))
    k = sum(row.system != against.baseline for row in leaderboard.trained)
    over = {d.over_seeds for d in against.differences.values() if d.claimable}
    how = ["paired over the same sentences"]
    if k > 1:
        how.append(f"Holm over {k} systems")
    levels = intervals_at(against.differences.values())
    if levels:
        how.append(levels)
    if over == {False}:
        how.append("over sentences: it tells of this run, not of other trainings")
    if any(d.n < d.expected for d in against.differences.values()):
        how.append("n/N: utterances with both scores at every seed")
    rows: list[dict[str, Any] | None] = []
    for row in leaderboard.rows:
        if not row.trained or row.system == against.baseline:
            rows.append(None)
            continue
        found = against.differences.get(row.system, _NOTHING)
        verdict, kind = verdict_of(against, row.system, leaderboard)
        note = ", ".join(t for t in (verdict, fmt.probability(found.p_holm)) if t)
        rows.append(
            {
                "mean": fmt.signed(found.mean, decimals),
                "interval": fmt.interval(found, decimals),
                "note": note,
                "kind": kind,
                "tested": found.claimable,
                "sort": repr(found.mean) if math.isfinite(found.mean) else "",
            }
        )
    return {
        "baseline": [row.system for row in leaderboard.rows].index(against.baseline),
        "name": fmt.one_line(against.baseline),
        "how": "; ".join(how),
        "rows": rows,
    }


def _metric(leaderboard: Leaderboard, column: Column) -> dict[str, Any]:
    return {
        "label": fmt.metric_label(column.metric),
        "unit": fmt.one_line(column.unit),
        "decimals": decimals_of(leaderboard, column),
        "better": column.better,
    }


def _blocks(
    leaderboard: Leaderboard,
    results: pd.DataFrame,
    systems: list[str],
    pairs: list[str],
    directions: list[str],
    seeds: list[int],
    sentences: list[list[str]],
) -> list[list[Any]]:
    """The scores in blocks, see `explorer`; what belongs to no row of the table is left out."""
    place = {c.key: i for i, c in enumerate(leaderboard.columns)}
    metric = {(c.metric, c.protocol): place[c.key] for c in leaderboard.columns}
    of_sentence = [{s: i for i, s in enumerate(of_direction)} for of_direction in sentences]
    found = []
    for keys, frame in results.groupby(["system", "pair", "direction", "seed"], sort=False):
        system, pair, direction, seed = map(str, keys)
        seed_known = seed == "" or (seed.isdigit() and int(seed) in seeds)
        if system not in systems or pair not in pairs or not seed_known:
            continue
        d = directions.index(direction)
        values: list[list[float | None]] = [[None] * len(sentences[d]) for _ in place]
        for name, protocol, utterance, value in zip(
            frame["metric"], frame["protocol"], frame["utterance"], frame["value"], strict=True
        ):
            if math.isfinite(value):
                rounded = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
                values[metric[name, protocol]][of_sentence[d][utterance]] = rounded
        seed_place = NONE if seed == "" else seeds.index(int(seed))
        found.append([systems.index(system), pairs.index(pair), d, seed_place, values])
    return found
