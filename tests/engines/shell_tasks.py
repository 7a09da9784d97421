"""Tasks that run a shell script in their folder instead of training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vcbench.engines import Engine, Outcome, TrainingTask

OnTick = Callable[[Sequence[TrainingTask]], None]

# Counts to 40, a step in a tenth of a second, and goes on from where an earlier sitting was. Told
# to end, it says so as a cell does.
COUNT = """
trap 'echo > saved; exit 130' TERM
n=$(cat count 2>/dev/null || echo 0)
echo $n >> starts
echo $$ > pid
while [ $n -lt 40 ]; do
    n=$((n + 1)); echo $n > count.new; mv count.new count; sleep 0.1
done
"""


@dataclass(frozen=True)
class ShellTask(TrainingTask):
    """The script finds the number of threads as `$1`."""

    script: str = ""

    def command(self, threads: int) -> list[str]:
        return ["/bin/sh", "-c", f"cd $0; {self.script}", str(self.folder), str(threads)]


def shell_tasks(folder: Path, *scripts: str) -> list[ShellTask]:
    """One in each of `folder`/cells/0, /1 and so on, which are made."""
    made = []
    for number, script in enumerate(scripts):
        place = folder / "cells" / str(number)
        place.mkdir(parents=True)
        made.append(ShellTask(f"s/A-B/{number}", place, 10, script))
    return made


def starts(task: TrainingTask) -> list[int]:
    """Where each sitting of a `COUNT` began."""
    return [int(line) for line in (task.folder / "starts").read_text().split()]


def run_with(
    work: Sequence[TrainingTask], engine: Engine, on_tick: OnTick = lambda running: None
) -> dict[TrainingTask, Outcome]:
    """How the tasks ended; each must be told once."""
    told: list[Outcome] = []
    engine.run(work, on_tick=on_tick, on_end=told.append)
    assert len({outcome.task for outcome in told}) == len(told)
    return {outcome.task: outcome for outcome in told}


def once(ready: Callable[[], bool], act: Callable[[], object]) -> OnTick:
    """Acts at the first tick at which `ready`; fails the test if that takes two minutes."""
    acted: list[object] = []
    deadline = time.monotonic() + 120

    def on_tick(_: Sequence[TrainingTask]) -> None:
        assert acted or time.monotonic() < deadline, "never ready"
        if not acted and ready():
            acted.append(act())

    return on_tick
