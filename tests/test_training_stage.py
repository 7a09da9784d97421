"""Training what a plan lacks, with an engine that only pretends: who trains what, and what is told
of what was not trained."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workplace import Workplace

from vcbench import failures, locks, training_stage
from vcbench.engines import Outcome, Status, TrainingTask
from vcbench.failures import FAILURE, failure_of
from vcbench.shards import Shard, shard_of
from vcbench.store import CellRecord
from vcbench.training.cell import Cell
from vcbench.training.files import CELL, CHECKPOINT, write_status
from vcbench.training_stage import train_units
from vcbench.units import units_of

STATUS = {"seconds": 1.5, "iterations": 6, "health": [], "crop_stream_sha256": "ab"}


def leave_result(folder: Path) -> None:
    """What a training that has ended leaves."""
    (folder / CHECKPOINT).write_bytes(b"PK\x05\x06" + 18 * b"\0")  # an empty zip archive
    write_status(folder, STATUS)


class Pretends:
    """An engine that trains nothing: each cell ends as `endings` says, else ok."""

    def __init__(self, **endings: list[Status]) -> None:
        self.endings = endings
        self.asked: list[list[str]] = []
        self.at_busy: Callable[[TrainingTask], None] = lambda task: None

    def run(
        self,
        tasks: Sequence[TrainingTask],
        *,
        on_tick: Callable[[Sequence[TrainingTask]], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        self.asked.append([task.cell_id for task in tasks])
        on_tick(tasks)
        for task in tasks:
            assert (task.folder / CELL).exists()
            left = self.endings.get(task.cell_id.replace("/", "_").replace("-", "_"), [])
            status = left.pop(0) if left else "ok"
            if status == "ok":
                leave_result(task.folder)
            if status == "busy":
                self.at_busy(task)
            on_end(Outcome(task, status, "" if status == "ok" else f"why it is {status}"))


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def trained(place: Workplace, engine: Pretends, **options) -> dict[str, CellRecord]:
    """How each cell fared, by its id, baselines left out."""
    plan = place.plan()
    units = units_of(plan)
    train_units(plan, units, engine, **options)
    return {unit.record.cell: unit.record for unit in units if unit.planned}


CELLS = ["first/F1-M1/0", "first/M1-F2/0", "second/F1-M1/0", "second/M1-F2/0"]


def test_a_failure_is_kept_told_and_tried_again(place: Workplace) -> None:
    status: Status = "timeout"
    engine = Pretends(first_F1_M1_0=[status, status])
    for attempts in (1, 2):
        records = trained(place, engine)
        failed = records.pop("first/F1-M1/0")
        assert (failed.status, failed.reason) == (status, f"why it is {status}")
        assert {record.status for record in records.values()} == {"ok"}
        (planned,) = [p for p in place.plan().cells if not p.done]
        failure = failure_of(planned.folder)
        assert failure is not None
        assert (failure.status, failure.attempts) == (status, attempts)
        assert failure.log == str(planned.folder / "output.log")
        times = "" if attempts == 1 else "2 times, the last "
        assert planned.reason.startswith(f"failed {times}{failure.when} ({status}): why it is ")
    assert engine.asked == [CELLS, ["first/F1-M1/0"]]
    assert trained(place, engine)["first/F1-M1/0"].status == "ok"
    assert all(planned.done for planned in place.plan().cells)
    assert not list(planned.folder.parent.glob(f"*/{FAILURE}"))


def test_only_what_failed_is_tried_again_when_asked_to(place: Workplace) -> None:
    engine = Pretends(first_F1_M1_0=["failed"], second_F1_M1_0=["skipped"])
    assert trained(place, engine)["second/F1-M1/0"].status == "skipped"
    records = trained(place, engine, retry_failed=True)
    assert engine.asked[1:] == [["first/F1-M1/0"]]
    assert {record.status for record in records.values()} == {"ok", "skipped"}
    assert records["second/F1-M1/0"].reason == (
        "not done, and has not failed: left out by --retry-failed"
    )
    trained(place, engine, retry_failed=True)  # nothing has
    assert len(engine.asked) == 2


def test_shards_divide_a_suite_and_a_run_without_finds_all_done(place: Workplace) -> None:
    asked = []
    for number in (1, 2, 3):
        engine = Pretends()
        records = trained(place, engine, shard=Shard(number, 3))
        asked += [cell for cells in engine.asked for cell in cells]
        missing = {c: r.reason for c, r in records.items() if r.status == "skipped"}
        assert set(missing) == set(CELLS) - set(asked)
        for reason in missing.values():
            assert f"/3 trains it, this one was {number}/3" in reason
            assert reason.startswith("not done yet: shard ")
    assert sorted(asked) == CELLS
    engine = Pretends()
    assert {r.status for r in trained(place, engine).values()} == {"ok"}
    assert engine.asked == []


def test_what_another_shard_finished_meanwhile_counts(place: Workplace) -> None:
    plan = place.plan()
    units = units_of(plan)  # nothing is done when this shard begins
    trained(place, Pretends(), shard=Shard(2, 2))
    train_units(plan, units, Pretends(), shard=Shard(1, 2))
    assert {unit.record.status for unit in units} == {"ok"}
    assert {unit.record.seconds for unit in units if unit.planned} == {1.5}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50).map(str)), unique=True),
    st.integers(1, 9),
    st.randoms(),
)
def test_every_cell_has_one_shard_whatever_the_order(cells, total, rng) -> None:
    found = shard_of(cells, total)
    assert set(found) == {key for _, key in cells}
    assert set(found.values()) <= set(range(1, total + 1))
    shuffled = rng.sample(cells, len(cells))
    assert shard_of(shuffled, total) == found
    for system in "abc":
        # Of keys that no other system has: each shard gets as many, give or take one.
        keys = [key for s, key in cells if s == system]
        if all(key not in keys for s, key in cells if s != system) and keys:
            counts = [sum(found[key] == n for key in keys) for n in range(1, total + 1)]
            assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("leaves", [True, False])
def test_a_cell_that_another_process_trains_is_waited_for(
    leaves: bool,
    place: Workplace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its result is taken; where it leaves none, the cell is run again."""
    monkeypatch.setattr(training_stage, "POLL_S", 0.01)
    engine = Pretends(first_F1_M1_0=["busy"])

    def another_trains(task: TrainingTask) -> None:
        lock = locks.take(task.folder, on_lost=lambda: None)
        assert isinstance(lock, locks.Lock)

        def end() -> None:
            with lock:
                if leaves:
                    leave_result(task.folder)

        threading.Timer(0.1, end).start()

    engine.at_busy = another_trains
    records = trained(place, engine)
    assert {record.status for record in records.values()} == {"ok"}
    assert engine.asked == ([CELLS] if leaves else [CELLS, ["first/F1-M1/0"]])
    assert "why it is busy: waiting for its result" in capsys.readouterr().err


def test_plan_tells_who_trains_a_cell(place: Workplace) -> None:
    planned = place.plan().cells[0]
    with locks.take(planned.folder, on_lost=lambda: None):
        reason = place.plan().cells[0].reason
        assert reason.startswith(f"being trained by {locks.owner_of(planned.folder)}; ")


def test_a_folder_that_was_not_laid_out_to_the_end_is(place: Workplace) -> None:
    """By a machine that lost its power in between: its lock may not be had yet."""
    planned = place.plan().cells[0]
    planned.folder.mkdir(parents=True)
    owner = {"host": "h", "machine": "another", "pid": 1, "started": 2, "since": "3"}
    (planned.folder / "lock.1").write_text(json.dumps(owner))
    (planned.folder / CELL).write_text("{")
    assert trained(place, Pretends())[planned.cell.id].status == "ok"
    assert Cell.read(planned.folder / CELL) == planned.cell


def test_what_another_shard_is_to_train_anew_is_missing_until_it_has(place: Workplace) -> None:
    trained(place, Pretends())
    plan = place.plan(fresh=True)
    units = units_of(plan)
    train_units(plan, units, Pretends(), shard=Shard(1, 2))
    fared = {u.record.cell: u.record.status for u in units if u.planned}
    assert sorted(fared.values()) == ["ok", "ok", "skipped", "skipped"]


def test_training_anew_deletes_nothing_of_a_cell_that_is_being_trained(place: Workplace) -> None:
    trained(place, Pretends())
    plan = place.plan(fresh=True)
    folder = plan.cells[0].folder
    (folder / "log.jsonl").write_text("{}\n")
    with locks.take(folder, on_lost=lambda: None):
        training_stage._prepare(plan.cells[0], {})
        assert (folder / "log.jsonl").exists() and (folder / CHECKPOINT).exists()
        assert locks.owner_of(folder) is not None
    training_stage._prepare(plan.cells[0], {})
    assert not (folder / "log.jsonl").exists() and not (folder / CHECKPOINT).exists()
    assert list(folder.glob("lock.*"))


@pytest.mark.parametrize("status", ["failed", "timeout", "oom", "lost"])
def test_failures_are_counted_until_one_goes_well(status: Status, tmp_path: Path) -> None:
    task = TrainingTask("a/b/0", tmp_path, 1)
    for attempts in (1, 2, 3):
        failures.note(Outcome(task, status, "too large"))
        failures.note(Outcome(task, "skipped", "stopped"))
        failures.note(Outcome(task, "busy", "another trains it"))
        failure = failure_of(tmp_path)
        assert failure is not None
        assert (failure.status, failure.reason, failure.attempts) == (status, "too large", attempts)
    failures.note(Outcome(task, "ok"))
    assert failure_of(tmp_path) is None
    failures.note(Outcome(task, "ok"))


def test_a_damaged_failure_is_none(tmp_path: Path) -> None:
    failures.note(Outcome(TrainingTask("a/b/0", tmp_path, 1), "oom", "too large"))
    path = tmp_path / FAILURE
    path.write_text(path.read_text().replace("too large", "all is well"))
    assert failure_of(tmp_path) is None
