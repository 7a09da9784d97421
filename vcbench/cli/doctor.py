"""`vcbench doctor`: what vcbench needs of this machine, and what to do where it is missing."""

from __future__ import annotations

import argparse
import json

HELP = "check versions, GPU, disk, audio libraries and corpora, and say how to fix what is wrong"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--data", metavar="DIR", help="where corpora lie (VCBENCH_DATA_DIR)")
    parser.add_argument("--reports", metavar="DIR", help="where reports go (VCBENCH_REPORTS_DIR)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the checks; 1 if something that is needed is broken."""
    from dataclasses import asdict

    from vcbench import doctor, paths

    found = doctor.checks(paths.data_dir(args.data), paths.reports_dir(args.reports))
    if args.json:
        made = list(found)
        broken = sum(check.status == "broken" for check in made)
        print(json.dumps({"ok": not broken, "checks": [asdict(c) for c in made]}, indent=2))
        return int(broken > 0)
    from rich.text import Text

    from vcbench.terminal import console

    screen = console()
    styles = {"ok": "green", "note": "yellow", "broken": "bold red"}
    broken = 0
    for check in found:  # each as it is made: PyTorch takes a moment
        broken += check.status == "broken"
        line = Text.assemble((f"{check.status:<6} ", styles[check.status]), f"{check.name}: ")
        screen.print(line.append(check.found), soft_wrap=True)
        if check.fix:
            screen.print(Text(f"       -> {check.fix}"), soft_wrap=True)
    screen.print(f"{broken} broken" if broken else "nothing that is needed is broken")
    return int(broken > 0)
