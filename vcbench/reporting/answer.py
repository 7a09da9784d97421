"""The answer in one sentence: who leads, by how much, and how sure that is."""

from __future__ import annotations

from vcbench.reporting import format as fmt
from vcbench.reporting.model import REFERENCE, Column, Leaderboard, Row
from vcbench.statistics import MIN_SENTENCES, Estimate

INTERVALS = (
    "Intervals are 95 % bootstrap intervals that resample sentences, a sentence with all its "
    "scores; they cover the choice of sentences, not that of speakers or seeds."
)


def answer(leaderboard: Leaderboard) -> str:
    """One sentence (two where a second keeps the first from misleading)."""
    column = leaderboard.ranked_by
    if not leaderboard.trained:
        return "This run trained no system: it holds untrained baselines only."
    if column is None:
        return f"No system was scored: {_cells(leaderboard)}."
    if not leaderboard.ranked:
        reasons = fmt.listing(f"{row.system} ({row.unranked})" for row in leaderboard.trained)
        return f"No trained system can be ranked: {reasons}."
    decimals = decimals_of(leaderboard, column)
    best = leaderboard.ranked[0]
    known = [row for row in leaderboard.ranked if row.beats_reference is not None]
    if known and not any(row.beats_reference for row in known):
        return _nothing_beats(leaderboard, best, column, decimals)
    return _leads(leaderboard, best, column, decimals)


def doubts(leaderboard: Leaderboard) -> list[str]:
    """What weakens the answer: crops that differ, missing cells, too few sentences."""
    found = []
    if not leaderboard.crops.ok:
        found.append(
            f"{leaderboard.crops.sentence()} Their scores are not a controlled comparison."
        )
    if leaderboard.failed:
        found.append(f"Incomplete: {_cells(leaderboard)}.")
    if 0 < leaderboard.n_sentences < MIN_SENTENCES:
        found.append(
            f"Only {fmt.count_of(leaderboard.n_sentences, 'sentence')}: intervals from fewer than "
            f"{MIN_SENTENCES} are too narrow."
        )
    return found


def decimals_of(leaderboard: Leaderboard, column: Column) -> int:
    """Decimals for all means and intervals of a column."""
    return fmt.decimals_for(row.scores[column.key].mean for row in leaderboard.rows)


def amount(estimate: Estimate, column: Column, decimals: int) -> str:
    """A mean with unit and interval: `7.91 dB [7.80, 8.02]`."""
    mean = fmt.number(estimate.mean, decimals)
    return " ".join(t for t in (mean, column.unit, fmt.interval(estimate, decimals)) if t)


def gap(difference: Estimate, column: Column, decimals: int, *, sign: bool = True) -> str:
    """A difference with unit and interval: `+0.21 dB [0.10, 0.33]`."""
    decimals = fmt.decimals_for_difference(difference, decimals)
    text = amount(difference, column, decimals)
    return f"+{text}" if sign and fmt.signed(difference.mean, decimals).startswith("+") else text


def _leads(leaderboard: Leaderboard, best: Row, column: Column, decimals: int) -> str:
    label = fmt.metric_label(column.metric)
    score = amount(best.scores[column.key], column, decimals)
    others = leaderboard.ranked[1:]
    if not others:
        text = f"{best.system} reaches {score} {label}; no other trained system is complete"
        return text + _against_reference(best, column, decimals) + "."
    # versus_leader is other minus best: the column is asked about best minus other.
    tied = [row for row in others if not column.is_better(_turned(row.versus_leader))]
    if tied:
        extreme = "lowest" if column.lower_is_better else "highest"
        text = (
            f"{best.system} has the {extreme} {label}, {score}, but cannot be told apart from "
            f"{fmt.listing(row.system for row in tied)}"
        )
        return text + _against_reference(best, column, decimals) + "."
    second = others[0]
    ahead = gap(_size(second.versus_leader), column, decimals, sign=False)
    text = f"{best.system} leads on {label} with {score}, {ahead} better than {second.system}"
    return text + _against_reference(best, column, decimals) + "."


def _nothing_beats(leaderboard: Leaderboard, best: Row, column: Column, decimals: int) -> str:
    reference = leaderboard.row(REFERENCE)
    label = fmt.metric_label(column.metric)
    text = f"No trained system beats the untrained {REFERENCE} on {label}"
    if reference is not None:
        text += f" ({amount(reference.scores[column.key], column, decimals)})"
    score = amount(best.scores[column.key], column, decimals)
    text += f": the best of them, {best.system}, is at {score}"
    if best.versus_reference is not None:
        text += f", a difference of {gap(best.versus_reference, column, decimals)}"
    return text + "."


def _against_reference(best: Row, column: Column, decimals: int) -> str:
    if best.versus_reference is None:
        return ""
    if best.beats_reference:
        ahead = gap(_size(best.versus_reference), column, decimals, sign=False)
        return f"; it beats the untrained {REFERENCE} by {ahead}"
    behind = gap(best.versus_reference, column, decimals)
    return f"; it does not beat the untrained {REFERENCE} (difference {behind})"


def _cells(leaderboard: Leaderboard) -> str:
    """`3 of 24 cells did not finish`."""
    return f"{len(leaderboard.failed)} of {len(leaderboard.cells)} cells did not finish"


def _turned(difference: Estimate | None) -> Estimate:
    """The same difference seen from the other side."""
    if difference is None:
        nan = float("nan")
        return Estimate(nan, nan, nan, 0, 0)
    return Estimate(
        -difference.mean, -difference.high, -difference.low, difference.n, difference.expected
    )


def _size(difference: Estimate | None) -> Estimate:
    """A difference without its direction, which the sentence tells in words."""
    turned = _turned(difference)
    return difference if difference is not None and difference.mean >= 0 else turned
