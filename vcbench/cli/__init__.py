"""The `vcbench` command: one file per subcommand, which parses, calls and prints.

A subcommand's module has HELP, `configure(parser)` and `execute(args) -> exit code`, and imports
whatever is slow inside `execute`, so that `--help` and completion stay instant.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

import vcbench
from vcbench.errors import VcbenchError

COMMANDS = (
    "run",
    "plan",
    "list",
    "show",
    "bench",
    "new",
    "check",
    "data",
    "convert",
    "score",
    "compare",
    "report",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code.

    0 all is well; 1 a cell or a file failed; 2 the suite or the usage is wrong; 3 what is compared
    is not all there; 130 interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="vcbench",
        description="A benchmark and evaluation harness for voice-conversion architectures.",
        epilog="exit codes: 0 all is well, 1 a cell or a file failed, 2 the suite or the usage is "
        "wrong, 3 what is compared is not all there, 130 interrupted. 'vcbench COMMAND --help' "
        "tells more.",
    )
    parser.add_argument("--version", action="version", version=f"vcbench {vcbench.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"vcbench.cli.{name}")
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.configure(sub)
        sub.set_defaults(execute=module.execute)
    args = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that has no arrows gets question marks
    try:
        return int(args.execute(args))
    except VcbenchError as error:
        print(f"vcbench {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            f"vcbench {args.command}: interrupted; what was finished is kept, and the same "
            "command continues from there",
            file=sys.stderr,
        )
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return _end_quietly()
        print(f"vcbench {args.command}: {error}", file=sys.stderr)
        return 2


def _end_quietly() -> int:
    """The reader of our output has gone, as in `vcbench list | head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
