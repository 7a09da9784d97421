"""Finding the training that a longer one goes on from, among hundreds."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell, write_cell

from vcbench import other_lengths
from vcbench.other_lengths import OtherLength, find, take_over
from vcbench.plugins import Registry
from vcbench.training.cell import Cell
from vcbench.training.files import CHECKPOINT, EXTENDED, write_status
from vcbench.training.loop import train

SAME_PAST = {"learning_rate_decay": "none", "identity_until": 2}


def cell_of(folder: Path, **recipe: Any) -> Cell:
    return tiny_cell(folder, recipe={**SAME_PAST, **recipe})


def folder_of(cell: Cell, root: Path) -> Path:
    return root / "cells" / cell.key(Registry())


def left_by(cell: Cell, root: Path, *, done: int, finished: bool = True) -> Path:
    """A folder such as training leaves, without weights."""
    folder = folder_of(cell, root)
    write_cell(cell, folder)
    torch.save({"format": "vcbench-checkpoint-2", "iteration": done}, folder / CHECKPOINT)
    if finished:
        write_status(folder, {"iterations": done})
    return folder


def found_for(cell: Cell, root: Path) -> OtherLength | None:
    return find(folder_of(cell, root), cell.recipe)


def test_the_furthest_that_can_be_gone_on_from(tmp_path: Path) -> None:
    wanted = cell_of(tmp_path, iterations=40)
    assert found_for(wanted, tmp_path) is None
    left_by(cell_of(tmp_path, iterations=5), tmp_path, done=5)
    best = left_by(cell_of(tmp_path, iterations=20), tmp_path, done=20)
    left_by(cell_of(tmp_path, iterations=50), tmp_path, done=50)  # has come further
    left_by(wanted, tmp_path, done=30)  # itself
    decayed = cell_of(tmp_path, iterations=30, learning_rate_decay="linear", decay_start=8)
    left_by(decayed, tmp_path, done=30)
    left_by(replace(cell_of(tmp_path, iterations=25), seed=1), tmp_path, done=25)
    left_by(cell_of(tmp_path, iterations=26, segment_frames=31), tmp_path, done=26)
    assert found_for(wanted, tmp_path) == OtherLength(best / CHECKPOINT, 20, "")


def test_one_that_cannot_be_gone_on_from_is_told_why(tmp_path: Path) -> None:
    left_by(cell_of(tmp_path, iterations=12, learning_rate_decay="linear"), tmp_path, done=12)
    found = found_for(cell_of(tmp_path, iterations=13), tmp_path)
    assert str(found) == (
        "one with another schedule has done 12 iterations, but cannot be gone on from: the "
        "learning rate of iteration 8 would have been different"
    )


@pytest.mark.parametrize("done", [7, 30])
def test_one_that_is_not_finished_has_done_what_its_checkpoint_says(
    done: int, tmp_path: Path
) -> None:
    left_by(cell_of(tmp_path, iterations=50), tmp_path, done=done, finished=False)
    found = found_for(cell_of(tmp_path, iterations=30), tmp_path)
    assert (found.iterations if found else None) == (7 if done == 7 else None)


@pytest.mark.parametrize("damaged", [CHECKPOINT, "cell.json", "status.json"])
def test_damaged_ones_are_passed_over(damaged: str, tmp_path: Path) -> None:
    folder = left_by(cell_of(tmp_path, iterations=5), tmp_path, done=5, finished=False)
    (folder / damaged).write_text("{to")
    found = found_for(cell_of(tmp_path, iterations=9), tmp_path)
    # What says whether it has ended may be lost: then its checkpoint is asked.
    assert (found is not None) == (damaged == "status.json")


def test_it_is_taken_over_without_being_copied_or_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = cell_of(tmp_path, iterations=5)
    train(shorter, folder_of(shorter, tmp_path))
    write_cell(shorter, folder_of(shorter, tmp_path))
    other = found_for(cell_of(tmp_path, iterations=9), tmp_path)
    assert other is not None
    whole = other.checkpoint.read_bytes()
    for name in ("linked", "copied"):
        (tmp_path / name).mkdir()
        for _ in range(2):  # and again, after a kill
            take_over(other, tmp_path / name)
        assert [p.name for p in (tmp_path / name).iterdir()] == [EXTENDED]
        assert (tmp_path / name / EXTENDED).read_bytes() == whole
        assert other.checkpoint.samefile(tmp_path / name / EXTENDED) == (name == "linked")

        def refused(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    monkeypatch.undo()
    other.checkpoint.unlink()
    (tmp_path / "gone").mkdir()
    take_over(other, tmp_path / "gone")
    assert not list((tmp_path / "gone").iterdir())


def test_only_the_same_familys_folders_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    look = other_lengths._looked_at
    monkeypatch.setattr(
        other_lengths, "_looked_at", lambda path, recipe: looked.append(path) or look(path, recipe)
    )
    for number in range(500):
        (tmp_path / "cells" / f"{number:016x}-{number:048x}").mkdir(parents=True)
    shorter = left_by(cell_of(tmp_path, iterations=5), tmp_path, done=5)
    assert found_for(cell_of(tmp_path, iterations=9), tmp_path) is not None
    assert looked == [shorter]
