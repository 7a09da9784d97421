"""The `vcbench` command: one file per subcommand, which parses, calls and prints.

A subcommand's module has HELP, `configure(parser)` and `execute(args) -> exit code`, and imports
whatever is slow inside `execute`, so that `--help` and completion stay instant.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import vcbench
from vcbench.errors import VcbenchError, did_you_mean
from vcbench.interrupts import counted_interrupts
from vcbench.terminal import say

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
    "cache",
    "results",
    "doctor",
    "completion",
)


class _Parser(argparse.ArgumentParser):
    """Its subcommands are of this class too."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse's, which does not tell what was meant before Python 3.14."""
        if action.choices is not None and value not in action.choices:
            hint = did_you_mean(str(value), map(str, action.choices))
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}: {hint}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code.

    0 all is well; 1 a cell or a file failed; 2 the suite or the usage is wrong; 3 not all of it is
    there yet; 130 interrupted.
    """
    parser = _Parser(
        prog="vcbench",
        description="A benchmark and evaluation harness for voice-conversion architectures.",
        epilog="exit codes: 0 all is well, 1 a cell or a file failed, 2 the suite or the usage is "
        "wrong, 3 not all of it is there yet, 130 interrupted. 'vcbench COMMAND --help' "
        "tells more.",
    )
    parser.add_argument("--version", action="version", version=f"vcbench {vcbench.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"vcbench.cli.{name}")
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.configure(sub)
        sub.set_defaults(execute=module.execute)
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what may come next
        from vcbench.cli.completion import complete

        complete(parser)
    args = parser.parse_args(arguments)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us, as by `>&-`
            setattr(sys, name, io.StringIO())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal that has no arrows gets question marks
    try:
        return int(args.execute(args))
    except VcbenchError as error:
        say(f"vcbench {args.command}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        again = shlex.join(["vcbench", *(sys.argv[1:] if arguments is None else arguments)])
        with counted_interrupts():  # an impatient one must not become a traceback
            say(
                f"vcbench {args.command}: interrupted; what was finished is kept, and the same "
                f"command continues from there: {again}"
            )
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return _end_quietly()
        say(f"vcbench {args.command}: {error}")
        return 2


def _end_quietly() -> int:
    """The reader of our output has gone, as in `vcbench list | head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
