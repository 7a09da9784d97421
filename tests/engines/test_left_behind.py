"""The local engine and cells whose own run was killed, or that another run trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from local_tasks import alive, interrupt_once, run
from shell_tasks import shell_tasks

from vcbench import locks
from vcbench.engines import Resources, TrainingTask, local


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "POLL_S", 0.01)


HOLDS = """\
import os, sys, time
from pathlib import Path
from vcbench import locks, processes
folder = Path(sys.argv[1])
with locks.take(folder, on_lost=lambda: None):
    (folder / "held").write_text(str(os.getpid()))
    {then}
"""


@contextmanager
def left_behind(folder: Path, then: str, *, harness: str = "") -> Iterator[int]:
    """A process that trains in `folder`, whose run was killed; its process id."""
    command = [sys.executable, "-c", HOLDS.format(then=then), str(folder)]
    environment = {**os.environ, locks.HARNESS: harness or f"{os.getpid()}:1"}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        while not (folder / "held").exists():
            time.sleep(0.01)
        # An orphan belongs to nobody here: it is no zombie when it has ended.
        reaper = threading.Thread(target=process.wait)
        reaper.start()
        try:
            yield process.pid
        finally:
            process.kill()
            reaper.join()


def until(path: str) -> str:
    return f"while not (folder / {path!r}).exists(): time.sleep(0.01)"


RESULT = (
    "from vcbench.training.files import CHECKPOINT, write_status; "
    r"(folder / CHECKPOINT).write_bytes(b'PK\5\6' + bytes(18)); write_status(folder, {})"
)


def test_a_cell_that_a_killed_run_left_behind_is_waited_for_in_a_slot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orphan, other = shell_tasks(tmp_path, "echo > started", "echo > started")
    seen: list[list[TrainingTask]] = []

    def on_tick(running: Sequence[TrainingTask]) -> None:
        seen.append(list(running))
        if len(seen) == 5:
            (orphan.folder / "go").touch()

    with left_behind(orphan.folder, f"{until('go')}\n    {RESULT}") as pid:
        outcomes = run([orphan, other], jobs=1, on_tick=on_tick)
    assert [outcome.status for outcome in outcomes] == ["ok", "ok"]
    assert not (orphan.folder / "started").exists()
    assert (other.folder / "started").exists()
    assert seen[:5] == 5 * [[orphan]], "the other waits for the slot"
    said = capsys.readouterr().err
    assert said.startswith(f"s/A-B/0: process {pid} on ")
    assert said.endswith("left behind by a run that was killed: waiting for its result\n")


def test_one_left_behind_that_leaves_no_result_is_started(tmp_path: Path) -> None:
    (task,) = shell_tasks(tmp_path, "echo > started")
    with left_behind(task.folder, "time.sleep(0.3)"):
        (outcome,) = run([task])
    assert outcome.status == "ok"
    assert (task.folder / "started").exists()


def test_limits_and_interrupts_reach_those_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE_S", 0.3)
    late, stopped = shell_tasks(tmp_path, "exit 0", "exit 0")
    with left_behind(late.folder, "time.sleep(60)") as pid:
        (outcome,) = run([late], resources=Resources(cpus=1, time_s=0.1))
        assert (outcome.status, alive(pid)) == ("timeout", False)
    with left_behind(stopped.folder, "time.sleep(60)") as pid:
        with pytest.raises(KeyboardInterrupt):
            run([stopped], on_tick=interrupt_once([stopped.folder / "held"]))
        assert not alive(pid)


def test_a_cell_that_another_run_trains_is_not_started(tmp_path: Path) -> None:
    busy, other = shell_tasks(tmp_path, "echo > started", "echo > started")
    busy.output.write_text("what the other said")
    with left_behind(busy.folder, "time.sleep(60)", harness=locks.this_process()) as pid:
        outcomes = run([busy, other], jobs=1)
    assert [outcome.status for outcome in outcomes] == ["busy", "ok"]
    assert outcomes[0].reason.startswith(f"s/A-B/0: process {pid} on ")
    assert not (busy.folder / "started").exists()
    assert busy.output.read_text() == "what the other said"


def test_one_that_a_machine_which_may_be_gone_had_begun_is_started(tmp_path: Path) -> None:
    """Whether that still trains, its own process finds out; a live one it leaves alone."""
    gone, lives = shell_tasks(tmp_path, "exit 0", "exit 75")
    for task in (gone, lives):
        owner = {"host": "h", "machine": "another", "pid": 1, "started": 2, "since": "3"}
        (task.folder / "lock.1").write_text(json.dumps(owner))
        task.output.write_text("what the other said")
    assert [outcome.status for outcome in run([gone, lives])] == ["ok", "busy"]
    assert lives.output.read_text() == "what the other said"


def test_one_that_was_left_behind_and_took_its_lock_late_is_waited_for(tmp_path: Path) -> None:
    """It was still starting when this run looked: this run's own process finds it training."""
    (task,) = shell_tasks(tmp_path, "while [ ! -e held ]; do sleep 0.01; done; echo > go; exit 75")
    held: list[int] = []

    def orphan() -> None:
        with left_behind(task.folder, f"{until('go')}\n    time.sleep(0.3); {RESULT}") as pid:
            held.append(pid)
            while alive(pid):
                time.sleep(0.01)

    thread = threading.Thread(target=orphan)
    waits = threading.Timer(0.1, thread.start)
    waits.start()
    (outcome,) = run([task])
    waits.join()
    thread.join()
    assert (outcome.status, len(held)) == ("ok", 1)
