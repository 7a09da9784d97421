"""The answer in one sentence, how sure it is, and what weakens it.

A suite that says what it compares is answered by `vcbench.reporting.verdict`; any other by who
leads, and by how much. With fewer than `MIN_SEEDS` seeds nobody leads: the sentence says what was
lowest in this run. Where nothing beats the untrained conversion, either says that first: a table of
what has not learnt compares nothing.
"""

from __future__ import annotations

from vcbench.reporting import format as fmt
from vcbench.reporting.model import REFERENCE, Column, Leaderboard, Row
from vcbench.reporting.smoothing import missing_beside, over_smoothing_doubt
from vcbench.reporting.verdict import power, saturation, verdict
from vcbench.reporting.wording import (
    amount,
    decimals_of,
    detectable_amount,
    gap,
    magnitude,
    turned,
)
from vcbench.statistics import MIN_SEEDS, MIN_SENTENCES, needed, smallest_p


def answer(leaderboard: Leaderboard) -> str:
    """One sentence; others tell what could have been found, and of saturated discriminators."""
    return " ".join(sentences(leaderboard))


def sentences(leaderboard: Leaderboard) -> list[str]:
    """The sentences of the answer."""
    comparison = leaderboard.comparison
    if comparison is not None and leaderboard.columns:
        asked = REFERENCE in comparison.systems  # then the verdict tells
        said = [] if asked else _nothing_learnt(leaderboard)
        said.append(verdict(comparison, leaderboard))
        if any(c.key == comparison.column.key for c in leaderboard.columns):
            said += power(comparison, leaderboard)
        return [*said, *saturation(leaderboard)]
    return [_who_leads(leaderboard), *_power(leaderboard)]


def _nothing_learnt(leaderboard: Leaderboard) -> list[str]:
    """One sentence where no trained system beats the untrained conversion, or none."""
    column = leaderboard.ranked_by
    known = [row for row in leaderboard.ranked if row.beats_reference is not None]
    if column is None or not known or any(row.beats_reference for row in known):
        return []
    return [_nothing_beats(leaderboard, known[0], column, decimals_of(leaderboard, column))]


def _who_leads(leaderboard: Leaderboard) -> str:
    column = leaderboard.ranked_by
    if not leaderboard.trained:
        return "This run trained no system: it holds baselines only."
    if column is None:
        return f"No system was scored: {_cells(leaderboard)}."
    if not leaderboard.ranked:
        reasons = fmt.listing(f"{row.system} ({row.unranked})" for row in leaderboard.trained)
        return f"No trained system can be ranked: {reasons}."
    nothing = _nothing_learnt(leaderboard)
    if nothing:
        return nothing[0]
    return _leads(leaderboard, leaderboard.ranked[0], column, decimals_of(leaderboard, column))


def intervals(leaderboard: Leaderboard) -> str:
    """What the report's intervals cover and what they do not."""
    text = (
        "Intervals of means are 95 % bootstrap intervals that resample sentences, a sentence with "
        "all its scores"
    )
    column = leaderboard.ranked_by
    trained = [row.scores[column.key].over_seeds for row in leaderboard.trained] if column else []
    if trained and all(trained):
        return (
            f"{text}, and the seeds of trained systems; they cover the choice of sentences and "
            "the luck of a training, not the choice of speakers."
        )
    if any(trained):
        text += f", and the seeds of systems with at least {MIN_SEEDS}; elsewhere"
        return f"{text} they cover the choice of sentences, not that of speakers or seeds."
    return f"{text}; they cover the choice of sentences, not that of speakers or seeds."


def doubts(leaderboard: Leaderboard) -> list[str]:
    """What weakens the answer: few seeds, crops that differ, missing cells, few sentences."""
    found = _few_seeds(leaderboard.n_seeds) if leaderboard.columns else []
    if not leaderboard.crops.ok:
        found.append(
            f"{leaderboard.crops.sentence()} Their scores are not a controlled comparison."
        )
    found += missing_beside(leaderboard)
    found += over_smoothing_doubt(leaderboard)
    if leaderboard.left_out:
        n_all = len(leaderboard.cells)
        n_run = n_all - len(leaderboard.left_out)
        were = "was" if n_run == 1 else "were"
        found.append(f"Partial: {n_run} of {fmt.count_of(n_all, 'cell')} {were} run (--only).")
    if leaderboard.failed or leaderboard.skipped:
        found.append(f"Incomplete: {_cells(leaderboard)}.")
    return found + _few_sentences(leaderboard)


def _few_sentences(leaderboard: Leaderboard) -> list[str]:
    """What so few sentences do not allow: fair intervals, and a claim against the reference."""
    n, k = leaderboard.n_sentences, len(leaderboard.trained)
    lacking = []
    if 0 < n < MIN_SENTENCES:
        lacking.append(f"intervals from fewer than {MIN_SENTENCES} are too narrow")
    if any(r.versus_reference and r.beats_reference is None for r in leaderboard.ranked):
        of_whom = "the system" if k == 1 else f"one of {k} systems"
        lacking.append(f"a claim that {of_whom} beats {REFERENCE} needs {needed(k)}")
    return [f"Only {fmt.count_of(n, 'sentence')}: {', and '.join(lacking)}."] * bool(lacking)


def _leads(leaderboard: Leaderboard, best: Row, column: Column, decimals: int) -> str:
    label = fmt.metric_label(column.metric)
    score = amount(best.scores[column.key], column, decimals)
    others = leaderboard.ranked[1:]
    if not others:
        text = f"{best.system} reaches {score} {label}; no other trained system is complete"
        return _with_reference(text, best, column, decimals)
    if leaderboard.n_seeds < MIN_SEEDS:
        return _first_of_few_seeds(leaderboard, column, decimals)
    # versus_leader is other minus best: the column is asked about best minus other.
    tied = _tied(leaderboard, column)
    if tied:
        text = (
            f"{best.system} has the {_extreme(column)} {label}, {score}, but cannot be told apart "
            f"from {fmt.listing(row.system for row in tied)}"
        )
        return _with_reference(text, best, column, decimals)
    second = others[0]
    ahead = gap(magnitude(second.versus_leader), column, decimals, sign=False)
    text = f"{best.system} leads on {label} with {score}, {ahead} better than {second.system}"
    return _with_reference(text, best, column, decimals)


def _tied(leaderboard: Leaderboard, column: Column) -> list[Row]:
    """Ranked systems that the first cannot be told apart from."""
    others = leaderboard.ranked[1:]
    return [row for row in others if not column.is_better(turned(row.versus_leader))]


def _power(leaderboard: Leaderboard) -> list[str]:
    """What the design could have found, where systems cannot be told apart."""
    column = leaderboard.ranked_by
    if column is None or leaderboard.n_seeds < MIN_SEEDS:
        return []
    found = [row.versus_leader for row in _tied(leaderboard, column) if row.versus_leader]
    text = detectable_amount(found, column, decimals_of(leaderboard, column))
    return [f"With 80 % power this design finds {text}."] if text else []


def _first_of_few_seeds(leaderboard: Leaderboard, column: Column, decimals: int) -> str:
    """What was measured, without an interval that would make luck in training a finding.

    Who is first by so little that even the sentences of this run do not show it is not crowned.
    """
    best, second = leaderboard.ranked[:2]
    score = amount(best.scores[column.key], column, decimals)
    seeds = "one seed" if leaderboard.n_seeds == 1 else f"{leaderboard.n_seeds} seeds"
    text = (
        f"{best.system} has the {_extreme(column)} {fmt.metric_label(column.metric)}, {score}, in "
        f"this run of {seeds}"
    )
    ahead = magnitude(second.versus_leader)
    if ahead.mean > 0:
        places = decimals
        if round(ahead.mean, decimals) == 0:
            places = fmt.decimals_for_difference(ahead, decimals)
        size = " ".join(t for t in (fmt.number(ahead.mean, places), column.unit) if t)
        text += f", {size} {'below' if column.lower_is_better else 'above'} {second.system}"
    elif ahead.mean == 0:
        text += f", level with {second.system}"
    alike = [row.system for row in leaderboard.ranked if row.apart_in_run is False]
    if not alike or (ahead.mean == 0 and alike == [second.system]):
        return _with_reference(text, best, column, decimals)
    text += f"; the run's sentences do not tell it apart from {fmt.listing(alike)}"
    beside = _against_reference(best, column, decimals)
    return f"{text}. {beside[0].upper()}{beside[1:]}." if beside else f"{text}."


def _few_seeds(n_seeds: int) -> list[str]:
    if n_seeds == 1:
        return [
            "One seed: intervals cover the choice of sentences; training again with another seed "
            "may change the order."
        ]
    if 1 < n_seeds < MIN_SEEDS:
        return [
            f"Only {n_seeds} seeds: too few seeds for a claim about the system (an exact sign-flip "
            f"test cannot go below p = {smallest_p(n_seeds):.2g} with {n_seeds}, "
            f"{smallest_p(MIN_SEEDS):.2g} with {MIN_SEEDS}); intervals cover the choice of "
            "sentences, and training again with other seeds may change the order."
        ]
    return []


def _nothing_beats(leaderboard: Leaderboard, best: Row, column: Column, decimals: int) -> str:
    reference = leaderboard.row(REFERENCE)
    label = fmt.metric_label(column.metric)
    found = best.versus_reference
    text = f"No trained system beats the untrained {REFERENCE} on {label}"
    if found is None or not found.over_seeds:
        text = f"In this run, n{text[1:]}"
    if reference is not None:
        text += f" ({amount(reference.scores[column.key], column, decimals)})"
    score = amount(best.scores[column.key], column, decimals)
    text += f": the {_extreme(column)} of them, {best.system}, is at {score}"
    if found is not None:
        text += f", a difference of {gap(found, column, decimals)}"
    return text + "."


def _with_reference(text: str, best: Row, column: Column, decimals: int) -> str:
    """A sentence about the first system, and in it how that one stands to the reference."""
    beside = _against_reference(best, column, decimals)
    return f"{text}; {beside}." if beside else f"{text}."


def _against_reference(best: Row, column: Column, decimals: int) -> str:
    found = best.versus_reference
    if found is None:
        return ""
    where = "" if found.over_seeds else "in this run "
    if best.beats_reference is None:
        apart = gap(found, column, decimals)
        told = ""
        if column.has_direction and found.mean:
            way = "higher" if found.mean > 0 else "lower"
            told = f" ({way}, that is {'better' if way == column.better else 'worse'})"
        return (
            f"{where}its difference to the untrained {REFERENCE} is {apart}{told}, of too few "
            "sentences"
        )
    if best.beats_reference:
        ahead = gap(magnitude(found), column, decimals, sign=False)
        return f"{where}it beats the untrained {REFERENCE} by {ahead}"
    behind = gap(found, column, decimals)
    return f"{where}it does not beat the untrained {REFERENCE} (difference {behind})"


def _extreme(column: Column) -> str:
    return "lowest" if column.lower_is_better else "highest"


def _cells(leaderboard: Leaderboard) -> str:
    """`3 of 24 cells did not finish`; skipped ones did not fail and are told apart."""
    n_all = fmt.count_of(len(leaderboard.cells), "cell")
    parts = [f"{len(leaderboard.failed)} of {n_all} did not finish"]
    if leaderboard.skipped:
        n = len(leaderboard.skipped)
        reasons = dict.fromkeys(cell.reason for cell in leaderboard.skipped if cell.reason)
        why = f" ({fmt.one_line(fmt.listing(reasons))})" if reasons else ""
        parts.append(f"{n} of {n_all} {'was' if n == 1 else 'were'} skipped{why}")
    if len(parts) > 1 and not leaderboard.failed:
        del parts[0]
    return " and ".join(parts)
