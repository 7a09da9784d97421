"""A clock that jumps: no decision of a run is taken by it."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from place import Place, cells, tables

import vcbench
from vcbench import store

# Who looks at the time of day, and what for.
TIME_OF_DAY = {
    "cache.py": "`vcbench cache` says how long ago",
    "carry/bringing.py": "names a file",
    "cli/cache.py": "`vcbench cache gc` deletes what was not used for so long",
    "engines/slurm.py": "names a folder",
    "failures.py": "tells people when",
    "locks.py": "tells people since when",
    "results.py": "tells people when",
    "store.py": "names a run's folder",
    "usage.py": "notes what was used when, for `vcbench cache`",
}
LOOK = re.compile(r"\btime\.(time|time_ns|localtime|gmtime)\(|\bdatetime\.(now|utcnow|today)\(")


def test_nobody_else_looks_at_it() -> None:
    root = Path(vcbench.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if LOOK.search(path.read_text(encoding="utf-8"))
    }
    assert found <= set(TIME_OF_DAY), "what for? A run must go on as it was when the clock is set"


def test_the_newest_run_is_the_last_one_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's folder is named by the clock; `latest` is not."""
    runs = []
    for year in (2030, 2024, 2024):
        clock = SimpleNamespace(now=lambda tz, year=year: datetime(year, 1, 1, tzinfo=tz))
        monkeypatch.setattr(store, "datetime", clock)
        runs.append(store.RunFolder(tmp_path, "suite", "v1"))
        runs[-1].point_latest_here()
        assert (tmp_path / "suite" / "latest").resolve() == runs[-1].path
    assert len({run.path for run in runs}) == 3


@pytest.mark.slow
def test_years_pass_and_come_back(
    place: Callable[..., Place], undisturbed: Callable[[Place], Path]
) -> None:
    """While cells are trained, one of them killed half-way, and between the runs; files then have
    times of the past and of the future."""
    here = place({"fine": {}, "trained-is-killed": {"mood": "trained-is-killed"}})
    here.changes["FAULTS_CLOCK"] = "jumps"
    here.tell("trained-is-killed")
    done = here.run()
    assert done.returncode == 1, done.stderr
    assert {name: cell["status"] for name, cell in cells(here.latest).items()} == {
        "fine": "ok",
        "trained-is-killed": "oom",
        "source-copy": "ok",
    }
    before = here.runs
    rng = random.Random(1)
    for path in here.cache.rglob("*"):
        moment = rng.uniform(1e8, 4e9)
        os.utime(path, (moment, moment))

    here.tell()
    done = here.run()
    assert done.returncode == 0, done.stderr
    assert "training: 1 cell trained, 1 cached" in done.stderr
    (newest,) = set(here.runs) - set(before)
    assert here.latest == newest
    assert tables(newest) == tables(undisturbed(here))
