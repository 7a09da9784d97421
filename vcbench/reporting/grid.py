"""The leaderboard as rows of plain text, with the notes that explain it.

Markdown, LaTeX, the terminal and the page all take their wording from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vcbench import baselines
from vcbench.reporting import format as fmt
from vcbench.reporting.answer import intervals
from vcbench.reporting.model import REFERENCE, Column, Leaderboard, Row
from vcbench.reporting.smoothing import over_smoothing_note
from vcbench.reporting.verdict import decision_words
from vcbench.reporting.wording import (
    decimals_of,
    detectable_amount,
    gap,
    intervals_at,
    turned,
)
from vcbench.statistics import needed

NOT_BETTER = "†"
UNHEALTHY = "‡"


@dataclass(frozen=True)
class Grid:
    """A table as plain text: the one source of the Markdown and the LaTeX form."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[int]


def leaderboard_grid(leaderboard: Leaderboard) -> Grid:
    """The leaderboard's cells as text, with marks on the names."""
    board = leaderboard
    decimals = {c.key: decimals_of(board, c) for c in board.columns}
    headers = ["rank", "system", *(header(c) for c in board.columns)]
    headers += ["training (it/s) ↑", "conversion RTF ↓", "parameters", "MACs", "cells"]
    rows = [
        (
            fmt.MISSING if row.rank is None else str(row.rank),
            " ".join([fmt.one_line(row.system), *marks(row)]),
            *(fmt.with_interval(row.scores[c.key], decimals[c.key]) for c in board.columns),
            fmt.measurement(row.iterations_per_second),
            fmt.measurement(row.real_time_factor),
            fmt.quantity(row.parameters),
            fmt.quantity(row.macs),
            f"{row.cells_ok}/{len(row.cells)}",
        )
        for row in board.rows
    ]
    return Grid(tuple(headers), tuple(rows), frozenset({1}))


def effects_grid(leaderboard: Leaderboard) -> Grid:
    """The comparison: a row per system, its differences to the baseline; the asked metric first."""
    comparison = leaderboard.comparison
    if comparison is None:
        return Grid((), (), frozenset())
    columns = effect_columns(leaderboard)
    decimals = {c.key: effect_decimals(leaderboard, c) for c in columns}
    headers = ["system", fmt.metric_label(comparison.column.metric), *map(header, columns)]
    rows = [
        (
            fmt.one_line(effect.system),
            decision_words(effect, comparison),
            *(
                fmt.with_interval(effect.differences[c.key], decimals[c.key], sign=True)
                for c in columns
            ),
        )
        for effect in comparison.effects
    ]
    return Grid(tuple(headers), tuple(rows), frozenset({0, 1}))


def effect_columns(leaderboard: Leaderboard) -> list[Column]:
    """The metric that the comparison is about, then the others of the suite."""
    asked = leaderboard.comparison.column.key if leaderboard.comparison else ""
    return sorted(leaderboard.columns, key=lambda column: column.key != asked)


def effect_decimals(leaderboard: Leaderboard, column: Column) -> int:
    """Decimals for all differences of a column."""
    decimals = decimals_of(leaderboard, column)
    effects = leaderboard.comparison.effects if leaderboard.comparison else ()
    found = (e.differences[column.key] for e in effects)
    return max((fmt.decimals_for_difference(d, decimals) for d in found), default=decimals)


def direction_grid(leaderboard: Leaderboard, column: Column) -> Grid:
    """Means of one metric: a row per system, a column per direction."""
    decimals = decimals_of(leaderboard, column)
    means = leaderboard.per_direction[column.key]
    headers = ("system", *(fmt.direction_label(d) for d in leaderboard.directions))
    rows = [
        (
            fmt.one_line(row.system),
            *(
                fmt.with_interval(means[row.system][direction], decimals)
                for direction in leaderboard.directions
            ),
        )
        for row in leaderboard.rows
    ]
    return Grid(headers, tuple(rows), frozenset({0}))


def header(column: Column) -> str:
    """`MCD ↓ (dB, vcbench-1)`: what is measured, which way is good, the unit, the protocol."""
    inside = ", ".join(t for t in (fmt.one_line(column.unit), fmt.one_line(column.protocol)) if t)
    return f"{fmt.metric_label(column.metric)} {fmt.ARROWS.get(column.better, '')} ({inside})"


def marks(row: Row) -> list[str]:
    """The signs after a system's name."""
    # Where sentences are too few to tell, it is not shown either. What is incomplete is not tested.
    tested = row.versus_reference is not None and row.rank is not None
    signs = [NOT_BETTER] if tested and not row.beats_reference else []
    return [*signs, UNHEALTHY] if row.health else signs


def protocol_notes(leaderboard: Leaderboard) -> list[str]:
    """The text of every protocol that a score stands under."""
    return [
        f"Protocol {fmt.one_line(name)}: {fmt.one_line(text) or 'its text was not stored'}"
        for name, text in leaderboard.protocols.items()
    ]


def notes(leaderboard: Leaderboard) -> list[str]:
    """What the table means: arrows, intervals, marks, and why a row has no rank."""
    board = leaderboard
    found = [
        f"↓ lower is better, ↑ higher is better. {intervals(board)}",
        *over_smoothing_note(board),
        "(n/N): scored of expected utterances. RTF: seconds of work per second of speech. Speeds "
        "are measured one system after the other: changes of the machine's own show in them. "
        "Parameters and MACs: of one generator, the latter over 128 frames.",
        *training_note(board),
        reference_note(board),
        *baseline_note(board),
    ]
    if rank_note(board):
        found.append(rank_note(board))
    flags = [flag for row in board.rows for flag in row.health]
    if flags:
        found.append(f"{UNHEALTHY} noticed in training: {fmt.one_line('; '.join(flags))}.")
    return found


def training_note(leaderboard: Leaderboard) -> list[str]:
    """How long the systems were trained; nothing where no training reached its end."""
    systems: dict[str, list[str]] = {}
    for row in leaderboard.trained:
        lengths = {cell.iterations for cell in row.cells if cell.ok and cell.iterations}
        if lengths:
            said = " or ".join(f"{n:,}" for n in sorted(lengths))
            systems.setdefault(said, []).append(row.system)
    if len(systems) < 2:
        return [f"Trained for {said} iterations." for said in systems]
    said = "; ".join(f"{fmt.listing(names)} {n}" for n, names in systems.items())
    return [f"Iterations of training: {fmt.one_line(said)}."]


def baseline_note(leaderboard: Leaderboard) -> list[str]:
    """What each baseline of the table is."""
    known = [r.system for r in leaderboard.baselines if r.system in baselines.SUMMARIES]
    return [f"Baselines. {'; '.join(f'{b}: {baselines.SUMMARIES[b]}' for b in known)}."] * bool(
        known
    )


def rank_note(leaderboard: Leaderboard) -> str:
    """Why some trained systems have no rank, or nothing."""
    unranked = [row for row in leaderboard.trained if row.rank is None]
    if not unranked:
        return ""
    reasons = "; ".join(f"{row.system}: {row.unranked}" for row in unranked)
    return f"Not ranked, because incomplete: {fmt.one_line(reasons)}."


def reference_note(leaderboard: Leaderboard) -> str:
    """How many systems beat `mean-variance`; each that does not, with its difference.

    Those that are shown to be worse are told from those that are only not shown to beat it.
    """
    column, reference = leaderboard.ranked_by, leaderboard.row(REFERENCE)
    nothing = f"Nothing could be compared with the untrained {REFERENCE}"
    if column is None or reference is None or not leaderboard.trained:
        return f"{nothing}: it has no scores here."
    if reference.incomplete(column):
        return f"{nothing}: {fmt.one_line(reference.incomplete(column))}."
    compared = [r for r in leaderboard.ranked if r.versus_reference is not None]
    if not compared:
        return f"{nothing}: no trained system is complete."
    label = fmt.metric_label(column.metric)
    k = len(leaderboard.trained)
    others = [row.system for row in leaderboard.trained if row not in compared]
    apart = f" Not tested, because incomplete: {fmt.one_line(fmt.listing(others))}." * bool(others)
    untold = [row for row in compared if row.beats_reference is None]
    if untold:
        return (
            f"{NOT_BETTER} not shown to beat the untrained {REFERENCE}: too few sentences to tell "
            f"which of {fmt.count_of(k, 'trained system')} beats it on {label}; a sign-flip test "
            f"needs {needed(k)}.{apart}"
        )
    found = [row.versus_reference for row in compared if row.versus_reference]
    over_seeds = all(difference.over_seeds for difference in found)
    test = "t test over seeds and sentences" if over_seeds else "sign-flip test over sentences"
    how = f"paired over the same sentences, {test}{f', Holm over {k} systems' if k > 1 else ''}"
    how = "; ".join(filter(None, [how, intervals_at(found)]))
    beaten = [
        r.versus_reference.p_holm for r in compared if r.beats_reference and r.versus_reference
    ]
    if len(beaten) == len(compared):
        who = "every trained system beats"
        if others:
            who = f"{len(beaten)} of {k} trained systems {'beat' if len(beaten) > 1 else 'beats'}"
        text = f"{who} the untrained {REFERENCE} on {label} ({how}; {_largest(beaten)}).{apart}"
        return f"{text[0].upper()}{text[1:]}" if over_seeds else f"In this run, {text}"
    marked = [row for row in compared if not row.beats_reference]
    said: dict[str, list[str]] = {}
    for row in sorted(marked, key=lambda row: not worse_than_reference(leaderboard, row)):
        gaps = said.setdefault(mark_words(leaderboard, [row]), [])
        gaps.append(f"{row.system} {reference_gap(leaderboard, row)}")
    (words, first), *more = [(words, fmt.one_line("; ".join(g))) for words, g in said.items()]
    under = "under-trained: " * all(row.kind == "trained" for row in marked)
    text = f"{NOT_BETTER} {under}{'' if over_seeds else 'in this run '}{words} "
    text += f"the untrained {REFERENCE} on {label} ({how}): {first}"
    text += "".join(f"; {words} it: {listed}" for words, listed in more)
    if beaten:
        text += f". All others{' that are complete' if others else ''} beat it ({_largest(beaten)})"
    return f"{text}.{apart}"


def worse_than_reference(leaderboard: Leaderboard, row: Row) -> bool:
    """Whether the system is shown to be worse than `mean-variance`: decided, and the wrong way."""
    column, found = leaderboard.ranked_by, row.versus_reference
    return bool(column and found and found.claimable and column.is_better(turned(found)))


def mark_words(leaderboard: Leaderboard, marked: Iterable[Row]) -> str:
    """What `NOT_BETTER` means on these rows, to be followed by the reference's name."""
    worse = {worse_than_reference(leaderboard, row) for row in marked}
    return " or ".join(["worse than"] * (True in worse) + ["not shown to beat"] * (False in worse))


def _largest(p: list[float]) -> str:
    """The largest of some p: `p = 0.003 at most`, or `each p < 0.001`."""
    said = fmt.probability(max(p))
    if len(p) == 1:
        return said
    # "p < 0.001 at most" would bound a bound.
    return f"each {said}" if "<" in said else f"{said} at most"


def reference_gap(leaderboard: Leaderboard, row: Row) -> str:
    """A system's paired difference to `mean-variance`: size, interval, p, what could be found."""
    column, found = leaderboard.ranked_by, row.versus_reference
    if column is None or found is None:
        return ""
    decimals = decimals_of(leaderboard, column)
    parts = [gap(found, column, decimals), fmt.probability(found.p_holm)]
    if not found.decided:
        parts.append(f"80 % power for {detectable_amount([found], column, decimals)}")
    return ", ".join(part for part in parts if part)
