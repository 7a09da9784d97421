"""The comparison that a suite asks for: each system against one baseline, in one metric.

When a difference is called better or worse
-------------------------------------------
1. Its interval lies wholly on one side of zero. The comparisons of a suite are one family, and
   somebody who reads of twenty will quote the most striking one. The intervals are therefore
   simultaneous: with k comparisons each has the level 1 - 0.05 / k (Bonferroni), and all hold
   together with 95 %. How an interval is made stands in `vcbench.reporting.seeds`. The family is
   what the suite asks for, also where some of it failed: what is missing must not make the rest
   easier to claim.
2. There are seeds enough. An interval from a few trainings rests on their differences being
   roughly normal, which so few cannot show. An exact sign-flip test rests on their symmetry alone,
   and with n seeds its p cannot fall below 2 / 2 ** n, were all differences of one sign and however
   large. Where that exceeds 0.05 / k no claim is made: 6 seeds suffice for one comparison, 8 for
   five, 10 for twenty. The same is asked of sentences, the other thing that is resampled.

Everything else is undecided, which is no evidence of equality: the interval bounds the effect. With
fewer than `MIN_SEEDS` seeds it covers the choice of sentences only, bounds nothing beyond this run,
and is shown as what was measured in it. Systems with equal scores throughout are called equal, not
undecided: they are one function.

Only complete systems are compared, by the leaderboard's rule. In the other metrics, which are
shown so that none stands alone, an utterance that lacks a score is left out; nothing is claimed
there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from vcbench.reporting.model import Column, Comparison, Decision, Effect, Row
from vcbench.reporting.seeds import (
    UNTRAINED,
    differences,
    equal_scores,
    estimate,
    scores_by_seed,
    seeds_needed,
)
from vcbench.reporting.wording import turned
from vcbench.statistics import Estimate


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
    tables = {key: scores_by_seed(frame) for key, frame in frames.items()}
    effects = []
    for system in against:
        found = None
        if not missing and not reason(system):
            found = _effect(system, baseline, column, tables, len(against), sentences)
        if found is None:
            nothing = Estimate(math.nan, math.nan, math.nan, 0, 0)
            found = Effect(
                system=system,
                differences={c.key: nothing for c in (column, *columns)},
                decision="missing",
                reason=reason(system)
                or (f"{baseline} is not there" if missing else f"{baseline} has other utterances"),
            )
        effects.append(found)
    return Comparison(baseline, column, tuple(effects), sentences, missing)


def _column(metric: object, columns: Sequence[Column]) -> Column:
    """The first column of a metric (the suite's first where none is named), scored or not."""
    for column in columns:
        if metric is None or column.metric == metric:
            return column
    return Column(key=str(metric), metric=str(metric), protocol="", unit="", better="lower")


def _effect(
    system: str,
    baseline: str,
    column: Column,
    scores: Mapping[str, pd.DataFrame],
    n_comparisons: int,
    n_sentences: int,
) -> Effect | None:
    """One system's differences; None where the two do not share every utterance."""
    tables = {key: differences(table, system, baseline) for key, table in scores.items()}
    asked = tables[column.key]
    if asked.empty or asked.isna().to_numpy().any():
        return None
    found = {
        key: estimate(table, n_comparisons=n_comparisons, expected=len(asked))
        for key, table in tables.items()
    }
    n_seeds = 0 if list(asked.columns) == [UNTRAINED] else asked.shape[1]
    needed = seeds_needed(n_comparisons)
    claimable = n_sentences >= needed and (n_seeds == 0 or n_seeds >= needed)
    difference = found[column.key]
    equal = {key: equal_scores(table, system, baseline) for key, table in scores.items()}
    decision: Decision = "undecided"
    if equal[column.key]:
        decision = "equal"
    elif claimable and column.is_better(difference):
        decision = "better"
    elif claimable and column.is_better(turned(difference)):
        decision = "worse"
    return Effect(
        system=system,
        differences=found,
        decision=decision,
        identical=all(equal.values()),
        n_seeds=n_seeds,
        claimable=claimable,
    )
