"""The training log: means, speed, what a kill leaves, and losses that are no numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_cells import tiny_cell

from vcbench.errors import CellFailure
from vcbench.training import log as log_module
from vcbench.training.cell import Cell
from vcbench.training.files import LOG, write_json
from vcbench.training.log import TrainingLog, last_line, line_of, read_log

NAMES = ["iteration", "cycle", "discriminator"]


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
    return tiny_cell(tmp_path, recipe={"iterations": 100, "decay_start": 50, "log_every": 1})


def add(log: TrainingLog, *values: float, first: int = 1, clock: Clock | None = None) -> None:
    """One iteration per value, of half a second each."""
    for iteration, value in enumerate(values, start=first):
        if clock:
            clock.now_s += 0.5
        losses = {"cycle": torch.tensor(value), "discriminator": torch.tensor(2 * value)}
        log.add(losses, iteration)


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
    log.validation(3, {"validation": 7.5, "change": 0.5})
    add(log, 1.0, clock=clock)
    log.write(4)
    validation, line = log.lines()
    assert validation == {"iteration": 3, "validation": 7.5, "change": 0.5}
    assert line["iterations_per_second"] == pytest.approx(2.0)


def test_speed_after_going_on(cell: Cell, tmp_path: Path, clock: Clock) -> None:
    first = TrainingLog(tmp_path, cell)
    add(first, 1.0, 1.0, 1.0, clock=clock)
    second = TrainingLog(tmp_path, cell)
    clock.now_s += 60  # networks are built
    second.restore("", first.pending())
    add(second, 1.0, 1.0, clock=clock)
    second.write(5)
    assert second.lines()[0]["iterations_per_second"] == pytest.approx(2.0)


def test_no_held_out_sentence_is_long_enough(cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    log.validation(3, {})
    assert log.lines() == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number(value: float, cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    add(log, 1.0)
    log.write(1)
    add(log, 1.0)
    log.add({"cycle": torch.tensor(1.0), "discriminator": torch.tensor(value)}, 3)
    add(log, math.nan)  # what follows from the first
    with pytest.raises(CellFailure) as caught:
        log.write(4)
    assert str(caught.value) == (
        f"one-d/SF1-TM3/0: at iteration 3 the discriminator loss became {value}; "
        "try a smaller learning rate"
    )
    assert [line["iteration"] for line in log.lines()] == [1]


def test_a_validation_loss_that_is_no_number(cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    with pytest.raises(CellFailure, match="the validation loss became nan at iteration 7; try"):
        log.validation(7, {"validation": math.nan, "change": 0.5})


def test_two_losses_that_break_in_one_iteration_are_both_named(cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    add(log, 1.0, math.inf)
    with pytest.raises(
        CellFailure, match=r"at iteration 2 the cycle loss became inf \(and discriminator inf\);"
    ):
        log.check(2)


def test_losses_are_copied(cell: Cell, tmp_path: Path) -> None:
    """A step may write its losses into the same tensors each time, as a captured graph does."""
    log = TrainingLog(tmp_path, cell)
    loss = torch.tensor(1.0)
    log.add({"cycle": loss}, 1)
    loss.fill_(5.0)
    log.add({"cycle": loss}, 2)
    log.write(2)
    assert log.lines()[0]["cycle"] == 3.0


def test_losses_do_not_pile_up_unread(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "UNREAD", 4)
    log = TrainingLog(tmp_path, cell)
    with pytest.raises(CellFailure, match="at iteration 2 the cycle"):
        add(log, 1.0, math.nan, 1.0, 1.0)
    log = TrainingLog(tmp_path, cell)
    add(log, *map(float, range(10)))
    log.write(10)
    assert log.lines()[0]["cycle"] == 4.5


def test_going_on_drops_later_lines_and_takes_up_the_sums(cell: Cell, tmp_path: Path) -> None:
    whole, killed = TrainingLog(tmp_path / "whole", cell), TrainingLog(tmp_path / "killed", cell)
    for log in (whole, killed):
        add(log, 0.1, 0.2)
        log.write(2)
        log.validation(2, {"validation": 1.0})
        add(log, 0.3, first=3)
        log.check(3)
    text, pending = killed.text(), killed.pending()
    assert {name: count for name, (_, count) in pending.items()} == {"cycle": 1, "discriminator": 1}
    assert pending["discriminator"][0] == pytest.approx(0.6)
    add(killed, 9.0, first=4)
    killed.write(4)
    killed.validation(4, {"validation": 9.0})
    with killed.path.open("a") as file:
        file.write('{"iteration": 5, "cyc')
    resumed = TrainingLog(tmp_path / "killed", cell)
    resumed.restore(text, pending)
    for log in (whole, resumed):
        add(log, 0.7, first=4)
        log.write(4)
    lines = [dict(line) for line in whole.lines()], [dict(line) for line in resumed.lines()]
    for line in (*lines[0], *lines[1]):
        line.pop("iterations_per_second", None)
    assert lines[0] == lines[1]
    assert [line["iteration"] for line in lines[0]] == [2, 2, 4]
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_early_last_line_leaves_its_sums_to_a_longer_training(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, recipe={"log_every": 4})
    log = TrainingLog(tmp_path, cell)
    add(log, 1.0, 2.0)
    log.write(2)
    add(log, 3.0, 6.0, first=3)
    log.write(4)
    assert [line["cycle"] for line in log.lines()] == [1.5, 3.0]
    assert log.pending() == {}


def test_a_loss_that_is_not_computed_any_more(cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    for iteration, names in enumerate((["cycle", "identity"], ["cycle"], ["cycle"]), start=1):
        log.add({name: torch.tensor(float(iteration)) for name in names}, iteration)
        if iteration > 1:
            log.write(iteration)
    first, second = log.lines()
    assert (first["cycle"], first["identity"]) == (1.5, 1.0)
    assert second["cycle"] == 3.0
    assert "identity" not in second


def test_a_log_that_cannot_be_written(cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    log.path.mkdir()
    with pytest.raises(CellFailure, match=r"log.jsonl: cannot be written \(Is a directory\)"):
        log.validation(1, {"validation": 1.0})


def test_a_line_that_a_kill_left_half_written(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"iteration": 1}\n{"iteration": 2, "cyc')
    assert read_log(tmp_path) == [{"iteration": 1}]
    assert read_log(tmp_path / "absent") == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=3) | st.sampled_from(NAMES), inner, max_size=4)
        ),
        max_leaves=5,
    ).map(json.dumps)
    | st.text()
)
def test_a_line_of_anything_is_a_line_or_none(text: str) -> None:
    line = line_of(text)
    if line is not None:
        assert isinstance(line.pop("iteration"), int)
        ",".join(line).encode()
        assert all(isinstance(float(value), float) for value in line.values())


def test_lines_as_training_writes_them(cell: Cell, tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, cell)
    add(log, 1.0)
    log.write(1)
    log.validation(1, {"validation": 1.0, "change": math.inf})
    assert len(read_log(tmp_path)) == 2


def test_the_last_line_with_losses(cell: Cell, tmp_path: Path) -> None:
    assert last_line(tmp_path) == {}
    log = TrainingLog(tmp_path, cell)
    for iteration in range(1, 41):
        add(log, float(iteration))
        log.write(iteration)
    log.validation(40, {"validation": 3.0})
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
