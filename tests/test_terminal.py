"""What is seen while vcbench works: plain lines where nobody watches, bars where somebody does."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest

from vcbench.engines import TrainingTask
from vcbench.terminal import console, progress_bars, say
from vcbench.watching import watcher


class Screen(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """From here on stderr is a terminal 100 columns wide."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    found = Screen()
    monkeypatch.setattr(sys, "stderr", found)
    return found


def task(folder: Path, name: str, *, iterations: int = 100) -> TrainingTask:
    (folder / name).mkdir()
    return TrainingTask(f"{name}/A-B/0", folder / name, iterations)


def log(task: TrainingTask, iteration: int) -> None:
    """Write the log as training has it after `iteration`: losses, a validation, half a line."""
    line = {
        "iteration": iteration,
        "generator_adversarial": 0.7,
        "cycle": 1.25,
        "identity": 0.5,
        "discriminator": 0.6931,
        "iterations_per_second": 12.34,
    }
    lines = [json.dumps(line), json.dumps({"iteration": iteration, "validation": 2})]
    text = "\n".join([*lines, '{"iteration": 9'])
    (task.folder / "log.jsonl").write_text(text, encoding="utf-8")


def test_without_a_terminal_a_phase_is_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as progress:
        for done in range(1, 6):
            progress("extracting features", done, 5)
        progress("downloading", 10, None)
        say("a line between")
        progress("downloading", 20, None)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "extracting features ...",
        "extracting features: 5 of 5",
        "downloading ...",
        "a line between",
    ]


def test_without_a_terminal_training_is_a_line_per_quarter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = task(tmp_path, "one"), task(tmp_path, "two")
    with watcher(2) as watch:
        watch([first])
        for iteration in (3, 24, 26, 30, 49, 50, 80, 99, 100):
            log(first, iteration)
            watch([first])
            watch([first])
        log(second, 50)  # begun before: its log is there already
        watch([second])
        watch([])
    out, err = capsys.readouterr()
    assert out == ""
    losses = "G 0.7 cycle 1.25 identity 0.5 D 0.693 12.3 it/s"
    assert err.splitlines() == [
        "training 1 of 2: one/A-B/0 ...",
        f"  one/A-B/0: 26/100 {losses}",
        f"  one/A-B/0: 50/100 {losses}",
        f"  one/A-B/0: 80/100 {losses}",
        "training 2 of 2: two/A-B/0 ...",
        f"  two/A-B/0: 50/100 {losses}",
    ]


def test_bars_are_on_the_terminal_and_nothing_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = on_a_terminal(monkeypatch)
    with progress_bars() as progress:
        progress("extracting features", 1, 2)
        say("a line between")
        progress("extracting features", 2, 2)
    text = screen.getvalue()
    assert "extracting features" in text and "2/2" in text and "a line between" in text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("fails", [False, True])
def test_bars_leave_the_terminal_alone_when_nothing_is_under_way(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training draws bars of its own between two phases: two live displays overwrite one another.

    A live display draws itself anew ten times a second, whether anything happens or not.
    """
    screen = on_a_terminal(monkeypatch)

    def is_live() -> bool:
        before = len(screen.getvalue())
        time.sleep(0.35)
        return len(screen.getvalue()) > before

    with pytest.raises(RuntimeError), progress_bars() as progress:
        assert not is_live()
        progress("extracting features", 1, 2)
        assert is_live()
        progress("extracting features", 2, 2)
        assert not is_live()
        progress("scoring", 0, 2)
        assert is_live()
        if not fails:
            progress("scoring", 2, 2)
        raise RuntimeError
    assert not is_live()
    assert screen.getvalue().endswith("\x1b[?25h"), "the cursor is shown again"


def test_a_watched_training_shows_its_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = on_a_terminal(monkeypatch)
    one, two = task(tmp_path, "one"), task(tmp_path, "two")
    with watcher(2) as watch:
        watch([one])
        log(one, 57)
        watch([one, two])
        time.sleep(0.25)
        watch([two])
        watch([])
    text = screen.getvalue()
    assert "training 2 cells" in text
    assert "starting" in text
    assert "57/100 G 0.7 cycle 1.25 identity 0.5 D 0.693 12.3 it/s" in text


def test_results_are_plain_and_whole_where_stdout_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    console().print("[bold]" + "word " * 80 + "[/bold]")
    assert capsys.readouterr().out == "word " * 80 + "\n"
    monkeypatch.setenv("COLUMNS", "60")
    console().print("word " * 80)
    assert {len(line) for line in capsys.readouterr().out.splitlines()} == {60, 40}
