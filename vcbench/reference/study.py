"""A published run as a part of a page: what was found, its tables, how it was made."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from vcbench.reference import STORED
from vcbench.reference.publish import CHECKS, CURVES, CURVES_FIGURE, SUITE, TRAININGS
from vcbench.reference.stored import Stored, levels
from vcbench.reporting import format as fmt
from vcbench.reporting import levelling
from vcbench.reporting.answer import doubts, sentences
from vcbench.reporting.expectations import RULES, Check, checks
from vcbench.reporting.grid import (
    Grid,
    direction_grid,
    effects_grid,
    header,
    leaderboard_grid,
    notes,
)
from vcbench.reporting.model import REFERENCE, Leaderboard
from vcbench.reporting.tables import markdown_grid, markdown_text
from vcbench.reporting.verdict import effect_notes

_OF_PITCH = {"f0-rmse", "log-f0-rmse", "vuv-error"}
_OPTIONS = ("--budget", "--only", "--set", "--seeds", "--data", "--device", "--jobs")  # of `curves`


def study(stored: Stored, root: Path) -> list[str]:
    """Its parts as Markdown; links are relative to the folder `root`."""
    board = stored.leaderboard
    parts = [f"## {stored.name}", f'<a id="{stored.anchor}"></a>']
    if board.question:
        parts.append(f"*{markdown_text(board.question)}*")
    parts.append(_sentences(stored, root))
    parts += [f"**Warning:** {markdown_text(text)}" for text in doubts(board)]
    parts.append(budget(stored))
    if board.comparison is not None:
        parts += ["### Effects", markdown_grid(effects_grid(board))]
        parts.append(bullets(effect_notes(board)))
    parts += ["### Table", markdown_grid(leaderboard_grid(board)), bullets(notes(board))]
    for column in board.columns[:1]:
        parts += [f"### {header(column)} in each direction"]
        parts.append(markdown_grid(direction_grid(board, column)))
    parts += ["### Against what is expected", _expected(stored, root)]
    parts += _curves(stored, root)
    parts += [f'### How {stored.name} was made\n\n<a id="{stored.anchor}-made"></a>']
    parts.append(_made(stored, root))
    return parts


def _sentences(stored: Stored, root: Path) -> str:
    """What was found, each sentence with what stands behind it."""
    board = stored.leaderboard
    table = "tables/effects.md" if board.comparison else "leaderboard.md"
    said = [(text, table) for text in sentences(board)]
    if board.comparison is None:
        said += [(text, "throughput.csv") for text in costs(board)]
    said += [(text, "leaderboard.md") for text in _alike(stored)]
    return "\n".join(
        f"- {markdown_text(text)} {source(stored, root, table)}" for text, table in said
    )


def _alike(stored: Stored) -> list[str]:
    """What all systems do alike, so that no difference between them in it is the networks'."""
    suite = stored.run.suite
    systems = (suite.get("systems") or {}).values()
    metrics = {column.metric for column in stored.leaderboard.columns}
    said = []
    pitches = {(system.get("training") or {}).get("pitch") for system in systems}
    if len(pitches) == 1 and pitches != {None} and metrics & _OF_PITCH:
        said.append(
            "Every system converts F0 alike and keeps the source's voicing: where F0 RMSE, log F0 "
            "RMSE or VUV error of trained systems differ, their spectra disturb the analysis of F0."
        )
    if "duration-difference" in metrics:
        said.append(
            "Every system keeps the source's timing: a larger duration difference than "
            f"{REFERENCE}'s is speech that a damaged conversion has lost below the gate, and its "
            "other scores rest on what is left."
        )
    return said


def costs(board: Leaderboard) -> list[str]:
    """A sentence on the size of the systems that have learnt something, or none.

    Speeds stand in the table alone: they were measured one after the other, on a machine whose own
    speed may have changed between two systems.
    """
    said = [
        f"{row.system} {fmt.quantity(row.parameters)} parameters, {fmt.quantity(row.macs)} MACs"
        for row in board.ranked
        if row.beats_reference and row.parameters and row.macs
    ]
    return [f"Generators of what beats {REFERENCE}: {'; '.join(said)}."] if said else []


def source(stored: Stored, root: Path, table: str = "leaderboard.md") -> str:
    """Links behind a sentence."""
    links = {
        "table": link(root, stored.folder / table),
        "rows": link(root, stored.folder / "results.csv"),
        "suite": link(root, stored.suite_path() or stored.folder / SUITE),
        "command": f"#{stored.anchor}-made",
    }
    return f"({', '.join(f'[{name}]({link})' for name, link in links.items())})"


def budget(stored: Stored) -> str:
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
        "hours of training, summed": f"{s['training_hours']:.2f}",
        "machine": ", ".join(
            f"{name} ({n} trainings)" if len(s["machines"]) > 1 else name
            for name, n in s["machines"].items()
        ),
        "threads a training": " or ".join(map(str, s["threads"])) or fmt.MISSING,
        "protocol": ", ".join(s["protocols"]),
    }
    grid = Grid(tuple(cells), (tuple(map(str, cells.values())),), frozenset({0, 8, 10}))
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
            lines.append(f"- {text} {_outcome(found)} {source(stored, root, CHECKS)}")
    return "\n".join(lines) or "Nothing of what is expected could be checked on this run."


def _outcome(found: Sequence[Check]) -> str:
    """What the checks of one rule came to."""
    by_outcome: dict[str, list[str]] = {}
    for check in found:
        by_outcome.setdefault(check.outcome, []).append(_check(check))
    said = []
    if "contradicts" in by_outcome:
        said.append(f"**Contradicted** by {listing(by_outcome['contradicts'])}.")
    if "not shown" in by_outcome:
        said.append(f"**Not shown** for {listing(by_outcome['not shown'])}.")
    if "agrees" in by_outcome:
        said.append(f"Holds for {listing(by_outcome['agrees'])}.")
    if "does not apply" in by_outcome:
        said.append(f"Does not apply to {listing(by_outcome['does not apply'])}.")
    return " ".join(said)


def _check(check: Check) -> str:
    details = [markdown_text(check.said)] if check.said else []
    if check.against:
        details.insert(0, f"{fmt.signed(check.difference, 2)} dB")
    return markdown_text(check.system) + (f" ({'; '.join(details)})" if details else "")


def _curves(stored: Stored, root: Path) -> list[str]:
    rows = levels(stored)
    if not rows or not stored.leaderboard.columns:
        return []
    column = stored.leaderboard.columns[0]
    headers = (
        *("system", "cells", f"{header(column)} at the end"),
        *("change in the last third", "verdict"),
    )
    lines = tuple(
        (
            row["system"],
            row["cells"],
            f"{fmt.number(float(row['last'] or 'nan'), 2)} ({int(row['iterations']):,} iterations)",
            _change(row),
            row["verdict"],
        )
        for row in rows
    )
    rule = (
        f"Levelled off: the change over the last third of the curve, with its 95 % interval over "
        f"cells, lies within {levelling.TOLERANCE:g} {levelling.UNIT} of zero. Otherwise still "
        "falling or rising, where the interval lies below or above zero, or else undecided: with "
        "few cells, or one that jumps, nearly always. Scores "
        f"are of the first {_sentences_of(_points(stored))} evaluation sentences of each direction "
        f"([learning_curves.csv]({link(root, stored.folder / CURVES)})). What is chosen by such "
        "curves, one budget for all systems, has seen these sentences."
    )
    figure = link(root, stored.folder / CURVES_FIGURE)
    return [
        "### Learning curves",
        markdown_grid(Grid(headers, lines, frozenset({0, 4}))),
        " ".join([rule, *decay(stored)]),
        f"![Scores against iterations, a colour for each system]({figure})",
    ]


def decay(stored: Stored) -> list[str]:
    """A curve that ends flat need not have learnt all: the rates may have been taken away."""
    trainings = [s.get("training") or {} for s in (stored.run.suite.get("systems") or {}).values()]
    starts = sorted({int(t["decay_start"]) for t in trainings if t.get("decay_start")})
    if not starts:
        return []
    at = " or ".join(f"{start:,}" for start in starts)
    return [
        f"Learning rates fall to zero from iteration {at} on, which lowers scores by itself, and "
        "flattens curves in the end."
    ]


def _change(row: Mapping[str, str]) -> str:
    if not row["change"]:
        return fmt.MISSING
    low, high = (fmt.number(float(row[name]), 2) for name in ("low", "high"))
    return f"{fmt.signed(float(row['change']), 2)} [{low}, {high}]"


def _curves_command(stored: Stored) -> str:
    """What made the curves: options are the run's own, the rest stands in the table."""
    rows = _points(stored)
    every = min(int(row["iteration"]) for row in rows)
    said = [str(stored.summary["suite"])]
    for option, value in itertools.pairwise(shlex.split(str(stored.summary["command"]))):
        if option in _OPTIONS:
            said += [option, value]
        elif option.partition("=")[0] in _OPTIONS:
            said.append(option)
    return (
        f"python -m vcbench.reference curves {shlex.join(said)} --every {every} "
        f"--sentences {_sentences_of(rows)} -o CURVES"
    )


def _points(stored: Stored) -> list[dict[str, str]]:
    """Every score of the learning curves."""
    with (stored.folder / CURVES).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _sentences_of(points: Iterable[Mapping[str, str]]) -> int:
    """Of how many sentences each point is the mean."""
    counts = Counter(tuple(row[name] for name in levelling.POINT) for row in points)
    return max(counts.values())


def _made(stored: Stored, root: Path) -> str:
    s = stored.summary

    def file(name: str) -> str:
        return f"[{name}]({link(root, stored.folder / name)})"

    figures = f", {file('figures')}" if (stored.folder / "figures").is_dir() else ""

    folder = (STORED / stored.place).as_posix()
    curved = bool(levels(stored))
    ended = next((c.cell for c in stored.run.cells if c.kind == "trained" and c.ok), "")
    suite_path = stored.suite_path()
    shipped = f"[{suite_path.name}]({link(root, suite_path)}), " if suite_path else ""
    lines = [
        f"tables {file('leaderboard.md')}, {file('leaderboard.csv')}, {file('leaderboard.tex')}",
        f"every utterance's scores {file('results.csv')}; by effect, direction and baseline "
        f"{file('tables')}",
        f"suite {shipped}as resolved, with every default {file(SUITE)}",
        *(f"system {text}" for text in _systems(stored)),
        f"cells {file('cells.jsonl')}, their trainings {file(TRAININGS)}, losses "
        f"{file('training.csv')}, speed {file('throughput.csv')}{figures}",
        f"commit `{s['git']}`; versions, machine and fingerprint of the speech in "
        f"{file('manifest.json')}",
        "speech: `vcbench data fetch vcc2016 --data DATA`"
        if (stored.run.suite.get("corpus") or {}).get("name") == "vcc2016"
        else "",
        f"trained, with learning curves, with `{_curves_command(stored)}`" if curved else "",
        f"{'scored' if curved else 'made'} with `{s['command']}`",
        f"{s['trained_elsewhere']} of its cells were trained elsewhere, with "
        "`python -m vcbench.carry`"
        if s["trained_elsewhere"]
        else "",
        f"published with `python -m vcbench.reference publish RUN_DIR {shlex.quote(folder)}"
        f"{' --curves CURVES' * curved}`",
    ]
    if ended:
        lines.append(
            "a cell is trained again and compared, score by score, with "
            f"`python -m vcbench.reference check {shlex.quote(folder)} --cell {shlex.quote(ended)} "
            "--data DATA`"
        )
    return bullets(filter(None, lines), escape=False)


def _systems(stored: Stored) -> list[str]:
    """Of what each system is made, and what its training has otherwise than the most have."""
    described = stored.run.suite.get("systems") or {}
    trainings = [json.dumps(s.get("training") or {}) for s in described.values()]
    common = json.loads(Counter(trainings).most_common(1)[0][0]) if trainings else {}
    said = []
    for name, system in described.items():
        parts = [_part(system.get(kind)) for kind in ("generator", "discriminator", "objective")]
        other = {k: v for k, v in (system.get("training") or {}).items() if common.get(k) != v}
        parts += [f"{key}: {json.dumps(value)}" for key, value in other.items()]
        said.append(f"{markdown_text(name)}: {', '.join(f'`{part}`' for part in parts if part)}")
    return said


def _part(described: object) -> str:
    """A network or an objective by its name; what is said of a sigmoid belongs to it."""
    if not isinstance(described, Mapping):
        return str(described or "")
    sigmoid = described.get("sigmoid")
    told = "" if sigmoid is None else f" {'with' if sigmoid else 'without'} a sigmoid"
    return f"{described['name']}{told}"


def bullets(lines: Iterable[str], *, escape: bool = True) -> str:
    """A list."""
    return "\n".join(f"- {markdown_text(line) if escape else line}" for line in lines)


def listing(parts: Sequence[str]) -> str:
    """`a, b and c`, none left out."""
    return fmt.listing(parts, shown=len(parts))


def link(root: Path, path: Path) -> str:
    """The address of `path` on a page that lies in `root`."""
    return quote(Path(os.path.relpath(path, root)).as_posix())
