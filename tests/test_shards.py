"""Whole runs that share a cache: shards, two at once, and after one was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_corpus
from home import Home

from vcbench import locks, processes

ONE_SYSTEM = small_corpus.SUITE.partition("  two-d:")[0]
SUITE = (
    ONE_SYSTEM.replace("suite: small", "suite: shared")
    + """\
training: {iterations: 6, validation_utterances: 1, log_every: 2, validate_every: 3}
seeds: [0, 1]
scale: 0.03
baselines: [source-copy]
metrics: [mcd]
samples_per_direction: 0
"""
)


@pytest.fixture
def shared(home: Home, tmp_path: Path) -> Home:
    """The small corpus with a suite of two cells, a cache and a reports folder of its own."""
    suite = tmp_path / "shared.yaml"
    suite.write_text(SUITE, encoding="utf-8")
    places = {f"VCBENCH_{name}_DIR": str(tmp_path / name.lower()) for name in ("CACHE", "REPORTS")}
    return Home(suite, home.data, {**home.environment, **places})


def uncaptured(home: Home) -> dict:
    """Options of a process that the test does not wait for at once."""
    return {name: value for name, value in home.options().items() if name != "capture_output"}


def latest(home: Home) -> Path:
    return Path(home.environment["VCBENCH_REPORTS_DIR"], "shared", "latest").resolve()


def cells(run: Path) -> dict[str, dict]:
    lines = (run / "cells.jsonl").read_text().splitlines()
    return {cell["cell"]: cell for cell in map(json.loads, lines)}


def was_trained_once(folder: Path) -> bool:
    """Whether no line of its log, of losses or of a validation, stands there twice or too late."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    lines = [(line["iteration"], sorted(line)) for line in log]
    iterations = [iteration for iteration, _ in lines]
    assert iterations == sorted(iterations)
    return all(lines.count(line) == 1 for line in lines)


def plan(home: Home) -> dict[str, str]:
    """Why each cell is not done."""
    command = [sys.executable, "-m", "vcbench", "plan", str(home.suite), "--data", str(home.data)]
    done = subprocess.run([*command, "--json"], **home.options())
    assert done.returncode == 0, done.stderr
    return {cell["cell"]: cell["reason"] for cell in json.loads(done.stdout)["cells"]}


@pytest.mark.slow
def test_shards_are_incomplete_until_all_are_there(shared: Home) -> None:
    first = shared.run("--shard", "1/2")
    assert first.returncode == 3, first.stderr
    assert "training: 1 cell trained, 0 cached" in first.stderr
    assert "incomplete: 1 cell not trained yet" in first.stderr
    found = cells(latest(shared))
    assert sorted(c["status"] for c in found.values()) == ["ok", "ok", "skipped"]
    (missing,) = [c for c in found.values() if c["status"] == "skipped"]
    assert missing["reason"] == "not done yet: shard 2/2 trains it, this one was 1/2"
    (row,) = [
        r
        for r in json.loads((latest(shared) / "leaderboard.json").read_text())["rows"]
        if r["system"] == "one-d"
    ]
    assert row["rank"] is None
    second = shared.run("--shard", "2/2")
    assert second.returncode == 0, second.stderr
    assert "training: 1 cell trained, 1 cached" in second.stderr
    whole = shared.run()
    assert whole.returncode == 0, whole.stderr
    assert "training: 0 cells trained, 2 cached" in whole.stderr
    assert {c["status"] for c in cells(latest(shared)).values()} == {"ok"}


@pytest.mark.slow
def test_after_a_killed_run_the_next_waits_for_the_cells_left_behind(shared: Home) -> None:
    alone = ["--only", "one-d/*/0", "--set", "training.iterations=400"]
    alone += ["--set", "training.log_every=5"]
    cache = Path(shared.environment["VCBENCH_CACHE_DIR"])
    with subprocess.Popen(shared.command(*alone), **uncaptured(shared)) as run:
        deadline = time.monotonic() + 300
        while not list(cache.glob("cells/*/log.jsonl")):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.02)
        (folder,) = cache.glob("cells/*")
        owner = locks.owner_of(folder)
        assert owner is not None
        os.kill(owner.pid, signal.SIGSTOP)  # so that it does not end before the next run looks
        run.kill()
    assert owner.is_alive and owner.is_orphan
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(shared.command(*alone), **uncaptured(shared), **streams) as again:
        assert again.stderr is not None
        said = f"one-d/LOW-HIGH/0: process {owner.pid} on {re.escape(owner.host)}, since .*waiting"
        for line in again.stderr:
            if re.match(said, line):
                os.kill(owner.pid, signal.SIGCONT)
                break
        rest = again.stderr.read()
        assert again.wait(300) == 0, rest
    assert processes.started(owner.pid) is None
    assert was_trained_once(folder)
    assert cells(latest(shared))["one-d/LOW-HIGH/0"]["iterations"] == 400


@pytest.mark.slow
def test_two_runs_at_once_share_the_work(shared: Home) -> None:
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    command = [*shared.command("--jobs", "1"), "--set", "training.iterations=100"]
    both = [subprocess.Popen(command, **uncaptured(shared), **streams) for _ in range(2)]
    said = [process.communicate(timeout=500)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    runs = [
        run
        for run in Path(shared.environment["VCBENCH_REPORTS_DIR"], "shared").iterdir()
        if not run.is_symlink()
    ]
    assert len(runs) == 2
    one, other = ((run / "results.csv").read_bytes() for run in runs)
    assert one == other
    for folder in Path(shared.environment["VCBENCH_CACHE_DIR"]).glob("cells/*"):
        assert was_trained_once(folder)


@pytest.mark.slow
def test_a_cell_over_its_time_is_told_kept_and_tried_again(shared: Home) -> None:
    endless = ["--set", "training.iterations=1000000", "--only", "one-d/*/0"]
    done = shared.run(*endless, "--timeout", "8s")
    assert done.returncode == 1, done.stderr
    assert "FAILED one-d/LOW-HIGH/0: stopped at its time limit of 8 s (--timeout)" in done.stderr
    assert cells(latest(shared))["one-d/LOW-HIGH/0"]["status"] == "timeout"
    (folder,) = Path(shared.environment["VCBENCH_CACHE_DIR"]).glob("cells/*")
    failure = json.loads((folder / "failure.json").read_text())
    assert (failure["status"], failure["attempts"]) == ("timeout", 1)
    assert list(plan(shared)) == ["one-d/LOW-HIGH/0", "one-d/LOW-HIGH/1"]
    again = shared.run(*endless, "--timeout", "8s", "--retry-failed")
    assert again.returncode == 1, again.stderr
    assert json.loads((folder / "failure.json").read_text())["attempts"] == 2
