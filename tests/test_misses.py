"""Why a cell has yet to be trained, and how long that will take: told from what the cache holds."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
import torch
from workplace import Workplace

from vcbench import training_time
from vcbench.parallel import threads_per_job
from vcbench.planning import PlannedCell
from vcbench.stored_cells import StoredCells, code_of, note_code
from vcbench.training.files import write_status
from vcbench.training_time import ends_after, estimate

CELL = "first/F1-M1/0"


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "place")


def trained(place: Workplace, *sets: str, code: bool = True, **status: float) -> PlannedCell:
    """Leave what training leaves of the cell `CELL`, without weights."""
    plan = place.plan(*sets, only=CELL)
    (planned,) = plan.cells
    planned.folder.mkdir(parents=True)
    (planned.folder / "cell.json").write_text(json.dumps(planned.cell.to_json()))
    torch.save({}, planned.folder / "checkpoint.pt")
    done = {"iterations": planned.cell.recipe.iterations, "seconds": 2.0, "threads": 1, **status}
    write_status(planned.folder, done)
    if code:
        note_code(planned.folder, code_of(planned.cell, plan.suite.registry))
    return planned


def reasons(place: Workplace, *sets: str, **options: object) -> dict[str, str]:
    return {planned.cell.id: planned.reason for planned in place.plan(*sets, **options).cells}


def test_what_was_never_trained(place: Workplace) -> None:
    trained(place)
    found = reasons(place, seeds=[0, 1])
    assert found.pop(CELL) == "trained before"
    assert len(found) == 7
    assert set(found.values()) == {"never trained"}  # other pairs, seeds and plugins


SETTINGS = {
    "a length, and what follows from it": (
        ["training.iterations=60"],
        "training.iterations was 6, now 60",
    ),
    "an option": (["systems.first.generator.kernel=5"], "generator.kernel was 3, now 5"),
    "a type alone": (["training.lambda_cycle=11"], "training.lambda_cycle was 10.0, now 11.0"),
    "features, and not also their files": (
        ["features.n_mcep=30"],
        "features.n_mcep was 24, now 30",
    ),
    "several": (
        ["scale=0.05", "training.batch_size=2"],
        "training.batch_size was 1, now 2; scale was 0.03, now 0.05",
    ),
    "held out": (
        ["training.validation_utterances=2"],
        "training.validation_utterances was 1, now 2; training sentences were 10, now 8; "
        "validation sentences were 2, now 4",
    ),
    "very many": (
        [
            *("training.batch_size=2", "training.lambda_cycle=9", "training.lambda_identity=9"),
            *("training.log_every=9", "training.validate_every=9", "scale=0.1"),
        ],
        "training.batch_size was 1, now 2; training.lambda_cycle was 10.0, now 9.0; "
        "training.lambda_identity was 5.0, now 9.0; training.log_every was 50, now 9; and 2 more",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_other_settings_are_told_with_both_values(case: str, place: Workplace) -> None:
    trained(place)
    sets, expected = SETTINGS[case]
    said = reasons(place, *sets)[CELL]
    assert said.startswith(f"trained before, but {expected}")
    rest = said.removeprefix(f"trained before, but {expected}")
    assert rest == "" or rest.startswith("; one with another schedule")


def test_the_nearest_is_told(place: Workplace) -> None:
    trained(place, "scale=0.05", "training.batch_size=2")
    trained(place, "scale=0.05")
    assert reasons(place)[CELL] == "trained before, but scale was 0.05, now 0.03"


def test_an_edited_plugin(place: Workplace) -> None:
    trained(place)
    place.plugin.write_text(place.plugin.read_text() + "# an afterthought\n")
    expected = "trained before, but the source of its generator has changed since (plug.py)"
    assert reasons(place)[CELL] == expected
    scale = "scale was 0.03, now 0.05; the source of its generator has changed since (plug.py)"
    assert reasons(place, "scale=0.05")[CELL] == f"trained before, but {scale}"


def test_another_version_of_a_package(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = trained(place)
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: "9.9" if n == "torch" else real(n))
    assert place.plan(only=CELL).cells[0].key != before.key
    assert reasons(place)[CELL] == (f"trained before, but PyTorch was {real('torch')}, now 9.9")


def test_edited_training_code(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(place)
    from vcbench.training import cell

    monkeypatch.setattr(cell, "_TRAINING_SOURCES", cell._TRAINING_SOURCES[:-1])
    expected = "trained before, but the source of vcbench's training has changed since"
    assert reasons(place)[CELL] == expected


def test_what_was_not_noted_is_not_guessed(place: Workplace) -> None:
    trained(place, code=False)
    place.plugin.write_text(place.plugin.read_text() + "# an afterthought\n")
    assert reasons(place)[CELL] == (
        "trained before, but the code has changed since (that of a plugin or of vcbench's "
        "training, or the version of PyTorch or NumPy: which of them was not noted then)"
    )


def test_edited_recordings(place: Workplace) -> None:
    trained(place)
    wav = place.wav("F1", "s0")
    wav.write_text("something else")
    assert reasons(place)[CELL] == (
        "trained before, but its training sentences, or how they are analysed, have changed since"
    )


def test_what_is_damaged_or_left_nothing_is_passed_over(place: Workplace) -> None:
    first, second = trained(place, "scale=0.05"), trained(place, "scale=0.06")
    (first.folder / "cell.json").write_text("{to")
    (second.folder / "checkpoint.pt").unlink()
    assert reasons(place)[CELL] == "never trained"


def expected(place: Workplace, *sets: str, jobs: int = 1, **options: object):
    return estimate(
        place.plan(*sets, **options), StoredCells(place.root / "cache/cells"), jobs=jobs
    )


def test_time_is_told_from_like_cells_alone(place: Workplace) -> None:
    nothing = expected(place, only="first/*")
    assert (nothing.seconds, nothing.speeds, nothing.unknown) == (None, {}, ["first"])
    trained(place, seconds=3.0, threads=threads_per_job(1))  # 2 it/s
    # Another pair, seed, schedule and rate; the one that is done takes no time.
    sets = ("training.iterations=600", "training.learning_rate_generator=0.1")
    found = expected(place, *sets, seeds=[0, 1, 2], only="first/*")
    assert (found.seconds, found.speeds, found.unknown) == (6 * 300.0, {"first": 2.0}, [])
    assert expected(place, only="first/*").seconds == 3.0
    assert expected(place, *sets, seeds=[0, 1, 2], only="first/*", jobs=4).seconds == 600.0
    assert expected(place).unknown == ["second"]
    for change in ("scale=0.05", "training.batch_size=2", "systems.first.generator.width=5"):
        assert expected(place, change, only="first/*").seconds is None
    assert expected(place, only=CELL) == training_time.Estimate(1, None, {}, [])


def test_as_many_threads_where_there_are_any(place: Workplace) -> None:
    trained(place, seconds=6.0, threads=99)
    others = {"only": "first/M1-F2/0"}
    assert expected(place, **others).seconds == 6.0
    trained(place, "training.iterations=12", seconds=3.0, threads=threads_per_job(1))
    assert expected(place, **others).seconds == 1.5


def test_what_is_begun_takes_the_rest(place: Workplace) -> None:
    trained(place, seconds=3.0)
    (begun,) = place.plan("training.iterations=60", only="first/M1-F2/0").cells
    begun.folder.mkdir()
    torch.save({"format": "vcbench-checkpoint-2", "iteration": 40}, begun.folder / "checkpoint.pt")
    assert expected(place, "training.iterations=60", only="first/M1-F2/0").seconds == 10.0


def test_when_all_have_ended() -> None:
    assert ends_after([], [], at_a_time=2) == 0
    assert ends_after([5.0], [], at_a_time=1) == 5
    assert ends_after([5.0, 1.0], [2.0, 4.0], at_a_time=2) == 7
    assert ends_after([], [3.0, 3.0, 3.0], at_a_time=2) == 6
    assert ends_after([1.0], [9.0], at_a_time=3) == 9
