"""A result that was taken over although other code trained it: never shown as if it were not."""

from __future__ import annotations

from pathlib import Path

import pytest
from workplace import Workplace

from vcbench.failures import FAILURE, failure_of
from vcbench.sealed import write_json
from vcbench.store import CellRecord
from vcbench.training.files import CHECKPOINT, read_status, write_status
from vcbench.training_stage import train_units
from vcbench.units import units_of


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def leave_result(folder: Path, **status: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHECKPOINT).write_bytes(b"PK\x05\x06" + 18 * b"\0")  # an empty zip archive
    of_training = {"seconds": 1.5, "iterations": 6, "health": ["a flag"], "crop_stream_sha256": "a"}
    write_status(folder, of_training | status)


class Untouched:
    """An engine that has nothing to do."""

    def run(self, tasks, **_: object) -> None:
        raise AssertionError(tasks)


def test_it_is_told_by_the_plan_and_by_the_run(place: Workplace) -> None:
    plan = place.plan()
    first, second, third, same = plan.cells
    registry = plan.suite.registry
    packages = first.cell.packages(registry)
    leave_result(first.folder, code="0" * 64, packages={**packages, "torch": "1.2", "more": "3"})
    leave_result(second.folder, code="0" * 64, packages=packages)
    leave_result(third.folder)
    leave_result(same.folder, code=same.cell.code(registry), packages={})
    told = [
        f"trained with other code than is here (more was 3, here None, torch was 1.2, here "
        f"{packages['torch']}), and taken over all the same",
        "trained with other code than is here (the source of its plugins or of vcbench's "
        "training), and taken over all the same",
    ]
    plan = place.plan()
    assert [planned.done for planned in plan.cells] == [True] * 4
    assert [planned.reason for planned in plan.cells] == [
        *(f"trained before; {said}" for said in told),
        "trained before",
        "trained before",
    ]
    units = units_of(plan)
    train_units(plan, units, Untouched())
    records: list[CellRecord] = [unit.record for unit in units if unit.planned]
    assert [record.status for record in records] == ["ok"] * 4
    assert [record.health for record in records] == [
        ("a flag", told[0]),
        ("a flag", told[1]),
        ("a flag",),
        ("a flag",),
    ]


@pytest.mark.parametrize(
    "status", [{"health": 5}, {"seconds": None}, {"health": [{}]}, {"iterations": 10**400}]
)
def test_a_status_that_no_training_writes_is_no_result(
    status: dict[str, object], place: Workplace
) -> None:
    planned = place.plan().cells[0]
    leave_result(planned.folder, **status)
    assert read_status(planned.folder) is None
    assert not place.plan().cells[0].done


def test_a_status_that_lacks_something_ends_its_own_cell_alone(place: Workplace) -> None:
    plan = place.plan()
    for planned in plan.cells:
        leave_result(planned.folder)
    write_status(plan.cells[0].folder, {"iterations": 6})
    plan = place.plan()
    units = units_of(plan)
    train_units(plan, units, Untouched())
    records = [unit.record for unit in units if unit.planned]
    assert [record.status for record in records] == ["failed", "ok", "ok", "ok"]


def test_a_failure_of_other_types_is_none(tmp_path: Path) -> None:
    told = {"status": "oom", "reason": "too large", "log": "x", "when": "now", "attempts": "many"}
    write_json(tmp_path / FAILURE, told)
    assert failure_of(tmp_path) is None
