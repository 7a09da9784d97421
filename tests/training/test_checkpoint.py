"""Checkpoints: all comes back; damage and strangers' files give one clear line and run no code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_cells import speech, tiny_cell

from vcbench.errors import DataError
from vcbench.normalization import SpeakerStatistics
from vcbench.plugins import Registry
from vcbench.training import checkpoint as checkpoint_module
from vcbench.training.checkpoint import FORMAT, Checkpoint
from vcbench.training.models import build_networks, build_objective
from vcbench.training.step import CycleGan

per_example = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """After three iterations of a tiny system."""
    cell = tiny_cell(tmp_path_factory.mktemp("cell"))
    networks = build_networks(cell, Registry())
    gan = CycleGan(networks, build_objective(cell, Registry(), networks), cell)
    for i in range(3):
        gan.step(torch.ones(1, 24, 32) * i, torch.zeros(1, 24, 32), i)
    return Checkpoint(
        cell=cell,
        iteration=3,
        training=gan.state(),
        statistics={
            name: SpeakerStatistics.from_features([speech(50, seed=seed)])
            for seed, name in enumerate(("SF1", "TM3"))
        },
        pending={"count": 3, "cycle": 0.1 + 0.2},
        torch_rng=torch.get_rng_state(),
        crops_sha256="00" * 32,
        generator_sha256="11" * 32,
        seconds=1.5,
    )


@pytest.fixture(scope="module")
def stored(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("stored") / "checkpoint.pt"
    checkpoint.save(path)
    return path.read_bytes()


def test_round_trip(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "new" / "checkpoint.pt"
    checkpoint.save(path)
    checkpoint.save(path)  # over the first
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]
    found = Checkpoint.load(path)
    assert (found.cell, found.iteration, found.pending) == (
        checkpoint.cell,
        checkpoint.iteration,
        checkpoint.pending,
    )
    torch.testing.assert_close(found.training, checkpoint.training, rtol=0, atol=0)
    assert torch.equal(found.torch_rng, checkpoint.torch_rng)
    for name, statistics in checkpoint.statistics.items():
        np.testing.assert_array_equal(found.statistics[name].mcep_mean, statistics.mcep_mean)
        np.testing.assert_array_equal(found.statistics[name].mcep_std, statistics.mcep_std)
        assert found.statistics[name].log_f0_mean == statistics.log_f0_mean
        assert found.statistics[name].log_f0_std == statistics.log_f0_std
    optimizer: Any = found.training["generator_optimizers"][0]
    assert {"step", "exp_avg", "exp_avg_sq"} <= set(optimizer["state"][0])


def test_a_kill_while_saving_leaves_the_old_checkpoint(
    checkpoint: Checkpoint, stored: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(stored)

    def killed(_: object, file: Any) -> None:
        file.write(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_module.torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path)
    assert Checkpoint.load(path).iteration == 3


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        Checkpoint.load(tmp_path / "absent.pt")
    assert str(caught.value) == f"{tmp_path / 'absent.pt'}: no such checkpoint"


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        Checkpoint.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@per_example
@given(part=st.floats(0, 1, exclude_max=True))
def test_a_torn_file(part: float, stored: bytes, tmp_path: Path) -> None:
    path = tmp_path / "torn.pt"
    path.write_bytes(stored[: int(part * len(stored))])
    assert "not a readable checkpoint" in refusal(path)


@per_example
@given(st.data())
def test_a_damaged_file_is_refused_or_reads_as_one(
    stored: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    # The first 4 kB hold the pickle: there, damage can make the reader do anything.
    damaged = bytearray(stored)
    for place in data.draw(st.lists(st.integers(0, 4000), min_size=1, max_size=5)):
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pt"
    path.write_bytes(damaged)
    try:
        found = Checkpoint.load(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
    else:
        assert isinstance(found, Checkpoint)


class Malicious:
    """Unpickling this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_with_code_in_it(tmp_path: Path) -> None:
    proof = tmp_path / "code-has-run"
    path = tmp_path / "malicious.pt"
    torch.save({"format": FORMAT, "cell": Malicious(proof)}, path)
    assert "not a readable checkpoint" in refusal(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)  # the code does what it should where it is allowed to
    assert proof.exists()


@pytest.mark.parametrize("value", [[1, 2], {"format": "something else"}, {"state_dict": {}}])
def test_somebody_elses_file(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save(value, path)
    assert f"not a vcbench checkpoint ('{FORMAT}' is expected)" in refusal(path)


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "text.pt"
    path.write_text("This is no checkpoint.")
    assert "not a readable checkpoint" in refusal(path)


@pytest.mark.parametrize("missing", ["cell", "pending", "statistics", "torch_rng"])
def test_another_versions_checkpoint(missing: str, stored: bytes, tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    path.write_bytes(stored)
    value = torch.load(path, weights_only=True)
    del value[missing]
    torch.save(value, path)
    assert "written by another version of vcbench" in refusal(path)


def test_a_cell_with_a_field_of_another_version(stored: bytes, tmp_path: Path) -> None:
    path = tmp_path / "new.pt"
    path.write_bytes(stored)
    value = torch.load(path, weights_only=True)
    value["cell"]["moon_phase"] = 3
    torch.save(value, path)
    assert "moon_phase" in refusal(path)
