"""`train.py` of a pack without training: its processes, its limits, and what it brings."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from carried import put_result
from hypothesis import given, settings
from hypothesis import strategies as st

from vcbench import locks
from vcbench.carry import bringing, one_cell
from vcbench.carry import there as there_module
from vcbench.carry.pack_names import folder_of
from vcbench.errors import CellFailure


@pytest.fixture
def one_process() -> Iterator[None]:
    """What a cell's process sets for itself is set back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    torch.set_flush_denormal(False)


def options_there(tmp_path: Path, **more: Any) -> argparse.Namespace:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    said = {"out": None, "threads": 0, "at_once": 1, "speed_s": 1.0, "parent": os.getppid()}
    return argparse.Namespace(work=work, **{**said, **more})


ENTRY = {"key": f"{1:016x}-{1:048x}", "cell": "a/A-B/0"}


@pytest.mark.usefixtures("one_process")
def test_a_cells_process_locks_its_folder_and_stops_without_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = options_there(tmp_path)
    folder = options.work / folder_of(ENTRY["key"])
    seen: list[bool] = []

    def training(*arguments: Any) -> int:
        assert locks.owner_of(folder) is not None
        seen.append(arguments[3]())
        return 0

    monkeypatch.setattr(one_cell, "_train", training)
    assert one_cell.train_one(tmp_path, ENTRY, options) == 0
    assert seen == [False]
    monkeypatch.setattr(os, "getppid", lambda: 1)  # of whoever takes in what the dead leave behind
    lock = locks.take(folder, on_lost=lambda: None)
    assert isinstance(lock, locks.Lock)
    with lock:
        assert one_cell.train_one(tmp_path, ENTRY, options) == 130
        options.parent = 1
        assert one_cell.train_one(tmp_path, ENTRY, options) == 75
    assert f"process {os.getpid()} on " in capsys.readouterr().err
    assert seen == [False]


@pytest.mark.usefixtures("one_process")
def test_only_what_training_itself_calls_a_failure_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_there(tmp_path)
    kept = options.work / folder_of(ENTRY["key"]) / "failed.txt"
    raised: list[Exception] = [torch.OutOfMemoryError("CUDA out of memory")]

    def training(*_: Any) -> int:
        raise raised[-1]

    monkeypatch.setattr(one_cell, "_train", training)
    with pytest.raises(torch.OutOfMemoryError):
        one_cell.train_one(tmp_path, ENTRY, options)
    assert not kept.exists()
    raised.append(CellFailure("a loss is NaN\n  try something else"))
    assert one_cell.train_one(tmp_path, ENTRY, options) == 1
    assert kept.read_text() == "a loss is NaN   try something else"


@pytest.mark.parametrize(
    ("ends", "told", "starts"),
    [
        ("os.kill(os.getpid(), 9)", "ended with signal 9; tried again next time", 2),
        ("sys.exit(3)", "ended with exit code 3: said; tried again next time", 2),
        ("1 / 0", "ended with exit code 1: ZeroDivisionError: ", 2),
        ("sys.exit(75)", "not trained: said", 2),
        ("sys.exit(130)", "stopped, goes on next time", 2),
        ("open('failed.txt', 'w').write('NaN'), sys.exit(1)", "FAILED: NaN", 1),
    ],
)
def test_a_call_starts_a_cell_once_and_the_next_call_again_unless_it_failed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ends: str,
    told: str,
    starts: int,
) -> None:
    options = options_there(tmp_path)
    folder = options.work / folder_of(ENTRY["key"])
    body = f"open('starts', 'a').write('x'); print('said', flush=True); {ends}"
    script = f"import os, sys; os.chdir({str(folder)!r}); {body}"
    monkeypatch.setattr(there_module, "_command", lambda *_: [sys.executable, "-S", "-c", script])
    limit = argparse.Namespace(is_over=lambda: False)
    for _ in range(2):
        there_module._train_all(tmp_path, {ENTRY["key"]: ENTRY}, options, limit)
    assert capsys.readouterr().out.count(f"a/A-B/0: {told}") == starts
    assert (folder / "starts").read_text() == "x" * starts


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(
    "on_sigterm", ["lambda *_: sys.exit(130)", "signal.SIG_DFL", "signal.SIG_IGN"]
)
@pytest.mark.parametrize("is_told", [False, True])
def test_when_the_time_is_up_cells_are_told_to_stop_and_killed_if_they_do_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    on_sigterm: str,
    is_told: bool,
) -> None:
    options = options_there(tmp_path)
    script = f"import signal, sys, time; signal.signal(15, {on_sigterm}); time.sleep(60)"
    monkeypatch.setattr(there_module, "_command", lambda *_: [sys.executable, "-S", "-c", script])
    monkeypatch.setattr(there_module, "GRACE_S", 0.3)
    limit = there_module._Limit(60 if is_told else 0.3)
    if is_told:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    since = time.monotonic()
    there_module._train_all(tmp_path, {ENTRY["key"]: ENTRY}, options, limit)
    assert time.monotonic() - since < 30
    assert capsys.readouterr().out == "a/A-B/0: stopped, goes on next time\n"


STATES = ["brought", "too large", "failed", "left", "unfinished"]


@settings(max_examples=25)
@given(st.lists(st.sampled_from(STATES), min_size=1, max_size=5))
def test_it_is_to_be_called_again_while_anything_is_left(states: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        options = options_there(Path(name), out=Path(name, "out"))
        entries = {f"{i:016x}-{i:048x}": {"cell": f"a/A-B/{i}"} for i in range(len(states))}
        patch.setattr(bringing, "FILE_BYTES", 5000)
        patch.setattr(bringing, "FILES", 100)
        for late in (False, True):
            for key, state in zip(entries, states, strict=True):
                folder = options.work / folder_of(key)
                if state in ("brought", "too large") and not late:
                    put_result(folder, {"mapped.npz": 6000 if state == "too large" else 100})
                elif state == "left" and late:
                    put_result(folder, {})
                elif state == "failed":
                    folder.mkdir(exist_ok=True)
                    (folder / "failed.txt").write_text("why")
            if not late:
                bringing.bring(entries, options.work, options.out)
        worst = max(states, key=STATES.index)
        expected = {"brought": 0, "too large": 1, "failed": 1, "left": 3, "unfinished": 3}[worst]
        assert there_module._report(entries, options) == expected
        report = json.loads((options.out / "report.json").read_text())
    for line, state in zip(report, states, strict=True):
        assert line["brought"] == (state == "brought")
        assert line["too_large"] == (["mapped.npz"] if state == "too large" else [])


NAMES = ["log.jsonl", "mapped.npz", "points/00000001.npz", "points/00000002.npz", "output.log"]


@settings(max_examples=30)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(NAMES), st.integers(0, 14000)), min_size=1, max_size=4
    ),
    st.integers(1, 3),
    st.integers(14000, 40000),
)
def test_every_file_is_brought_once_in_tars_of_limited_size(
    cells: list[dict[str, int]], n_tars: int, all_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bringing, "FILE_BYTES", 12000)
        patch.setattr(bringing, "ALL_BYTES", all_bytes)
        patch.setattr(bringing, "FILES", n_tars)
        work = Path(name, "work")
        entries = {f"{i:016x}-{i:048x}": {"cell": f"a/A-B/{i}"} for i in range(len(cells))}
        expected = set()
        for key, sizes in zip(entries, cells, strict=True):
            put_result(work / folder_of(key), sizes)
            small = {file for file, size in sizes.items() if size <= 12000 - 1024}
            expected |= {f"{key}/{file}" for file in {*small, "machine.json", "status.json"}}
        found = list(brought_by_calls(entries, work, Path(name, "first")))
        assert sorted(found) == sorted(expected)
        for key in entries:
            assert [file for file in found if file.startswith(key)][-1] == f"{key}/status.json"
        bringing.forget(entries, work)
        assert list(brought_by_calls(entries, work, Path(name, "again"))) == found


def brought_by_calls(entries: dict[str, Any], work: Path, out: Path) -> Iterator[str]:
    """The members of what one call after another brings, until there is no more."""
    for call in range(100):
        bringing.bring(entries, work, out / str(call))
        archives = sorted((out / str(call)).iterdir())
        if not archives:
            return
        assert len(archives) <= bringing.FILES
        total = 0
        for path in archives:
            with tarfile.open(path) as archive:
                yield from archive.getnames()
                last = archive.getmembers()[-1]
            # All but its end, which is at most one record.
            size = last.offset_data + -(-last.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            assert size <= bringing.FILE_BYTES
            total += size
        assert total <= bringing.ALL_BYTES
    raise AssertionError("it never ends")


def test_what_is_in_no_whole_tar_is_brought_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries, work = {ENTRY["key"]: ENTRY}, tmp_path / "work"
    folder = work / folder_of(ENTRY["key"])
    put_result(folder, {"log.jsonl": 10})
    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "close", lambda _: 1 / 0)  # a full disk, say
        with pytest.raises(ZeroDivisionError):
            bringing.bring(entries, work, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert len(bringing.left_of(folder, tmp_path / "none")) == 3
    assert len(list(brought_by_calls(entries, work, tmp_path / "out"))) == 3
