"""What tests of the local engine share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vcbench import processes
from vcbench.engines import Outcome, Resources, TrainingTask
from vcbench.engines.local import LocalEngine, Slot, slots_of

ONE = Resources(cpus=1)


def ignore(running: Sequence[TrainingTask]) -> None:
    del running


def run(
    work: Sequence[TrainingTask],
    *,
    jobs: int = 2,
    slots: Sequence[Slot] | None = None,
    resources: Resources = ONE,
    on_tick: Callable[[Sequence[TrainingTask]], None] = ignore,
) -> list[Outcome]:
    """How the tasks ended, in their order; each must be told once."""
    told: list[Outcome] = []
    engine = LocalEngine(slots or slots_of([], jobs), resources)
    engine.run(work, on_tick=on_tick, on_end=told.append)
    outcomes = {outcome.task: outcome for outcome in told}
    assert len(outcomes) == len(told)
    return [outcomes[task] for task in work]


def alive(pid: int) -> bool:
    return processes.started(pid) is not None


def dies(pid: int) -> bool:
    """Whether a process that was killed is gone: whose child it is not, that takes a moment."""
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def interrupt_once(paths: list[Path]) -> Callable[[Sequence[TrainingTask]], None]:
    """Raises KeyboardInterrupt as soon as all of `paths` exist."""
    deadline = time.monotonic() + 60

    def on_tick(_: Sequence[TrainingTask]) -> None:
        assert time.monotonic() < deadline
        if all(path.exists() and path.read_text() for path in paths):
            raise KeyboardInterrupt

    return on_tick


WAIT = "echo $$ > pid; for _ in $(seq 1500); do sleep 0.02; done"  # at most half a minute
