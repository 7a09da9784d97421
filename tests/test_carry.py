"""Cells that travel to a machine with PyTorch and NumPy alone, and what comes back."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from carried import put_result
from home import Home
from tiny_cells import tiny_cell

import vcbench
from vcbench import environment, locks, mapped, sittings
from vcbench.carry import unpack as unpacking
from vcbench.carry.__main__ import main
from vcbench.carry.pack_names import folder_of
from vcbench.errors import DataError
from vcbench.plugins import Registry
from vcbench.training.checkpoint import Checkpoint, iteration_of
from vcbench.training.files import has_result
from vcbench.training.log import read_log

ROOT = Path(vcbench.__file__).parents[1]
ABSENT = [
    *("pyworld", "pysptk", "nnmnkwii", "sklearn", "soundfile", "scipy", "pandas", "pyarrow"),
    *("pydantic", "pydantic_core", "yaml", "rich", "jinja2", "matplotlib", "pooch", "requests"),
    *("suites", "metrics"),
]
# Every process of the other machine begins with this: importing any of them fails, and neither this
# checkout nor its installed metadata is found.
BARE = f"""\
import sys
sys.modules.update(dict.fromkeys({ABSENT}))
sys.path[:] = [entry for entry in sys.path if entry and entry != {str(ROOT)!r}]
"""


@pytest.fixture
def cache(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own that has the home's features."""
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "features").symlink_to(Path(home.environment["VCBENCH_CACHE_DIR"], "features"))
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(folder))
    monkeypatch.setenv("VCBENCH_REPORTS_DIR", str(tmp_path / "reports"))
    return folder


def packed(home: Home, folder: Path, *more: str) -> Path:
    data = ("--data", str(home.data))
    asked = ["pack", str(home.suite), "--device", "cpu", "-o", str(folder), *data, *more]
    assert main(asked) == 0
    return folder


def there(pack: Path, site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`train.py` on a machine that has nothing else."""
    with started_there(pack, site, *arguments) as process:
        out, error = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)


def started_there(pack: Path, site: Path, *arguments: object) -> subprocess.Popen[str]:
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(BARE)
    command = [sys.executable, pack / "train.py", "--threads", 1, "--speed-s", 0.05, *arguments]
    return subprocess.Popen(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": str(site)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=site,
    )


def n_logged(folder: Path) -> int:
    path = folder / "log.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """Where cells are trained; one that a test which failed has left behind is ended."""
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    for owner in locks.owners_here(folder):
        os.kill(owner.pid, signal.SIGKILL)


def scores(run: Path) -> pd.Series:
    table = pd.read_csv(run / "results.csv").fillna({"seed": -1})
    keys = ["system", "pair", "direction", "seed", "utterance", "metric"]
    return table.set_index(keys)["value"].sort_index()


@pytest.mark.slow
def test_there_and_back(
    home: Home, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = packed(home, tmp_path / "pack", "--every", "4", "--sentences", "1")
    site, work, out = (tmp_path / name for name in ("site", "work", "out"))
    # No time at all: nothing is trained, which is said, and the next call goes on.
    early = there(pack, site, "--work", work, "--out", out, "--minutes", 0)
    assert early.returncode == 3, early.stderr
    assert "one-d/LOW-HIGH/0: unfinished, 0 iterations" in early.stdout
    assert list(out.glob("*.tar")) == []
    done = there(pack, site, "--work", work, "--out", out, "--at-once", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": trained\n") == 2
    assert {path.suffix for path in out.iterdir()} == {".tar", ".json"}
    again = there(pack, site, "--work", work, "--out", tmp_path / "more")
    assert again.returncode == 0
    assert list((tmp_path / "more").glob("*.tar")) == []  # they were left before

    assert main(["unpack", str(pack), str(out), "--data", str(home.data)]) == 0
    assert "2 cells taken over, 0 here before" in capsys.readouterr().out
    folders = {name: os.environ[name] for name in ("VCBENCH_CACHE_DIR", "VCBENCH_REPORTS_DIR")}
    run = Home(home.suite, home.data, {**home.environment, **folders})
    result = run.run()
    assert result.returncode == 0, result.stderr
    assert "(2 trained before)" in result.stderr
    assert "WARNING" not in result.stderr
    # The same weights, on this machine with as many threads, and so the same scores to the bit.
    pd.testing.assert_series_equal(scores(run.latest), scores(home.first_run), check_exact=True)
    local = Path(home.environment["VCBENCH_CACHE_DIR"], "cells")
    for folder in (cache / "cells").iterdir():
        one, other = read_log(folder), read_log(local / folder.name)
        for line in (*one, *other):
            line.pop("iterations_per_second", None)
        assert one == other
        machine = json.loads((folder / "elsewhere.json").read_text())["machine"]
        assert machine["gpu"] is None
        assert machine["cpu"] == environment.machine("cpu")["cpu"] != ""
        assert machine["cells_at_once"] == 2
        assert sorted(p.name for p in (folder / "points").iterdir()) == [
            "00000004.npz",
            "00000006.npz",
        ]
        with (
            np.load(folder / "points" / "00000006.npz") as last,
            np.load(folder / "mapped.npz") as all_,
        ):
            assert len(last.files) == 2  # one sentence, both ways
            for name in last.files:
                assert np.array_equal(last[name], all_[name].astype(np.float16))
    speed = pd.read_csv(run.latest / "throughput.csv")
    assert set(speed["phase"]) == {"model", "training", "generator"}


@pytest.mark.slow
def test_a_stopped_cell_goes_on_and_ends_with_the_same_answers(
    home: Home, cache: Path, tmp_path: Path, work: Path
) -> None:
    recipe = {"iterations": 150, "log_every": 10, "validate_every": 150}
    more = [part for key, n in recipe.items() for part in ("--set", f"training.{key}={n}")]
    pack = packed(home, tmp_path / "pack", "--only", "two-d/*", *more)
    (entry,) = json.loads((pack / "pack.json").read_text())["cells"]
    site = tmp_path / "site"
    with started_there(pack, site, "--work", work) as process:
        try:
            wait_until(lambda: n_logged(work / folder_of(entry["key"])) > 1)
        finally:
            process.terminate()
        told, error = process.communicate()
    assert process.returncode == 3, error
    assert "stopped, goes on next time" in told
    assert there(pack, site, "--work", work).returncode == 3  # trained, and not left anywhere
    whole = tmp_path / "whole"
    assert there(pack, site, "--work", whole).returncode == 3
    assert not list(work.glob("*/points"))  # no curve was asked for
    (one,), (other,) = work.glob("*/mapped.npz"), whole.glob("*/mapped.npz")
    with np.load(one) as a, np.load(other) as b:
        assert sorted(a.files) == sorted(b.files)
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


@pytest.mark.slow
def test_a_cell_that_fails_is_told_and_not_tried_again(
    home: Home, cache: Path, tmp_path: Path
) -> None:
    more = ("--set", "training.learning_rate_generator=1e30", "--only", "one-d/*")
    pack = packed(home, tmp_path / "pack", *more)
    site, work = tmp_path / "site", tmp_path / "work"
    for said in ("one-d/LOW-HIGH/0: FAILED: ", "one-d/LOW-HIGH/0: failed, "):
        done = there(pack, site, "--work", work, "--out", tmp_path / "out")
        assert done.returncode == 1
        assert said in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report[0]["reason"].endswith("try a smaller learning rate")


def test_what_does_not_belong_is_refused(
    home: Home, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = packed(home, tmp_path / "pack")
    index = json.loads((pack / "pack.json").read_text())
    key = index["cells"][0]["key"]
    data = ["--data", str(home.data)]

    def archive(name: str) -> Path:
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as file:
            info = tarfile.TarInfo(name)
            info.size = 2
            file.addfile(info, io.BytesIO(b"{}"))
        return path

    for name in ("../evil", f"{key}/../x", f"{key}/cell.json", "/etc/passwd"):
        assert main(["unpack", str(pack), str(archive(name)), *data]) == DataError.exit_code
        assert "which no `train.py` writes" in capsys.readouterr().err
    assert main(["unpack", str(pack), str(archive(f"{key}/status.json")), *data]) == 1
    assert "holds no log.jsonl, machine.json, mapped.npz;" in capsys.readouterr().err
    strange = "0" * 16 + "-" + "0" * 48
    assert main(["unpack", str(pack), str(archive(f"{strange}/status.json")), *data]) == 1
    assert "is none of this pack's" in capsys.readouterr().err
    index["cells"][0]["key"] = strange  # as if the code had been another
    (pack / "pack.json").write_text(json.dumps(index))
    assert main(["unpack", str(pack), str(archive(f"{strange}/status.json")), *data]) == 1
    assert "has changed since it was packed" in capsys.readouterr().err
    assert not list((cache / "cells").glob("*/status.json")) if (cache / "cells").exists() else True
    assert main(["pack", str(home.suite), "-o", str(pack), *data]) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.slow
def test_it_ends_in_order_when_told_or_killed_and_no_cell_is_trained_twice(
    home: Home, cache: Path, tmp_path: Path, work: Path
) -> None:
    recipe = {"iterations": 100000, "log_every": 1, "validate_every": 100000}
    more = [part for key, n in recipe.items() for part in ("--set", f"training.{key}={n}")]
    pack = packed(home, tmp_path / "pack", "--only", "one-d/*", *more)
    (entry,) = json.loads((pack / "pack.json").read_text())["cells"]
    site, out = tmp_path / "site", tmp_path / "out"
    (work / "speed-one-d.json").write_text("[]")  # as if it had been measured
    folder = work / folder_of(entry["key"])
    for number in (signal.SIGTERM, signal.SIGKILL):
        with started_there(pack, site, "--work", work, "--out", out) as process:
            try:
                begun = n_logged(folder)
                wait_until(lambda begun=begun: n_logged(folder) > begun + 3)
                owner = locks.owner_of(folder)
                assert owner is not None and owner.pid != process.pid
                if number == signal.SIGTERM:
                    other = there(pack, site, "--work", work)
                    assert other.returncode == 3, other.stderr
                    assert f"one-d/LOW-HIGH/0: not trained: process {owner.pid} on" in other.stdout
            finally:
                process.send_signal(number)
            told, error = process.communicate()
        wait_until(lambda: locks.owner_of(folder) is None)
        done = iteration_of(folder / "checkpoint.pt") or 0
        assert done > begun + 3
        # Every line stands there once, also of what was trained in two sittings.
        assert [line["iteration"] for line in read_log(folder)] == list(range(1, done + 1))
        if number == signal.SIGTERM:
            assert process.returncode == 3, error
            assert "one-d/LOW-HIGH/0: stopped, goes on next time\n" in told
            (line,) = json.loads((out / "report.json").read_text())
            assert (line["state"], line["iterations"]) == ("unfinished", done)


def test_unpacking_merges_what_came_and_leaves_what_is_here(
    home: Home, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = packed(home, tmp_path / "pack", "--only", "one-d/*", "--every", "4")
    (entry,) = json.loads((pack / "pack.json").read_text())["cells"]
    there, here = tmp_path / "there", cache / "cells" / entry["key"]
    points = ["points/00000004.npz", "points/00000006.npz"]
    put_result(there, dict.fromkeys(("log.jsonl", "mapped.npz", *points), 5))
    (there / "machine.json").write_text(json.dumps({"torch": "1.2", "numpy": "3.4"}))
    names = ["log.jsonl", "machine.json", "mapped.npz", points[1], points[0], "status.json"]
    archives = []
    for number, part in enumerate((names[:2], names[2:4], names[4:])):
        archives.append(tmp_path / f"results-{number}.tar")
        with tarfile.open(archives[-1], "w") as archive:
            for name in part:
                archive.add(there / name, f"{entry['key']}/{name}")

    def unpacked(*given: Path) -> tuple[int, str, str]:
        code = main(["unpack", str(pack), *map(str, given), "--data", str(home.data)])
        return code, *capsys.readouterr()

    capsys.readouterr()
    code, out, error = unpacked(archives[0], archives[2])
    assert code == 1
    assert "one-d/LOW-HIGH/0: what was named holds no mapped.npz, points/00000006.npz;" in error
    assert not (here / "status.json").exists()
    # Training had begun here, and was saved; of other weights, which were lost, there is speech.
    begun = ("checkpoint.pt", "checkpoint.previous.pt", "points/00000002.npz", "converted/v/a.wav")
    for name in begun:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(b"old")
    lock = locks.take(here, on_lost=lambda: None)
    assert isinstance(lock, locks.Lock)
    with lock:
        code, out, error = unpacked(*archives)
    assert code == 1
    assert f"one-d/LOW-HIGH/0: process {os.getpid()} on " in error
    assert "trains it here; left as it is" in error
    assert (here / "checkpoint.pt").read_bytes() == b"old"
    code, out, error = unpacked(*archives)
    assert (code, error) == (0, "")
    assert out.startswith("1 cell taken over, 0 here before;")
    assert has_result(here)
    assert not any((here / name).exists() for name in begun)
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)
    # What is here stays, also where only a part of what came is named.
    (here / "log.jsonl").write_text("here")
    for some in (archives, archives[:1]):
        code, out, error = unpacked(*some)
        assert (code, error) == (0, "")
        assert out.startswith("0 cells taken over, 1 here before;")
    assert (here / "log.jsonl").read_text() == "here"


def test_answers_are_computed_on_the_cpu_wherever_a_cell_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, folder = tiny_cell(tmp_path), tmp_path / "cell"
    files = {s: [Path(p) for p in cell.validation_features[s]] for s in (cell.source, cell.target)}
    sittings.train_in_sittings(cell, folder, [12], lambda *_: None)
    expected = mapped.answers(Checkpoint.load(folder / "checkpoint.pt"), Registry(), files)
    loaded: list[Checkpoint] = []
    # There, nobody trains: the checkpoint is looked at as that of a cell on a GPU.
    monkeypatch.setattr(sittings, "train", lambda *_, **__: {})
    kept = sittings.keep_points(folder, Registry(), files)

    def at_point(point: int, checkpoint: Checkpoint) -> None:
        loaded.append(checkpoint)
        kept(point, replace(checkpoint, cell=on_gpu))

    on_gpu = replace(cell, device="cuda")
    sittings.train_in_sittings(on_gpu, folder, [12], at_point)
    weights = loaded[0].training["networks"]
    assert {weight.device.type for weight in weights.values()} == {"cpu"}
    with np.load(folder / "points" / "00000012.npz") as found:
        assert {n: found[n].tolist() for n in found.files} == {
            n: answer.astype(np.float16).tolist() for n, answer in expected.items()
        }


@pytest.mark.parametrize("text", ["{", "[1]", "null", "{}", '{"torch": "2", "numpy": 1}'])
def test_a_machine_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("0-0/machine.json")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
    with pytest.raises(DataError, match=r"0-0/machine\.json is not what `train\.py` writes"):
        unpacking._machine(path, "0-0")
