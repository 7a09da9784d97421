"""The engine for one machine: a fresh process for each cell, a few at a time.

A process of its own keeps a cell that crashes, or that the kernel kills for memory, from taking
any other with it.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from vcbench import child
from vcbench.engines import Engine, Outcome, TrainingTask
from vcbench.interrupts import counted_interrupts
from vcbench.parallel import threads_per_job
from vcbench.plugins import register_engine
from vcbench.terminal import count_of, say

POLL_S = 0.2
GRACE_S = 30.0  # for a cell to finish its iteration and save
# What PyTorch says on a GPU, on a CPU, and Python itself.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "memoryerror")


@register_engine("local")
def local(*, jobs: int, device: str) -> Engine:
    """Processes on this machine, `jobs` at a time, the processors divided between them."""
    del device  # the cell itself says where it computes
    return LocalEngine(jobs)


class LocalEngine:
    """See `vcbench.engines.Engine`."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.threads = threads_per_job(jobs)

    def run(
        self,
        tasks: Sequence[TrainingTask],
        *,
        on_tick: Callable[[Sequence[TrainingTask]], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        """See `vcbench.engines.Engine.run`. While cells save themselves, a second interrupt kills
        them: what each saved before is whole."""
        waiting = list(tasks)
        running: dict[TrainingTask, subprocess.Popen[bytes]] = {}
        # An exception at any place, between a start and its entry say, would lose a process.
        with counted_interrupts() as interrupts:
            try:
                while waiting or running:
                    while waiting and len(running) < self.jobs and not interrupts:
                        task = waiting.pop(0)
                        try:
                            running[task] = self._start(task)
                        except OSError as error:
                            on_end(Outcome(task, "failed", f"cannot be started: {error}"))
                    for task, process in list(running.items()):
                        if (code := process.poll()) is not None:
                            del running[task]
                            on_end(_outcome(task, code))
                    on_tick(list(running))
                    if interrupts:
                        raise KeyboardInterrupt
                    time.sleep(POLL_S)
            except BaseException:
                _stop(running, interrupts)
                raise

    def _start(self, task: TrainingTask) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches the harness alone, which then stops cells in order.
        # A new file: what an earlier attempt said is not why this one fails.
        with task.output.open("wb") as output:
            return subprocess.Popen(
                task.command(self.threads),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=child.environment(OMP_NUM_THREADS=str(self.threads)),
                start_new_session=True,
            )


def _outcome(task: TrainingTask, code: int) -> Outcome:
    if code == 0:
        return Outcome(task, "ok")
    if code == -signal.SIGKILL:
        return Outcome(task, "oom", "killed by SIGKILL: probably the machine ran out of memory")
    if code < 0:
        return Outcome(task, "failed", f"killed by {_signal_name(-code)}")
    text = task.output.read_text(encoding="utf-8", errors="replace").strip()
    reason = text.splitlines()[-1] if text else f"exit code {code}"
    out_of_memory = any(words in reason.lower() for words in OUT_OF_MEMORY)
    return Outcome(task, "oom" if out_of_memory else "failed", reason)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _stop(running: dict[TrainingTask, subprocess.Popen[bytes]], interrupts: Sequence[int]) -> None:
    """Ask all to save and end; kill those that do not within the grace period, or at once when
    there is one more interrupt."""
    patience = len(interrupts)
    for process in running.values():
        process.terminate()
    if running:
        say(
            f"stopping: letting {count_of(len(running), 'running cell')} finish an iteration and "
            f"save (at most {GRACE_S:.0f} s; Ctrl-C again stops at once)"
        )
    deadline = time.monotonic() + GRACE_S
    left = dict(running)
    while left and len(interrupts) == patience and time.monotonic() < deadline:
        time.sleep(min(POLL_S, 0.05))
        left = {task: process for task, process in left.items() if process.poll() is None}
    for task, process in left.items():
        process.kill()
        process.wait()
        say(f"{task.cell_id}: stopped at once; what it had saved is kept")
