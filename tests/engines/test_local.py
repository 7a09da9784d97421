"""The local engine: how each task ended, whatever became of the others."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from local_tasks import WAIT, alive, dies, ignore, interrupt_once, run
from shell_tasks import shell_tasks
from tiny_cells import tiny_cell, write_cell

from vcbench.engines import Outcome, Resources, TrainingTask, local
from vcbench.engines.local import LocalEngine, Slot, named_gpus, slots_of
from vcbench.errors import UsageError
from vcbench.plugins import Registry


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "POLL_S", 0.01)


def test_it_is_registered() -> None:
    factory = Registry().get("engine", "local").factory
    resources = Resources(cpus=3)
    engine = factory(jobs=2, device="cpu", resources=resources, options={})
    assert (engine.slots, engine.resources) == ([None, None], resources)
    with pytest.raises(UsageError, match=r"--engine-option queue: the engine 'local' has no"):
        factory(jobs=2, device="cpu", resources=resources, options={"queue": "long"})


def test_how_each_task_ended_in_their_order(tmp_path: Path) -> None:
    work = shell_tasks(
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
        ("failed", "exit code 3, and it said nothing"),
        (
            "oom",
            "killed by SIGKILL: probably the machine ran out of memory; train fewer cells at a "
            "time with --jobs, or smaller ones",
        ),
        ("failed", f"killed by SIGSEGV; what it said is in {work[4].output}"),
        ("oom", "torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB"),
        ("oom", "RuntimeError: ... DefaultCPUAllocator: can't allocate memory: 4 bytes"),
        ("ok", ""),
    ]
    assert all((work[i].folder / "done").exists() for i in (0, 7))
    assert work[1].output.read_text() == "a warning\nthe loss became nan\n"


def test_a_real_time_signal(tmp_path: Path) -> None:
    number = signal.SIGRTMIN + 3
    (outcome,) = run(shell_tasks(tmp_path, f"kill -{number} $$"))
    assert outcome.status == "failed"
    assert outcome.reason.startswith(f"killed by signal {number}; ")


def test_a_task_that_cannot_be_started_stops_no_other(tmp_path: Path) -> None:
    work = shell_tasks(tmp_path, "echo > done", "exit 0", "echo > done")
    work[1].folder.rmdir()
    outcomes = run(work, jobs=1)
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "ok"]
    assert outcomes[1].reason.startswith("cannot be started: ")
    assert str(work[1].output) in outcomes[1].reason
    assert (work[2].folder / "done").exists()


def test_what_an_earlier_attempt_said_is_not_the_reason(tmp_path: Path) -> None:
    (task,) = shell_tasks(tmp_path, "exit 4")
    task.output.write_text("the disk was full\n")
    (outcome,) = run([task])
    assert outcome.reason == "exit code 4, and it said nothing"


def test_nothing_to_do() -> None:
    assert run([]) == []


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_as_many_at_a_time_as_asked_for(jobs: int, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    script = f"echo + >> {journal}; sleep 0.3; echo - >> {journal}"
    seen: list[int] = []
    outcomes = run(
        shell_tasks(tmp_path, *5 * [script]), jobs=jobs, on_tick=lambda now: seen.append(len(now))
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
    first, second = shell_tasks(tmp_path, "sleep 0.1", "sleep 0.1")
    seen: list[list[TrainingTask]] = []
    run([first, second], jobs=1, on_tick=lambda now: seen.append(list(now)))
    assert seen[0] == [first]
    assert [second] in seen
    assert seen.index([second]) > 0
    assert seen[-1] == []


def test_each_task_has_a_session_and_its_share_of_the_processors(tmp_path: Path) -> None:
    # Ctrl-C in a terminal goes to its foreground session: to the harness alone.
    program = f"{sys.executable} -c 'import os; print(os.getsid(0))'"
    share = "echo $1 $OMP_NUM_THREADS $MKL_NUM_THREADS $OPENBLAS_NUM_THREADS"
    (task,) = shell_tasks(tmp_path, f"{share}; read line; echo $?; {program}")
    run([task], jobs=1, resources=Resources(cpus=3))
    threads, end_of_file, session = task.output.read_text().splitlines()
    assert threads == "3 3 3 3"
    assert end_of_file == "1"  # it cannot wait for a terminal that others use
    assert int(session) != os.getsid(0)


def test_an_interrupt_lets_running_tasks_save_and_starts_no_other(tmp_path: Path) -> None:
    saving = "trap 'sleep 0.1; echo > saved; exit 130' TERM; "
    work = shell_tasks(tmp_path, saving + WAIT, saving + WAIT, "echo > started")
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
    work = shell_tasks(tmp_path, "trap '' TERM; " + WAIT, WAIT)
    pids = [task.folder / "pid" for task in work]
    with pytest.raises(KeyboardInterrupt):
        run(work, on_tick=interrupt_once(pids))
    assert not any(alive(int(pid.read_text())) for pid in pids)


@pytest.mark.parametrize(
    ("named", "count", "gpus"),
    [
        (None, 0, []),
        (None, 2, ["0", "1"]),
        ("", 0, []),
        ("3,1", 2, ["3", "1"]),
        ("GPU-8f3c, MIG-1a", 2, ["GPU-8f3c", "MIG-1a"]),
        ("2,-1,5", 1, ["2"]),  # what stands behind a wrong one is not seen
    ],
)
def test_gpus_are_those_that_the_user_lets_see(
    named: str | None, count: int, gpus: list[str]
) -> None:
    assert named_gpus(named, count) == gpus


@pytest.mark.parametrize(
    ("gpus", "jobs", "slots"),
    [
        ([], 2, [None, None]),
        (["0", "1"], 1, ["0"]),
        (["3", "GPU-a"], 2, ["3", "GPU-a"]),
        (["0", "1"], 5, ["0", "1", "0", "1", "0"]),
    ],
)
def test_cells_are_spread_over_the_gpus(gpus: list[str], jobs: int, slots: list[Slot]) -> None:
    assert slots_of(gpus, jobs) == slots


def test_each_cell_sees_the_gpu_of_its_slot_and_no_slot_is_used_twice(tmp_path: Path) -> None:
    """Two cells on GPU 5 and one on GPU 7, whichever ends first."""
    journal = tmp_path / "journal"
    pauses = [0.05, 0.4, 0.2, 0.1, 0.3, 0.05, 0.2]
    script = "echo +$CUDA_VISIBLE_DEVICES >> {0}; sleep {1}; echo -$CUDA_VISIBLE_DEVICES >> {0}"
    work = shell_tasks(tmp_path, *(script.format(journal, pause) for pause in pauses))
    assert all(o.status == "ok" for o in run(work, slots=["5", "7", "5"]))
    now, most = Counter[str](), Counter[str]()
    for line in journal.read_text().split():
        now[line[1:]] += 1 if line[0] == "+" else -1
        most |= now
    assert most == {"5": 2, "7": 1}


def test_a_task_on_processors_sees_what_the_user_lets_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    (task,) = shell_tasks(tmp_path, "echo $CUDA_VISIBLE_DEVICES")
    run([task])
    assert task.output.read_text() == "4\n"


def test_nothing_that_a_task_started_outlives_it(tmp_path: Path) -> None:
    """Whether it ends by itself or is stopped: a grandchild that ignores SIGTERM."""
    stays = "(trap '' TERM; sleep 60) & echo $! > child; "
    work = shell_tasks(tmp_path, stays + "exit 0", stays + "kill -SEGV $$", stays + "sleep 60")
    outcomes = run(work, jobs=3, resources=Resources(cpus=1, time_s=1.0))
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "timeout"]
    for task in work:
        assert dies(int((task.folder / "child").read_text()))  # within less than its sleep


def test_over_its_time_a_task_may_save_and_is_killed_if_it_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.3)
    work = shell_tasks(
        tmp_path,
        "trap 'echo > saved; exit 130' TERM; " + WAIT,
        "trap '' TERM; " + WAIT,
        "trap 'sleep 0.1; exit 0' TERM; " + WAIT,  # it had just finished
        "exit 0",
    )
    begun = time.monotonic()
    outcomes = run(work, jobs=4, resources=Resources(cpus=1, time_s=0.3))
    assert time.monotonic() - begun < 10
    assert [outcome.status for outcome in outcomes] == ["timeout", "timeout", "ok", "ok"]
    assert outcomes[0].reason == (
        "stopped at its time limit of 0.3 s (--timeout); what it had saved is kept, and the same "
        f"command continues from there; if it hangs, {work[0].output} may tell where"
    )
    assert (work[0].folder / "saved").exists()
    assert not any(alive(int((task.folder / "pid").read_text())) for task in work[:3])


def test_over_its_memory_a_task_is_stopped_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it is held by a grandchild; addresses that are only reserved do not count."""
    monkeypatch.setattr(local, "MEMORY_POLL_S", 0.05)
    half = f"{sys.executable} -c 'x = bytearray(60_000_000); import time; time.sleep(60)'"
    address_space = "mmap.mmap(-1, 2**40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANON | 0x4000)"
    reserved = f"{sys.executable} -c 'import mmap, time; x = {address_space}; time.sleep(0.5)'"
    both, one, large = shell_tasks(
        tmp_path, f"{half} & {half}", f"timeout -s KILL 1 {half}", reserved
    )
    limited = Resources(cpus=1, memory_bytes=120_000_000)
    outcomes = run([both, large], jobs=2, resources=limited)
    assert [outcome.status for outcome in outcomes] == ["oom", "ok"]
    assert re.fullmatch(
        r"stopped: it held 0\.1[1-3] GiB of memory, over its limit of 0\.11 GiB \(--memory\); "
        r"raise that, or lower batch_size or scale",
        outcomes[0].reason,
    )
    (outcome,) = run([one], resources=limited)
    assert outcome.status == "failed"  # by its own `timeout`, and not for its memory


def test_the_kernel_ends_a_cell_before_the_harness(tmp_path: Path) -> None:
    (task,) = shell_tasks(tmp_path, "sleep 0.2; cat /proc/$$/oom_score_adj")
    run([task])
    assert int(task.output.read_text()) > int(Path("/proc/self/oom_score_adj").read_text())


def test_how_a_task_ended_is_told_as_soon_as_it_has(tmp_path: Path) -> None:
    """The second goes on only once the end of the first was told."""
    until_told = "for _ in $(seq 500); do [ -e told ] && exit 0; sleep 0.02; done; exit 4"
    first, second = shell_tasks(tmp_path, "exit 3", until_told)
    told: list[Outcome] = []

    def on_end(outcome: Outcome) -> None:
        told.append(outcome)
        (second.folder / "told").touch()

    LocalEngine([None, None], Resources(1)).run([first, second], on_tick=ignore, on_end=on_end)
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
    (task,) = shell_tasks(tmp_path, "trap 'echo > saved; exit 130' TERM; " + WAIT)
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
    (task,) = shell_tasks(tmp_path, "trap '' TERM; " + WAIT)
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
