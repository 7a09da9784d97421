"""The leaderboard: one row per system, computed from what the run stored.

Who is ranked: trained systems of which every cell is ok and every expected utterance has a value
in the suite's first metric. A mean over fewer utterances than the others' is another quantity, so
such a row is shown with its reason and gets no rank.

Who is marked: every trained system that is complete is compared with the untrained `mean-variance`
conversion in the first metric, on the same sentences. The comparisons of all trained systems are
one family (`vcbench.statistics.families`): a system *beats* it when its p, corrected with Holm's
procedure, is at most 0.05, which is when the interval shown lies on the better side of zero. Where
every complete system has seeds enough for a claim, the evidence is over seeds and sentences;
elsewhere it is over sentences, and says only what these trainings do: "in this run". A suite's own
comparison with `mean-variance` takes precedence, so that no system has two answers.

Who leads: the first system, if it differs from every other one at 5 % over seeds and sentences.
That is one claim, true only if all of its parts are, which needs no correction (the intersection-
union test of Berger, Technometrics 24, 1982); it makes none about the others. With too few seeds
for that nobody leads. Whether the sentences of this run tell its trainings from those of the first
is asked all the same, of all other systems as one family, so that a mean that is lowest by chance
is not taken for more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from vcbench.reporting.against import against_each, unclaimed, versus
from vcbench.reporting.comparison import compare
from vcbench.reporting.crops import check_crops
from vcbench.reporting.model import (
    REFERENCE,
    Column,
    Comparison,
    Leaderboard,
    Measured,
    Row,
    Speed,
)
from vcbench.reporting.run_files import Cell, RunFiles
from vcbench.reporting.seeds import differences, evidence, scores_by_seed
from vcbench.reporting.smoothing import together
from vcbench.statistics import Difference, Estimate, judged, mean_with_interval


def build(run: RunFiles) -> Leaderboard:
    """Compute the leaderboard of a stored run."""
    columns = _columns(run)
    sentences = _sentences(run.results)
    cells: dict[str, list[Cell]] = {}
    for cell in run.cells:
        cells.setdefault(cell.system, []).append(cell)
    cells = {s: found for s, found in cells.items() if not all(c.left_out for c in found)}
    order = _suite_order(run, cells)
    speeds = _speeds(run.throughput, order)
    frames = {column.key: _of(run.results, column) for column in columns}
    rows = [
        Row(
            system=system,
            kind=cells[system][0].kind,
            cells=tuple(cells[system]),
            scores={
                key: _estimate(
                    frame[frame["system"] == system], _expected(run, cells[system], sentences)
                )
                for key, frame in frames.items()
            },
            speed=next((s for s in speeds if s.system == system), None),
        )
        for system in order
    ]
    comparison = compare(run.suite, columns, rows, frames)
    ranked = _ranked(rows, columns, frames, comparison)
    directions = tuple(sorted(sentences, key=lambda d: _pair_order(run, d)))
    return Leaderboard(
        suite=run.suite_name,
        question=str(run.manifest.get("question") or ""),
        manifest=run.manifest,
        columns=columns,
        rows=ranked,
        cells=run.cells,
        directions=directions,
        per_direction={
            key: {
                row.system: {
                    direction: _estimate(
                        frame[(frame["system"] == row.system) & (frame["direction"] == direction)],
                        len(sentences[direction]) * _n_cells(run.results, direction, row.cells),
                    )
                    for direction in directions
                }
                for row in rows
            }
            for key, frame in frames.items()
        },
        speeds=speeds,
        crops=check_crops(run.cells, run.suite),
        n_sentences=len(set().union(*sentences.values())),
        comparison=comparison,
        against=against_each(scores_by_seed(frames[columns[0].key]), rows, columns[0], comparison)
        if columns
        else (),
    )


def _ranked(
    rows: list[Row],
    columns: tuple[Column, ...],
    frames: Mapping[str, pd.DataFrame],
    comparison: Comparison | None,
) -> tuple[Row, ...]:
    """Rows in the order of the leaderboard, with ranks, reasons and differences filled in."""
    trained = [row for row in rows if row.trained]
    baselines = [row for row in rows if not row.trained]
    if not columns:
        blank = "nothing was scored"
        return (*(replace(r, unranked=r.incomplete() or blank) for r in trained), *baselines)
    first = columns[0]
    sign = 1 if first.lower_is_better else -1
    reasons = {row.system: row.incomplete(first) for row in trained}
    complete = sorted(
        (row for row in trained if not reasons[row.system]),
        key=lambda row: (sign * row.scores[first.key].mean, row.system),
    )
    scores = scores_by_seed(frames[first.key])
    incomplete = {row.system for row in rows if row.incomplete(first)}
    to_reference = versus(
        scores,
        [row.system for row in trained],
        REFERENCE,
        column=first,
        comparison=comparison,
        untrained=True,
        incomplete=incomplete,
    )
    if REFERENCE in incomplete:
        to_reference = {}
    apart = _apart_in_run(scores, [row.system for row in complete])
    ordered = [replace(row, rank=i) for i, row in enumerate(complete, start=1)]
    ordered += [replace(r, unranked=reasons[r.system]) for r in trained if reasons[r.system]]
    done = []
    for row in ordered:
        found = to_reference.get(row.system)
        done.append(
            replace(
                row,
                versus_reference=found,
                beats_reference=first.is_better(found) if found and found.claimable else None,
                versus_leader=_versus_leader(scores, row.system, ordered[0].system)
                if row.rank and row.rank > 1
                else None,
                apart_in_run=apart.get(row.system),
            )
        )
    return (*done, *baselines)


def _versus_leader(scores: pd.DataFrame, system: str, leader: str) -> Difference | None:
    """A system minus the leader; no interval where seeds, or sentences, are too few for a claim."""
    (found,) = judged([evidence(differences(scores, system, leader))])
    return unclaimed(found) if found.n else None


def _apart_in_run(scores: pd.DataFrame, systems: Sequence[str]) -> dict[str, bool]:
    """Of each system but the first: whether the sentences tell it from the first, in this run.

    Their seeds are averaged, however many there are. None of whom too few sentences could tell.
    """
    if not systems:
        return {}
    first, *others = systems
    family = judged([evidence(differences(scores, s, first), in_run=True) for s in others])
    return {s: found.decided for s, found in zip(others, family, strict=True) if found.claimable}


def _columns(run: RunFiles) -> tuple[Column, ...]:
    """Scored metrics in the suite's order; one that was scored under two protocols gives two."""
    described: Mapping[str, Any] = run.manifest.get("metrics") or {}
    asked = [m["name"] if isinstance(m, Mapping) else m for m in run.suite.get("metrics") or []]
    found = run.results.drop_duplicates(["metric", "protocol"])
    protocols: dict[str, list[tuple[str, str]]] = {}
    for metric, protocol, unit in zip(
        found["metric"], found["protocol"], found["unit"], strict=True
    ):
        protocols.setdefault(metric, []).append((protocol, unit))
    columns = []
    for metric in together(dict.fromkeys([*asked, *described, *protocols])):
        for protocol, unit in protocols.get(metric, []):
            about = described.get(metric) or {}
            columns.append(
                Column(
                    key=metric if len(protocols[metric]) == 1 else f"{metric}@{protocol}",
                    metric=metric,
                    protocol=protocol,
                    unit=str(about.get("unit") or unit),
                    better=str(about.get("better") or "lower"),
                    summary=str(about.get("summary") or ""),
                    paper=str(about.get("paper") or ""),
                )
            )
    return tuple(columns)


def _of(results: pd.DataFrame, column: Column) -> pd.DataFrame:
    return results[(results["metric"] == column.metric) & (results["protocol"] == column.protocol)]


def _estimate(frame: pd.DataFrame, expected: int) -> Estimate:
    return mean_with_interval(
        frame["value"].to_numpy(),
        frame["utterance"].to_numpy(dtype="str"),
        seeds=frame["seed"].to_numpy(dtype="str"),
        expected=max(expected, len(frame)),
    )


def _sentences(results: pd.DataFrame) -> dict[str, set[str]]:
    """The sentences of each direction: all that any system has a row for."""
    grouped = results.groupby("direction")["utterance"]
    return {str(direction): set(utterances) for direction, utterances in grouped}


def _expected(run: RunFiles, cells: Iterable[Cell], sentences: Mapping[str, set[str]]) -> int:
    """Utterances that a system with these cells should have been scored on."""
    found = run.results.groupby("pair")["direction"].unique()
    per_pair = {pair: sum(len(sentences[d]) for d in found[pair]) for pair in found.index}
    return sum(per_pair.get(cell.pair, 0) for cell in cells)


def _n_cells(results: pd.DataFrame, direction: str, cells: Iterable[Cell]) -> int:
    pairs = set(results.loc[results["direction"] == direction, "pair"])
    return sum(cell.pair in pairs for cell in cells)


def _suite_order(run: RunFiles, systems: Iterable[str]) -> list[str]:
    """Systems as the suite names them, then those it does not name, as the run met them."""
    named = [*(run.suite.get("systems") or ()), *(run.suite.get("baselines") or ())]
    systems = list(systems)
    return [s for s in dict.fromkeys([*map(str, named), *systems]) if s in systems]


def _pair_order(run: RunFiles, direction: str) -> tuple[int, str]:
    pair = run.results.loc[run.results["direction"] == direction, "pair"].iloc[0]
    pairs = [cell.pair for cell in run.cells]
    return (pairs.index(pair) if pair in pairs else len(pairs), direction)


def _speeds(throughput: pd.DataFrame, systems: list[str]) -> tuple[Speed, ...]:
    """Throughput of every system and device; the quartiles go beside their median."""
    speeds = []
    for (system, device), frame in throughput.groupby(["system", "device"], sort=False):
        keys = zip(frame["phase"], frame["metric"], strict=True)
        raw = dict(zip(keys, zip(frame["value"], frame["unit"], strict=True), strict=True))
        nothing = (math.nan, "")
        measured = {
            (phase, metric): Measured(
                value,
                unit,
                raw.get((phase, f"{metric}_p25"), nothing)[0],
                raw.get((phase, f"{metric}_p75"), nothing)[0],
            )
            for (phase, metric), (value, unit) in raw.items()
            if not metric.endswith(("_p25", "_p75"))
        }
        speeds.append(Speed(str(system), str(device), measured))
    known = {system: i for i, system in enumerate(systems)}
    return tuple(sorted(speeds, key=lambda speed: known.get(speed.system, len(known))))
