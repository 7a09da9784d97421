"""`python -m vcbench.cell CELL.json [FOLDER]`: train one cell in a process of its own.

Exit codes: 0 trained; 1 failed, with the reason in one line on stderr; 75 another process trains
this cell at this moment; 130 stopped by SIGINT or SIGTERM after a whole iteration, with a
checkpoint from which the same command continues.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from vcbench import exclusive, locks

STOPPED = 130  # exit codes; see the module
BUSY = 75


def main(arguments: list[str] | None = None) -> int:
    """Train the cell that the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vcbench.cell", description=__doc__)
    parser.add_argument("cell", type=Path, help="the cell's JSON file")
    parser.add_argument("folder", type=Path, nargs="?", help="where results go (default: beside)")
    parser.add_argument("--threads", type=int, default=0, help="PyTorch threads (default: all)")
    parser.add_argument("--tensorboard", action="store_true", help="write event files too")
    parser.add_argument(
        "--trust-plugins",
        action="store_true",
        help="execute the plugin files that the cell names; without it such a cell is refused",
    )
    options = parser.parse_args(arguments)

    import torch

    from vcbench.errors import CellFailure, UsageError, VcbenchError
    from vcbench.training.cell import Cell
    from vcbench.training.loop import train
    from vcbench.training.memory import keep_freed_memory

    if options.threads:
        torch.set_num_threads(options.threads)
    # Denormal numbers appear as activations die out and make CPU convolutions many times slower.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    stops: list[int] = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _: stops.append(number))
    try:
        cell = Cell.read(options.cell)
        if cell.plugin_files and not options.trust_plugins:
            raise UsageError(
                f"{options.cell} names plugin files, {', '.join(cell.plugin_files)}; they are "
                "executed only with --trust-plugins"
            )
        folder = options.folder or options.cell.parent
        try:
            lock = locks.take(folder, on_lost=give_way, stop_requested=lambda: bool(stops))
        except OSError as error:
            raise CellFailure(f"{folder}: cannot be written ({error.strerror})") from None
        if isinstance(lock, locks.Owner):
            print(f"{cell.id}: {lock} trains it; it is not trained twice", file=sys.stderr)
            return BUSY
        if lock is not None:
            with lock, _beside_no_measurement(folder, stops):
                done = train(
                    cell,
                    folder,
                    stop_requested=lambda: bool(stops),
                    tensorboard=options.tensorboard,
                )
            if done:
                return 0
        print(f"{cell.id}: stopped; the same command continues where it was", file=sys.stderr)
        return STOPPED
    except VcbenchError as error:
        # The harness shows the last line as the reason: there must be one only.
        print(" ".join(str(error).split("\n")), file=sys.stderr)
        return 1


def give_way() -> None:
    """Another process has taken the cell over, this one having been held up for long."""
    print("another process has taken this cell over; this one ends", file=sys.stderr, flush=True)
    os._exit(BUSY)  # at once: whatever it did now, it would do to the other's files


def _beside_no_measurement(folder: Path, stops: Sequence[int]) -> AbstractContextManager[None]:
    """A cell of a cache shares the machine with others that train, not with one that measures."""
    if folder.resolve().parent.name != "cells":  # run by hand somewhere else
        return nullcontext()
    return exclusive.training(folder.resolve().parent, stop_requested=lambda: bool(stops))


if __name__ == "__main__":
    sys.exit(main())
