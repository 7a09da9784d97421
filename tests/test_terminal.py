"""What is seen while vcbench works: plain lines where nobody watches, bars where somebody does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time

import pytest

from vcbench.terminal import console, progress_bars, say


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


def test_a_terminal_that_cannot_be_drawn_on_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = on_a_terminal(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with progress_bars() as progress:
        progress("scoring", 1, 2)
        progress("scoring", 2, 2)
    assert screen.getvalue() == "scoring ...\nscoring: 2 of 2\n"


def test_nobody_reading_any_more_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(Screen):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Closed())
    say("to nobody")


def test_results_are_plain_and_whole_where_stdout_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    console().print("[bold]" + "word " * 80 + "[/bold]")
    assert capsys.readouterr().out == "word " * 80 + "\n"
    monkeypatch.setenv("COLUMNS", "60")
    console().print("word " * 80)
    assert {len(line) for line in capsys.readouterr().out.splitlines()} == {60, 40}


@pytest.mark.parametrize("where", ["full", "gone"])
def test_nobody_reading_the_table_fails_nothing(where: str) -> None:
    program = (
        "from vcbench.terminal import console, stdout_may_fail\n"
        "with stdout_may_fail('otherwise'): console().print('x ' * 100_000)\n"
    )
    if where == "full":
        stdout = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, stdout = os.pipe()
        os.close(reading)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
    os.close(stdout)
    assert (done.returncode, done.stderr) == (0, "otherwise\n")


def test_a_stdout_that_was_closed_before_is_no_error() -> None:
    command = [sys.executable, "-m", "vcbench", "completion", "bash"]
    shell = ["/bin/sh", "-c", 'exec "$0" "$@" >&-', *command]
    done = subprocess.run(shell, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
