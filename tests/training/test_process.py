"""`python -m vcbench.cell`: signals, exit codes, and one line for each way to fail."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_cells import tiny_cell, write_cell
from whole_trainings import assert_same_result, with_dropout

from vcbench.training.checkpoint import Checkpoint
from vcbench.training.files import CHECKPOINT, LOG, STATUS
from vcbench.training.log import read_log

# A machine that trains may have neither the speech packages nor the suite parser.
ABSENT = [
    *("pyworld", "pysptk", "nnmnkwii", "sklearn", "soundfile", "scipy", "pandas", "pyarrow"),
    *("pydantic", "yaml", "rich", "jinja2", "matplotlib", "pooch", "requests"),
]
BARE = f"""\
import sys
sys.modules.update(dict.fromkeys({ABSENT}))  # importing any of them fails
from vcbench.cell import main
sys.exit(main(sys.argv[1:]))
"""


def start(*arguments: object, bare: bool = False) -> subprocess.Popen[str]:
    how = ["-c", BARE] if bare else ["-m", "vcbench.cell"]
    command = [sys.executable, *how, "--trust-plugins", *map(str, arguments), "--threads", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit code, stderr); nothing must stand on stdout."""
    out, err = process.communicate(timeout=300)
    assert out == ""
    return process.returncode, err


def wait_for_line(folder: Path, process: subprocess.Popen[str], *, after: int) -> None:
    while (
        process.poll() is None
        and max((line["iteration"] for line in read_log(folder)), default=0) <= after
    ):
        time.sleep(0.005)


def test_signals_stop_a_process_and_the_same_command_continues(
    tmp_path: Path, plugin_file: str
) -> None:
    recipe = {"iterations": 300, "log_every": 1, "validate_every": 80, "checkpoint_every": 120}
    cell = with_dropout(tmp_path, plugin_file, **recipe)
    whole = start(write_cell(cell, tmp_path / "whole"), bare=True)
    path = write_cell(cell, tmp_path / "stopped")
    done = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(path)
        wait_for_line(path.parent, process, after=done)
        process.send_signal(number)
        code, err = finished(process)
        assert (code, err) == (
            130,
            "one-d/SF1-TM3/0: stopped; the same command continues where it was\n",
        )
        checkpoint = Checkpoint.load(path.parent / CHECKPOINT)
        assert done < checkpoint.iteration < 300
        assert not (path.parent / STATUS).exists()
        done = checkpoint.iteration
    assert finished(start(path)) == (0, "")
    assert finished(whole) == (0, "")
    assert_same_result(tmp_path / "stopped", tmp_path / "whole")


def test_a_process_that_fails_says_so_in_one_line(tmp_path: Path) -> None:
    recipe = {"learning_rate_generator": 1e30, "log_every": 1}
    path = write_cell(tiny_cell(tmp_path, recipe=recipe), tmp_path / "cell")
    code, err = finished(start(path, tmp_path / "elsewhere"))
    assert code == 1
    assert err.startswith("one-d/SF1-TM3/0: at iteration ")
    assert err.endswith("; try a smaller learning rate\n")
    assert err.count("\n") == 1
    assert (tmp_path / "elsewhere" / LOG).exists()


def ending(path: Path, capsys: pytest.CaptureFixture[str], *, code: int = 1) -> str:
    """What `python -m vcbench.cell PATH` says, in this process, ending with `code`."""
    from vcbench.cell import main

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main([str(path)]) == code
    finally:
        torch.set_flush_denormal(False)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    err = capsys.readouterr().err
    assert err.count("\n") <= 1
    return err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("{torn", "not a cell of this version of vcbench (JSONDecodeError"),
        ("{}", "not a cell of this version of vcbench (KeyError: 'recipe')"),
    ],
)
def test_a_file_that_is_no_cell(
    text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cell.json"
    if text is not None:
        path.write_text(text)
    assert f"{path}: {message}" in ending(path, capsys)


def test_a_missing_feature_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = tiny_cell(tmp_path)
    Path(cell.train_features["TM3"][1]).unlink()
    path = write_cell(cell, tmp_path / "cell")
    assert cell.train_features["TM3"][1] in ending(path, capsys)


def test_a_torn_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_cell(tiny_cell(tmp_path), tmp_path / "cell")
    (path.parent / CHECKPOINT).write_bytes(b"PK\x03\x04")
    said = ending(path, capsys, code=0)
    assert "checkpoint.pt: not a readable checkpoint" in said
    assert "training begins anew" in said


def test_a_torn_newest_checkpoint_and_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = tiny_cell(tmp_path)
    whole, path = (write_cell(cell, tmp_path / name) for name in ("whole", "cell"))
    assert ending(whole, capsys, code=0) == ""
    assert ending(path, capsys, code=0) == ""
    newest = path.parent / CHECKPOINT
    newest.write_bytes(newest.read_bytes()[:-100])
    (path.parent / STATUS).unlink()
    assert ending(path, capsys, code=0) == (
        f"{newest}: not a readable checkpoint: damaged, or something else (BadZipFile); "
        "going on from the one before, of iteration 8\n"
    )
    assert_same_result(path.parent, whole.parent)


def test_a_full_disk_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_cell(tiny_cell(tmp_path), tmp_path / "cell")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        said = ending(path, capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "the checkpoint of iteration 8 cannot be written to" in said
    assert "(File too large)" in said
    assert not list(path.parent.glob("*.tmp"))


def test_a_checkpoint_of_another_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "cell"
    assert ending(write_cell(tiny_cell(tmp_path), folder), capsys, code=0) == ""
    other = write_cell(tiny_cell(tmp_path, recipe={"learning_rate_generator": 1e-3}), folder)
    assert "belongs to another training" in ending(other, capsys)
