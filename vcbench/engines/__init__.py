"""Engines: where and how many at a time cells are trained.

The unit of work is a command, `python -m vcbench.cell CELL.json`, which leaves its own result in
its folder. An engine only starts commands and watches them, so a killed harness loses nothing and
any cell can be run again by hand.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from vcbench import child, locks
from vcbench.cell import BUSY, STOPPED
from vcbench.training.files import CELL

# lost: the machine that it ran on is gone, and so were those that it was tried on again. busy:
# another process trains it at this moment; whoever wants its result waits for that one.
Status = Literal["ok", "failed", "timeout", "oom", "lost", "skipped", "busy"]
# What PyTorch says on a GPU, on a CPU, and Python itself.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "memoryerror")


@dataclass(frozen=True)
class Resources:
    """What one cell is given.

    cpus: processors, and threads of PyTorch. gpus: 1, or less where cells share one. memory_bytes:
    what all its processes may hold in memory. time_s: how long one sitting may take; what it had
    saved is gone on from. None: no limit.
    """

    cpus: int
    gpus: float = 0.0
    memory_bytes: int | None = None
    time_s: float | None = None


@dataclass(frozen=True)
class TrainingTask:
    """One cell to train: its id, for people, and the folder that holds its `cell.json`.

    tensorboard: whether it writes event files too.
    """

    cell_id: str
    folder: Path
    iterations: int
    tensorboard: bool = field(default=False, kw_only=True)

    @property
    def output(self) -> Path:
        """What the command prints goes to this file."""
        return self.folder / "output.log"

    def command(self, threads: int) -> list[str]:
        """The command that trains the cell."""
        options = ["--threads", threads, *(["--tensorboard"] if self.tensorboard else [])]
        # Whoever runs a suite has its plugin files executed; they come from the suite, not from a
        # stranger's cell.
        return child.command("vcbench.cell", "--trust-plugins", self.folder / CELL, *options)


@dataclass(frozen=True)
class Outcome:
    """How a cell ended; `reason` is empty where it is ok."""

    task: TrainingTask
    status: Status
    reason: str = ""


class Engine(Protocol):
    """What an engine plugin returns."""

    def run(
        self,
        tasks: Sequence[TrainingTask],
        *,
        on_tick: Callable[[Sequence[TrainingTask]], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        """Run all tasks, whatever becomes of any.

        `on_tick` is called now and then with the tasks that are running, `on_end` once for each
        task, as soon as it has ended. On KeyboardInterrupt the engine lets every running task save
        its state and raises it again.
        """
        ...


def outcome_of(task: TrainingTask, code: int) -> Outcome:
    """How a task's command ended, by its exit code (negative: the signal that killed it) and by
    what it wrote to `task.output`."""
    if code == 0:
        return Outcome(task, "ok")
    if code == -signal.SIGKILL:
        reason = (
            "killed by SIGKILL: probably the machine ran out of memory; train fewer cells at a "
            "time with --jobs, or smaller ones"
        )
        return Outcome(task, "oom", reason)
    if code < 0:
        name = _signal_name(-code)
        return Outcome(task, "failed", f"killed by {name}; what it said is in {task.output}")
    said = _last_line(task.output)
    if code == STOPPED:
        return Outcome(task, "skipped", said or "stopped; the same command continues where it was")
    if code == BUSY:
        return busy(task, locks.owner_of(task.folder))
    if any(words in said.lower() for words in OUT_OF_MEMORY):
        return Outcome(task, "oom", said)
    return Outcome(task, "failed", said or f"exit code {code}, and it said nothing")


def busy(task: TrainingTask, owner: locks.Owner | None) -> Outcome:
    """The outcome of a task that `owner` trains."""
    return Outcome(task, "busy", f"{task.cell_id}: {owner or 'another process'} trains it")


def timed_out(task: TrainingTask, time_s: float) -> Outcome:
    """The outcome of a task that an engine stopped at its time limit."""
    reason = (
        f"stopped at its time limit of {time_s:g} s (--timeout); what it had saved is kept, and "
        f"the same command continues from there; if it hangs, {task.output} may tell where"
    )
    return Outcome(task, "timeout", reason)


def over_memory(task: TrainingTask, memory_bytes: int, limit_bytes: int) -> Outcome:
    """The outcome of a task that an engine stopped because it held `memory_bytes`."""
    reason = (
        f"stopped: it held {memory_bytes / 2**30:.2f} GiB of memory, over its limit of "
        f"{limit_bytes / 2**30:.2f} GiB (--memory); raise that, or lower batch_size or scale"
    )
    return Outcome(task, "oom", reason)


def _last_line(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return text.splitlines()[-1] if text else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
