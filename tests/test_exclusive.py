"""One measures alone, many train at a time, and nobody waits for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_cells import tiny_cell, write_cell

from vcbench import exclusive, locks, runner
from vcbench.exclusive import measuring, training


def no_wait() -> None:
    raise AssertionError("nobody is there to wait for")


def never() -> bool:
    return False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusive, "_POLL_S", 0.01)


def test_many_train_and_who_measures_waits_for_all_of_them(tmp_path: Path) -> None:
    cells = tmp_path / "cells"
    order: list[str] = []
    first, second = (training(cells, stop_requested=never) for _ in range(2))
    first.__enter__()
    second.__enter__()

    def measure() -> None:
        with measuring(tmp_path, on_wait=lambda: order.append("waits")) as is_alone:
            order.append(f"alone {is_alone}")

    thread = threading.Thread(target=measure)
    thread.start()
    while not order:
        time.sleep(0.01)
    first.__exit__(None, None, None)
    time.sleep(0.05)
    order.append("the last ends")
    second.__exit__(None, None, None)
    thread.join()
    assert order == ["waits", "the last ends", "alone True"]


def test_training_begins_once_nobody_measures(tmp_path: Path) -> None:
    began = threading.Event()

    def train() -> None:
        with training(tmp_path / "cells", stop_requested=never):
            began.set()

    thread = threading.Thread(target=train)
    with measuring(tmp_path, on_wait=no_wait) as is_alone:
        assert is_alone
        thread.start()
        assert not began.wait(0.2)
    assert began.wait(10)
    thread.join()


def test_two_do_not_measure_at_a_time_and_other_caches_do_not_matter(tmp_path: Path) -> None:
    with measuring(tmp_path / "other", on_wait=no_wait):
        at_a_time, most = [], []

        def measure() -> None:
            with measuring(tmp_path, on_wait=lambda: None) as is_alone:
                assert is_alone
                at_a_time.append(1)
                most.append(len(at_a_time))
                time.sleep(0.05)
                at_a_time.pop()

        threads = [threading.Thread(target=measure) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1, 1, 1]


def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusive, "LIMIT_S", 0.1)
    waits: list[int] = []
    with training(tmp_path / "cells", stop_requested=never):
        with measuring(tmp_path, on_wait=lambda: waits.append(1)) as is_alone:
            assert not is_alone
        assert waits == [1]  # told once
    with measuring(tmp_path, on_wait=no_wait) as is_alone:
        assert is_alone
        with training(tmp_path / "cells", stop_requested=never):
            pass
    monkeypatch.setattr(exclusive, "LIMIT_S", 1000.0)
    with (
        measuring(tmp_path, on_wait=no_wait),
        training(tmp_path / "c", stop_requested=lambda: True),
    ):
        pass  # told to stop, it does not wait


def test_a_run_says_for_whom_it_waits_and_leaves_the_measurement_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exclusive, "LIMIT_S", 0.1)
    measured: list[int] = []
    monkeypatch.setattr(runner, "_throughput_rows", lambda *_: measured.append(1) or [])
    cell = tmp_path / "cells" / "key"
    with (
        locks.take(cell, on_lost=lambda: None),
        training(cell.parent, stop_requested=never),
    ):
        owner = locks.owner_of(cell)
        assert runner._measure_throughput(None, [], tmp_path, 1, None) == []
    waits, left_out = capsys.readouterr().err.splitlines()
    assert waits == f"throughput: waits for what trains here: {owner} (at most 0 min)"
    assert left_out.startswith("WARNING throughput is not measured: other runs use this machine")
    assert measured == []
    runner._measure_throughput(None, [], tmp_path, 1, None)
    assert measured == [1]


def test_where_nothing_can_be_locked_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locks").write_text("no folder")
    with measuring(tmp_path, on_wait=no_wait) as is_alone:
        assert is_alone

    def unsupported(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(exclusive.fcntl, "flock", unsupported)
    with measuring(tmp_path / "other", on_wait=no_wait) as is_alone:
        assert is_alone


def test_a_cell_of_a_cache_trains_beside_no_measurement(tmp_path: Path) -> None:
    path = write_cell(tiny_cell(tmp_path), tmp_path / "cells" / "key")
    command = [sys.executable, "-m", "vcbench.cell", str(path), "--threads", "1"]
    with measuring(tmp_path, on_wait=no_wait):
        process = subprocess.Popen(command)
        while not list(path.parent.glob("lock.*")):  # it could train
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.5)
        assert process.poll() is None
        assert not (path.parent / "log.jsonl").exists()
    assert process.wait(120) == 0
    assert (path.parent / "log.jsonl").exists()
