"""Checkpoints and cells of strangers: no code runs, no more memory than the file has, and one line
says what is wrong."""

from __future__ import annotations

import json
import pickle
import random
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_cells import tiny_cell

from vcbench import features
from vcbench.cli import main
from vcbench.conversion import trained_converter
from vcbench.errors import DataError, VcbenchError
from vcbench.foreign_checkpoint import refuse_unreasonable
from vcbench.plugins import Registry
from vcbench.training.cell import Cell
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.files import CHECKPOINT
from vcbench.training.loop import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of one iteration of a small system."""
    folder = tmp_path_factory.mktemp("cell")
    cell = tiny_cell(folder)
    train(replace(cell, recipe=replace(cell.recipe, iterations=1)), folder / "cell")
    return folder / "cell" / CHECKPOINT


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_runs_nothing(whole: Path, tmp_path: Path) -> None:
    stored = torch.load(whole, weights_only=True)
    executed = tmp_path / "executed"
    stored["training"]["extra"] = Harmful(executed)
    torch.save(stored, tmp_path / "x.pt")
    with pytest.raises(DataError, match="not a readable checkpoint"):
        Checkpoint.load(tmp_path / "x.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Harmful(executed)))
    with pytest.raises(DataError, match="not a readable checkpoint"):
        Checkpoint.load(tmp_path / "plain.pt")
    np.savez(tmp_path / "x.npz", f0_hz=np.array([Harmful(executed)], dtype=object))
    with pytest.raises(DataError):
        features.load(tmp_path / "x.npz")
    assert not executed.exists()


def rewritten(
    path: Path, target: Path, change: Callable[[str, bytes], bytes], compression: int
) -> Path:
    """The archive with its records changed and stored in another way."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return target


def test_a_compressed_checkpoint_is_refused(tmp_path: Path) -> None:
    """A hundred megabytes of zeros take a hundred kilobytes."""
    torch.save({"format": "vcbench-checkpoint-2", "x": torch.zeros(2**20)}, tmp_path / "a.pt")
    how = (lambda _, content: content, zipfile.ZIP_DEFLATED)
    packed = rewritten(tmp_path / "a.pt", tmp_path / "b.pt", *how)
    assert packed.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"b\.pt: unpacks to more than its size"):
        Checkpoint.load(packed)


def test_a_tensor_that_claims_more_than_its_record(tmp_path: Path) -> None:
    """Reading it would go beyond the end of the memory that holds the record."""

    def lie(name: str, content: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return content
        # Four values become 2^27, in the storage and in the tensor's shape.
        return content.replace(b"K\x04t", b"J\0\0\0\x08t").replace(b"K\x04\x85", b"J\0\0\0\x08\x85")

    torch.save({"format": "vcbench-checkpoint-2", "x": torch.zeros(4)}, tmp_path / "a.pt")
    lying = rewritten(tmp_path / "a.pt", tmp_path / "b.pt", lie, zipfile.ZIP_STORED)
    with pytest.raises(DataError, match="not a readable checkpoint"):
        Checkpoint.load(lying)


def saved(whole: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    stored = torch.load(whole, weights_only=True)
    change(stored)
    torch.save(stored, target)
    return target


def in_cell(**keys: Any) -> Callable[[dict[str, Any]], None]:
    return lambda stored: stored["cell"].update(keys)


def in_features(**keys: Any) -> Callable[[dict[str, Any]], None]:
    return lambda stored: stored["cell"]["features"].update(keys)


def in_statistics(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda stored: stored["statistics"]["SF1"].update({key: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (in_cell(scale=1e9), r"scale is 1e\+09; valid: above 0, at most 4"),
        (in_cell(generator={"name": [], "options": {}}), "generator.name: Input should be a valid"),
        (in_cell(scale=float("nan")), "scale is nan"),
        (in_cell(scale="x"), "scale: Input should be a valid number"),
        (in_features(sample_rate=10**12), "sample_rate: Input should be less than or equal to"),
        (in_features(n_mcep=10**9), "n_mcep: Input should be less than or equal to 80"),
        (in_features(frame_period_ms=1e-9), "frame_period_ms: "),
        (in_features(f0_floor_hz=900.0), "f0_floor_hz and f0_ceil_hz are 900 and 800"),
        (in_features(surprise=1), "surprise: Extra inputs"),
        (in_cell(source="X"), "no statistics of its speakers X and TM3"),
        (in_statistics("mcep_mean", [0.0] * 3), r"SF1's mcep_mean is of shape \(3,\)"),
        (in_statistics("log_f0_std", float("inf")), "statistics of SF1 are not finite"),
        (in_statistics("mcep_std", [float("nan")] * 8), "or not finite"),
    ],
)
def test_what_no_suite_asks_for_is_refused_before_anything_is_built(
    change: Callable[[dict[str, Any]], None], words: str, whole: Path, tmp_path: Path
) -> None:
    path = saved(whole, tmp_path / "x.pt", change)
    with pytest.raises(DataError, match=words):
        refuse_unreasonable(Checkpoint.load(path), path)


def test_what_vcbench_trained_is_not_refused(whole: Path) -> None:
    refuse_unreasonable(Checkpoint.load(whole), whole)


def test_convert_refuses_it_in_one_line(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(whole, tmp_path / "x.pt", in_cell(scale=1e9))
    assert main(["convert", str(path), "a.wav", "-o", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "scale is 1e+09" in said


ODD = (None, 3, -1.5, "x", [], {}, [[]], {"a": None}, float("nan"), 2**70, True)


def check_damaged(whole: Path, path: Path, seed: int) -> None:
    """One place of what is stored says something else; the checksums are right."""
    draw = random.Random(seed)

    def change(stored: dict[str, Any]) -> None:
        holder: Any = stored
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            below = [k for k in keys if isinstance(holder[k], dict | list) and holder[k]]
            if not keys or not below or draw.random() < 0.3:
                break
            holder = holder[draw.choice(below)]
        if keys and not isinstance(holder, tuple):
            holder[draw.choice(keys)] = draw.choice(ODD)

    saved(whole, path, change)
    begin = time.monotonic()
    try:
        checkpoint = Checkpoint.load(path)
        refuse_unreasonable(checkpoint, path)
        cell = checkpoint.cell
        trained_converter(checkpoint, Registry(), f"{cell.source}>{cell.target}")
    except VcbenchError as error:
        assert str(error)
    assert time.monotonic() - begin < 60


FEW = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(seed=st.integers(0, 2**32))
def test_damaged_checkpoints(whole: Path, tmp_path: Path, seed: int) -> None:
    check_damaged(whole, tmp_path / "x.pt", seed)


@pytest.mark.slow
@settings(FEW, max_examples=250)
@given(seed=st.integers(0, 2**32))
def test_many_damaged_checkpoints(whole: Path, tmp_path: Path, seed: int) -> None:
    check_damaged(whole, tmp_path / "x.pt", seed)


@pytest.mark.parametrize("text", ["[" * 100_000, "3", "[]", "{}", '{"recipe": []}', "\0"])
def test_a_cell_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_text(text)
    with pytest.raises(DataError, match=r"cell\.json: "):
        Cell.read(tmp_path / "cell.json")


def test_a_cell_whose_features_are_a_list(whole: Path, tmp_path: Path) -> None:
    described = Checkpoint.load(whole).cell.to_json() | {"train_features": []}
    (tmp_path / "cell.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match=r"cell\.json: "):
        Cell.read(tmp_path / "cell.json")
