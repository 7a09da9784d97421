"""The comparison that a suite asks for: each system against one baseline, in one metric.

When a difference is called better or worse
-------------------------------------------
1. Its p, corrected with Holm's procedure for all comparisons of the suite, is at most 0.05. Its
   interval has the level at which that procedure tested it, and lies wholly on one side of zero
   exactly then (`vcbench.statistics.families`): a p and an interval never disagree. The family is
   what the suite asks for, also where some of it failed: what is missing must not make the rest
   easier to claim.
2. There are seeds enough. Evidence from a few trainings rests on their differences being roughly
   normal, which so few cannot show. An exact sign-flip test rests on their symmetry alone, and with
   n seeds its p cannot fall below 2 / 2 ** n, were all differences of one sign and however large.
   Where that exceeds 0.05 / k no claim is made: 6 seeds suffice for one comparison, 8 for five, 10
   for twenty. The same is asked of sentences, the other thing that is resampled.

Everything else is undecided, which is no evidence of equality: the interval bounds the effect, and
the smallest difference that the design would have found in 8 of 10 cases stands beside it. With
fewer than `MIN_SEEDS` seeds it covers the choice of sentences only, bounds nothing beyond this run,
and is shown as what was measured in it. Systems with equal scores throughout are called equal, not
undecided: they are one function.

Only complete systems are compared, by the leaderboard's rule. In the other metrics, which are
shown so that none stands alone, an utterance that lacks a score is left out. Each of them is judged
as a family of its own, and nothing is claimed there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from vcbench.reporting.model import Column, Comparison, Decision, Effect, Row
from vcbench.reporting.seeds import (
    differences,
    equal_scores,
    evidence,
    n_seeds,
    scores_by_seed,
)
from vcbench.statistics import Difference, judged


def compare(
    suite: Mapping[str, Any],
    columns: Sequence[Column],
    rows: Iterable[Row],
    frames: Mapping[str, pd.DataFrame],
) -> Comparison | None:
    """What `suite` asks to be compared, or None where it asks for nothing.

    `frames` holds the scores of each column by its key.
    """
    asked = suite.get("compare")
    if not asked:
        return None
    baseline, against = str(asked["baseline"]), [str(name) for name in asked["against"]]
    column = _column(asked.get("metric"), columns)
    by_name = {row.system: row for row in rows}
    sentences = frames[column.key]["utterance"].nunique() if column.key in frames else 0

    def reason(system: str) -> str:
        row = by_name.get(system)
        return "it was not run" if row is None else row.incomplete(column)

    missing = reason(baseline)
    scores = {key: scores_by_seed(frame) for key, frame in frames.items()}
    gaps = {
        system: _complete(scores, system, baseline, column.key)
        for system in against
        if not missing and not reason(system)
    }
    family = {
        c.key: _judged([gaps.get(system) for system in against], c.key, column.key)
        for c in (column, *columns)
    }
    effects = []
    for position, system in enumerate(against):
        found = {key: family[key][position] for key in family}
        gap = gaps.get(system)
        if gap is None:
            why = reason(system)
            why = why or (
                f"{baseline} is not there" if missing else f"{baseline} has other utterances"
            )
            effects.append(Effect(system, found, "missing", reason=why))
            continue
        equal = {key: equal_scores(table, system, baseline) for key, table in scores.items()}
        effects.append(
            Effect(
                system=system,
                differences=found,
                decision=_decision(found[column.key], column, equal=equal[column.key]),
                identical=all(equal.values()),
                n_seeds=n_seeds(gap[column.key]),
                claimable=found[column.key].claimable,
            )
        )
    return Comparison(baseline, column, tuple(effects), sentences, missing)


def _complete(
    scores: Mapping[str, pd.DataFrame], system: str, baseline: str, asked: str
) -> dict[str, pd.DataFrame] | None:
    """Differences in every metric; None where the two do not share every utterance."""
    tables = {key: differences(table, system, baseline) for key, table in scores.items()}
    if tables[asked].empty or tables[asked].isna().to_numpy().any():
        return None
    return tables


def _judged(
    gaps: Sequence[Mapping[str, pd.DataFrame] | None], key: str, asked: str
) -> list[Difference]:
    """The differences of one metric as a family, of as many utterances as in the one asked about.

    There is no difference where a system could not be compared.
    """
    return judged(
        [
            evidence(gap[key], expected=len(gap[asked])) if gap is not None and key in gap else None
            for gap in gaps
        ]
    )


def _decision(difference: Difference, column: Column, *, equal: bool) -> Decision:
    if equal:
        return "equal"
    if not difference.decided:
        return "undecided"
    return "better" if column.is_better(difference) else "worse"


def _column(metric: object, columns: Sequence[Column]) -> Column:
    """The first column of a metric (the suite's first where none is named), scored or not."""
    for column in columns:
        if metric is None or column.metric == metric:
            return column
    return Column(key=str(metric), metric=str(metric), protocol="", unit="", better="lower")
