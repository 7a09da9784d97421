"""Going on from a training of another length: exactly where its past is the same, else not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import OPTIONS, small_cell
from tiny_cells import RECIPE
from whole_trainings import assert_same_result

from vcbench.training.cell import Cell, LossStage, Recipe
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.extension import obstacle
from vcbench.training.files import CHECKPOINT, EXTENDED, previous_of
from vcbench.training.log import read_log
from vcbench.training.loop import train
from vcbench.training.schedule import learning_rate_factor, loss_weights, validation_weights
from vcbench.training.step import CycleGan


def by_trying(wanted: Recipe, other: Recipe, done: int) -> int | None:
    """The first iteration, from 1, that would have been different."""
    for i in range(done):
        for scheduled in (learning_rate_factor, loss_weights):
            if scheduled(i, wanted) != scheduled(i, other):
                return i + 1
    return None


shares = st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.7, 0.99, 1.0])
stages = st.lists(shares, unique=True, max_size=2).map(
    lambda found: tuple(
        LossStage(share, 1.0, 10.0, 5.0 - n) for n, share in enumerate([0.0, *sorted(found)])
    )
)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    iterations = draw(st.integers(1, 60))
    return replace(
        RECIPE,
        iterations=iterations,
        learning_rate_decay=draw(st.sampled_from(["linear", "none"])),
        decay_start=draw(st.none() | st.integers(0, 70)),
        identity_until=draw(st.none() | st.integers(0, 70)),
        loss_stages=draw(st.just(()) | stages),
    )


@settings(max_examples=400)
@given(st.data(), recipes(), st.integers(1, 80))
def test_the_obstacle_is_the_first_iteration_that_differs(
    data: st.DataObject, other: Recipe, iterations: int
) -> None:
    # Alike often enough that both outcomes are tried, and every kind of difference.
    kept = data.draw(
        st.sets(st.sampled_from(["decay_start", "loss_stages", "learning_rate_decay"]))
    )
    drawn = data.draw(recipes())
    wanted = replace(drawn, iterations=iterations, **{name: getattr(other, name) for name in kept})
    done = data.draw(st.integers(1, other.iterations))
    found, first = obstacle(wanted, other, done), by_trying(wanted, other, done)
    if done >= iterations:
        assert found == f"it has come as far as {done} iterations"
    elif first is not None:
        assert f" of iteration {first} would have been different" in found
    elif validation_weights(wanted) != validation_weights(other):
        assert found.startswith("validation losses")
    else:
        assert found == ""


@pytest.mark.parametrize("decay", ["linear", "none"])
def test_obstacles_of_the_papers_recipe(decay: Any) -> None:
    half, whole = (Recipe(iterations=n, learning_rate_decay=decay) for n in (200_000, 400_000))
    linear = decay == "linear"
    different = "the learning rate of iteration 100002 would have been different"
    assert obstacle(whole, half, 200_000) == (different if linear else "")
    assert obstacle(whole, half, 100_001) == ""
    assert obstacle(whole, replace(half, decay_start=200_000), 200_000) == ""
    # A longer one that has not come far is as good.
    assert obstacle(half, whole, 100_001) == ""
    assert obstacle(half, whole, 200_000) == "it has come as far as 200000 iterations"


SAME = {"learning_rate_decay": "none", "identity_until": 3, "decay_start": None}


def longer_and_shorter(folder: Path, iterations: int, **recipe: Any) -> tuple[Cell, Cell]:
    cells = [small_cell(folder, iterations=n, **{**SAME, **recipe}) for n in (17, iterations)]
    return cells[0], cells[1]


def give(folder: Path, to: Path) -> None:
    to.mkdir()
    shutil.copyfile(folder / CHECKPOINT, to / EXTENDED)


def steps_counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    counted: list[int] = []
    step = CycleGan.step

    def recorded(gan: CycleGan, source: Any, target: Any, iteration: int) -> Any:
        counted.append(iteration)
        return step(gan, source, target, iteration)

    monkeypatch.setattr(CycleGan, "step", recorded)
    return counted


# Lines of losses are due after 5 and 10 iterations, validations after 6 and 12.
@pytest.mark.parametrize("iterations", [5, 6, 11, 12])
@pytest.mark.parametrize(
    "options",
    [{}, OPTIONS["averaged"], OPTIONS["replay"], OPTIONS["masks"], {"decay_start": 12}],
    ids=["plain", "averaged", "replay", "masks", "before-the-decay"],
)
def test_extending_is_training_anew(
    iterations: int,
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "decay_start" in options:
        options = {**options, "learning_rate_decay": "linear"}
    longer, shorter = longer_and_shorter(tmp_path, iterations, **options)
    train(longer, tmp_path / "anew")
    train(shorter, tmp_path / "shorter")
    before = {p.name: p.read_bytes() for p in (tmp_path / "shorter").iterdir()}
    give(tmp_path / "shorter", tmp_path / "extended")
    counted = steps_counted(monkeypatch)
    train(longer, tmp_path / "extended")
    assert counted == list(range(iterations, 17))
    assert_same_result(tmp_path / "extended", tmp_path / "anew")
    assert not (tmp_path / "extended" / EXTENDED).exists()
    assert {p.name: p.read_bytes() for p in (tmp_path / "shorter").iterdir()} == before


def test_extending_what_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longer, shorter = longer_and_shorter(tmp_path, 14)
    train(longer, tmp_path / "anew")
    asked = iter(range(1, 100))
    assert train(shorter, tmp_path / "shorter", stop_requested=lambda: next(asked) == 9) is None
    give(tmp_path / "shorter", tmp_path / "extended")
    # And stopped itself before its first own checkpoint.
    assert train(longer, tmp_path / "extended", stop_requested=lambda: True) is None
    counted = steps_counted(monkeypatch)
    train(longer, tmp_path / "extended")
    assert counted == list(range(10, 17))
    assert_same_result(tmp_path / "extended", tmp_path / "anew")


def test_best_weights_are_extended_where_their_last_validation_was_due(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer, shorter = longer_and_shorter(tmp_path, 11, conversion_weights="best")
    train(longer, tmp_path / "anew")
    for iterations, said in (
        (11, "chosen by a validation at its end, after iteration 11"),
        (12, ""),
    ):
        shorter = replace(shorter, recipe=replace(shorter.recipe, iterations=iterations))
        train(shorter, tmp_path / f"{iterations}")
        give(tmp_path / f"{iterations}", tmp_path / f"from-{iterations}")
        train(longer, tmp_path / f"from-{iterations}")
        assert_same_result(tmp_path / f"from-{iterations}", tmp_path / "anew")
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == bool(said)


@pytest.mark.parametrize("what", ["another", "damaged", "decay"])
def test_what_cannot_be_extended_is_said_and_trained_anew(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer, shorter = longer_and_shorter(tmp_path, 12)
    if what == "another":
        shorter = replace(shorter, seed=1)
    if what == "decay":
        recipe = replace(shorter.recipe, learning_rate_decay="linear", decay_start=7)
        shorter = replace(shorter, recipe=recipe)
    train(longer, tmp_path / "anew")
    train(shorter, tmp_path / "shorter")
    give(tmp_path / "shorter", tmp_path / "extended")
    if what == "damaged":
        (tmp_path / "extended" / EXTENDED).write_bytes(b"PK")
    train(longer, tmp_path / "extended")
    assert_same_result(tmp_path / "extended", tmp_path / "anew")
    err = capsys.readouterr().err
    said = {
        "another": "belongs to another training (one-d/SF1-TM3/1)",
        "damaged": "not a readable checkpoint",
        "decay": "the learning rate of iteration 9 would have been different",
    }
    assert said[what] in err
    assert err.endswith("; training begins anew\n")
    assert err.count("\n") == 1


def test_the_checkpoint_that_a_finished_training_leaves_still_says_how_it_ended(
    tmp_path: Path,
) -> None:
    _, shorter = longer_and_shorter(tmp_path, 11)
    train(shorter, tmp_path / "cell")
    saved = Checkpoint.load(tmp_path / "cell" / CHECKPOINT)
    assert [line["iteration"] for line in read_log(tmp_path / "cell")] == [5, 6, 10, 11, 11]
    assert saved.pending["cycle"][1] == 1
    (tmp_path / "cell" / CHECKPOINT).write_bytes(b"")  # go on from the one after iteration 8
    assert Checkpoint.load(previous_of(tmp_path / "cell" / CHECKPOINT)).iteration == 8
    whole = tmp_path / "whole"
    train(shorter, whole)
    train(shorter, tmp_path / "cell")
    assert_same_result(tmp_path / "cell", whole)
