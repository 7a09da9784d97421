"""`vcbench run` as a person sees it: in a pseudo-terminal, with real cells, and through a pipe."""

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
from home import Home
from pseudo_terminal import Terminal

ONE_CELL = ["--only", "two-d/*", "--jobs", "1"]
LONG = [*ONE_CELL, "--set", "training.iterations=100000", "--set", "training.log_every=5"]
SPEED = re.compile(r"(\d+)/100000  \d+\.\d it/s  (\d+ d )?\d+:\d\d:\d\d left")


def speed_is_shown(terminal: Terminal) -> bool:
    """And all that stands with it: what is read may end in the middle of a drawing."""
    shown = [line.strip() for line in terminal.shown if line]
    is_whole = shown[-1:] == ["Ctrl-C stops and saves"]
    return is_whole and SPEED.search("\n".join(shown)) is not None


def training_processes() -> list[int]:
    """Those that train a cell of 100,000 iterations, on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().split(b"\0")
        except OSError:
            continue
        cell = Path(os.fsdecode(command[-4])) if b"vcbench.cell" in command else None
        if cell and cell.name == "cell.json" and '"iterations": 100000' in cell.read_text():
            found.append(int(path.parent.name))
    return found


def flat(terminal: Terminal) -> str:
    """All that was said, without blanks: lines are broken wherever the terminal ends."""
    return re.sub(r"\s", "", "".join(terminal.everything))


def reason(home: Home, *options: str) -> str:
    """Why the cell is not done, as `vcbench plan` tells."""
    command = [*home.command(*options)]
    command[command.index("run")] = "plan"
    done = subprocess.run([*command, "--json"], **home.options())
    (cell,) = json.loads(done.stdout)["cells"]
    return cell["reason"]


def iteration_in(text: str) -> int:
    found = re.fullmatch(r"training unfinished at iteration (\d+) of 100000: continues there", text)
    assert found, text
    return int(found[1])


COLOUR = re.compile(rb"\x1b\[[0-9;]*\b(?:3[0-7]|9[0-7]|4[0-7]|38|48)[0-9;]*m")


@pytest.mark.parametrize(
    ("columns", "no_color"), [(80, ""), pytest.param(200, "1", marks=pytest.mark.slow)]
)
def test_ctrl_c_saves_and_a_second_one_stops_at_once(
    columns: int, no_color: str, home: Home
) -> None:
    seed = ["--seeds", str(columns)]  # a cell of its own
    command = home.command(*LONG, *seed)
    environment = {**home.environment, "NO_COLOR": no_color}
    with Terminal(command, columns=columns, environment=environment) as terminal:
        terminal.wait_for(speed_is_shown)
        shown = [line for line in terminal.shown if line]
        counts = shown.index("training 1 cell: 0 done, 1 running, 0 waiting")
        assert re.search(r"so far, about .* of training left$", shown[counts + 1])
        assert shown[counts + 2].startswith(f"  two-d/LOW-HIGH/{columns}")
        path = "".join(line.strip() for line in shown[counts + 3 : -1])
        assert path.endswith("log.jsonl") and home.environment["VCBENCH_CACHE_DIR"] in path
        assert "G " in "\n".join(shown) and "D " in "\n".join(shown)
        assert all(len(line) <= columns for line in shown)
        terminal.type(b"\x03")
        assert terminal.finish() == 130
        text = flat(terminal)
        assert "stopping:letting1runningcellfinishaniterationandsave" in text
        assert "thesamecommandcontinuesfromthere:vcbenchrun" in text
        assert "Traceback" not in text
        assert terminal.output.endswith(b"\r\n") and not terminal.screen.cursor.hidden
        assert bool(COLOUR.search(terminal.output)) is not bool(no_color)
        assert "1running,0waiting" not in text, "the live view is gone"
    saved = iteration_in(reason(home, *LONG, *seed))
    assert saved > 0
    assert not training_processes()

    with Terminal(command, columns=columns, environment=home.environment) as terminal:
        terminal.wait_for(speed_is_shown)
        found = SPEED.search("\n".join(terminal.shown))
        assert found and int(found[1]) > saved, "it went on from there"
        # It cannot save: a person loses patience.
        (pid,) = training_processes()
        os.kill(pid, signal.SIGSTOP)
        terminal.type(b"\x03")
        terminal.wait_for(lambda t: "Ctrl-Cagain" in flat(t))
        began = time.monotonic()
        terminal.type(b"\x03")
        assert terminal.finish() == 130
        assert time.monotonic() - began < 15
        text = flat(terminal)
        assert "stoppedatonce;whatithadsavediskept" in text
        assert "Traceback" not in text
    assert not training_processes()
    assert iteration_in(reason(home, *LONG, *seed)) == saved, "no harm was done"


@pytest.mark.slow
def test_a_closed_window_saves(home: Home) -> None:
    seed = ["--seeds", "7"]
    command = home.command(*LONG, *seed)
    with Terminal(command, environment=home.environment) as terminal:
        terminal.wait_for(speed_is_shown)
        terminal.hang_up()
        terminal.process.wait(60)
    deadline = time.monotonic() + 30
    while training_processes():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert iteration_in(reason(home, *LONG, *seed)) > 0


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_the_table_at_the_end_fits(columns: int, home: Home) -> None:
    folder = home.first_run
    command = [sys.executable, "-m", "vcbench", "report", str(folder)]
    rows = json.loads((folder / "leaderboard.json").read_text())["rows"]
    with Terminal(command, columns=columns, environment=home.environment) as terminal:
        assert terminal.finish() == 0
    text = terminal.output.decode()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).split("\r\n")
    end = next(i for i, line in enumerate(plain) if line.startswith("protocol"))
    assert all(len(line) <= columns or str(folder) in line for line in plain)
    table = "\n".join(plain[:end])
    assert "…" not in table
    for row in rows:
        assert re.search(rf"(?m)^ . +{row['system']} .* {row['cells_ok']}/{row['cells']} *$", table)


@pytest.mark.slow
def test_through_a_pipe_there_is_one_plain_line_per_event(home: Home) -> None:
    done = home.run(*ONE_CELL, "--set", "training.iterations=8", "--seeds", "3")
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, done.stderr):
        assert not re.search(r"[\x00-\x08\x0b-\x1f]", text), "no escapes, no carriage returns"
    lines = done.stderr.splitlines()
    assert lines[0].startswith("small: 1 cell (")
    assert next(line for line in lines if "two-d/LOW-HIGH/3" in line).endswith("/3 ...")
    assert any(re.match(r"  two-d/LOW-HIGH/3: trained \(\d+ s\); 0 cells left", s) for s in lines)
    assert "training: 1 cell trained, 0 cached" in done.stderr
    assert all(line for line in lines)
