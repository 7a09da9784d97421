"""What is expected beforehand, rule by rule, and whether a run's scores agree with it.

A contradiction is a bug, or a finding; which of them it is must be found out before it is
published. A rule that needs more training than a run had does not apply to it, and says so.

Where the leaderboard has tested a difference (a trained system's, in the first metric), a rule
holds, or is contradicted, only if that test says so, and is not shown otherwise. Untrained systems
are judged by their means.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vcbench.reporting import format as fmt
from vcbench.reporting.model import REFERENCE, Leaderboard, Row
from vcbench.reporting.run_files import RunFiles
from vcbench.reporting.wording import decimals_of
from vcbench.training.health import SATURATED

Outcome = Literal["agrees", "contradicts", "not shown", "does not apply"]
METRIC = "mcd"
FLOOR, CEILING, TOPLINE = "resynthesis", "source-copy", "parallel-gmm"
FULL_SCALE, FULL_ITERATIONS, FULL_GAIN_DB = 1.0, 200_000, 1.0

RULES = {
    "floor": f"Nothing scores below `{FLOOR}`, the target's own speech through the vocoder.",
    "limit": f"In no other metric has a conversion a better mean than `{FLOOR}`; where one has, "
    "that metric no longer tells how near it has come.",
    "ceiling": f"No conversion scores above `{CEILING}`, which converts nothing; one that does is "
    "wrong, or under-trained.",
    "trained": f"A trained system scores below `{REFERENCE}`, which trains nothing; one that does "
    "not is under-trained, or wrong.",
    "supervised": f"`{TOPLINE}`, which has parallel sentences, scores below `{REFERENCE}`.",
    "full-size": f"At full width and from {FULL_ITERATIONS:,} iterations on, a system scores at "
    f"least {FULL_GAIN_DB:g} dB below `{CEILING}`.",
    "saturation": "Least squares behind a sigmoid saturate the discriminator late in training; "
    "without a sigmoid they do not.",
}


@dataclass(frozen=True)
class Check:
    """A rule, of one system: its mean less that of `against` in the metric's unit, if any."""

    rule: str
    system: str
    against: str
    difference: float
    outcome: Outcome
    said: str

    def record(self) -> dict[str, Any]:
        """A row of `checks.csv`."""
        difference = self.difference if math.isfinite(self.difference) else None
        return {**self.__dict__, "difference": difference}


def checks(run: RunFiles, leaderboard: Leaderboard) -> list[Check]:
    """Every rule of `RULES`, in that order, for each system that it is about."""
    return [
        *_floor(leaderboard),
        *_limit(leaderboard),
        *_ceiling(leaderboard),
        *_trained(leaderboard),
        *_supervised(leaderboard),
        *_full_size(run, leaderboard),
        *_saturation(run, leaderboard),
    ]


def _learnt(leaderboard: Leaderboard) -> list[Row]:
    """What was trained here: of an external system nobody knows how it was."""
    return [row for row in leaderboard.rows if row.kind == "trained"]


def _mean(leaderboard: Leaderboard, system: str) -> float:
    row = leaderboard.row(system)
    column = next((c for c in leaderboard.columns if c.metric == METRIC), None)
    if row is None or column is None or row.incomplete(column):
        return math.nan
    return row.scores[column.key].mean


def _gap(leaderboard: Leaderboard, system: str, against: str) -> float:
    """Difference of two means over the same sentences; NaN where one is incomplete."""
    return _mean(leaderboard, system) - _mean(leaderboard, against)


def _bracket(leaderboard: Leaderboard, rule: str, against: str, sign: int) -> Iterator[Check]:
    for row in leaderboard.rows:
        gap = _gap(leaderboard, row.system, against)
        if row.system == against or not math.isfinite(gap):
            continue
        outcome = _outcome(leaderboard, row.system, against, gap, sign)
        behind = row.kind == "trained" and row.beats_reference is False
        said = "under-trained" if behind and outcome != "agrees" else ""
        yield Check(rule, row.system, against, gap, outcome, said)


def _outcome(leaderboard: Leaderboard, system: str, against: str, gap: float, sign: int) -> Outcome:
    """Whether `gap` has that sign: as it was tested, or where it was not by its mean."""
    column = leaderboard.ranked_by
    tested = [a.differences.get(system) for a in leaderboard.against if a.baseline == against]
    if column is not None and column.metric == METRIC:
        for found in tested:
            if found is not None and found.claimable and not found.decided:
                return "not shown"
    return "agrees" if sign * gap > 0 else "contradicts"


def _floor(leaderboard: Leaderboard) -> Iterator[Check]:
    yield from _bracket(leaderboard, "floor", FLOOR, 1)


def _limit(leaderboard: Leaderboard) -> Iterator[Check]:
    floor = leaderboard.row(FLOOR)
    if floor is None:
        return
    columns = [c for c in leaderboard.columns if c.metric != METRIC and c.has_direction]
    columns = [c for c in columns if not floor.incomplete(c)]
    for row in leaderboard.rows:
        judged = [c for c in columns if not row.incomplete(c)]
        if row is floor or not judged:
            continue
        better = []
        for column in judged:
            mean, limit = (r.scores[column.key].mean for r in (row, floor))
            if mean < limit if column.lower_is_better else mean > limit:
                found, known = (
                    fmt.number(x, decimals_of(leaderboard, column)) for x in (mean, limit)
                )
                better.append(f"{fmt.metric_label(column.metric)} {found} against {known}")
        outcome: Outcome = "contradicts" if better else "agrees"
        yield Check("limit", row.system, "", math.nan, outcome, ", ".join(better))


def _ceiling(leaderboard: Leaderboard) -> Iterator[Check]:
    yield from _bracket(leaderboard, "ceiling", CEILING, -1)


def _trained(leaderboard: Leaderboard) -> Iterator[Check]:
    column = leaderboard.ranked_by
    if column is None or column.metric != METRIC:  # what was tested is another metric
        return
    for row in _learnt(leaderboard):
        gap = _gap(leaderboard, row.system, REFERENCE)
        if not math.isfinite(gap):
            continue
        outcome = _outcome(leaderboard, row.system, REFERENCE, gap, -1)
        if row.beats_reference is None:  # too few sentences to tell
            outcome = "not shown"
        yield Check("trained", row.system, REFERENCE, gap, outcome, "")


def _supervised(leaderboard: Leaderboard) -> Iterator[Check]:
    gap = _gap(leaderboard, TOPLINE, REFERENCE)
    if math.isfinite(gap):
        outcome: Outcome = "agrees" if gap < 0 else "contradicts"
        yield Check("supervised", TOPLINE, REFERENCE, gap, outcome, "")


def _full_size(run: RunFiles, leaderboard: Leaderboard) -> Iterator[Check]:
    scale = float(run.suite.get("scale") or math.nan)
    for row in _learnt(leaderboard):
        gap = _gap(leaderboard, row.system, CEILING)
        if not math.isfinite(gap):
            continue
        iterations = min((c.iterations or 0 for c in row.cells if c.ok), default=0)
        if not scale >= FULL_SCALE or iterations < FULL_ITERATIONS:
            said = f"width {scale:g}, {iterations:,} iterations"
            yield Check("full-size", row.system, CEILING, gap, "does not apply", said)
        else:
            agrees = gap <= -FULL_GAIN_DB
            outcome: Outcome = "agrees" if agrees else "contradicts"
            yield Check("full-size", row.system, CEILING, gap, outcome, "")


def _saturation(run: RunFiles, leaderboard: Leaderboard) -> Iterator[Check]:
    systems = run.suite.get("systems") or {}
    for row in _learnt(leaderboard):
        described = systems.get(row.system) or {}
        objective, discriminator = (described.get(n) for n in ("objective", "discriminator"))
        if not isinstance(objective, Mapping) or not isinstance(discriminator, Mapping):
            continue
        if objective.get("name") == "lsgan" and row.cells_ok:
            yield _saturated(row, bool(discriminator.get("sigmoid")))


def _saturated(row: Row, sigmoid: bool) -> Check:
    ended = [cell for cell in row.cells if cell.ok]
    found = sum(any(SATURATED in flag for flag in cell.health) for cell in ended)
    iterations = max(cell.iterations or 0 for cell in ended)
    said = f"saturated in {found} of {len(ended)} cells within {iterations:,} iterations"
    if found == 0 and iterations < FULL_ITERATIONS:  # it comes late, if it does
        return Check("saturation", row.system, "", math.nan, "does not apply", said)
    agrees = (found > 0) == sigmoid
    return Check(
        "saturation", row.system, "", math.nan, "agrees" if agrees else "contradicts", said
    )
