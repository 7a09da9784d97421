"""Whatever of the cache is torn or changed on the disk is found, and made again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_cells import tiny_cell
from voices import voice
from workplace import Workplace

from vcbench import audio, conversion_tasks, features, sealed
from vcbench.conversion_tasks import ConversionTask, run_task
from vcbench.corpora import Utterance
from vcbench.errors import DataError
from vcbench.features import FeatureStore
from vcbench.scoring import cache
from vcbench.scoring.pair import Scores
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.files import (
    has_result,
    previous_of,
    read_status,
    write_json,
    write_status,
)
from vcbench.training.loop import train
from vcbench.world import FeatureParameters, WorldFeatures

FAST = FeatureParameters(f0="dio")


def flip(path: Path, *, at: int = -1) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at < 0 else at] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


DAMAGE = [flip, cut, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGE)
def test_features(damage, tmp_path: Path) -> None:
    wav = tmp_path / "a.wav"
    audio.write(wav, voice(0.4, f0_hz=120), sample_rate=16000)
    store, utterances = FeatureStore(tmp_path / "cache", FAST), [Utterance("A", "a", wav)]
    store.extract(utterances, jobs=1)
    path = store.path(wav)
    before = path.read_bytes()
    damage(path)
    done = store.extract(utterances, jobs=1)
    assert (done.extracted, done.cached) == (1, 0)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", DAMAGE)
def test_converted_speech(damage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wav = tmp_path / "a.wav"
    audio.write(wav, voice(0.4, f0_hz=120), sample_rate=16000)
    store = FeatureStore(tmp_path / "cache", FAST)
    store.extract([Utterance("A", "a", wav)], jobs=1)
    outputs = tuple(tmp_path / "out" / f"{n}.wav" for n in "ab")
    task = ConversionTask("A>B", (store.path(wav),) * 2, outputs, FAST)
    assert run_task(task) == 2
    before = [path.read_bytes() for path in outputs]
    damage(outputs[0])
    assert run_task(task) == 1
    assert [path.read_bytes() for path in outputs] == before
    monkeypatch.setattr(conversion_tasks, "_renderer", None)
    assert run_task(task) == 0


@pytest.mark.parametrize("damage", DAMAGE)
def test_scores(damage, tmp_path: Path) -> None:
    scores = Scores({"mcd": 6.5, "f0-rmse": math.nan}, {}, ("a note",))
    path = tmp_path / "ab" / "a.json"
    cache.save(path, scores)
    found = cache.load(path, ["mcd", "f0-rmse"])
    assert found is not None
    assert (found.values["mcd"], found.notes) == (6.5, ("a note",))
    assert math.isnan(found.values["f0-rmse"])
    damage(path)
    assert cache.load(path, ["mcd", "f0-rmse"]) is None


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_status(damage, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "checkpoint.pt")
    write_status(tmp_path, {"iterations": 6, "seconds": 1.5})
    assert has_result(tmp_path)
    damage(tmp_path / "status.json")
    assert read_status(tmp_path) is None
    assert not has_result(tmp_path)


def test_a_digit_of_a_status_is_not_believed(tmp_path: Path) -> None:
    write_status(tmp_path, {"iterations": 6})
    path = tmp_path / "status.json"
    path.write_text(path.read_text().replace("6,", "7,", 1))
    assert "7," in path.read_text()
    assert read_status(tmp_path) is None


def test_a_checkpoint_is_trained_again_from_the_one_before(tmp_path: Path) -> None:
    """What is damaged after it was trained: conversion finds it, the next training mends it."""
    cell = tiny_cell(tmp_path, recipe={"iterations": 2, "checkpoint_every": 1})
    folder = tmp_path / "cell"
    train(cell, folder)
    newest = folder / "checkpoint.pt"
    weights = Checkpoint.load(newest).training
    flip(newest)
    task = ConversionTask(
        f"{cell.source}>{cell.target}",
        (Path(cell.train_features[cell.source][0]),),
        (tmp_path / "out.wav",),
        FAST,
        checkpoint=newest,
    )
    with pytest.raises(DataError, match="it was deleted: the same command trains the cell again"):
        run_task(task)
    assert not newest.exists()
    assert not (tmp_path / "out.wav").exists()
    assert not has_result(folder)
    assert previous_of(newest).exists()
    train(cell, folder)
    assert has_result(folder)
    torch.testing.assert_close(Checkpoint.load(newest).training, weights, rtol=0, atol=0)
    assert run_task(task) == 1


def test_a_result_without_its_checkpoint_says_what_it_cannot_do(tmp_path: Path) -> None:
    sealed.write_json(tmp_path / "elsewhere.json", {"cell": "a/A-B/0"})
    write_status(tmp_path, {"iterations": 6})
    assert has_result(tmp_path)
    task = ConversionTask(
        "A>B",
        (tmp_path / "a.npz",),
        (tmp_path / "o.wav",),
        FAST,
        checkpoint=tmp_path / "checkpoint.pt",
    )
    with pytest.raises(DataError, match="stayed on the machine that trained it"):
        run_task(task)
    flip(tmp_path / "elsewhere.json")
    assert not has_result(tmp_path)


def test_a_plan_counts_damaged_features_as_missing(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "place")
    plan = place.plan()
    paths = sorted(set(plan.features.values()))
    for path in paths:
        features.save(path, WorldFeatures(np.ones(9), np.ones((9, 2)), np.ones((9, 1))))
    assert plan.missing_features == 0
    flip(paths[0])
    cut(paths[1])
    assert plan.missing_features == 2


def test_notes_of_a_cell_that_are_damaged_only_tell_less(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "place")
    planned = place.plan(only="first/F1-M1/0").cells[0]
    write_json(planned.folder / "cell.json", planned.cell.to_json())
    torch.save({}, planned.folder / "checkpoint.pt")
    (planned.folder / "code.json").write_text("[" * 100_000)
    (planned.folder / "cell.json").write_text("[" * 100_000)
    (found,) = place.plan(only="first/F1-M1/0").cells
    assert not found.done
