"""Two sets of scores against each other as a page and as files: per system, cell and utterance.

What is compared, and what may be claimed, is decided in `vcbench.reporting.two_results`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from vcbench.errors import UsageError
from vcbench.reporting import format as fmt
from vcbench.reporting.exports import spreadsheet
from vcbench.reporting.figures import effects_panel
from vcbench.reporting.grid import Grid, header
from vcbench.reporting.model import Column, Decision, Effect
from vcbench.reporting.tables import latex_table, markdown_grid, markdown_text
from vcbench.reporting.templating import render_page
from vcbench.reporting.two_results import Compared, Results, TwoResults
from vcbench.reporting.wording import detectable_amount

KINDS = (".md", ".tex", ".csv", ".parquet")
# Rows of a page's table of utterances, of each metric; a file holds them all.
MAX_ROWS = 1000


def how(found: TwoResults) -> str:
    """How intervals and p were made, and what a claim needs."""
    k = len(found.compared)
    corrected = f" and corrected for all {k} comparisons of a system in a metric (Holm)"
    return (
        f"Intervals and p are paired by pair, direction, seed and utterance"
        f"{corrected if k > 1 else ''}: an interval excludes zero where, and only where, p is at "
        f"most 0.05. A claim needs at least {found.needed} seeds, where there are seeds, and "
        f"{found.needed} sentences."
    )


def by_metric(found: TwoResults) -> dict[Column, list[Compared]]:
    """The comparisons of each metric: a table each."""
    families: dict[Column, list[Compared]] = {}
    for one in found.compared:
        families.setdefault(one.column, []).append(one)
    return families


def worse(found: TwoResults) -> list[Compared]:
    """Where B is significantly worse, corrected for every system and metric together."""
    return [one for one in found.compared if one.decision == "worse"]


def undecidable(found: TwoResults) -> list[Compared]:
    """Comparisons of which nothing can be claimed, however large: too few seeds or sentences."""
    return [
        one
        for one in _differing(found)
        if one.column.has_direction and not one.difference.claimable
    ]


def undirected(found: TwoResults) -> list[Compared]:
    """Comparisons in metrics of which it is not known which way is better."""
    return [one for one in _differing(found) if not one.column.better]


def _differing(found: TwoResults) -> list[Compared]:
    return [one for one in found.compared if one.decision not in ("equal", "missing")]


def decision_words(one: Compared, decimals: int, *, needed_seeds: int) -> str:
    """What may be said of B, with p, or with what the design could have found."""
    if one.decision in ("equal", "missing"):
        return "every score is equal" if one.decision == "equal" else "nothing could be paired"
    if not one.difference.claimable:
        few = 0 < one.n_seeds < needed_seeds
        alone = "" if one.difference.over_seeds else " (interval over sentences alone)"
        return f"too few {'seeds' if few else 'sentences'}{alone}"
    text = f"{one.decision} ({fmt.probability(one.difference.p_holm)})"
    if one.decision == "undecided":
        text += f"; 80 % power for {detectable_amount([one.difference], one.column, decimals)}"
    return text


def summary_grid(family: Sequence[Compared], *, needed_seeds: int) -> Grid:
    """One metric: a row per system. `needed_seeds`: fewer allow no claim."""
    decimals = fmt.decimals_for(m for one in family for m in (one.mean_a, one.mean_b))
    rows = []
    for one in family:
        places = fmt.decimals_for_difference(one.difference, decimals)
        size = fmt.signed(one.difference.mean, places)
        rows.append(
            (
                fmt.one_line(one.system),
                fmt.number(one.mean_a, decimals),
                fmt.number(one.mean_b, decimals),
                f"{size} {fmt.interval(one.difference, places)}".strip(),
                fmt.scored(one.difference),
                decision_words(one, places, needed_seeds=needed_seeds),
            )
        )
    headers = ("system", "A", "B", "B minus A", "scored", "decision of B")
    return Grid(headers, tuple(rows), frozenset({0, 5}))


def paired_scores(a: Results, b: Results, found: TwoResults) -> pd.DataFrame:
    """Every pair of scores in long form, with `b_minus_a`; what one side lacks is left out.

    A system that trains nothing has no seed, and stands beside every seed of one that does.
    """
    keys = ["pair", "direction", "seed", "utterance"]
    parts = []
    for one in found.compared:
        sides = [
            results.scores[
                (results.scores["system"] == system)
                & (results.scores["metric"] == one.column.metric)
                & (results.scores["protocol"] == one.column.protocol)
            ][[*keys, "value"]].dropna()
            for results, system in ((a, one.a), (b, one.b))
        ]
        untrained = [set(side["seed"]) == {""} for side in sides]
        if untrained[0] != untrained[1]:
            i = untrained.index(True)
            sides[i] = sides[i].drop(columns="seed")
        on = [key for key in keys if all(key in side for side in sides)]
        both = (
            sides[0]
            .rename(columns={"value": "a"})
            .merge(sides[1].rename(columns={"value": "b"}), on=on, how="inner")
        )
        about = {"system_a": one.a, "system_b": one.b, "metric": one.column.metric}
        about |= {"protocol": one.column.protocol, "unit": one.column.unit}
        parts.append(both.assign(**about, b_minus_a=both["b"] - both["a"]))
    order = ["system_a", "system_b", *keys, "metric", "protocol", "a", "b", "b_minus_a", "unit"]
    return pd.concat(parts, ignore_index=True)[order]


def write_table(path: Path, a: Results, b: Results, found: TwoResults) -> None:
    """The summary (.md, .tex) or every pair of scores (.csv, .parquet), by the file's ending.

    Raises `UsageError` for another ending, and where the file cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"{path}: a table's file ends with one of {', '.join(KINDS)}")
    try:
        if kind == ".csv":
            path.write_text(spreadsheet(paired_scores(a, b, found)), encoding="utf-8")
        elif kind == ".parquet":
            paired_scores(a, b, found).to_parquet(path, index=False)
        else:
            write = _markdown if kind == ".md" else _latex
            path.write_text(write(a, b, found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None


def write_page(path: Path, a: Results, b: Results, found: TwoResults) -> None:
    """One HTML file that needs no other. Raises `UsageError` where it cannot be written."""
    try:
        path.write_text(page(a, b, found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None


def page(a: Results, b: Results, found: TwoResults) -> str:
    """The page as text."""
    scores = paired_scores(a, b, found)
    return render_page(
        "compare.html.j2",
        scripts=("sorting.js", "page.js"),
        a=fmt.one_line(a.path),
        b=fmt.one_line(b.path),
        answer=answer(found),
        gaps=[fmt.one_line(gap) for gap in found.gaps],
        notes=[fmt.one_line(note) for note in found.notes],
        how=how(found),
        metrics=[
            _metric(column, summary_grid(family, needed_seeds=found.needed), family, scores, i)
            for i, (column, family) in enumerate(by_metric(found).items())
        ],
        protocols=[
            (fmt.one_line(name), fmt.one_line(text.removeprefix(f"{name}:").strip()))
            for name, text in {**b.protocols, **a.protocols}.items()
        ],
    )


def answer(found: TwoResults) -> str:
    """How B fared, in a sentence."""
    counts = {
        "better": "B is better",
        "worse": "B is worse",
        "different": "B differs",
        "undecided": "undecided",
        "equal": "every score is equal",
        "missing": "nothing could be paired",
    }
    told = []
    for decision, words in counts.items():
        named = [
            f"{fmt.one_line(one.system)} ({fmt.metric_label(one.column.metric)})"
            for one in found.compared
            if one.decision == decision
        ]
        if named:
            listed = f": {fmt.listing(named)}" if decision in ("better", "worse") else ""
            told.append(f"{words} in {len(named)}{listed}")
    total = fmt.count_of(len(found.compared), "comparison")
    return f"Of {total} of a system in a metric, {'; '.join(told)}."


def _metric(
    column: Column, grid: Grid, family: Sequence[Compared], scores: pd.DataFrame, position: int
) -> dict[str, Any]:
    of_metric = scores[
        (scores["metric"] == column.metric) & (scores["protocol"] == column.protocol)
    ]
    effects = [
        Effect(one.system, {column.key: one.difference}, _drawn_as(one.decision)) for one in family
    ]
    good = {"lower": "left is better", "higher": "right is better"}.get(column.better, "")
    panel = effects_panel(
        effects,
        column,
        title=f"B minus A in {fmt.metric_label(column.metric)}",
        axis_label=f"difference in {header(column)}" + (f"; {good}" if good else ""),
        name=f"difference-{position}",
    )
    by_cell = _means(of_metric, ["system_b", "pair", "direction", "seed"])
    by_utterance = _means(of_metric, ["system_b", "direction", "utterance"])
    return {
        "title": header(column),
        "good": column.good,
        "svg": Markup(panel.svg) if panel else "",
        "headers": grid.headers,
        "rows": [
            {"cells": cells, "decided": one.difference.decided, "mean": _sort(one.difference.mean)}
            for cells, one in zip(grid.rows, family, strict=True)
        ],
        "by_cell": by_cell,
        "by_utterance": by_utterance,
    }


def _drawn_as(decision: str) -> Decision:
    """How a figure draws it: filled where something is decided."""
    drawn: dict[str, Decision] = {"better": "better", "worse": "worse", "different": "better"}
    drawn |= {"equal": "equal", "missing": "missing"}
    return drawn.get(decision, "undecided")


def _means(scores: pd.DataFrame, keys: list[str]) -> dict[str, Any]:
    """Means of A, B and their differences by group: at most `MAX_ROWS`, the largest differences."""
    values = ["a", "b", "b_minus_a"]
    grouped = scores.groupby(keys, sort=False)
    table = grouped[values].mean().assign(n=grouped.size()).reset_index()
    decimals = fmt.decimals_for(float(v) for v in table[["a", "b"]].to_numpy().ravel())
    furthest = table["b_minus_a"].abs().sort_values(ascending=False, kind="stable").index
    shown = table.loc[sorted(furthest[:MAX_ROWS])]
    rows = [
        {
            "names": [fmt.one_line(row[key]) for key in keys],
            "n": int(row["n"]),
            "values": [
                (fmt.number(row["a"], decimals), _sort(row["a"])),
                (fmt.number(row["b"], decimals), _sort(row["b"])),
                (fmt.signed(row["b_minus_a"], decimals + 1), _sort(row["b_minus_a"])),
            ],
        }
        for row in shown.to_dict("records")
    ]
    headers = ["system" if key == "system_b" else key for key in keys]
    return {"headers": headers, "rows": rows, "n": len(table)}


def _sort(value: float) -> str:
    return repr(float(value)) if value == value else ""


def _markdown(a: Results, b: Results, found: TwoResults) -> str:
    parts = ["# B against A", f"**{markdown_text(answer(found))}**"]
    parts += [f"- A: {markdown_text(str(a.path))}\n- B: {markdown_text(str(b.path))}"]
    for column, family in by_metric(found).items():
        grid = summary_grid(family, needed_seeds=found.needed)
        parts += [f"## {markdown_text(header(column))}", markdown_grid(grid)]
    remarks = [how(found), *found.notes]
    parts += ["\n".join(f"- {markdown_text(note)}" for note in remarks)]
    if found.gaps:
        parts += ["## In one only", "\n".join(f"- {markdown_text(gap)}" for gap in found.gaps)]
    return "\n\n".join(parts) + "\n"


def _latex(a: Results, b: Results, found: TwoResults) -> str:
    return "\n".join(
        latex_table(
            summary_grid(family, needed_seeds=found.needed),
            caption=f"{header(column)}: B ({b.path}) against A ({a.path})",
            label=f"compare-{i}",
            notes=[how(found), *found.notes, *found.gaps],
        )
        for i, (column, family) in enumerate(by_metric(found).items(), start=1)
    )
