"""The engine for one machine: a fresh process for each cell, a few at a time.

A process of its own keeps a cell that crashes, or that the kernel kills for memory, from taking
any other with it. It is watched by its parent and bounded by nothing else: time by the parent's
clock, memory by what its process group holds (see `vcbench.processes`).
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vcbench import child, locks, processes
from vcbench.engines import (
    Engine,
    Outcome,
    Resources,
    TrainingTask,
    busy,
    outcome_of,
    over_memory,
    timed_out,
)
from vcbench.errors import UsageError
from vcbench.interrupts import counted_interrupts
from vcbench.plugins import register_engine
from vcbench.terminal import count_of, say
from vcbench.training.files import has_result

POLL_S = 0.2
MEMORY_POLL_S = 1.0  # every process of the machine is looked at
GRACE_S = 30.0  # for a cell to finish its iteration and save
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# A place for one cell at a time: the GPU that it sees, as CUDA_VISIBLE_DEVICES names it; None where
# it computes on processors.
Slot = str | None


@register_engine("local")
def local(*, jobs: int, device: str, resources: Resources, options: Mapping[str, str]) -> Engine:
    """Processes on this machine, `jobs` at a time, its processors and GPUs divided between them."""
    if options:
        raise UsageError(f"--engine-option {min(options)}: the engine 'local' has no options")
    if resources.memory_bytes is not None and not processes.are_known():
        raise UsageError("--memory: what processes hold in memory can be told on Linux alone")
    return LocalEngine(slots_of(visible_gpus() if device == "cuda" else [], jobs), resources)


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES of this process names, or the numbers of all GPUs."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    import torch

    return named_gpus(named, torch.cuda.device_count())


def named_gpus(named: str | None, count: int) -> list[str]:
    """The `count` GPUs that PyTorch sees, by the names that CUDA_VISIBLE_DEVICES, `named`, has.

    Those are numbers or UUIDs; what stands behind the first wrong one is not seen.
    """
    if named is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in named.split(",")][:count]


def slots_of(gpus: Sequence[str], jobs: int) -> list[Slot]:
    """`jobs` places, spread over the GPUs: the first one on each, then a second, and so on."""
    return [gpus[number % len(gpus)] if gpus else None for number in range(jobs)]


class LocalEngine:
    """See `vcbench.engines.Engine`; `slots` as `slots_of` gives them, `resources` of one cell."""

    def __init__(self, slots: Sequence[Slot], resources: Resources) -> None:
        self.slots = slots
        self.resources = resources

    def run(
        self,
        tasks: Sequence[TrainingTask],
        *,
        on_tick: Callable[[Sequence[TrainingTask]], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        """See `vcbench.engines.Engine.run`. While cells save themselves, a second interrupt kills
        them: what each saved before is whole.

        Cells that a killed run left behind are not started but watched to their end, each in a
        slot; what then has left no result is started.
        """
        waiting = list(tasks)
        running: list[_Running] = []
        # An exception at any place, between a start and its entry say, would lose a process.
        with counted_interrupts() as interrupts:
            try:
                for task in tasks:
                    if (orphan := self._orphan(task)) is not None:
                        waiting.remove(task)
                        running.append(orphan)
                while waiting or running:
                    while waiting and len(running) < len(self.slots) and not interrupts:
                        task = waiting.pop(0)
                        owner = locks.owner_of(task.folder)
                        if owner is not None and owner.is_here:
                            on_end(busy(task, owner))
                            continue
                        slot = self._free_slot(running)
                        # One on another machine may be gone: the cell's own process waits until
                        # that is known, and takes the lock over or says who trains.
                        try:
                            running.append(
                                _Started(task, slot, self.resources, is_alone=owner is None)
                            )
                        except OSError as error:
                            on_end(Outcome(task, "failed", f"cannot be started: {error}"))
                    for cell in list(running):
                        if not cell.has_ended():
                            cell.bound(self.resources)
                            continue
                        running.remove(cell)
                        outcome = cell.outcome()
                        if outcome is None:
                            waiting.insert(0, cell.task)
                        elif outcome.status == "busy" and (orphan := self._orphan(cell.task)):
                            running.append(orphan)  # it had not taken its lock yet
                        else:
                            on_end(outcome)
                    on_tick([cell.task for cell in running])
                    if interrupts:
                        raise KeyboardInterrupt
                    time.sleep(POLL_S)
            except BaseException:
                _stop(running, interrupts)
                raise

    def _free_slot(self, running: Sequence[_Running]) -> Slot:
        """One of those that have most left."""
        left = Counter(self.slots)
        left.subtract(Counter(cell.slot for cell in running))
        return max(self.slots, key=lambda slot: left[slot])

    def _orphan(self, task: TrainingTask) -> _Adopted | None:
        """The process that a run which was killed left training the cell, if there is one."""
        owner = locks.owner_of(task.folder)
        if owner is None or not owner.is_orphan:
            return None
        say(
            f"{task.cell_id}: {owner} goes on training it, left behind by a run that was killed: "
            "waiting for its result"
        )
        return _Adopted(task, owner.gpu if owner.gpu in self.slots else self.slots[0], owner)


class _Running(ABC):
    """A cell that is being trained: watched, bounded, and asked at the end what became of it."""

    def __init__(self, task: TrainingTask, slot: Slot, pid: int) -> None:
        self.task, self.slot, self.pid = task, slot, pid
        self._sentence: Outcome | None = None  # what it is being stopped for
        self._kill_at = math.inf
        self._look_at = 0.0

    def bound(self, resources: Resources) -> None:
        """Stop it if it has gone over a limit, at once if it was told to and did not end."""
        now = time.monotonic()
        time_s, memory_bytes = resources.time_s, resources.memory_bytes
        if self._sentence is not None:
            if now > self._kill_at:
                processes.kill_group(self.pid)
        elif time_s is not None and self.age_s() > time_s:
            self._sentence, self._kill_at = timed_out(self.task, time_s), now + GRACE_S
            self.terminate()
        elif memory_bytes is not None and now > self._look_at:
            self._look_at = now + MEMORY_POLL_S
            held = processes.group_memory_bytes(self.pid)
            if held > memory_bytes:
                self._sentence = over_memory(self.task, held, memory_bytes)
                processes.kill_group(self.pid)  # without grace: meanwhile it would take yet more

    def outcome(self) -> Outcome | None:
        """Once it has ended; None if that is not known, and it must be started to know."""
        outcome = self._ended_by_itself()
        if self._sentence is None or (outcome is not None and outcome.status == "ok"):
            return outcome
        return self._sentence

    @abstractmethod
    def has_ended(self) -> bool:
        """Whether its process has; then nothing that this started lives either."""

    @abstractmethod
    def age_s(self) -> float:
        """How long it has been running."""

    @abstractmethod
    def terminate(self) -> None:
        """Ask it to save its state and end."""

    @abstractmethod
    def _ended_by_itself(self) -> Outcome | None: ...


class _Started(_Running):
    """A child of this process."""

    def __init__(
        self, task: TrainingTask, slot: Slot, resources: Resources, *, is_alone: bool
    ) -> None:
        changes = dict.fromkeys(THREADS, str(resources.cpus))
        if slot is not None:
            changes["CUDA_VISIBLE_DEVICES"] = slot
        # A session and group of its own: Ctrl-C reaches the harness alone, which then stops cells
        # in order. A new file: what an earlier attempt said is not why this one fails.
        if is_alone:
            task.output.write_bytes(b"")
        with task.output.open("ab") as output:  # so that what two processes say is told in order
            self._process = subprocess.Popen(
                task.command(resources.cpus),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=child.environment(**changes, **{locks.HARNESS: locks.this_process()}),
                start_new_session=True,
            )
        super().__init__(task, slot, self._process.pid)
        self._begun = time.monotonic()
        # Where memory runs out, the kernel shall end a cell and not the harness.
        with suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text("500")

    def has_ended(self) -> bool:
        if self._process.poll() is None:
            return False
        processes.kill_group(self.pid)
        return True

    def age_s(self) -> float:
        return time.monotonic() - self._begun

    def terminate(self) -> None:
        self._process.terminate()

    def _ended_by_itself(self) -> Outcome:
        return outcome_of(self.task, self._process.wait())


class _Adopted(_Running):
    """A process that another run started and left behind."""

    def __init__(self, task: TrainingTask, slot: Slot, owner: locks.Owner) -> None:
        super().__init__(task, slot, owner.pid)
        self._owner = owner

    def has_ended(self) -> bool:
        if self._owner.is_alive:
            return False
        processes.kill_group(self.pid)
        return True

    def age_s(self) -> float:
        return processes.age_s(self.pid)

    def terminate(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def _ended_by_itself(self) -> Outcome | None:
        return Outcome(self.task, "ok") if has_result(self.task.folder) else None


def _stop(running: Sequence[_Running], interrupts: Sequence[int]) -> None:
    """Ask all to save and end; kill those that do not within the grace period, or at once when
    there is one more interrupt."""
    patience = len(interrupts)
    for cell in running:
        cell.terminate()
    if running:
        say(
            f"stopping: letting {count_of(len(running), 'running cell')} finish an iteration and "
            f"save (at most {GRACE_S:.0f} s; Ctrl-C again stops at once)"
        )
    deadline = time.monotonic() + GRACE_S
    left = list(running)
    while left and len(interrupts) == patience and time.monotonic() < deadline:
        time.sleep(min(POLL_S, 0.05))
        left = [cell for cell in left if not cell.has_ended()]
    for cell in left:
        processes.kill_group(cell.pid)
        while not cell.has_ended():
            time.sleep(0.01)
        say(f"{cell.task.cell_id}: stopped at once; what it had saved is kept")
