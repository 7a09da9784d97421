"""`vcbench list [KIND]`: what can be named in a suite, and where each comes from."""

from __future__ import annotations

import argparse
import json
from typing import Any

from vcbench.discovery import NETWORKS
from vcbench.plugins import PLURALS

HELP = "list generators, discriminators, objectives, metrics, corpora, engines and suites"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("kind", nargs="?", choices=(*PLURALS, "suites"), help="only this kind")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the names; a plugin that cannot be used is listed with the reason."""
    from vcbench.plugins import Registry

    registry = Registry()
    listing: dict[str, list[dict[str, Any]]] = {}
    for plural, kind in PLURALS.items():
        if args.kind in (None, plural):
            listing[plural] = [
                {
                    "name": d.name,
                    "summary": d.summary,
                    **d.details,
                    **({"parameters": d.parameters} if kind in NETWORKS else {}),
                    "origin": d.origin,
                    "problem": d.problem,
                }
                for d in registry.declarations(kind)
            ]
    if args.kind in (None, "suites"):
        from suites import shipped

        listing["suites"] = [{"name": name, "summary": summary} for name, summary in shipped()]
    if args.json:
        print(json.dumps(listing, indent=2))
        return 0
    from rich.markup import escape
    from rich.table import Table

    from vcbench.terminal import console

    screen = console()
    for plural, entries in listing.items():
        table = Table(title=plural, title_justify="left", box=None, pad_edge=False)
        counted = PLURALS.get(plural) in NETWORKS
        for heading in ("name", "what it is", "paper"):
            # A name is typed as it stands: it is never broken.
            table.add_column(heading, overflow="fold", no_wrap=heading == "name")
        if counted:
            table.add_column("parameters", justify="right", no_wrap=True)
        for entry in entries:
            problem = entry.get("problem")
            text = f"cannot be used: {problem}" if problem else entry["summary"]
            row = [escape(part) for part in (entry["name"], text, entry.get("paper", ""))]
            if counted:
                count = entry["parameters"]
                row.append("" if count is None else f"{count:,}")
            table.add_row(*row)
        screen.print(table)
        screen.print()
    return 0
