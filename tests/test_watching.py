"""Watching cells train: what is shown is what their logs hold, and it fits."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vcbench import watching
from vcbench.engines import Outcome, TrainingTask
from vcbench.watching import View, watcher


def task(folder: Path, name: str, *, iterations: int = 100) -> TrainingTask:
    path = folder / name.replace("/", "_")
    path.mkdir(parents=True, exist_ok=True)
    return TrainingTask(name if "/" in name else f"{name}/A-B/0", path, iterations)


def log(task: TrainingTask, iteration: int, *, speed: float = 12.34) -> None:
    """Write the log as training has it after `iteration`: losses, a validation, half a line."""
    line = {
        "iteration": iteration,
        "generator_adversarial": 0.7,
        "cycle": 1.25,
        "identity": 0.5,
        "discriminator": 0.6931,
        "iterations_per_second": speed,
    }
    lines = [json.dumps(line), json.dumps({"iteration": iteration, "validation": 2})]
    text = "\n".join([*lines, '{"iteration": 9'])
    (task.folder / "log.jsonl").write_text(text, encoding="utf-8")


class Clock:
    """`time.monotonic` that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(watching.time, "monotonic", lambda: self.now)


def console(width: int = 80, height: int = 40) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True)


def shown(view: View, screen: Console) -> list[str]:
    lines = screen.render_lines(view.drawn(), pad=False)
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


def test_without_a_terminal_training_is_a_line_per_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    first, second = task(tmp_path, "one"), task(tmp_path, "two")
    log(second, 50)  # begun before: its log is there already
    with watcher([first, second]) as watch:
        watch([first])
        for iteration in (3, 24, 26, 30, 49, 50, 80, 99, 100):
            log(first, iteration)
            watch([first])
            watch([first])
        clock.now += 12
        watch.ended(Outcome(first, "ok"))
        watch([second])
        log(second, 75)
        watch([second])
        watch.ended(Outcome(second, "failed", "told by who knows what it costs"))
        watch([])
    out, err = capsys.readouterr()
    assert out == ""
    losses = "G 0.7 cycle 1.25 identity 0.5 D 0.693 12.3 it/s"
    assert err.splitlines() == [
        "training 1 of 2: one/A-B/0 ...",
        f"  log: {first.folder}/log.jsonl",
        f"  one/A-B/0: 26/100 {losses}",
        f"  one/A-B/0: 50/100 {losses}",
        f"  one/A-B/0: 80/100 {losses}",
        "  one/A-B/0: trained (12 s); 1 cell left",
        "training 2 of 2: two/A-B/0, begun before ...",
        f"  log: {second.folder}/log.jsonl",
        f"  two/A-B/0: 75/100 {losses}",
    ]


def test_the_view_counts_and_lists_only_what_is_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    tasks = [task(tmp_path, f"s{i}") for i in range(300)]
    view, screen = View(tasks, console(200)), console(200)
    view(tasks[:2])
    view.ended(Outcome(tasks[0], "ok"))
    view.ended(Outcome(tasks[1], "failed", "why"))
    view.ended(Outcome(tasks[2], "ok"))  # it was gone before anybody looked
    view(tasks[3:5])
    lines = shown(view, screen)
    assert lines[0] == "training 300 cells: 2 done, 2 running, 1 failed, 295 waiting"
    assert lines[-1] == "Ctrl-C stops and saves"
    assert [line.split()[0] for line in lines[2:-1]] == [
        "s3/A-B/0",
        f"{tasks[3].folder}/log.jsonl",
        "s4/A-B/0",
        f"{tasks[4].folder}/log.jsonl",
    ]


def test_time_left_is_what_the_measured_speed_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    fast, slow, later = task(tmp_path, "fast"), task(tmp_path, "slow"), task(tmp_path, "slow/C-D/1")
    log(slow, 40)  # by an earlier sitting: its speed says nothing about this one
    view, screen = View([fast, slow, later], console(200)), console(200)
    view([fast, slow])
    assert view.seconds_left() is None
    assert "starting" in shown(view, screen)[4]
    clock.now += 10
    log(fast, 10, speed=5.0)
    log(slow, 45, speed=1.0)
    view([fast, slow])
    # At their first lines: what those say. 90 at 5 it/s, then 100 at 1 it/s beside 55 at 1 it/s.
    assert view.seconds_left() == pytest.approx(18 + 100)
    clock.now += 10
    log(fast, 20, speed=5.0)  # checkpoints took their time: 10 iterations in 10 s
    log(slow, 50, speed=1.0)
    view([fast, slow])
    assert view.seconds_left() == pytest.approx(80 + 100 / 0.5)
    clock.now += 30  # nothing new: the clock runs down
    view([fast, slow])
    assert view.seconds_left() == pytest.approx(50 + 200)
    lines = shown(view, screen)
    assert lines[1].endswith("0:00:50 so far, about 0:04:10 of training left")
    losses = "G 0.7 cycle 1.25 identity 0.5 D 0.693"
    assert lines[2].endswith(f"20/100  5.0 it/s  0:00:50 left  {losses}")
    view.ended(Outcome(fast, "ok"))
    view([slow, later])
    assert view.seconds_left() == pytest.approx(200)


@given(
    width=st.integers(40, 200),
    height=st.integers(8, 60),
    running=st.integers(0, 30),
    name=st.text("abc-é[]", min_size=1, max_size=60),
)
def test_it_fits_whatever_the_terminals_size(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, running: int, name: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fits"
    tasks = [task(folder, f"{i}{name}/SF1-TM3/0", iterations=400_000) for i in range(running)]
    for one in tasks:
        log(one, 123_456, speed=1234.5)
    screen = console(width, height)
    view = View(tasks, screen)
    view(tasks)
    for one in tasks:
        log(one, 123_457, speed=1234.5)
    view(tasks)
    lines = shown(view, screen)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    assert "…" not in text
    whole = text.count("123457/400000  1234.5 it/s")
    cut = [line for line in lines if line.endswith("more running")]
    assert whole + (int(cut[0].split()[1]) if cut else 0) == running


def test_a_closed_terminal_stops_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.StringIO):
        closed_window = False

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            if self.closed_window:
                raise OSError(5, "Input/output error")
            return super().write(text)

    gone = Gone()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", gone)
    one = task(tmp_path, "one")
    with watcher([one]) as watch:
        watch([one])
        assert "one/A-B/0" in gone.getvalue()
        gone.closed_window = True
        watch([one])
        watch.ended(Outcome(one, "ok"))
