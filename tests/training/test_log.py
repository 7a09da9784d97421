"""The training log: means, speed, what a kill leaves, and losses that are no numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from tiny_cells import tiny_cell

from vcbench.errors import CellFailure
from vcbench.training import log as log_module
from vcbench.training.cell import Cell
from vcbench.training.log import LOG, TrainingLog, last_line, read_log, write_json


class Clock:
    """Stands in for time.perf_counter."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(log_module.time, "perf_counter", clock)
    return clock


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return tiny_cell(tmp_path, recipe={"iterations": 100, "decay_start": 50})


def add(log: TrainingLog, *values: float, clock: Clock | None = None) -> None:
    """One iteration per value, of half a second each."""
    for value in values:
        if clock:
            clock.now_s += 0.5
        log.add({"cycle": torch.tensor(value), "discriminator": torch.tensor(2 * value)})


def test_a_line_holds_means_rates_and_speed(cell: Cell, tmp_path: Path, clock: Clock) -> None:
    log = TrainingLog(tmp_path, cell)
    add(log, 1.0, 2.0, 6.0, clock=clock)
    log.write(3)
    add(log, 5.0, clock=clock)
    log.write(76)
    first, second = log.lines()
    assert first == {
        "iteration": 3,
        "cycle": 3.0,
        "discriminator": 6.0,
        "learning_rate_generator": 2e-4,
        "learning_rate_discriminator": 1e-4,
        "iterations_per_second": 2.0,
    }
    # The rates with which iteration 76 was done, number 75 from 0.
    assert second["learning_rate_generator"] == pytest.approx(1e-4)
    assert (second["iteration"], second["cycle"]) == (76, 5.0)


def test_validation_costs_no_training_time(cell: Cell, tmp_path: Path, clock: Clock) -> None:
    log = TrainingLog(tmp_path, cell)
    add(log, 1.0, 1.0, 1.0, clock=clock)
    clock.now_s += 60
    log.validation(3, 7.5)
    add(log, 1.0, clock=clock)
    log.write(4)
    validation, line = log.lines()
    assert validation == {"iteration": 3, "validation": 7.5}
    assert line["iterations_per_second"] == pytest.approx(2.0)


def test_speed_after_going_on(cell: Cell, tmp_path: Path, clock: Clock) -> None:
    first = TrainingLog(tmp_path, cell)
    add(first, 1.0, 1.0, 1.0, clock=clock)
    second = TrainingLog(tmp_path, cell)
    clock.now_s += 60  # networks are built
    second.restore(3, first.pending())
    add(second, 1.0, 1.0, clock=clock)
    second.write(5)
    assert second.lines()[0]["iterations_per_second"] == pytest.approx(2.0)


def test_no_held_out_sentence_is_long_enough(cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    log.validation(3, None)
    assert log.lines() == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number(value: float, cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    add(log, 1.0)
    log.write(1)
    log.add({"cycle": torch.tensor(1.0), "discriminator": torch.tensor(value)})
    add(log, 1.0)
    with pytest.raises(CellFailure) as caught:
        log.write(3)
    assert str(caught.value) == (
        f"one-d/SF1-TM3/0: the discriminator loss became {value} between iterations 2 and 3; "
        "try a smaller learning rate"
    )
    assert [line["iteration"] for line in log.lines()] == [1]


def test_a_validation_loss_that_is_no_number(cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    with pytest.raises(CellFailure, match="the validation loss became nan at iteration 7; try"):
        log.validation(7, math.nan)


def test_going_on_drops_later_lines_and_takes_up_the_sums(cell: Cell, tmp_path: Path) -> None:
    whole, killed = TrainingLog(tmp_path / "whole", cell), TrainingLog(tmp_path / "killed", cell)
    for log in (whole, killed):
        add(log, 0.1, 0.2)
        log.write(2)
        log.validation(2, 1.0)
        add(log, 0.3)
    pending = killed.pending()
    assert pending == {"count": 1, "cycle": pytest.approx(0.3), "discriminator": pytest.approx(0.6)}
    add(killed, 9.0)
    killed.write(4)
    killed.validation(4, 9.0)
    with killed.path.open("a") as file:
        file.write('{"iteration": 5, "cyc')
    resumed = TrainingLog(tmp_path / "killed", cell)
    resumed.restore(3, pending)
    for log in (whole, resumed):
        add(log, 0.7)
        log.write(4)
    lines = [dict(line) for line in whole.lines()], [dict(line) for line in resumed.lines()]
    for line in (*lines[0], *lines[1]):
        line.pop("iterations_per_second", None)
    assert lines[0] == lines[1]
    assert [line["iteration"] for line in lines[0]] == [2, 2, 4]
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_line_that_a_kill_left_half_written(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"iteration": 1}\n{"iteration": 2, "cyc')
    assert read_log(tmp_path) == [{"iteration": 1}]
    assert read_log(tmp_path / "absent") == []


def test_the_last_line_with_losses(cell: Cell, tmp_path: Path) -> None:
    assert last_line(tmp_path) == {}
    log = TrainingLog(tmp_path, cell)
    for iteration in range(1, 41):
        add(log, float(iteration))
        log.write(iteration)
    log.validation(40, 3.0)
    with log.path.open("a") as file:
        file.write('{"iteration": 41, "disc')
    found = last_line(tmp_path)
    assert (found["iteration"], found["cycle"]) == (40, 40.0)


def test_write_json(tmp_path: Path) -> None:
    path = tmp_path / "new" / "status.json"
    write_json(path, {"a": [1, 2]})
    write_json(path, {"a": [3]})
    assert json.loads(path.read_text()) == {"a": [3]}
    assert [p.name for p in path.parent.iterdir()] == ["status.json"]
