"""`vcbench cache ls|gc`: what the cache holds, and making room in it."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vcbench.cli import suite_arguments
from vcbench.errors import UsageError

if TYPE_CHECKING:
    from vcbench.cache import Entry, Kind
    from vcbench.locks import Owner

HELP = "show what the cache holds and how much room it takes, or make room"
_UNITS_S = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ls and gc."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ls|gc")
    ls = actions.add_parser("ls", help="what takes how much room, by kind, suite and system")
    gc = actions.add_parser(
        "gc",
        help="remove what was not used for long, and what killed processes left",
        description="Remove what was not used for long and can be made again in minutes, and what "
        "killed processes had half written. Trainings are removed only with --kind cells. What a "
        "running process uses stays.",
    )
    for action in (ls, gc):
        action.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    gc.add_argument("--dry-run", action="store_true", help="say what would be removed, and stop")
    gc.add_argument(
        "--older-than",
        type=_seconds,
        default=_UNITS_S["d"] * 30,
        metavar="30d",
        help="what was not used for so long: 12h, 30d, 8w (default: 30d)",
    )
    gc.add_argument(
        "--kind", action="append", metavar="KIND", help="only this, as in `cache ls`; repeatable"
    )
    gc.add_argument(
        "--keep-suite",
        action="append",
        default=[],
        metavar="SUITE",
        help="keep all that this suite uses, under each of its budgets; repeatable",
    )
    gc.add_argument("--data", metavar="DIR", help="where its corpora lie (VCBENCH_DATA_DIR)")
    suite_arguments.add_trust(gc)
    gc.add_argument("--yes", action="store_true", help="do not ask (nor does it off a terminal)")


def execute(args: argparse.Namespace) -> int:
    """Run the action; 1 if something could not be removed."""
    return {"ls": _ls, "gc": _gc}[args.action](args)


def _ls(args: argparse.Namespace) -> int:
    from vcbench import cache, paths

    found = list(cache.entries(paths.cache_dir()))
    left = cache.temporaries(paths.cache_dir(), now=time.time())
    if args.json:
        print(json.dumps(_document(found, left), indent=2))
    else:
        _print(found, left)
    return 0


def _gc(args: argparse.Namespace) -> int:
    from vcbench import cache, paths, usage
    from vcbench.terminal import say

    kinds = _kinds(args.kind)
    cache_dir, now = paths.cache_dir(), time.time()
    keep, names = _kept(args)
    run = usage.oldest_run(cache_dir, on_wait=_say_waiting)
    begun = None if run is None else run[0]
    if run is not None and run[0] < now - args.older_than:
        say(f"{run[1]}, runs a suite: what was used since stays; to free that too, end it first")
    removed = cache.chosen(
        cache.entries(cache_dir),
        kinds=kinds,
        older_than_s=args.older_than,
        now=now,
        in_use_since=begun,
        keep=keep,
        keep_suites=names,
    )
    left = cache.temporaries(cache_dir, now=now)
    by_kind = cache.totals(removed)
    size = _size(sum(entry.n_bytes for entry in (*removed, *left)))
    lines = [f"{k}: {len(v)}, {_size(sum(e.n_bytes for e in v))}" for k, v in by_kind.items()]
    if left:
        lines.append(f"half-written files: {len(left)}, {_size(sum(e.n_bytes for e in left))}")
    for line in lines:
        say(line)
    if not args.dry_run and lines and not _agreed(args, size):
        say("nothing was removed")
        return 0
    done, freed = 0, 0
    problems: list[str] = []
    if not args.dry_run:
        done, freed, problems = cache.remove((*removed, *left), cache_dir, on_wait=_say_waiting)
    for problem in problems:
        say(f"WARNING {problem}")
    if args.json:
        document = {
            "dry_run": args.dry_run,
            "chosen": [_plain(entry) for entry in removed],
            "half_written": [str(entry.path) for entry in left],
            "removed": done,
            "freed_bytes": freed,
            "problems": problems,
        }
        print(json.dumps(document, indent=2))
    elif args.dry_run:
        print(f"would free {size} in {cache_dir}; nothing was removed")
    else:
        print(f"freed {_size(freed)} in {cache_dir}")
    return 1 if problems else 0


def _say_waiting(owners: Sequence[Owner]) -> None:
    from vcbench import locks
    from vcbench.errors import some_of
    from vcbench.terminal import say

    say(
        f"waits until it is known whether these still run (at most {locks.STALE_S / 60:.0f} min):\n"
        f"  {some_of([str(owner) for owner in owners])}"
    )


def _agreed(args: argparse.Namespace, size: str) -> bool:
    """Whether to go on: asked where somebody can answer."""
    if args.yes or args.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print(f"free {size}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _kinds(given: Sequence[str] | None) -> tuple[Kind, ...]:
    from vcbench.cache import CHEAP, KINDS
    from vcbench.errors import did_you_mean

    if given is None:
        return CHEAP
    for name in given:
        if name not in KINDS:
            raise UsageError(f"--kind: the cache holds no '{name}': {did_you_mean(name, KINDS)}")
    return tuple(kind for kind in KINDS if kind in given)


def _kept(args: argparse.Namespace) -> tuple[set[Any], set[str]]:
    """Paths that the suites to keep use, and these suites' names."""
    from vcbench import paths
    from vcbench.kept_suites import used_by

    keep, names = set(), set()
    for suite in args.keep_suite:
        used = used_by(
            suite,
            data_dir=paths.data_dir(args.data),
            cache_dir=paths.cache_dir(),
            trust_plugins=args.trust_plugins,
        )
        keep |= used.paths
        names.add(used.name)
    return keep, names


def _document(found: Sequence[Entry], left: Sequence[Entry]) -> dict[str, Any]:
    from vcbench import cache, paths

    return {
        "folder": str(paths.cache_dir()),
        "bytes": sum(entry.n_bytes for entry in (*found, *left)),
        "kinds": {
            kind: {
                "entries": len(each),
                "bytes": sum(entry.n_bytes for entry in each),
                "oldest": min(entry.made for entry in each),
                "last_used": max(entry.used for entry in each),
            }
            for kind, each in cache.totals(found).items()
        },
        "half_written": {"entries": len(left), "bytes": sum(entry.n_bytes for entry in left)},
        "cells": [_plain(entry) for entry in found if entry.kind == "cells"],
    }


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "path": str(entry.path),
        "bytes": entry.n_bytes,
        "made": entry.made,
        "used": entry.used,
        "cell": entry.cell,
        "suites": list(entry.suites),
        "state": entry.state,
    }


def _print(found: Sequence[Entry], left: Sequence[Entry]) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from vcbench import cache, paths
    from vcbench.terminal import console

    screen = console()
    if not found and not left:
        print(f"{paths.cache_dir()}: nothing is kept there")
        return

    def right(title: str) -> Column:
        return Column(title, justify="right", no_wrap=True)

    table = Table("kind", right("entries"), right("size"), "oldest", "last used", "what")
    for kind, each in cache.totals(found).items():
        table.add_row(kind, *_row(each), Text(cache.WHAT[kind], overflow="fold"))
    if left:
        table.add_row("", *_row(left), "half-written files of killed processes")
    screen.print(table)
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in found:
        if entry.kind in ("cells", "conversions"):
            of = ", ".join(entry.suites) or "-"
            groups.setdefault((of, entry.system or "?"), []).append(entry)
    if groups:
        table = Table(
            "suite",
            Column("system", overflow="fold"),
            right("cells"),
            right("done"),
            right("size"),
            "oldest",
            "last used",
        )
        for (suite, system), each in sorted(groups.items()):
            cells = [entry for entry in each if entry.kind == "cells"]
            done = sum(entry.state == "done" for entry in cells)
            name = Text(suite), Text(system)
            table.add_row(*name, str(len(cells)), str(done), *_row(each)[1:])
        screen.print(table)
    total = _size(sum(entry.n_bytes for entry in (*found, *left)))
    screen.print(f"{paths.cache_dir()}: {total}", highlight=False, markup=False)


def _row(each: Sequence[Entry]) -> list[str]:
    """Entries, size, age of the oldest, and when one was last used."""
    from vcbench.cache import age

    ages = [age(min(e.made for e in each)), age(max(e.used for e in each))]
    return [str(len(each)), _size(sum(entry.n_bytes for entry in each)), *ages]


def _size(n_bytes: int) -> str:
    size, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhdw])", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no age: a number and m, h, d or w, such as 12h, 30d or 8w"
        )
    return float(found[1]) * _UNITS_S[found[2]]
