"""`vcbench report RUN_DIR`: render a run's tables and page again from its stored results."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "render the tables and the page of a run again from its stored results"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("run", type=Path, help="a run's folder, such as reports/demo/latest")
    parser.add_argument(
        "--inline-audio",
        action="store_true",
        help="put the sounds into the page, so that it can be sent as one file",
    )


def execute(args: argparse.Namespace) -> int:
    """Render, and print the table."""
    from vcbench import reporting
    from vcbench.parallel import default_jobs
    from vcbench.reporting.tables import print_answer, terminal_table
    from vcbench.terminal import console

    leaderboard = reporting.publish(args.run, inline_audio=args.inline_audio, jobs=default_jobs())
    screen = console()
    screen.print(terminal_table(leaderboard, screen.width))
    print_answer(leaderboard)
    print(f"report: {(args.run / 'index.html').resolve()}")
    return 0
