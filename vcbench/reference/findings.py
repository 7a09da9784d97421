"""`python -m vcbench.reference findings`: docs/findings.md, from the results in reports/reference.

The page is made of what lies in the folder and nothing else: every table, every sentence and every
number. Behind each sentence stand links to the table, to the scores of every utterance, to the
suite and to the command that made them. The README takes its main table and its sentences from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import suites
from vcbench import marked_text
from vcbench.errors import UsageError
from vcbench.reference import unmeasured
from vcbench.reference.stored import Stored, levels, stored_runs
from vcbench.reference.study import (
    budget,
    bullets,
    costs,
    decay,
    link,
    listing,
    source,
    study,
)
from vcbench.reporting.answer import doubts, sentences
from vcbench.reporting.grid import (
    NOT_BETTER,
    Grid,
    leaderboard_grid,
    marks,
    reference_note,
    worse_than_reference,
)
from vcbench.reporting.model import REFERENCE, Leaderboard
from vcbench.reporting.tables import markdown_grid, markdown_text

COMMAND = "python -m vcbench.reference findings"
METRICS = Path(__file__).parents[2] / "docs" / "metrics.md"
README_MARKS = (f"<!-- findings: made by {COMMAND} -->", "<!-- findings: end -->")
STUDY = "reference"  # the suite that compares all systems
_COMPLETE = re.compile(r" \((\d+)/\1\)$")  # all that was expected was scored
_CURVES = {
    "levelled off": "have levelled off",
    "still falling": "fell",
    "rising": "rose",
    "undecided": "leave it undecided",
    "too few points": "have too few points to tell",
    "one cell alone: nothing can be said": "are of one cell alone, of which nothing can be said",
}  # by the verdict
README_METRICS = 4  # columns of the README's table; the page has all


def page(top: Path, *, root: Path) -> str:
    """The page of the runs below `top` as Markdown; links are relative to the folder `root`."""
    runs = stored_runs(top)
    parts = [
        "# Findings",
        f"<!-- made by {COMMAND}; edit nothing here -->",
        "Every number on this page was computed from the scores in "
        f"[reports/reference]({link(root, top)}) by one command, `{COMMAND}`"
        ". Behind each sentence stand the table that it sums up, the score of every utterance, "
        "the suite and the command that made them. A † marks a system that is under-trained: "
        "it is not shown to score below `mean-variance`, which trains nothing. "
        f"[What each metric means]({link(root, METRICS)}).",
    ]
    parts.append(_still_to_measure(runs))
    for stored in runs:
        if stored.leaderboard.comparison is None:
            parts += study(stored, root)
    parts += _questions(runs, root)
    for stored in runs:
        if stored.leaderboard.comparison is not None:
            parts += study(stored, root)
    return "\n\n".join(parts) + "\n"


def readme_block(top: Path, page_path: Path, *, root: Path) -> str:
    """The largest study below `top`: what was found, and its table, for the README.

    Links are relative to the folder `root`; one leads to `page_path`, which holds everything.
    """
    studies = [one for one in stored_runs(top) if one.leaderboard.comparison is None]
    if not studies:
        return "Nothing has been measured yet: `vcbench run reference`."
    main_one = max(studies, key=_size)
    board = main_one.leaderboard
    more = f"{link(root, page_path)}#{main_one.anchor}"
    said = [*sentences(board)[:1], *costs(board), _learning(main_one)]
    grid = leaderboard_grid(board)
    kept = [*range(2 + min(README_METRICS, len(board.columns))), len(grid.headers) - 1]
    short = Grid(
        tuple(grid.headers[i] for i in kept),
        tuple(tuple(_COMPLETE.sub("", row[i]) for i in kept) for row in grid.rows),
        grid.text_columns,
    )
    end = f"[Everything that was found, with the scores behind it]({more})"
    return "\n\n".join(
        [bullets(filter(None, said)), budget(main_one), markdown_grid(short), f"{end}."]
    )


def _size(stored: Stored) -> tuple[float, int, float]:
    """By which studies are compared: width, iterations, hours."""
    s = stored.summary
    return float(s["width"] or 0), max(s["iterations"], default=0), float(s["training_hours"])


def _learning(stored: Stored) -> str:
    """Who has not learnt enough, and who still learns; empty where neither is known."""
    board = stored.leaderboard
    marked = [row for row in board.rows if NOT_BETTER in marks(row)]
    worse = [row.system for row in marked if worse_than_reference(board, row)]
    others = [row.system for row in marked if row.system not in worse]
    parts = [f"worse than {REFERENCE}: {listing(worse)}"] * bool(worse)
    parts += [f"not shown to beat {REFERENCE}: {listing(others)}"] * bool(others)
    said = f"Under-trained ({NOT_BETTER}), {'; '.join(parts)}."
    by_verdict: dict[str, list[str]] = {}
    for row in levels(stored):
        by_verdict.setdefault(row["verdict"], []).append(row["system"])
    ordered = [(verdict, by_verdict[verdict]) for verdict in _CURVES if verdict in by_verdict]
    told = "; ".join(
        f"{'those' if i else 'the learning curves'} of {listing(names)} {_CURVES[verdict]}"
        for i, (verdict, names) in enumerate(ordered)
    )
    when = "while the learning rates fell to zero, " if decay(stored) else ""
    curves = f"Over the last third of training, {when}{told}."
    return " ".join([said] * bool(marked) + [curves] * bool(told))


def _questions(runs: Sequence[Stored], root: Path) -> list[str]:
    """Each question that comes with vcbench: its answer, or that it was not measured."""
    answered: dict[str, list[Stored]] = {}
    for stored in runs:
        if stored.leaderboard.comparison is not None:
            answered.setdefault(str(stored.summary["suite"]), []).append(stored)
    lines = []
    for name, question in suites.shipped():
        folder, _, suite = name.rpartition("/")
        if folder != "questions":
            continue
        lines.append(f"- *{markdown_text(question)}*")
        for stored in answered.get(suite, []):
            said = " ".join(map(markdown_text, _answer(stored.leaderboard)))
            budget = f"[{markdown_text(stored.name)}](#{stored.anchor})"
            lines.append(f"  At budget {budget}: {said} {source(stored, root)}")
        if suite not in answered:
            lines.append(f"  {_to_measure(suite)}")
    return ["## The field's questions", "\n".join(lines)]


def _answer(board: Leaderboard) -> list[str]:
    """What a question was answered with, what is under-trained, and what weakens the answer."""
    marked = any(NOT_BETTER in marks(row) for row in board.rows)
    return [*sentences(board), *[reference_note(board)] * marked, *doubts(board)]


def _still_to_measure(runs: Sequence[Stored]) -> str:
    """Of the study that comes with vcbench, the commands that nobody has published the end of."""
    left = unmeasured.commands(STUDY, [stored.summary for stored in runs])
    commands = "; ".join(f"`{command}`" for command in left)
    begin = "Of the study, still to be measured" if runs else "**Nothing has been measured yet**"
    return f"{begin}: {commands}." if left else "Nothing of the study is left to be measured."


def _to_measure(suite: str) -> str:
    return f"Not measured yet: `vcbench run {suite}`."


def write(stored: Path, page_path: Path, readme: Path | None) -> None:
    """Write the page of the runs below `stored`, and its part of the README.

    Raises `UsageError` if there is no such folder, or no place in the README: then nothing is
    written.
    """
    if not stored.is_dir():
        raise UsageError(f"{stored}: no such folder; name that of the published results")
    text = page(stored, root=page_path.parent)
    if readme is not None:
        part = readme_block(stored, page_path, root=readme.parent)
        whole = marked_text.replaced(readme.read_text(encoding="utf-8"), README_MARKS, by=part)
        readme.write_text(whole, encoding="utf-8")
    page_path.write_text(text, encoding="utf-8")
