"""`python -m vcbench.training CELL.json [FOLDER]`: train one cell in a process of its own.

Exit codes: 0 trained; 1 failed, with the reason in one line on stderr; 130 stopped by SIGINT or
SIGTERM after a whole iteration, with a checkpoint from which the same command continues.
"""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Train the cell that the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m vcbench.training", description=__doc__)
    parser.add_argument("cell", type=Path, help="the cell's JSON file")
    parser.add_argument("folder", type=Path, nargs="?", help="where results go (default: beside)")
    parser.add_argument("--threads", type=int, default=0, help="PyTorch threads (default: all)")
    parser.add_argument("--tensorboard", action="store_true", help="write event files too")
    options = parser.parse_args(arguments)

    import torch

    from vcbench.errors import VcbenchError
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
        folder = options.folder or options.cell.parent
        with _alone(folder, stops) as alone:
            done = alone and train(
                cell,
                folder,
                stop_requested=lambda: bool(stops),
                tensorboard=options.tensorboard,
            )
            if done:
                return 0
        print(f"{cell.id}: stopped; the same command continues where it was", file=sys.stderr)
        return 130
    except VcbenchError as error:
        # The harness shows the last line as the reason: there must be one only.
        print(" ".join(str(error).split("\n")), file=sys.stderr)
        return 1


@contextmanager
def _alone(folder: Path, stops: list[int]) -> Iterator[bool]:
    """Wait until no other process trains in `folder`: two would write over each other's files.

    Yields False if told to stop before that. The kernel frees the lock when its holder ends,
    however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        while not stops:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.2)
            else:
                break
        yield not stops


if __name__ == "__main__":
    sys.exit(main())
