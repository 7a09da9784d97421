"""`vcbench compare A B`: two runs, or two results of `vcbench score`, score by score."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcbench.reporting.model import Column
    from vcbench.reporting.two_results import Compared, TwoResults

HELP = "compare two runs, or two results of 'vcbench score', on the same sentences"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    what = "a run's folder (reports/SUITE/latest), or a file of 'vcbench score --json' or '--csv'"
    parser.add_argument("a", type=Path, metavar="RESULTS_A", help=what)
    parser.add_argument("b", type=Path, metavar="RESULTS_B", help="the same, set against it")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def execute(args: argparse.Namespace) -> int:
    """Compare, print, and return 3 if something stands on one side only, else 0."""
    from vcbench import terminal
    from vcbench.reporting.two_results import compare_results, read_results

    a, b = read_results(args.a), read_results(args.b)
    found = compare_results(a, b)
    if args.json:
        _print_json(args, found)
    else:
        _print_table(args, found)
    for line in [*found.notes, *found.gaps]:
        terminal.say(line)
    return 3 if found.gaps else 0


def _print_table(args: argparse.Namespace, found: TwoResults) -> None:
    from rich.table import Table
    from rich.text import Text

    from vcbench.reporting import format as fmt
    from vcbench.reporting.grid import header
    from vcbench.terminal import console

    out = console()
    families: dict[Column, list[Compared]] = {}
    for one in found.compared:
        families.setdefault(one.column, []).append(one)
    for column, family in families.items():
        decimals = fmt.decimals_for(m for one in family for m in (one.mean_a, one.mean_b))
        table = Table(title=Text(header(column)))
        for title in ("system", "A", "B", "B minus A", "scored", "decision of B"):
            right = title not in ("system", "decision of B")
            table.add_column(title, justify="right" if right else "left")
        for one in family:
            places = fmt.decimals_for_difference(one.difference, decimals)
            size = fmt.signed(one.difference.mean, places)
            table.add_row(
                Text(fmt.one_line(one.system)),
                fmt.number(one.mean_a, decimals),
                fmt.number(one.mean_b, decimals),
                Text(f"{size} {fmt.interval(one.difference, places)}".strip()),
                fmt.scored(one.difference),
                _decision(one, places),
            )
        out.print(table)
    out.print(
        f"A: {args.a}\nB: {args.b}\nIntervals and p are paired by pair, direction, seed and "
        "utterance and corrected for the systems of a metric (Holm): an interval excludes zero "
        "where, and only where, p is at most 0.05.",
        style="dim",
        highlight=False,
    )


def _decision(one: Compared, decimals: int) -> str:
    from vcbench.reporting import format as fmt
    from vcbench.reporting.wording import detectable_amount

    if one.decision in ("equal", "missing"):
        return "every score is equal" if one.decision == "equal" else "nothing could be paired"
    if not one.difference.claimable:
        return f"too few {'seeds' if one.n_seeds else 'sentences'} (interval over sentences alone)"
    text = f"{one.decision} ({fmt.probability(one.difference.p_holm)})"
    if one.decision == "undecided":
        text += f"; 80 % power for {detectable_amount([one.difference], one.column, decimals)}"
    return text


def _print_json(args: argparse.Namespace, found: TwoResults) -> None:
    import json

    from vcbench.reporting.machine import difference_json, finite

    def entry(one: Compared) -> dict[str, Any]:
        return {
            "a": one.a,
            "b": one.b,
            "metric": one.column.metric,
            "protocol": one.column.protocol,
            "unit": one.column.unit,
            "better": one.column.better,
            "mean_a": finite(one.mean_a),
            "mean_b": finite(one.mean_b),
            "b_minus_a": difference_json(one.difference),
            "decision": one.decision,
            "seeds": one.n_seeds,
        }

    document = {
        "a": str(args.a),
        "b": str(args.b),
        "correction": "Holm over the systems of each metric",
        "compared": [entry(one) for one in found.compared],
        "unpaired": list(found.gaps),
        "notes": list(found.notes),
    }
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
