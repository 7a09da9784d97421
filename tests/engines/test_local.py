"""The local engine: how each task ended, whatever became of the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_cells import tiny_cell, write_cell

from vcbench.engines import Outcome, TrainingTask, local
from vcbench.engines.local import LocalEngine
from vcbench.parallel import default_jobs
from vcbench.plugins import Registry


@dataclass(frozen=True)
class ShellTask(TrainingTask):
    """A task that runs a shell script in its folder, `$0`, instead of training."""

    script: str = ""

    def command(self, threads: int) -> list[str]:
        return ["/bin/sh", "-c", f"cd $0; {self.script}", str(self.folder), str(threads)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "POLL_S", 0.01)


def tasks(folder: Path, *scripts: str) -> list[ShellTask]:
    made = []
    for number, script in enumerate(scripts):
        place = folder / str(number)
        place.mkdir()
        made.append(ShellTask(f"s/A-B/{number}", place, 10, script))
    return made


def ignore(running: Sequence[TrainingTask]) -> None:
    del running


def run(
    work: Sequence[TrainingTask],
    *,
    jobs: int = 2,
    on_tick: Callable[[Sequence[TrainingTask]], None] = ignore,
) -> list[Outcome]:
    """How the tasks ended, in their order; each must be told once."""
    told: list[Outcome] = []
    LocalEngine(jobs).run(work, on_tick=on_tick, on_end=told.append)
    outcomes = {outcome.task: outcome for outcome in told}
    assert len(outcomes) == len(told)
    return [outcomes[task] for task in work]


def test_it_is_registered() -> None:
    engine = Registry().get("engine", "local").factory(jobs=2, device="cpu")
    assert (engine.jobs, engine.threads) == (2, max(1, default_jobs() // 2))


def test_how_each_task_ended_in_their_order(tmp_path: Path) -> None:
    work = tasks(
        tmp_path,
        "sleep 0.2; echo > done",
        "echo a warning; echo the loss became nan >&2; exit 1",
        "exit 3",
        "kill -KILL $$",
        "kill -SEGV $$",
        "echo Traceback; echo 'torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB'; exit 1",
        "echo RuntimeError: '...' DefaultCPUAllocator: can\\'t allocate memory: 4 bytes; exit 1",
        "echo > done",
    )
    outcomes = run(work)
    assert [outcome.task for outcome in outcomes] == work
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [
        ("ok", ""),
        ("failed", "the loss became nan"),
        ("failed", "exit code 3"),
        ("oom", "killed by SIGKILL: probably the machine ran out of memory"),
        ("failed", "killed by SIGSEGV"),
        ("oom", "torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB"),
        ("oom", "RuntimeError: ... DefaultCPUAllocator: can't allocate memory: 4 bytes"),
        ("ok", ""),
    ]
    assert all((work[i].folder / "done").exists() for i in (0, 7))
    assert work[1].output.read_text() == "a warning\nthe loss became nan\n"


def test_a_real_time_signal(tmp_path: Path) -> None:
    number = signal.SIGRTMIN + 3
    (outcome,) = run(tasks(tmp_path, f"kill -{number} $$"))
    assert (outcome.status, outcome.reason) == ("failed", f"killed by signal {number}")


def test_a_task_that_cannot_be_started_stops_no_other(tmp_path: Path) -> None:
    work = tasks(tmp_path, "echo > done", "exit 0", "echo > done")
    work[1].folder.rmdir()
    outcomes = run(work, jobs=1)
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "ok"]
    assert outcomes[1].reason.startswith("cannot be started: ")
    assert str(work[1].output) in outcomes[1].reason
    assert (work[2].folder / "done").exists()


def test_what_an_earlier_attempt_said_is_not_the_reason(tmp_path: Path) -> None:
    (task,) = tasks(tmp_path, "exit 4")
    task.output.write_text("the disk was full\n")
    (outcome,) = run([task])
    assert outcome.reason == "exit code 4"


def test_nothing_to_do() -> None:
    assert run([]) == []


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_as_many_at_a_time_as_asked_for(jobs: int, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    script = f"echo + >> {journal}; sleep 0.3; echo - >> {journal}"
    seen: list[int] = []
    outcomes = run(
        tasks(tmp_path, *5 * [script]), jobs=jobs, on_tick=lambda now: seen.append(len(now))
    )
    assert all(outcome.status == "ok" for outcome in outcomes)
    at_a_time, most = 0, 0
    for mark in journal.read_text().split():
        at_a_time += 1 if mark == "+" else -1
        most = max(most, at_a_time)
    assert (at_a_time, journal.read_text().count("+")) == (0, 5)
    assert most <= jobs
    assert max(seen) == jobs


def test_on_tick_is_told_what_is_running(tmp_path: Path) -> None:
    first, second = tasks(tmp_path, "sleep 0.1", "sleep 0.1")
    seen: list[list[TrainingTask]] = []
    run([first, second], jobs=1, on_tick=lambda now: seen.append(list(now)))
    assert seen[0] == [first]
    assert [second] in seen
    assert seen.index([second]) > 0
    assert seen[-1] == []


def test_each_task_has_a_session_and_its_share_of_the_processors(tmp_path: Path) -> None:
    # Ctrl-C in a terminal goes to its foreground session: to the harness alone.
    program = f"{sys.executable} -c 'import os; print(os.getsid(0))'"
    (task,) = tasks(tmp_path, f"echo $1 $OMP_NUM_THREADS; read line; echo $?; {program}")
    run([task], jobs=1)
    threads, end_of_file, session = task.output.read_text().splitlines()
    assert threads == f"{default_jobs()} {default_jobs()}"
    assert end_of_file == "1"  # it cannot wait for a terminal that others use
    assert int(session) != os.getsid(0)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def interrupt_once(paths: list[Path]) -> Callable[[Sequence[TrainingTask]], None]:
    """Raises KeyboardInterrupt as soon as all of `paths` exist."""
    deadline = time.monotonic() + 60

    def on_tick(_: Sequence[TrainingTask]) -> None:
        assert time.monotonic() < deadline
        if all(path.exists() and path.read_text() for path in paths):
            raise KeyboardInterrupt

    return on_tick


WAIT = "echo $$ > pid; for _ in $(seq 1500); do sleep 0.02; done"  # at most half a minute


def test_an_interrupt_lets_running_tasks_save_and_starts_no_other(tmp_path: Path) -> None:
    saving = "trap 'sleep 0.1; echo > saved; exit 130' TERM; "
    work = tasks(tmp_path, saving + WAIT, saving + WAIT, "echo > started")
    pids = [task.folder / "pid" for task in work[:2]]
    with pytest.raises(KeyboardInterrupt):
        run(work, jobs=2, on_tick=interrupt_once(pids))
    assert all((task.folder / "saved").exists() for task in work[:2])
    assert not any(alive(int(pid.read_text())) for pid in pids)
    assert not (work[2].folder / "started").exists()


def test_a_task_that_does_not_end_is_killed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.2)
    work = tasks(tmp_path, "trap '' TERM; " + WAIT, WAIT)
    pids = [task.folder / "pid" for task in work]
    with pytest.raises(KeyboardInterrupt):
        run(work, on_tick=interrupt_once(pids))
    assert not any(alive(int(pid.read_text())) for pid in pids)


def test_how_a_task_ended_is_told_as_soon_as_it_has(tmp_path: Path) -> None:
    """The second goes on only once the end of the first was told."""
    until_told = "for _ in $(seq 500); do [ -e told ] && exit 0; sleep 0.02; done; exit 4"
    first, second = tasks(tmp_path, "exit 3", until_told)
    told: list[Outcome] = []

    def on_end(outcome: Outcome) -> None:
        told.append(outcome)
        (second.folder / "told").touch()

    LocalEngine(2).run([first, second], on_tick=ignore, on_end=on_end)
    assert [(outcome.task, outcome.status) for outcome in told] == [
        (first, "failed"),
        (second, "ok"),
    ]


def ctrl_c_when(path: Path) -> Callable[[Sequence[TrainingTask]], None]:
    """Sends SIGINT to this process once `path` is there."""
    sent: list[int] = []

    def on_tick(_: Sequence[TrainingTask]) -> None:
        if path.exists() and path.read_text() and not sent:
            sent.append(1)
            signal.raise_signal(signal.SIGINT)

    return on_tick


def test_ctrl_c_is_acted_on_between_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (task,) = tasks(tmp_path, "trap 'echo > saved; exit 130' TERM; " + WAIT)
    with pytest.raises(KeyboardInterrupt):
        run([task], on_tick=ctrl_c_when(task.folder / "pid"))
    assert (task.folder / "saved").exists()
    said = capsys.readouterr().err
    assert said == (
        "stopping: letting 1 running cell finish an iteration and save (at most 30 s; Ctrl-C again "
        "stops at once)\n"
    )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_stops_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = tasks(tmp_path, "trap '' TERM; " + WAIT)
    terminate = subprocess.Popen.terminate

    def impatient(process: subprocess.Popen[bytes]) -> None:
        terminate(process)
        threading.Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()

    monkeypatch.setattr(subprocess.Popen, "terminate", impatient)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run([task], on_tick=ctrl_c_when(task.folder / "pid"))
    assert time.monotonic() - begun < local.GRACE_S / 2
    assert not alive(int((task.folder / "pid").read_text()))
    assert "s/A-B/0: stopped at once; what it had saved is kept" in capsys.readouterr().err


def test_a_cell_is_trained_and_another_fails(tmp_path: Path) -> None:
    cells = {
        "good": tiny_cell(tmp_path / "g"),
        "bad": tiny_cell(tmp_path / "b", recipe={"learning_rate_generator": 1e30}),
    }
    work = []
    for name, cell in cells.items():
        write_cell(cell, tmp_path / name)
        work.append(TrainingTask(cell.id, tmp_path / name, cell.recipe.iterations))
    good, bad = run(work)
    assert (good.status, good.reason) == ("ok", "")
    assert (tmp_path / "good" / "status.json").exists()
    assert (tmp_path / "good" / "output.log").read_text() == ""
    assert bad.status == "failed"
    assert "loss became" in bad.reason
    assert not (tmp_path / "bad" / "status.json").exists()
