"""`vcbench plan SUITE`: the cells, which are done and why the others are not; runs nothing."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from vcbench.cli import suite_arguments

if TYPE_CHECKING:
    from vcbench.planning import Plan
    from vcbench.suite import Cell as SuiteCell
    from vcbench.training_time import Estimate

UNKNOWN = "its plugin file is not executed without --trust-plugins"
HELP = "show the cells of a suite, which are done and why the others are not; runs nothing"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    suite_arguments.add(parser)
    suite_arguments.add_trust(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the plan."""
    from vcbench import paths
    from vcbench.planning import check_systems
    from vcbench.stored_cells import StoredCells
    from vcbench.terminal import say
    from vcbench.training_time import estimate

    plan = suite_arguments.plan_of(args, trust_plugins=args.trust_plugins)
    cache_dir = paths.writable_cache_dir()
    check_systems(plan, cache_dir)
    stored = StoredCells(cache_dir / "cells")
    expected = estimate(plan, stored, jobs=suite_arguments.jobs_of(args, plan))
    if args.json:
        print(json.dumps(_document(plan, expected), indent=2))
    else:
        _print(plan, expected)
    registry = plan.suite.registry
    if registry.files and not registry.trusted:
        say(
            f"plugins not executed: {', '.join(map(str, registry.files))}; whether systems that "
            "use them can be built was not checked; if you trust them, give --trust-plugins ('run' "
            "executes them)"
        )
    return 0


def _iterations(plan: Plan, cell: SuiteCell) -> int:
    return plan.suite.systems[cell.system].training.iterations


def _document(plan: Plan, expected: Estimate) -> dict[str, Any]:
    from dataclasses import asdict

    from vcbench.training.files import CHECKPOINT

    cells = [
        {
            "cell": p.cell.id,
            "key": p.key,
            "done": p.done,
            "reason": p.reason,
            "iterations": {"done": p.iterations, "total": p.cell.recipe.iterations},
            "checkpoint": str(p.folder / CHECKPOINT),
        }
        for p in plan.cells
    ]
    cells += [
        {
            "cell": cell.id,
            "key": None,
            "done": None,
            "reason": UNKNOWN,
            "iterations": {"done": None, "total": _iterations(plan, cell)},
            "checkpoint": None,
        }
        for cell in plan.unknown
    ]
    return {
        "cells": cells,
        "external": [cell.id for cell in plan.external],
        "baselines": [cell.id for cell in plan.baselines],
        "features": {"total": len(plan.features), "missing": plan.missing_features},
        "training_time": asdict(expected),
    }


def _print(plan: Plan, expected: Estimate) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from vcbench.terminal import console, count_of

    screen = console()
    others = (*plan.unknown, *plan.baselines)
    ids = [*(planned.cell.id for planned in plan.cells), *(cell.id for cell in others)]
    # An id is never cut, or seeds would look alike; the reason goes onto more lines first.
    whole = max(map(len, ids)) + 30 <= screen.width
    table = Table(Column("cell", overflow="fold", no_wrap=whole), "done", "why")
    for planned in plan.cells:
        done = "yes" if planned.done else "no"
        table.add_row(Text(planned.cell.id), done, Text(planned.reason, overflow="fold"))
    for cell in plan.unknown:
        table.add_row(Text(cell.id), "?", UNKNOWN)
    for cell in plan.external:
        table.add_row(Text(cell.id), "-", "converted elsewhere: nothing to train")
    for cell in plan.baselines:
        table.add_row(Text(cell.id), "-", "a baseline: nothing to train")
    screen.print(table)
    unknown = f", {len(plan.unknown)} unknown" if plan.unknown else ""
    cells = count_of(len(plan.cells) + len(plan.unknown), "cell")
    utterances = count_of(len(plan.features), "utterance")
    screen.print(
        f"{sum(p.done for p in plan.cells)} of {cells} done{unknown}; "
        f"{plan.missing_features} of {utterances} to analyse"
    )
    for line in _times(expected):
        screen.print(line, highlight=False, markup=False)


def _times(expected: Estimate) -> list[str]:
    """How long it will take, and from what that is known; nothing where nothing is left to do."""
    from vcbench.training_time import clock

    lines = []
    if expected.seconds is not None:
        speeds = ", ".join(f"{name} {speed:.3g} it/s" for name, speed in expected.speeds.items())
        lines.append(
            f"training: about {clock(expected.seconds)} with --jobs {expected.jobs}, if as fast as "
            f"like cells in the cache ({speeds}); conversion and scores come on top"
        )
    if expected.unknown:
        lines.append(
            f"training time unknown: {', '.join(expected.unknown)}: no like cell in the cache has "
            "been trained to its end"
        )
    return lines
