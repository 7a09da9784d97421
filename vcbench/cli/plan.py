"""`vcbench plan SUITE`: the cells, which are done and why the others are not; runs nothing."""

from __future__ import annotations

import argparse
import json

from vcbench.cli import suite_arguments

HELP = "show the cells of a suite, which are done and why the others are not; runs nothing"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    suite_arguments.add(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the plan."""
    from vcbench import paths
    from vcbench.planning import check_systems
    from vcbench.training.files import CHECKPOINT

    plan = suite_arguments.plan_of(args)
    check_systems(plan, paths.writable_cache_dir())
    if args.json:
        cells = [
            {
                "cell": p.cell.id,
                "key": p.key,
                "done": p.done,
                "reason": p.reason,
                "checkpoint": str(p.folder / CHECKPOINT),
            }
            for p in plan.cells
        ]
        baselines = [cell.id for cell in plan.baselines]
        external = [cell.id for cell in plan.external]
        features = {"total": len(plan.features), "missing": plan.missing_features}
        document = {"cells": cells, "external": external, "baselines": baselines}
        print(json.dumps({**document, "features": features}, indent=2))
        return 0
    from rich.table import Column, Table

    from vcbench.terminal import console

    screen = console()
    ids = [*(planned.cell.id for planned in plan.cells), *(cell.id for cell in plan.baselines)]
    # An id is never cut, or seeds would look alike; the reason goes onto more lines first.
    whole = max(map(len, ids)) + 30 <= screen.width
    table = Table(Column("cell", overflow="fold", no_wrap=whole), "done", "why")
    for planned in plan.cells:
        table.add_row(planned.cell.id, "yes" if planned.done else "no", planned.reason)
    for cell in plan.external:
        table.add_row(cell.id, "-", "converted elsewhere: nothing to train")
    for cell in plan.baselines:
        table.add_row(cell.id, "-", "a baseline: nothing to train")
    screen.print(table)
    screen.print(
        f"{sum(p.done for p in plan.cells)} of {len(plan.cells)} cells done; "
        f"{plan.missing_features} of {len(plan.features)} utterances to analyse"
    )
    return 0
