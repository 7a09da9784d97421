"""`python -m vcbench.reference findings`: docs/findings.md, from the results in reports/reference.

The page is made of what lies in the folder and nothing else: every table, every sentence and every
number. Behind each sentence stand links to the table, to the scores of every utterance, to the
suite and to the command that made them. The README takes its main table and its sentences from it.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import suites
from vcbench import marked_text
from vcbench.errors import DataError, UsageError
from vcbench.reference import unmeasured
from vcbench.reference.publish import CURVES_FIGURE, LEVELS, SUITE, SUMMARY, TRAININGS
from vcbench.reporting import format as fmt
from vcbench.reporting import levelling
from vcbench.reporting.answer import doubts, sentences
from vcbench.reporting.expectations import RULES, Check, checks
from vcbench.reporting.grid import (
    NOT_BETTER,
    Grid,
    direction_grid,
    effects_grid,
    header,
    leaderboard_grid,
    marks,
    notes,
    reference_note,
)
from vcbench.reporting.leaderboard import build
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.run_files import RunFiles, read_run
from vcbench.reporting.tables import markdown_grid, markdown_text
from vcbench.reporting.verdict import effect_notes

COMMAND = "python -m vcbench.reference findings"
PAGE, STORED, README = Path("docs/findings.md"), Path("reports/reference"), Path("README.md")
README_MARKS = (f"<!-- findings: made by {COMMAND} -->", "<!-- findings: end -->")
STUDY = "reference"  # the suite that compares all systems
README_METRICS = 4  # columns of the README's table; the page has all


@dataclass(frozen=True)
class Stored:
    """One published run: its folder, that below the folder of all, what is in it, its table."""

    folder: Path
    place: str
    run: RunFiles
    leaderboard: Leaderboard
    summary: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the run is called: where it lies, since two budgets may answer one question."""
        return self.place

    @property
    def anchor(self) -> str:
        """Of its heading."""
        return "".join(c if c.isalnum() else "-" for c in self.name.lower())

    def suite_path(self) -> Path | None:
        """The shipped suite that it was made with, if it still is one."""
        return suites.shipped_path(str(self.summary["suite"]))


def stored_runs(folder: Path) -> list[Stored]:
    """All published runs below `folder`: whole studies first, then those that compare."""
    found = []
    for path in sorted(folder.rglob(SUMMARY)):
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: {error}; publish the run again") from None
        run = read_run(path.parent)
        place = path.parent.relative_to(folder).as_posix()
        found.append(Stored(path.parent, place, run, build(run), summary))
    return sorted(found, key=lambda one: (one.leaderboard.comparison is not None, one.name))


def page(top: Path, *, root: Path) -> str:
    """The page of the runs below `top` as Markdown; links are relative to the folder `root`."""
    runs = stored_runs(top)
    parts = [
        "# Findings",
        f"<!-- made by {COMMAND}; edit nothing here -->",
        "Every number on this page was computed from the scores in "
        f"[reports/reference]({_link(root, top)}) by one command, `{COMMAND}`"
        ". Behind each sentence stand the table that it sums up, the score of every utterance, "
        "the suite and the command that made them. A † marks a system that is under-trained: "
        "it is not shown to score below `mean-variance`, which trains nothing.",
    ]
    parts.append(_still_to_measure(runs))
    for stored in runs:
        if stored.leaderboard.comparison is None:
            parts += _study(stored, root)
    parts += _questions(runs, root)
    for stored in runs:
        if stored.leaderboard.comparison is not None:
            parts += _study(stored, root)
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
    more = f"{_link(root, page_path)}#{main_one.anchor}"
    said = [*sentences(board)[:1], reference_note(board), _levels_said(main_one)]
    grid = leaderboard_grid(board)
    kept = [*range(2 + min(README_METRICS, len(board.columns))), len(grid.headers) - 1]
    short = Grid(
        tuple(grid.headers[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in grid.rows),
        grid.text_columns,
    )
    end = f"[Everything that was found, with the scores behind it]({more})"
    return "\n\n".join(
        [_bullets(filter(None, said)), _budget(main_one), markdown_grid(short), f"{end}."]
    )


def _size(stored: Stored) -> tuple[float, int, float]:
    """By which studies are compared: width, iterations, hours."""
    s = stored.summary
    return float(s["width"] or 0), max(s["iterations"], default=0), float(s["training_hours"])


def _levels_said(stored: Stored) -> str:
    """Which systems have stopped learning, in a sentence; empty where no curve was made."""
    by_verdict: dict[str, list[str]] = {}
    for row in _levels(stored):
        by_verdict.setdefault(row["verdict"], []).append(row["system"])
    told = "; ".join(f"{verdict}: {_listing(names)}" for verdict, names in by_verdict.items())
    when = "while the learning rates fall to zero" if _decay(stored) else "at the end"
    return f"Learning curves, {when}: {told}." if told else ""


def _levels(stored: Stored) -> list[dict[str, str]]:
    path = stored.folder / LEVELS
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _study(stored: Stored, root: Path) -> list[str]:
    board = stored.leaderboard
    parts = [f"## {stored.name}", f'<a id="{stored.anchor}"></a>']
    if board.question:
        parts.append(f"*{markdown_text(board.question)}*")
    parts.append(_sentences(stored, root, sentences(board)))
    parts += [f"**Warning:** {markdown_text(text)}" for text in doubts(board)]
    parts.append(_budget(stored))
    if board.comparison is not None:
        parts += ["### Effects", markdown_grid(effects_grid(board))]
        parts.append(_bullets(effect_notes(board)))
    parts += ["### Table", markdown_grid(leaderboard_grid(board)), _bullets(notes(board))]
    for column in board.columns[:1]:
        parts += [f"### {header(column)} in each direction"]
        parts.append(markdown_grid(direction_grid(board, column)))
    parts += ["### Against what is known", _expected(stored, root)]
    parts += _curves(stored, root)
    parts += [f'### How {stored.name} was made\n\n<a id="{stored.anchor}-made"></a>']
    parts.append(_made(stored, root))
    return parts


def _sentences(stored: Stored, root: Path, said: Iterable[str]) -> str:
    return "\n".join(f"- {markdown_text(text)} {_source(stored, root)}" for text in said)


def _source(stored: Stored, root: Path) -> str:
    """Links behind a sentence."""
    links = {
        "table": _link(root, stored.folder / "leaderboard.md"),
        "rows": _link(root, stored.folder / "results.csv"),
        "suite": _link(root, stored.suite_path() or stored.folder / SUITE),
        "command": f"#{stored.anchor}-made",
    }
    return f"({', '.join(f'[{name}]({link})' for name, link in links.items())})"


def _budget(stored: Stored) -> str:
    """What was spent, beside every table."""
    s = stored.summary
    iterations = " or ".join(f"{n:,}" for n in s["iterations"]) or fmt.MISSING
    cells = {
        "budget": s["budget"] or "the suite's own",
        "iterations": iterations,
        "width": f"{s['width']:g}" if s["width"] else fmt.MISSING,
        "seeds": len(s["seeds"]),
        "pairs": len(s["pairs"]),
        "sentences": s["sentences"],
        "trainings": f"{s['cells_ok']} of {s['cells']}",
        "hours of training": f"{s['training_hours']:.2f}",
        "machine": ", ".join(
            f"{name} ({n} trainings)" if len(s["machines"]) > 1 else name
            for name, n in s["machines"].items()
        ),
        "protocol": ", ".join(s["protocols"]),
    }
    grid = Grid(tuple(cells), (tuple(map(str, cells.values())),), frozenset({0, 8, 9}))
    return markdown_grid(grid)


def _expected(stored: Stored, root: Path) -> str:
    """Each rule with what the run says of it."""
    by_rule: dict[str, list[Check]] = {}
    for check in checks(stored.run, stored.leaderboard):
        by_rule.setdefault(check.rule, []).append(check)
    lines = []
    for rule, text in RULES.items():
        found = by_rule.get(rule)
        if found:
            lines.append(f"- {text} {_outcome(found)} {_source(stored, root)}")
    return "\n".join(lines) or "Nothing of what is known could be checked on this run."


def _outcome(found: Sequence[Check]) -> str:
    """What the checks of one rule came to."""
    by_outcome: dict[str, list[str]] = {}
    for check in found:
        by_outcome.setdefault(check.outcome, []).append(_check(check))
    said = []
    if "contradicts" in by_outcome:
        said.append(f"**Contradicted** by {_listing(by_outcome['contradicts'])}.")
    if "not shown" in by_outcome:
        said.append(f"**Not shown** for {_listing(by_outcome['not shown'])}.")
    if "agrees" in by_outcome:
        said.append(f"Holds for {_listing(by_outcome['agrees'])}.")
    if "does not apply" in by_outcome:
        said.append(f"Does not apply to {_listing(by_outcome['does not apply'])}.")
    return " ".join(said)


def _check(check: Check) -> str:
    details = [markdown_text(check.said)] if check.said else []
    if check.against:
        details.insert(0, f"{fmt.signed(check.difference, 2)} dB")
    return f"{markdown_text(check.system)} ({'; '.join(details)})"


def _curves(stored: Stored, root: Path) -> list[str]:
    rows = _levels(stored)
    if not rows or not stored.leaderboard.columns:
        return []
    column = stored.leaderboard.columns[0]
    headers = ("system", f"{header(column)} at the end", "change in the last third", "verdict")
    lines = tuple(
        (
            row["system"],
            f"{fmt.number(float(row['last'] or 'nan'), 2)} ({int(row['iterations']):,} iterations)",
            _change(row),
            row["verdict"],
        )
        for row in rows
    )
    rule = (
        f"Levelled off: the change over the last third of the curve, with its 95 % interval over "
        f"cells, lies within {levelling.TOLERANCE:g} {levelling.UNIT} of zero. Otherwise still "
        "falling or rising, where the interval lies below or above zero, or else undecided. Scores "
        "are of the curve's own sentences, which are evaluation sentences too, in "
        f"[learning_curves.csv]({_link(root, stored.folder / 'learning_curves.csv')})."
    )
    figure = _link(root, stored.folder / CURVES_FIGURE)
    return [
        "### Learning curves",
        markdown_grid(Grid(headers, lines, frozenset({0, 3}))),
        " ".join([rule, *_decay(stored)]),
        f"![Scores against iterations, a colour for each system]({figure})",
    ]


def _decay(stored: Stored) -> list[str]:
    """A curve that ends flat need not have learnt all: the rates may have been taken away."""
    trainings = [s.get("training") or {} for s in (stored.run.suite.get("systems") or {}).values()]
    starts = sorted({int(t["decay_start"]) for t in trainings if t.get("decay_start")})
    if not starts:
        return []
    at = " or ".join(f"{start:,}" for start in starts)
    return [f"Learning rates fall to zero from iteration {at} on: curves flatten for that too."]


def _change(row: Mapping[str, str]) -> str:
    if not row["change"]:
        return fmt.MISSING
    low, high = (fmt.number(float(row[name]), 2) for name in ("low", "high"))
    return f"{fmt.signed(float(row['change']), 2)} [{low}, {high}]"


def _made(stored: Stored, root: Path) -> str:
    s = stored.summary

    def link(name: str) -> str:
        return f"[{name}]({_link(root, stored.folder / name)})"

    folder = (STORED / stored.place).as_posix()
    ended = next((c.cell for c in stored.run.cells if c.kind == "trained" and c.ok), "")
    suite_path = stored.suite_path()
    shipped = f"[{suite_path.name}]({_link(root, suite_path)}), " if suite_path else ""
    lines = [
        f"tables {link('leaderboard.md')}, {link('leaderboard.csv')}, {link('leaderboard.tex')}",
        f"every utterance's scores {link('results.csv')}",
        f"suite {shipped}as resolved {link(SUITE)}",
        f"cells {link('cells.jsonl')}, {link(TRAININGS)}; versions {link('manifest.json')}",
        f"made with `{s['command']}`",
        *(
            [
                f"{s['trained_elsewhere']} of its cells were trained elsewhere, with "
                "`python -m vcbench.carry`"
            ]
            * bool(s["trained_elsewhere"])
        ),
        f"published with `python -m vcbench.reference publish RUN_DIR {shlex.quote(folder)}"
        f"{' --curves CURVES' if _levels(stored) else ''}`",
    ]
    if ended:
        lines.append(
            "a cell is trained again and compared, score by score, with "
            f"`python -m vcbench.reference check {shlex.quote(folder)} --cell {shlex.quote(ended)}`"
        )
    return _bullets(lines, escape=False)


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
            lines.append(f"  At budget {budget}: {said} {_source(stored, root)}")
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


def _bullets(lines: Iterable[str], *, escape: bool = True) -> str:
    return "\n".join(f"- {markdown_text(line) if escape else line}" for line in lines)


def _listing(parts: Sequence[str]) -> str:
    return fmt.listing(parts, shown=len(parts))


def _link(root: Path, path: Path) -> str:
    return quote(Path(os.path.relpath(path, root)).as_posix())


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
