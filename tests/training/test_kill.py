"""SIGKILL at any moment, and the same command again: not a bit is different in the end."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_cells import write_cell
from whole_trainings import assert_same_result, with_dropout

from vcbench.training.checkpoint import load_newest
from vcbench.training.files import CHECKPOINT, LOG, STATUS

# Lives of a process, by what it is killed at.
AT_TIMES, AT_WORK, IN_CHECKPOINTS = "at a time", "while it trains", "while it saves"
# The steps of saving take long enough to be hit.
SLOW = """\
import os, sys, time
from pathlib import Path

fsync, replace = os.fsync, Path.replace


def slow_fsync(handle):
    time.sleep(0.03)
    fsync(handle)
    time.sleep(0.03)


def slow_replace(path, target):
    time.sleep(0.02)
    replace(path, target)
    time.sleep(0.02)


os.fsync, Path.replace = slow_fsync, slow_replace
from vcbench.cell import main
sys.exit(main(sys.argv[1:]))
"""


def start(path: Path, *, slow: bool = False) -> subprocess.Popen[str]:
    how = ["-c", SLOW] if slow else ["-m", "vcbench.cell"]
    command = [sys.executable, *how, "--trust-plugins", str(path), "--threads", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def half_written(folder: Path) -> list[Path]:
    return [*folder.glob("checkpoint.*.tmp")]


def log_size(folder: Path) -> int:
    return (folder / LOG).stat().st_size if (folder / LOG).exists() else 0


def live(kind: str, path: Path, rng: random.Random) -> None:
    """Start the process on the cell at `path` and kill it."""
    folder = path.parent
    left = set(half_written(folder))
    process = start(path, slow=kind == IN_CHECKPOINTS)
    if kind == AT_TIMES:
        time.sleep(rng.uniform(0, 3))
    elif kind == AT_WORK:
        before = log_size(folder)
        while process.poll() is None and log_size(folder) == before:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
    else:
        while process.poll() is None and not set(half_written(folder)) - left:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.14))  # what a slow save takes
    process.kill()
    said, _ = process.communicate(timeout=60)
    assert said == ""  # nothing was found damaged


@pytest.mark.parametrize(
    ("at_times", "at_work", "in_checkpoints", "iterations"),
    [(0, 1, 2, 150), pytest.param(4, 6, 10, 500, marks=pytest.mark.slow)],
)
def test_killed_and_continued(
    at_times: int,
    at_work: int,
    in_checkpoints: int,
    iterations: int,
    tmp_path: Path,
    plugin_file: str,
) -> None:
    recipe = {"iterations": iterations, "log_every": 3, "validate_every": 40, "decay_start": 100}
    cell = with_dropout(tmp_path, plugin_file, checkpoint_every=4, **recipe)
    whole = start(write_cell(cell, tmp_path / "whole"))
    path = write_cell(cell, tmp_path / "killed")
    rng = random.Random(5)
    kinds = [AT_TIMES] * at_times + [AT_WORK] * at_work + [IN_CHECKPOINTS] * in_checkpoints
    rng.shuffle(kinds)
    done, in_the_middle = [0], 0
    for kind in kinds:
        live(kind, path, rng)
        assert not (path.parent / STATUS).exists()
        in_the_middle += bool(half_written(path.parent))
        found, problem = load_newest(path.parent / CHECKPOINT)
        assert problem == ""
        done.append(found.iteration if found else 0)
    assert done == sorted(done)
    assert 0 < done[-1] < iterations
    assert in_the_middle >= in_checkpoints // 2
    for process, folder in ((start(path), "killed"), (whole, "whole")):
        said, _ = process.communicate(timeout=300)
        assert (process.returncode, said) == (0, "")
        assert not half_written(tmp_path / folder)
    assert_same_result(tmp_path / "killed", tmp_path / "whole")
