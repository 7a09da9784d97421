"""Arguments that tell what one cell may take, and how cells are divided between machines."""

from __future__ import annotations

import argparse
import math
import re
from typing import TYPE_CHECKING

from vcbench.errors import UsageError

if TYPE_CHECKING:
    from vcbench.engines import Resources
    from vcbench.shards import Shard

_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_BYTES = {"B": 1} | {
    f"{prefix}{unit}": base ** (power + 1)
    for power, prefix in enumerate("KMGT")
    for unit, base in (("B", 1000), ("iB", 1024))
}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to the parser of `run`."""
    parser.add_argument(
        "--engine-option",
        action="append",
        default=[],
        metavar="a=b",
        help="an option of the engine, such as address=auto",
    )
    parser.add_argument(
        "--cpus",
        type=int,
        metavar="N",
        help="processors of each cell (default: this machine's, divided by --jobs)",
    )
    parser.add_argument(
        "--gpus",
        type=float,
        metavar="X",
        help="of a GPU for each cell: 0.5 lets two share one (default: 1 with --device cuda)",
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="6h", help="stop a cell that trains for longer"
    )
    parser.add_argument(
        "--memory", type=_bytes, metavar="8GB", help="stop a cell that holds more memory"
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        metavar="i/n",
        help="train only this part of the cells, on one of n machines that share the cache; the "
        "exit code is 3 until all parts are there",
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="train only the cells that failed before"
    )


def resources_of(args: argparse.Namespace, *, device: str, jobs: int) -> Resources:
    """What one cell is given; raises `UsageError` for what cannot be given."""
    from vcbench.engines import Resources
    from vcbench.parallel import threads_per_job

    if args.cpus is not None and args.cpus < 1:
        raise UsageError(f"--cpus {args.cpus}: must be at least 1, the processors of a cell")
    gpus = args.gpus
    if gpus is None:
        gpus = 1.0 if device == "cuda" else 0.0
    elif device != "cuda":
        raise UsageError(f"--gpus {gpus:g}: cells train on the {device}; use --device cuda")
    elif not 0 < gpus <= 1:
        raise UsageError(f"--gpus {gpus:g}: must be above 0 and at most 1: a cell uses one GPU")
    cpus = args.cpus or threads_per_job(jobs)
    return Resources(cpus, gpus, args.memory, args.timeout)


def options_of(args: argparse.Namespace) -> dict[str, str]:
    """What `--engine-option` gave; raises `UsageError` for what is no `a=b`, or given twice."""
    found: dict[str, str] = {}
    for text in args.engine_option:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--engine-option {text}: must be like address=auto")
        if name in found:
            raise UsageError(f"--engine-option {text}: '{name}' is given twice")
        found[name] = value
    return found


def _seconds(text: str) -> float:
    return _quantity(text, _SECONDS, "a time such as 90s, 30m, 6h or 2d")


def _bytes(text: str) -> int:
    return int(_quantity(text, _BYTES, "an amount of memory such as 512MB, 8GB or 8GiB"))


def _quantity(text: str, units: dict[str, int], what: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text)
    value = float(found[1]) * units.get(found[2], 0) if found else 0.0
    if not (0 < value < math.inf):
        raise argparse.ArgumentTypeError(f"'{text}' is not {what}")
    return value


def _shard(text: str) -> Shard:
    from vcbench.shards import Shard

    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a part i/n with i from 1 to n, such as 1/4"
        )
    return Shard(int(found[1]), int(found[2]))
