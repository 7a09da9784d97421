"""`vcbench check NAME`: does a generator or discriminator keep the contract, and where not, why."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from typing import Any

from vcbench.cli import plugin_arguments
from vcbench.discovery import NETWORKS

HELP = "check a generator or discriminator against the contract of its kind"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    plugin_arguments.add(parser, name_help="a generator or a discriminator")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the checks; 1 if one fails."""
    with redirect_stdout(sys.stderr):  # a plugin may print, and stdout is for the results
        found = _found(args)
    failed = sum(result["passed"] is False for result in found["checks"])
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found["name"], found["kind"], found["origin"], found["checks"], failed)
    return 1 if failed else 0


def _found(args: argparse.Namespace) -> dict[str, Any]:
    registry = plugin_arguments.registry_of(args.name, args.plugin)
    from vcbench.testing import all_checks

    kind = registry.kind_of(args.name, NETWORKS)
    plugin = registry.get(kind, args.name)
    options = plugin_arguments.options_of(plugin, args.option)
    results: list[dict[str, Any]] = []
    for check in all_checks(registry, args.name, options=options):
        passed, reason = (None, check.left_out) if check.left_out else (True, "")
        if not check.left_out:
            try:
                check()
            except AssertionError as error:
                passed, reason = False, str(error)
        results.append(
            {"name": check.name, "summary": check.summary, "passed": passed, "reason": reason}
        )
    return {"name": args.name, "kind": kind, "origin": plugin.origin, "checks": results}


def _print(name: str, kind: str, origin: str, results: list[dict[str, Any]], failed: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    from vcbench.terminal import console

    screen = console()
    screen.print(f"[bold]{name}[/] ({kind}, {escape(origin)})", highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("check", "result", "what it is, or why it is left out"):
        table.add_column(heading, overflow="fold")
    words = {True: "pass", False: "[bold red]FAIL[/]", None: "left out"}
    for result in results:
        said = result["reason"] if result["passed"] is None else result["summary"]
        table.add_row(result["name"], words[result["passed"]], escape(said))
    screen.print(table)
    by_reason: dict[str, list[str]] = {}
    for result in results:
        if result["passed"] is False:
            # All of them say the same where the plugin cannot even be built.
            reason = result["reason"].partition(f" fails '{result['name']}': ")[2]
            by_reason.setdefault(reason, []).append(result["name"])
    for reason, names in by_reason.items():
        screen.print(f"[bold]{', '.join(names)}[/]: {escape(reason)}", highlight=False)
    made = sum(result["passed"] is not None for result in results)
    said = f"{failed} of {made} checks failed" if failed else f"all {made} checks passed"
    screen.print(said, highlight=False)
