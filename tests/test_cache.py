"""`vcbench cache`: what is there is told, and only what may go goes."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workplace import Workplace

from vcbench import audio, cache, locks, runner, sealed, usage
from vcbench.batch_conversion import outputs_of
from vcbench.cache import CHEAP, KINDS, Entry
from vcbench.cli import main
from vcbench.engines import Resources
from vcbench.engines.local import LocalEngine
from vcbench.locks import Owner
from vcbench.training.files import write_json, write_status
from vcbench.units import units_of

DAY_S = 86400.0
KEY = "0" * 16 + "-" + "a" * 48


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one thing or more of each kind, all of it 60 days old."""
    root = tmp_path / "cache"
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(root))
    cell = root / "cells" / KEY
    described = {"system": "one", "source": "A", "target": "B", "seed": 0}
    write_json(cell / "cell.json", described)
    (cell / "checkpoint.pt").write_bytes(bytes(1000))
    write_status(cell, {"iterations": 6})
    usage.note_suite(cell, "small")
    for wavs in (cell / "converted" / "v1", root / "baselines" / "mean-variance" / "l1" / "v1"):
        audio.write(wavs / "A_to_B" / "s1.wav", np.ones(800), sample_rate=16000)
    for name in ("features/ab/ab1.npz", "features/cd/cd1.npz", "speech/ab/ab1.npz"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(root / name, a=np.ones(3))
    sealed.write_json(root / "scores" / "ab" / "ab1.json", {"values": {}})
    (root / "checks").mkdir()
    (root / "checks" / "c1").touch()
    aged(root, days=60)
    return root


def aged(folder: Path, *, days: float) -> None:
    then = time.time() - days * DAY_S
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then))


def never(owners: object) -> None:
    raise AssertionError(f"waits for {owners}, which is on this machine")


def kinds(folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in cache.entries(folder):
        found[entry.kind] = found.get(entry.kind, 0) + 1
    return found


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["cache", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_there_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "ls")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert found["bytes"] == sum(path.stat().st_size for path in files)
    assert {kind: row["entries"] for kind, row in found["kinds"].items()} == {
        "cells": 1,
        "conversions": 2,
        "features": 2,
        "scores": 1,
        "speech": 1,
        "checks": 1,
    }
    (cell,) = found["cells"]
    assert (cell["cell"], cell["suites"], cell["state"]) == ("one/A-B/0", ["small"], "done")
    assert all(abs(time.time() - row["last_used"] - 60 * DAY_S) < 900 for row in [*kinds_of(found)])
    assert main(["cache", "ls"]) == 0
    said = capsys.readouterr().out
    assert "mean-variance" in said
    assert "60 days" in said
    assert str(folder) in said


def kinds_of(found: dict) -> list[dict]:
    return list(found["kinds"].values())


def test_an_empty_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(tmp_path / "none"))
    assert main(["cache", "ls"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/none: nothing is kept there\n"
    assert main(["cache", "gc"]) == 0
    assert capsys.readouterr().out.startswith("freed 0 B")
    assert not (tmp_path / "none").exists()


def test_a_dry_run_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    found = document(capsys, "gc", "--dry-run")
    assert {entry["kind"] for entry in found["chosen"]} == set(CHEAP)
    assert (found["removed"], found["freed_bytes"]) == (0, 0)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_trainings_stay_unless_they_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert main(["cache", "gc"]) == 0
    left = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert kinds(folder) == {"cells": 1}
    assert "freed " in capsys.readouterr().out
    assert document(capsys, "gc", "--kind", "cells")["freed_bytes"] == left
    assert kinds(folder) == {}
    assert size > left
    assert list((folder / "cells").glob("*")) == []


def test_what_was_used_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    used = folder / "features" / "ab" / "ab1.npz"
    made = used.stat().st_mtime
    usage.note([used, folder / "nowhere"])
    assert used.stat().st_mtime == made
    assert main(["cache", "gc"]) == 0
    assert [entry.path for entry in cache.entries(folder) if entry.kind != "cells"] == [used]
    capsys.readouterr()
    assert main(["cache", "gc", "--older-than", "90d", "--kind", "cells"]) == 0
    assert (folder / "cells" / KEY).exists()


def test_what_a_process_trains_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = locks.try_to_take(folder / "cells" / KEY)
    assert lock is not None
    with lock:
        assert main(["cache", "gc", "--kind", "cells", "--kind", "conversions"]) == 1
        said = capsys.readouterr().err
        assert f"WARNING {folder}/cells/{KEY}: not removed (in use by process {os.getpid()}" in said
        assert (folder / "cells" / KEY / "checkpoint.pt").exists()
    assert main(["cache", "gc", "--kind", "cells"]) == 0
    assert not (folder / "cells" / KEY).exists()


def test_what_a_run_uses_stays_however_little_is_asked_for(folder: Path) -> None:
    used = folder / "features" / "ab" / "ab1.npz"
    with usage.running(folder):
        usage.note([used])
        begun = usage.oldest_run(folder, on_wait=never)
        assert begun is not None
        assert begun[1].pid == os.getpid()
        time.sleep(0.01)
        assert main(["cache", "gc", "--older-than", "0m", "--kind", "features"]) == 0
        assert used.exists()
        assert not (folder / "features" / "cd").exists()
    assert usage.oldest_run(folder, on_wait=never) is None
    assert main(["cache", "gc", "--older-than", "0m", "--kind", "features"]) == 0
    assert not used.exists()


def elsewhere(folder: Path, **changes: object) -> Path:
    """The lock of a process on another machine, or of this one's last boot: of 60 days ago."""
    folder.mkdir(parents=True, exist_ok=True)
    owner = replace(Owner("gpu7", "another boot", 77, 34, "2026-01-02T03:04:05+00:00"), **changes)
    lock = folder / "lock.1"
    lock.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    then = time.time() - 60 * DAY_S
    os.utime(lock, (then, then))
    return lock


@contextmanager
def beating(lock: Path) -> Iterator[None]:
    """The lock's owner lives."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.05):
            os.utime(lock)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def run_begun(root: Path, *, days_ago: float) -> Path:
    return root / "runs" / f"{time.time_ns() - int(days_ago * DAY_S * 1e9)}-77"


def test_a_run_that_was_killed_elsewhere_holds_nothing_for_good(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "STALE_S", 0.5)
    runs = [run_begun(folder, days_ago=days) for days in (70, 65)]
    for run in runs:
        elsewhere(run)
    cells = [folder / "cells" / KEY, folder / "cells" / KEY.replace("a", "b")]
    for cell in cells:
        elsewhere(cell)
    started = time.monotonic()
    assert main(["cache", "gc", "--kind", "cells", "--kind", "features"]) == 0
    assert time.monotonic() - started < 4 * locks.STALE_S  # two waits, each for all together
    assert kinds(folder).keys() == {"conversions", "scores", "speech", "checks"}
    assert not any(path.exists() for path in (*runs, *cells))
    said = capsys.readouterr().err
    assert said.count("waits until it is known whether these still run (at most ") == 2
    assert said.count("  process 77 on gpu7, since 2026-01-02") == 4


def test_a_run_that_goes_on_elsewhere_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, cell = run_begun(folder, days_ago=70), folder / "cells" / KEY
    with beating(elsewhere(run)), beating(elsewhere(cell, pid=78)):
        assert main(["cache", "gc", "--kind", "features"]) == 0
        said = capsys.readouterr().err
        assert "process 77 on gpu7, since 2026-01-02T03:04:05+00:00, runs a suite: what" in said
        assert kinds(folder)["features"] == 2
        aged(folder / "features", days=80)
        assert main(["cache", "gc", "--kind", "features"]) == 0
        assert "features" not in kinds(folder)
        aged(cell, days=80)
        assert main(["cache", "gc", "--kind", "cells"]) == 1
        said = capsys.readouterr().err
        assert f"{KEY}: not removed (in use by process 78 on gpu7, since 2026" in said
        assert "it can go when that has ended)" in said
        assert (cell / "checkpoint.pt").exists()


def test_what_is_used_while_it_is_chosen_and_asked_about_stays(folder: Path) -> None:
    """A run begins while somebody looks at the question, or while a lock is watched."""
    found = sorted(cache.entries(folder), key=lambda entry: entry.kind)
    used = {"cells": folder / "cells" / KEY / "checkpoint.pt"}
    used["features"] = folder / "features" / "ab" / "ab1.npz"
    usage.note(used.values())
    gone = [
        entry for entry in found if not any(p.is_relative_to(entry.path) for p in used.values())
    ]
    done, freed, problems = cache.remove(found, folder)
    assert (done, freed, problems) == (len(gone), sum(entry.n_bytes for entry in gone), [])
    assert kinds(folder) == dict.fromkeys(used, 1)


def test_a_folder_whose_owner_cannot_be_known_stays_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of one that is gone cannot be taken over on a file system that is read-only."""
    monkeypatch.setattr(locks, "STALE_S", 0.1)

    def refused(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(locks, "take", refused)
    lock = elsewhere(folder / "cells" / KEY)
    usage.free([lock.parent], on_wait=lambda owners: None)
    assert locks.owner_of(lock.parent) is not None


def test_half_written_files_go_whatever_is_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = sealed.temporary_of(folder / "cells" / KEY / "checkpoint.pt")
    new = sealed.temporary_of(folder / "features" / "ab" / "ab2.npz")
    for path in (old, new):
        path.write_bytes(bytes(77))
    then = time.time() - 2 * 3600
    os.utime(old, (then, then))
    found = document(capsys, "gc", "--older-than", "365d")
    assert (found["half_written"], found["freed_bytes"]) == ([str(old)], 77)
    assert new.exists()
    assert not old.exists()


def test_it_asks_on_a_terminal_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n")
    assert main(["cache", "gc"]) == 0
    said = capsys.readouterr().err
    assert "[y/N]" in said
    assert "nothing was removed" in said
    assert kinds(folder)["features"] == 2
    assert main(["cache", "gc", "--yes"]) == 0
    assert "features" not in kinds(folder)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--older-than", "soon"], "'soon' is no age: a number and m, h, d or w"),
        (["--kind", "feature"], "did you mean 'features'?"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["cache", "gc", *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert told in capsys.readouterr().err
    assert kinds(folder)["features"] == 2


def test_a_suite_that_is_kept_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Workplace(tmp_path / "place")
    plan = place.plan()
    root = place.root / "cache"
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(root))
    for planned in plan.cells:
        write_json(planned.folder / "cell.json", planned.cell.to_json())
        audio.write(
            planned.folder / "converted" / "v1" / "A_to_B" / "s.wav", np.ones(9), sample_rate=16000
        )
    for path in plan.features.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, a=np.ones(3))
    other = root / "features" / "00" / "0.npz"
    other.parent.mkdir(exist_ok=True)
    other.touch()
    noted = root / "cells" / KEY
    write_json(noted / "cell.json", {"system": "one", "source": "A", "target": "B", "seed": 9})
    usage.note_suite(noted, "small")  # as --set made it
    aged(root, days=60)
    before = {path for path in root.rglob("*") if path.is_file()}
    suite = str(place.root / "suite.yaml")
    every = [argument for kind in KINDS for argument in ("--kind", kind)]
    arguments = ["cache", "gc", *every, "--data", str(place.root)]
    assert main([*arguments, "--keep-suite", suite]) == 0
    assert before - {path for path in root.rglob("*") if path.is_file()} == {other}
    assert main(arguments) == 0
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_what_a_run_will_need_stays_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training takes days, and what is there already is looked at only afterwards."""
    place = Workplace(tmp_path / "place")
    root = place.root / "cache"
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(root))
    plan = place.plan()
    units = units_of(plan)
    wavs = {
        path
        for by_id in outputs_of(plan, units, root).values()
        for path in by_id.values()
        if path.is_relative_to(root)
    }
    needed = {planned.folder / "checkpoint.pt" for planned in plan.cells}
    needed |= wavs | set(plan.features.values())
    assert {path.relative_to(root).parts[0] for path in needed} == {
        *("cells", "features", "baselines"),
    }
    other = root / "cells" / KEY / "checkpoint.pt"
    for path in {*needed, other}:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    aged(place.root, days=60)
    recordings = {u.path: u.path.stat().st_atime_ns for u in plan.speech.all()}

    def collected(*_: object) -> None:
        every = [argument for kind in KINDS for argument in ("--kind", kind)]
        assert main(["cache", "gc", "--older-than", "0m", *every]) == 0
        raise InterruptedError

    monkeypatch.setattr(runner, "check_systems", collected)  # the first of all that takes long
    with usage.running(root), pytest.raises(InterruptedError):
        runner.run(
            plan,
            cache_dir=root,
            reports_dir=tmp_path / "reports",
            jobs=1,
            engine=LocalEngine(slots=[None], resources=Resources(1)),
            command=[],
        )
    assert not other.exists()
    assert {path for path in needed if path.exists()} == needed
    assert {path: path.stat().st_atime_ns for path in recordings} == recordings  # not the cache's


ENTRIES = st.builds(
    Entry,
    kind=st.sampled_from(KINDS),
    path=st.sampled_from(["a", "a/b", "a/b/c", "d", "d/e"]).map(Path),
    n_bytes=st.just(1),
    made=st.just(0.0),
    used=st.floats(0, 100),
    suites=st.sampled_from([(), ("x",), ("x", "y")]),
)


@given(
    found=st.lists(ENTRIES, max_size=6),
    chosen_kinds=st.sets(st.sampled_from(KINDS)),
    older_than_s=st.floats(0, 100),
    in_use_since=st.none() | st.floats(0, 100),
    keep=st.sets(st.sampled_from(["a", "a/b", "d/e", "z"]).map(Path)),
    keep_suites=st.sets(st.sampled_from(["x", "y", "z"])),
)
def test_nothing_is_chosen_that_may_not_be(
    found: list[Entry],
    chosen_kinds: set,
    older_than_s: float,
    in_use_since: float | None,
    keep: set[Path],
    keep_suites: set[str],
) -> None:
    removed = cache.chosen(
        found,
        kinds=chosen_kinds,
        older_than_s=older_than_s,
        now=100.0,
        in_use_since=in_use_since,
        keep=keep,
        keep_suites=keep_suites,
    )
    for entry in found:
        may = (
            entry.kind in chosen_kinds
            and 100.0 - entry.used > older_than_s
            and (in_use_since is None or entry.used < in_use_since)
            and not any(entry.path == path or path in entry.path.parents for path in keep)
            and not keep_suites & set(entry.suites)
        )
        assert (entry in removed) == may
