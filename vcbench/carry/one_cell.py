"""What a process of its own does on the other machine: train one cell, or measure its speed.

PyTorch, NumPy and the standard library alone.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from vcbench import locks
from vcbench.carry.pack_names import FAILED, MACHINE, folder_of, speed_file
from vcbench.cell import BUSY, STOPPED, give_way
from vcbench.errors import VcbenchError
from vcbench.training.files import CELL, CHECKPOINT, write_json


def measure(folder: Path, entry: dict[str, Any], options: argparse.Namespace) -> int:
    """Measure the speed of an entry's system."""
    import torch

    from vcbench.plugins import Registry
    from vcbench.throughput import measure_networks

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C, which is for the parent, reaches all
    torch.set_num_threads(options.threads or torch.get_num_threads())
    torch.set_flush_denormal(True)
    try:
        cell = _cell(folder, entry["key"])
        place = folder / "cells" / folder_of(entry["key"])
        rows = measure_networks(cell, Registry(cell.plugin_files), place, seconds=options.speed_s)
    except VcbenchError as error:
        print(f"speed of {entry['cell']}: {_one_line(error)}", file=sys.stderr)
        return 1
    write_json(speed_file(options.work, entry), rows)
    return 0


def train_one(folder: Path, entry: dict[str, Any], options: argparse.Namespace) -> int:
    """Train a cell, and keep what its generators answer; ends as `python -m vcbench.cell` does.

    A failure that another try would repeat is kept in the cell's folder.
    """
    import torch

    from vcbench.training.memory import keep_freed_memory

    stops: list[int] = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _: stops.append(number))

    def stop_requested() -> bool:
        # Whose parent was killed has another one: nobody would stop it when the time is up.
        return bool(stops) or os.getppid() != options.parent

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    work = options.work / folder_of(entry["key"])
    lock = locks.take(work, on_lost=give_way, stop_requested=stop_requested)
    if isinstance(lock, locks.Owner):
        print(f"{lock} trains it; it is not trained twice", file=sys.stderr)
        return BUSY
    if lock is None:
        return STOPPED
    with lock:
        try:
            return _train(folder, entry, work, stop_requested, options.at_once)
        except VcbenchError as error:
            (work / FAILED).write_text(_one_line(error), encoding="utf-8")
            return 1


def _train(
    folder: Path,
    entry: dict[str, Any],
    work: Path,
    stop_requested: Callable[[], bool],
    at_once: int,
) -> int:
    from vcbench import mapped
    from vcbench.plugins import Registry
    from vcbench.sittings import keep_points, points_of, train_in_sittings
    from vcbench.training.checkpoint import Checkpoint

    cell = _cell(folder, entry["key"])
    registry = Registry(cell.plugin_files)
    curve, evaluation = (
        {s: [folder / "features" / n for n in names] for s, names in entry[part].items()}
        for part in ("curve", "evaluation")
    )
    every, iterations = entry["every"], cell.recipe.iterations
    points = points_of(iterations, every) if every else [iterations]
    kept = keep_points(work, registry, curve) if every else _nothing
    done = train_in_sittings(cell, work, points, kept, stop_requested=stop_requested)
    if done is None:
        return STOPPED
    found = mapped.answers(Checkpoint.load(work / CHECKPOINT), registry, evaluation)
    mapped.save(work / mapped.MAPPED, found)
    write_json(work / MACHINE, _machine(cell.device, at_once))
    return 0


def _nothing(point: int, checkpoint: object) -> None:
    """No learning curve was asked for."""
    del point, checkpoint


def _machine(device: str, at_once: int) -> dict[str, Any]:
    from vcbench import environment

    versions = {package: metadata.version(package) for package in ("torch", "numpy")}
    return {**environment.machine(device), "cells_at_once": at_once, **versions}


def _cell(folder: Path, key: str) -> Any:
    """The packed cell, its paths those of this machine."""
    from vcbench.training.cell import Cell

    cell = Cell.read(folder / "cells" / folder_of(key) / CELL)

    def here(part: Any) -> dict[str, tuple[str, ...]]:
        return {s: tuple(str(folder / "features" / n) for n in names) for s, names in part.items()}

    return replace(
        cell,
        train_features=here(cell.train_features),
        validation_features=here(cell.validation_features),
        plugin_files=tuple(str(folder / name) for name in cell.plugin_files),
    )


def _one_line(error: VcbenchError) -> str:
    return " ".join(str(error).split("\n"))
