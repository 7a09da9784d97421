"""Locks of cells' folders: one owner at a time, whoever dies, whatever clocks say."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from tiny_cells import tiny_cell, write_cell

from vcbench import locks, processes
from vcbench.cell import BUSY
from vcbench.locks import Lock, Owner, Watch, owner_of, take, try_to_take
from vcbench.training.files import CHECKPOINT, STATUS


def never() -> None:
    raise AssertionError("nobody took over")


def held(folder: Path) -> Lock:
    lock = take(folder, on_lost=never)
    assert isinstance(lock, Lock)
    return lock


@contextmanager
def another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One that holds the lock until it is ended, its line on stdout being read."""
    program = (
        "import sys, time; from pathlib import Path; from vcbench import locks\n"
        "with locks.take(Path(sys.argv[1]), on_lost=lambda: None):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def elsewhere(folder: Path, number: int = 1, **changes: object) -> Path:
    """The lock of a process on another machine."""
    folder.mkdir(parents=True, exist_ok=True)
    owner = replace(Owner("gpu7", "another boot", 12, 34, "2026-01-02T03:04:05+00:00"), **changes)
    path = folder / f"lock.{number}"
    path.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    return path


class Time:
    """Time since boot, as the tests have it pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at_sleep: Callable[[], None]) -> None:
        self.now = 1000.0
        self.at_sleep = at_sleep
        monkeypatch.setattr(locks.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(locks.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.at_sleep()


def test_who_holds_it_is_told_and_who_releases_it_gives_it_to_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    assert owner_of(folder) is None
    for _ in range(3):
        with held(folder):
            owner = owner_of(folder)
            assert owner is not None and owner.is_here and owner.is_alive and not owner.is_orphan
            assert str(owner).startswith(f"process {os.getpid()} on {owner.host}, since 20")
            assert take(folder, on_lost=never) == owner
            assert try_to_take(folder) is None
        assert owner_of(folder) is None
    assert [path.name for path in folder.iterdir()] == ["lock.3"]  # what was before is cleared


def test_a_killed_owner_is_known_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    folder.mkdir()
    with another_process(folder) as process:
        owner = take(folder, on_lost=never)
        assert isinstance(owner, Owner) and owner.pid == process.pid
        elsewhere(tmp_path / "another")
        assert locks.owners_here(tmp_path) == [owner]
        process.kill()
        process.wait()
        assert owner_of(folder) is None
        with held(folder):
            pass


def test_a_zombie_has_ended(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process.returncode is None  # nobody has asked how it ended
        assert owner_of(tmp_path) is None


def test_a_process_id_that_is_used_again_is_another_process(tmp_path: Path) -> None:
    with held(tmp_path):
        owner = owner_of(tmp_path)
    assert owner is not None and owner.started is not None
    again = replace(owner, started=owner.started - 1)  # this process' id, of an earlier one
    (tmp_path / "lock.2").write_text(json.dumps(asdict(again)))
    assert owner_of(tmp_path) is None
    (tmp_path / "lock.3").write_text(json.dumps(asdict(owner)))
    assert owner_of(tmp_path) == owner


def compete(folder: Path, journal: Path, start: float) -> None:
    """Take the lock ten times as soon as it can be had, and write down when it is held."""
    while time.time() < start:
        pass
    taken = 0
    while taken < 10:
        if (lock := try_to_take(folder)) is None:
            continue
        with lock, journal.open("a", buffering=1) as file:
            file.write(f"+{os.getpid()}\n")
            file.write(f"-{os.getpid()}\n")
        taken += 1


def test_of_many_that_want_it_one_has_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    journal, start = tmp_path / "journal", time.time() + 0.2
    several = [
        context.Process(target=compete, args=(tmp_path / "cell", journal, start)) for _ in range(4)
    ]
    for process in several:
        process.start()
    for process in several:
        process.join(60)
        assert process.exitcode == 0
    lines = journal.read_text().split()
    assert len(lines) == 80
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert (begin[0], end[0], begin[1:]) == ("+", "-", end[1:])


def test_of_many_that_take_over_from_a_dead_owner_one_has_it(tmp_path: Path) -> None:
    """Each has seen that the owner is gone before the first of them acts."""
    for number in range(20):
        folder = tmp_path / str(number)
        with held(folder):
            pass
        owner = replace(owner_like(folder), pid=2**22, started=1)
        (folder / "lock.1").write_text(json.dumps(asdict(owner)))
        all_have_looked = threading.Barrier(4)
        taken: list[Lock] = []

        def contend(
            folder: Path = folder,
            taken: list[Lock] = taken,
            barrier: threading.Barrier = all_have_looked,
        ) -> None:
            watch = Watch(folder)
            look = watch.owner

            def look_and_wait() -> Owner | None:
                found = look()
                barrier.wait(30)
                return found

            watch.owner = look_and_wait  # type: ignore[method-assign]
            if (lock := locks._taken(watch, never)) is not None:
                taken.append(lock)

        threads = [threading.Thread(target=contend) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 1
        with taken[0]:
            assert owner_of(folder) is not None


def owner_like(folder: Path) -> Owner:
    with held(folder / "other"):
        found = owner_of(folder / "other")
    assert found is not None
    return found


def test_who_looked_long_ago_gives_way(tmp_path: Path) -> None:
    """A watch that saw it free is used after two others have held it."""
    with held(tmp_path):
        pass
    late = Watch(tmp_path)
    assert late.owner() is None
    seen = late.number
    with held(tmp_path):
        pass
    with held(tmp_path):
        late.number = seen
        late.owner = lambda: None  # type: ignore[method-assign]  # as it was when it looked
        assert locks._taken(late, never) is None
        owner = owner_of(tmp_path)
        assert owner is not None and owner.pid == os.getpid()
        assert [path.name for path in tmp_path.iterdir()] == ["lock.3"]


def test_an_owner_elsewhere_lives_as_long_as_its_heart_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = elsewhere(tmp_path)
    beats = iter(range(1000))

    def beat() -> None:
        os.utime(path, ns=(0, next(beats)))  # of a clock that stands near 1970

    clock = Time(monkeypatch, beat)
    owner = take(tmp_path, on_lost=never)
    assert isinstance(owner, Owner) and owner.host == "gpu7"
    assert clock.now < 1000 + locks.HEARTBEAT_S
    assert try_to_take(tmp_path) is None

    # It is gone: only when nothing was heard for long, and then it is taken over.
    clock.at_sleep = lambda: None
    clock.now = 2000.0
    lock = take(tmp_path, on_lost=never)
    assert isinstance(lock, Lock)
    with lock:
        assert locks.STALE_S <= clock.now - 2000 < locks.STALE_S + 1
        assert owner_of(tmp_path).pid == os.getpid()


@pytest.mark.parametrize("jump_s", [-1e9, 1e9])
def test_a_clock_that_jumps_moves_nothing(
    jump_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = elsewhere(tmp_path / "there")
    os.utime(path, (time.time() + jump_s, time.time() + jump_s))
    now = time.time() + jump_s
    monkeypatch.setattr(time, "time", lambda: now)
    with held(tmp_path / "here"):
        for name in ("here", "there"):
            watch = Watch(tmp_path / name)
            assert [watch.owner() is None for _ in range(3)] == [False] * 3
    with another_process(tmp_path / "dead") as process:
        process.kill()
        process.wait()
        assert owner_of(tmp_path / "dead") is None


def test_who_was_taken_over_hears_of_it_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.02)
    lost = threading.Event()
    lock = take(tmp_path, on_lost=lost.set)
    assert isinstance(lock, Lock)
    with lock:
        first = (tmp_path / "lock.1").stat().st_mtime_ns
        deadline = time.monotonic() + 10
        while (tmp_path / "lock.1").stat().st_mtime_ns == first:
            assert time.monotonic() < deadline, "its heart beats"
            time.sleep(0.01)
        assert not lost.is_set()
        path = elsewhere(tmp_path, 2)
        (tmp_path / "lock.1").unlink()
        assert lost.wait(10)
    assert [p.name for p in tmp_path.iterdir()] == ["lock.2"]
    assert json.loads(path.read_text())["host"] == "gpu7"


@pytest.mark.parametrize("text", ["", "{torn", "[]", "7", '{"pid": 1}', "[" * 100_000])
def test_a_lock_that_cannot_be_read_is_somebodys(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is being written, or its writer was killed: as one of whom nothing is heard."""
    (tmp_path / "lock.5").write_text(text)
    owner = owner_of(tmp_path)
    assert owner is not None and "a machine unknown" in str(owner)
    assert try_to_take(tmp_path) is None
    clock = Time(monkeypatch, lambda: None)
    lock = take(tmp_path, on_lost=never)
    assert isinstance(lock, Lock)
    with lock:
        assert clock.now >= 1000 + locks.STALE_S
        assert (tmp_path / "lock.6").exists()


def test_a_full_disk_leaves_the_lock_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held(tmp_path):
        pass

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(locks, "_this_owner", full)
        with pytest.raises(OSError, match="No space"):
            try_to_take(tmp_path)
    with held(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["lock.2"]


def test_waiting_for_another_machine_ends_when_told_to(tmp_path: Path) -> None:
    elsewhere(tmp_path)
    assert take(tmp_path, on_lost=never, stop_requested=lambda: True) is None


def test_an_orphan_is_one_whose_run_is_gone(tmp_path: Path) -> None:
    me = locks.this_process()
    with held(tmp_path):
        owner = owner_of(tmp_path)
    assert owner is not None and not owner.is_orphan  # nobody's: run by hand
    assert not replace(owner, harness=me).is_orphan
    assert replace(owner, harness=f"{os.getpid()}:1").is_orphan
    assert not replace(owner, harness=f"{os.getpid()}:1", machine="another").is_orphan
    assert not replace(owner, harness="no number").is_orphan


def test_what_is_known_of_this_process() -> None:
    assert processes.this_machine() == processes.this_machine() != ""
    assert 0 < processes.age_s(os.getpid()) < processes.age_s(1)
    assert processes.started(2**22) is None
    resident = processes.group_memory_bytes(os.getpgrp())
    statm = Path("/proc/self/statm").read_text().split()
    assert resident >= 0.9 * int(statm[1]) * os.sysconf("SC_PAGE_SIZE")


def run_cell(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vcbench.cell", str(path), "--threads", "1"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_two_processes_that_want_a_cell_do_not_both_train_it(tmp_path: Path) -> None:
    path = write_cell(tiny_cell(tmp_path, recipe={"iterations": 100_000}), tmp_path / "cell")
    with another_process(path.parent) as other:
        busy = run_cell(path)
        _, said = busy.communicate(timeout=120)
        assert busy.returncode == BUSY
        assert said.startswith(f"one-d/SF1-TM3/0: process {other.pid} on ")
        assert said.endswith("trains it; it is not trained twice\n")
        assert not (path.parent / CHECKPOINT).exists() and not (path.parent / STATUS).exists()
