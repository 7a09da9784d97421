"""What runs on the other machine: train the packed cells within a time limit, and leave what fits.

Started by `train.py` in the pack, again and again: what is trained is not trained again, what was
begun goes on. SIGTERM and Ctrl-C end its time at once. PyTorch, NumPy and the standard library
alone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from vcbench.carry import bringing, one_cell
from vcbench.carry.pack_names import FAILED, INDEX, OUTPUT, folder_of, speed_file
from vcbench.cell import BUSY, STOPPED
from vcbench.training.files import CHECKPOINT, write_json

SAVING_S = 60.0  # kept of the time limit, for saving what is under way and writing what goes back
GRACE_S = 45.0
_POLL_S = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns 3 while there is something to train or to bring, then 1 if a cell failed or
    cannot be brought, else 0."""
    parser = argparse.ArgumentParser(prog="train.py", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="checkpoints; keep it")
    parser.add_argument("--out", type=Path, help="where results go that are new")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all of this call (9)")
    parser.add_argument("--at-once", type=int, default=1, help="cells at a time (1)")
    parser.add_argument("--threads", type=int, default=0, help="PyTorch threads of a cell")
    parser.add_argument(
        "--again",
        action="store_true",
        help="forget what was brought: it is brought again, by this call and those that follow",
    )
    parser.add_argument("--speed-s", type=float, default=1.0, help="of measuring a speed (1)")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--speed", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    folder = Path(sys.argv[0]).resolve().parent
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    entries = {entry["key"]: entry for entry in index["cells"]}
    if options.cell:
        return one_cell.train_one(folder, entries[options.cell], options)
    if options.speed:
        return one_cell.measure(folder, entries[options.speed], options)
    limit = _Limit(60 * options.minutes - SAVING_S)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.again:
        bringing.forget(entries, options.work)
    _measure_speeds(folder, entries, options, limit)
    _train_all(folder, entries, options, limit)
    if options.out:
        bringing.bring(entries, options.work, options.out)
    return _report(entries, options)


class _Limit:
    """The time of a call, which is up after so many seconds, or when it is told to end."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self.is_told = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)

    def is_over(self) -> bool:
        return self.is_told or time.monotonic() >= self._deadline

    def _end(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.is_told = True


def _measure_speeds(
    folder: Path, entries: dict[str, Any], options: argparse.Namespace, limit: _Limit
) -> None:
    """The speed of each system, before anything else is under way."""
    first: dict[Path, str] = {}
    for key, entry in entries.items():
        first.setdefault(speed_file(options.work, entry), key)
    for place, key in first.items():
        if place.exists() or limit.is_over():
            continue
        process = subprocess.Popen(
            _command(folder, options, "--speed", key), stdin=subprocess.DEVNULL
        )
        # Seconds, which are no use if they are cut short: the time limit alone does not.
        while process.poll() is None and not limit.is_told:
            time.sleep(_POLL_S)
        process.terminate()
        process.wait()


def _train_all(
    folder: Path, entries: dict[str, Any], options: argparse.Namespace, limit: _Limit
) -> None:
    """Go through the cells in the pack's order, each once, `--at-once` at a time, until the time is
    up."""
    waiting = [key for key in entries if not _has_ended(options.work / folder_of(key))]
    running: dict[str, subprocess.Popen[bytes]] = {}
    while (waiting or running) and not limit.is_over():
        while waiting and len(running) < options.at_once:
            key = waiting.pop(0)
            work = options.work / folder_of(key)
            work.mkdir(exist_ok=True)
            # Not emptied: another process may train this cell, and say there what it does.
            with (work / OUTPUT).open("ab") as output:
                running[key] = subprocess.Popen(
                    _command(folder, options, "--cell", key, "--parent", str(os.getpid())),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
        for key, process in list(running.items()):
            code = process.poll()
            if code is not None:
                del running[key]
                ending = _ending(options.work / folder_of(key), code)
                print(f"{entries[key]['cell']}: {ending}", flush=True)
        time.sleep(_POLL_S)
    for process in running.values():
        process.terminate()
    until = time.monotonic() + GRACE_S
    for key, process in running.items():
        try:
            code = process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()  # what it had saved before is whole
            process.wait()
            code = STOPPED
        # One that had just been started ends by the signal itself.
        ending = _ending(
            options.work / folder_of(key), STOPPED if code == -signal.SIGTERM else code
        )
        print(f"{entries[key]['cell']}: {ending}", flush=True)


def _ending(work: Path, code: int) -> str:
    """How a cell's process ended, for people."""
    if code == 0:
        return "trained"
    if code == STOPPED:
        return "stopped, goes on next time"
    if code == 1 and (work / FAILED).exists():
        return f"FAILED: {_read(work / FAILED)}"
    last = (_read(work / OUTPUT).splitlines() or [""])[-1]
    if code == BUSY:
        return f"not trained: {last}"
    # Memory that ran out, say: nothing that the next try must repeat.
    how = f"exit code {code}: {last}" if code > 0 else f"signal {-code}"
    return f"ended with {how}; tried again next time"


def _has_ended(work: Path) -> bool:
    return (work / FAILED).exists() or bringing.is_whole(work)


def _report(entries: dict[str, Any], options: argparse.Namespace) -> int:
    """How far each cell has come, on stdout and in `--out`."""
    from vcbench.training.checkpoint import iteration_of

    found = []
    for key, entry in entries.items():
        work = options.work / folder_of(key)
        failed = work / FAILED
        is_whole = bringing.is_whole(work)
        left = bringing.left_of(work, speed_file(options.work, entry)) if is_whole else {}
        too_large = [name for name, path in left.items() if bringing.is_too_large(path)]
        state = "trained" if is_whole else "failed" if failed.exists() else "unfinished"
        line = {
            "cell": entry["cell"],
            "key": key,
            "state": state,
            "iterations": iteration_of(work / CHECKPOINT) or 0,
            "brought": is_whole and not left,
            "to_bring": [name for name in left if name not in too_large],
            "too_large": too_large,
            "reason": _read(failed) if failed.exists() else "",
        }
        found.append(line)
        print(_told(line))
    if options.out:
        write_json(options.out / "report.json", found)
    if any(line["state"] == "unfinished" or line["to_bring"] for line in found):
        return 3
    return 1 if any(line["state"] == "failed" or line["too_large"] for line in found) else 0


def _told(line: dict[str, Any]) -> str:
    told = f"{line['cell']}: {line['state']}, {line['iterations']} iterations"
    if line["brought"]:
        told += ", brought"
    if line["too_large"]:
        told += f", too large to bring: {', '.join(line['too_large'])}"
    return told


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _command(folder: Path, options: argparse.Namespace, *more: str) -> list[str]:
    shared = ["--work", options.work, "--threads", options.threads, "--at-once", options.at_once]
    shared += ["--speed-s", options.speed_s]
    return [sys.executable, *map(str, [folder / "train.py", *shared]), *more]
