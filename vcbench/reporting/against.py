"""Every trained system against one other, in the first metric, judged as a family.

An untrained system always has the same scores, so that evidence over sentences alone may say what
*these trainings* do ("in this run") where seeds are too few. Of two trained systems it may not: the
same system trained twice differs by more than an interval over sentences allows.

Only complete systems are judged, by the leaderboard's rule: what some cells of a system say, or
some utterances, is not said of the whole run. An incomplete one stays in the family, so that what
is missing does not make the rest easier to claim, and its difference is shown without a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import pandas as pd

from vcbench.reporting import format as fmt
from vcbench.reporting.model import REFERENCE, Against, Column, Comparison, Leaderboard, Row
from vcbench.reporting.seeds import differences, evidence, n_seeds
from vcbench.statistics import Difference, Evidence, judged, needed

# Systems that a reader may choose as the baseline: every one costs a family of tests, and a sweep
# of 40 systems would take 5 s on one core to compare each with each.
MAX_BASELINES = 16


def versus(
    scores: pd.DataFrame,
    systems: Iterable[str],
    baseline: str,
    *,
    column: Column,
    comparison: Comparison | None,
    untrained: bool,
    incomplete: Collection[str] = (),
) -> dict[str, Difference]:
    """Each of `systems` minus `baseline`; none for what shares no seed.

    `scores` is what `scores_by_seed` gives for the column. `untrained`: the baseline trains
    nothing. `incomplete` systems get no interval and no p. A suite's own comparison with this
    baseline takes precedence, so that no system has two answers.
    """
    tables = {s: differences(scores, s, baseline) for s in systems}
    whole = [
        system
        for system, table in tables.items()
        if not {system, baseline} & {*incomplete}
        and not table.empty
        and not table.isna().to_numpy().any()
    ]
    in_run = untrained and any(n_seeds(tables[s]) < needed(len(tables)) for s in whole)
    parts = {s: evidence(table, in_run=in_run) for s, table in tables.items()}
    family = judged([part if s in whole else None for s, part in parts.items()])
    found = {
        system: difference if system in whole else _unjudged(parts[system], len(tables[system]))
        for system, difference in zip(tables, family, strict=True)
        if not tables[system].empty
    }
    if comparison and (comparison.baseline, comparison.column) == (baseline, column):
        asked = {e.system: e.differences[column.key] for e in comparison.effects if e.claimable}
        found |= {system: asked[system] for system in found if system in asked}
    return found


def _unjudged(part: Evidence | None, expected: int) -> Difference:
    """What was measured of an incomplete system: no interval, and nothing that may be claimed."""
    mean, n = (math.nan, 0) if part is None else (part.mean, part.n)
    return Difference(mean, math.nan, math.nan, n, expected)


def unclaimed(difference: Difference) -> Difference:
    """Without its interval where seeds, or sentences, are too few for a claim.

    An interval over sentences alone would make luck in training a finding.
    """
    return difference if difference.claimable else replace(difference, low=math.nan, high=math.nan)


def against_each(
    scores: pd.DataFrame, rows: Sequence[Row], column: Column, comparison: Comparison | None
) -> tuple[Against, ...]:
    """The trained rows against every possible baseline, the default one first.

    The default is the suite's own baseline, else `REFERENCE`; then those that train nothing, then
    the others, each in the order of `rows`, which decides nothing else.
    """
    trained = [row.system for row in rows if row.trained]
    ordered = [*(row for row in rows if not row.trained), *(row for row in rows if row.trained)]
    incomplete = {row.system for row in rows if row.incomplete(column)}
    asked = comparison.baseline if comparison and comparison.column == column else ""
    ordered.sort(key=lambda row: (row.system != asked, row.system != REFERENCE))
    found = []
    for row in ordered[:MAX_BASELINES]:
        others = [system for system in trained if system != row.system]
        judged_ones = versus(
            scores,
            others,
            row.system,
            column=column,
            comparison=comparison,
            untrained=not row.trained,
            incomplete=incomplete,
        )
        if any(found.n for found in judged_ones.values()):
            shown = {s: d if not row.trained else unclaimed(d) for s, d in judged_ones.items()}
            found.append(Against(row.system, row.trained, shown))
    return tuple(found)


def verdict_of(against: Against, system: str, leaderboard: Leaderboard) -> tuple[str, str]:
    """What may be said of a system beside the baseline, and `better`, `worse` or nothing."""
    column, found = leaderboard.ranked_by, against.differences.get(system)
    if column is None:
        return "", ""
    untested = _untested(against, system, leaderboard, column)
    if untested or found is None:
        return f"untested ({untested})", ""
    if found.mean == 0 == found.low == found.high:
        return "equal", ""
    if not found.claimable:
        return ("too few seeds" if against.trained else "too few sentences"), ""
    if not found.decided or column.better == "neither":
        return "undecided", ""
    word = "better" if column.is_better(found) else "worse"
    return word, word


def _untested(against: Against, system: str, leaderboard: Leaderboard, column: Column) -> str:
    """Why a system was not tested: what is incomplete, or nothing where both are complete."""
    found, row = against.differences.get(system), leaderboard.row(system)
    baseline = leaderboard.row(against.baseline)
    if baseline is not None and baseline.incomplete(column):
        return f"{fmt.one_line(against.baseline)} is incomplete"
    if found is None:
        return "not scored"
    if found.n < found.expected:
        return f"{fmt.scored(found)} utterances"
    return "incomplete" if row is not None and row.incomplete(column) else ""
