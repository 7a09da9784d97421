"""`vcbench compare A B`: two runs, or two results of `vcbench score`, score by score."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcbench.reporting.two_results import Compared, TwoResults

HELP = "compare two runs, or two results of 'vcbench score', on the same sentences"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    what = "a run's folder (reports/SUITE/latest), or a file of 'vcbench score --json' or '--csv'"
    parser.add_argument("a", type=Path, metavar="RESULTS_A", help=what)
    parser.add_argument("b", type=Path, metavar="RESULTS_B", help="the same, set against it")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the comparison as a page")
    parser.add_argument(
        "--table",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="write the summary (.md, .tex) or every pair of scores (.csv, .parquet); repeatable",
    )
    parser.add_argument(
        "--fail-if-worse",
        action="store_true",
        help="exit with 1 if B is significantly worse in any metric, corrected for all systems and "
        "metrics together, and with 3 if that cannot be told",
    )


def execute(args: argparse.Namespace) -> int:
    """Compare, print and write what is asked for.

    Returns 1 if B is worse and that is to fail, else 3 if that cannot be told or something stands
    on one side only, else 0.
    """
    from vcbench import terminal
    from vcbench.reporting.two_pages import write_page, write_table
    from vcbench.reporting.two_results import compare_results, read_results

    a, b = read_results(args.a), read_results(args.b)
    found = compare_results(a, b)
    if args.json:
        _print_json(args, found)
    else:
        _print_table(args, found)
    for path in args.table:
        write_table(path, a, b, found)
    if args.html:
        write_page(args.html, a, b, found)
    for line in [*found.notes, *found.gaps]:
        terminal.say(line)
    for path in [*args.table, *([args.html] if args.html else [])]:
        terminal.say(f"written: {path}")
    code = _gate(found) if args.fail_if_worse else 0
    return code or (3 if found.gaps else 0)


def _gate(found: TwoResults) -> int:
    """1 where B is worse, else 3 where the gate could not have closed; says on stderr where."""
    from vcbench import terminal
    from vcbench.reporting import format as fmt
    from vcbench.reporting.two_pages import undecidable, undirected, worse
    from vcbench.reporting.wording import gap

    bad = worse(found)
    total = fmt.count_of(len(found.compared), "comparison")
    for one in bad:
        decimals = fmt.decimals_for((one.mean_a, one.mean_b))
        size = gap(one.difference, one.column, decimals)
        terminal.say(
            f"WORSE {one.named}: {size} "
            f"({fmt.probability(one.difference.p_holm)}, corrected for all of {total})"
        )
    few = (
        f"too few seeds or sentences for any claim about {total}, which needs {found.needed} of "
        "each"
    )
    unknown = (
        "which way is better stands in neither of the two, and no installed metric has the name; "
        "compare runs' folders or files of 'vcbench score --json', which tell it"
    )
    unseen = [(few, undecidable(found)), (unknown, undirected(found))]
    for reason, blind in unseen:
        if blind:
            named = fmt.listing(one.named for one in blind)
            n = fmt.count_of(len(blind), "comparison")
            terminal.say(f"--fail-if-worse cannot see {n} ({named}): {reason}")
    return 1 if bad else 3 if any(blind for _, blind in unseen) else 0


def _print_table(args: argparse.Namespace, found: TwoResults) -> None:
    from rich.table import Table
    from rich.text import Text

    from vcbench.reporting.grid import header
    from vcbench.reporting.two_pages import by_metric, how, summary_grid
    from vcbench.terminal import console

    out = console()
    for column, family in by_metric(found).items():
        grid = summary_grid(family, needed_seeds=found.needed)
        table = Table(title=Text(header(column)))
        for i, title in enumerate(grid.headers):
            table.add_column(title, justify="left" if i in grid.text_columns else "right")
        for row in grid.rows:
            table.add_row(*map(Text, row))
        out.print(table)
    out.print(f"A: {args.a}\nB: {args.b}\n{how(found)}", style="dim", highlight=False)


def _print_json(args: argparse.Namespace, found: TwoResults) -> None:
    import json

    from vcbench.reporting.machine import difference_json, finite
    from vcbench.reporting.two_pages import worse

    def entry(one: Compared) -> dict[str, Any]:
        return {
            "a": one.a,
            "b": one.b,
            "metric": one.column.metric,
            "protocol": one.column.protocol,
            "unit": one.column.unit,
            "better": one.column.better or None,
            "mean_a": finite(one.mean_a),
            "mean_b": finite(one.mean_b),
            "b_minus_a": difference_json(one.difference),
            "decision": one.decision,
            "seeds": one.n_seeds,
        }

    document = {
        "a": str(args.a),
        "b": str(args.b),
        "correction": f"Holm over all {len(found.compared)} comparisons of a system in a metric",
        "seeds_and_sentences_needed": found.needed,
        "compared": [entry(one) for one in found.compared],
        "worse_in_any": [
            {
                "b": one.b,
                "metric": one.column.metric,
                "protocol": one.column.protocol,
                "p_holm": one.difference.p_holm,
            }
            for one in worse(found)
        ],
        "unpaired": list(found.gaps),
        "notes": list(found.notes),
    }
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
