"""The Markdown tables of a page, cell by cell, against the files of one published folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from stored_results import Estimate, Results, Row, number, row_estimate, shows

NUMBER = r"[+−]?\d+(?:,\d{3})*(?:\.\d+)?"
_SCORE = re.compile(
    rf"(?P<mean>{NUMBER}|–)(?: \[(?P<low>{NUMBER}), (?P<high>{NUMBER})\])?"
    r"(?: \((?P<n>\d+)/(?P<expected>\d+)\))?"
)
_HEADER = re.compile(r"(?P<label>.+?) (?P<arrow>[↑↓]?) ?\((?P<inside>[^()]*)\)")
_MARKS = re.compile(r"(?: [†‡])+$")
PROBABILITY = r"p (?:= (?P<p>\d+(?:\.\d+)?(?:e-\d+)?)|< 0\.001)"
Checked = Iterator[str]  # what is wrong


def cells_of(line: str) -> list[str]:
    """The cells of a line of a table, as they are read."""
    parts = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [unescaped(part.strip()) for part in parts]


def unescaped(text: str) -> str:
    """Markdown's text as it is read."""
    return re.sub(r"\\([\\`*_<>|&~\]])", r"\1", text)


def probability_shown(text: str, p: float | None) -> bool:
    """Whether `p = 0.031` or `p < 0.001` is the stored one, to two digits."""
    found = re.fullmatch(PROBABILITY, text)
    if found is None or p is None:
        return False
    return p < 0.001 if found["p"] is None else p >= 0.001 and found["p"] == f"{p:.2g}"


def wrong_in_table(lines: Sequence[str], heading: str, results: Results) -> Checked:
    """What is wrong in a table: which it is follows from its first column and its heading."""
    headers, rows = cells_of(lines[0]), [cells_of(line) for line in lines[2:]]
    for row in rows:
        if len(row) != len(headers):
            yield f"{row}: {len(headers)} cells expected"
            return
    if headers[0] == "budget":
        yield from _budget(headers, rows, results)
    elif headers[0] == "rank":
        yield from _leaderboard(headers, rows, results)
    elif heading == "### Effects":
        yield from _effects(headers, rows, results)
    elif heading == "### Learning curves":
        yield from _curves(headers, rows, results)
    elif heading.startswith("### ") and heading.endswith(" in each direction"):
        metric = heading.removeprefix("### ").removesuffix(" in each direction")
        yield from _directions(headers, rows, unescaped(metric), results)
    else:
        yield f"{lines[0]}: a table that nothing is known of"


def column_key(header: str, results: Results) -> str | None:
    """Which of the stored metrics `MCD ↓ (dB, vcbench-1)` is."""
    found = _HEADER.fullmatch(header)
    if found is None:
        return None
    arrow = {"lower": "↓", "higher": "↑"}
    for key, metric in results.metrics.items():
        inside = ", ".join(t for t in (metric["unit"], metric["protocol"]) if t)
        if (
            found["label"].lower() == metric["metric"].replace("-", " ")
            and found["inside"] == inside
            and found["arrow"] == arrow.get(metric["better"], "")
        ):
            return key
    return None


def wrong_score(
    text: str, stored: Estimate, where: str, *, sign: bool = False, counted: bool = True
) -> Checked:
    """A cell `7.91 [7.80, 8.02] (36/36)`: mean, both ends, scored of expected.

    counted: whether that stands there also where all were scored.
    """
    found = _SCORE.fullmatch(text)
    if found is None:
        yield f"{where}: '{text}' is no score"
        return
    fine = shows(found["mean"], stored.mean, sign=sign)
    for name in ("low", "high"):
        end = getattr(stored, name)
        fine &= (found[name] is None) if end is None else shows(found[name] or "", end)
    told = stored.expected and (counted or stored.n != stored.expected)
    counts = (str(stored.n), str(stored.expected)) if told else (None, None)
    fine &= (found["n"], found["expected"]) == counts
    if not fine:
        yield f"{where}: '{text}' is not {stored}"


def _same(text: str, expected: str, where: str) -> Checked:
    if text != expected:
        yield f"{where}: '{text}' is not '{expected}'"


def _systems(rows: Sequence[Sequence[str]], at: int, stored: Sequence[str]) -> Checked:
    """Every stored system once, in the stored order."""
    named = [_MARKS.sub("", row[at]) for row in rows]
    if named != list(stored):
        yield f"rows of {named}, not of {list(stored)}"


def _leaderboard(headers: list[str], rows: list[list[str]], results: Results) -> Checked:
    plain: dict[str, Callable[[Row], str]] = {
        "rank": lambda row: row["rank"] or "–",
        "cells": lambda row: f"{row['cells_ok']}/{row['cells']}",
    }
    measured = {
        "training (it/s) ↑": "training_iterations_per_second",
        "conversion RTF ↓": "conversion_real_time_factor",
        "parameters": "generator_parameters",
        "MACs": "generator_macs",
    }
    wrong = list(_systems(rows, 1, list(results.rows)))
    yield from wrong
    for cells in rows if not wrong else ():
        system = _MARKS.sub("", cells[1])
        stored = results.rows[system]
        for header, text in zip(headers, cells, strict=True):
            where = f"{system}, {header}"
            key = column_key(header, results)
            if header in plain:
                yield from _same(text, plain[header](stored), where)
            elif header in measured:
                yield from _measured(text, number(stored[measured[header]]), where)
            elif key is not None:
                counted = "MACs" in headers  # the README's table is shorter
                yield from wrong_score(text, results.score(system, key), where, counted=counted)
            elif header != "system":
                yield f"'{header}' is no stored column"


def _measured(text: str, value: float | None, where: str) -> Checked:
    """Three significant digits, with a prefix where that is shown."""
    digits = sum(map(str.isdigit, text.lstrip("0.")))
    rounded = None if value is None else float(f"{value:.3g}")
    if not shows(text, rounded) or (value and digits < 3):
        yield f"{where}: '{text}' is not {value}"


def _effects(headers: list[str], rows: list[list[str]], results: Results) -> Checked:
    wrong = list(_systems(rows, 0, list(results.asked)))
    yield from wrong
    asked = results.metrics.get(results.comparison["metric"], {"metric": ""})
    for cells in rows if not wrong else ():
        system = cells[0]
        for header, text in list(zip(headers, cells, strict=True))[2:]:
            key = column_key(header, results)
            if key is None:
                yield f"'{header}' is no stored column"
                continue
            metric = results.metrics[key]
            row = results.effects[system, metric["metric"], metric["protocol"]]
            yield from wrong_score(text, row_estimate(row), f"{system}, {header}", sign=True)
            if metric == asked:
                yield from _decision(system, cells[1], row, results)


def _decision(system: str, text: str, row: Row, results: Results) -> Checked:
    """`better (p = 0.003)`: the word, and its p where there is a claim."""
    word = {"equal": "no difference", "missing": "not compared"}.get(
        row["decision"], row["decision"]
    )
    p = number(row["p_holm"])
    rest = text.removeprefix(word)
    reason = results.asked[system]["missing_because"]
    fine = {"missing": f": {reason}", "equal": ""}.get(row["decision"])
    if not text.startswith(word):
        yield f"{system}: '{text}' is not {row['decision']}"
    elif fine is not None:
        yield from _same(rest, fine, system)
    elif row["claimable"] == "True":
        if not probability_shown(rest.strip(" ()"), p):
            yield f"{system}: '{text}' is not p = {p}"
    elif rest not in (": too few seeds", ": too few sentences"):
        yield f"{system}: '{text}' claims what is not claimable"


def _directions(
    headers: list[str], rows: list[list[str]], metric: str, results: Results
) -> Checked:
    key = column_key(metric, results)
    wrong = list(_systems(rows, 0, list(results.rows)))
    named = [header.replace(" → ", ">") for header in headers[1:]]
    if set(named) != {key[1] for key in results.directions}:
        wrong.append(f"{named} are not the stored directions")
    if key is None:
        wrong.append(f"'{metric}' is no stored metric")
    yield from wrong
    for cells in rows if key and not wrong else ():
        for direction, text in zip(named, cells[1:], strict=True):
            about = results.metrics[key or ""]
            row = results.directions[cells[0], direction, about["metric"], about["protocol"]]
            yield from wrong_score(text, row_estimate(row), f"{cells[0]}, {direction}")


def _curves(headers: list[str], rows: list[list[str]], results: Results) -> Checked:
    first = next(iter(results.metrics))
    if column_key(headers[2].removesuffix(" at the end"), results) != first:
        yield f"'{headers[2]}' is not of {first}"
    wrong = list(_systems(rows, 0, list(results.levels)))
    yield from wrong
    for system, n_cells, end, change, verdict in rows if not wrong else ():
        stored = results.levels[system]
        yield from _same(n_cells, stored["cells"], system)
        last, _, iterations = end.partition(" (")
        if not shows(last, number(stored["last"])):
            yield f"{system}: '{end}' is not {stored['last']}"
        if iterations != f"{int(stored['iterations']):,} iterations)":
            yield f"{system}: '{end}' is not at {stored['iterations']}"
        yield from wrong_score(
            change,
            Estimate(*(number(stored[name]) for name in ("change", "low", "high"))),
            f"{system}, {headers[3]}",
            sign=True,
        )
        yield from _same(verdict, stored["verdict"], system)


def _budget(headers: list[str], rows: list[list[str]], results: Results) -> Checked:
    s = results.summary
    machines = s["machines"]
    several = len(machines) > 1
    expected = {
        "budget": s["budget"] or "the suite's own",
        "iterations": " or ".join(f"{n:,}" for n in s["iterations"]) or "–",
        "width": f"{s['width']:g}" if s["width"] else "–",
        "seeds": str(len(s["seeds"])),
        "pairs": str(len(s["pairs"])),
        "sentences": str(s["sentences"]),
        "trainings": f"{s['cells_ok']} of {s['cells']}",
        "hours of training, summed": f"{s['training_hours']:.2f}",
        "machine": ", ".join(f"{m} ({n} trainings)" if several else m for m, n in machines.items()),
        "threads a training": " or ".join(map(str, s["threads"])) or "–",
        "protocol": ", ".join(s["protocols"]),
    }
    if len(rows) != 1:
        yield f"{len(rows)} budgets of one study"
    for header, text in zip(headers, rows[0], strict=True):
        if header not in expected:
            yield f"'{header}' is no stored part of the budget"
        else:
            yield from _same(text, expected[header], header)
