"""Checkpoints: all comes back; damage and strangers' files give one clear line and run no code."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_cells import speech, tiny_cell

from vcbench.errors import CellFailure, DataError
from vcbench.normalization import SpeakerStatistics
from vcbench.plugins import Registry
from vcbench.sealed import temporary_of
from vcbench.training import checkpoint as checkpoint_module
from vcbench.training.checkpoint import (
    FORMAT,
    Checkpoint,
    UnusableCheckpoint,
    iteration_of,
    load_newest,
)
from vcbench.training.files import previous_of
from vcbench.training.models import build_networks, build_objective
from vcbench.training.step import CycleGan

per_example = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
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
        pending={"cycle": (0.1 + 0.2, 3)},
        log="",
        torch_rng=torch.get_rng_state(),
        cuda_rng=None,
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
    names = ["checkpoint.previous.pt", "checkpoint.pt"]
    assert sorted(p.name for p in path.parent.iterdir()) == names
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
def test_a_damaged_file_is_refused_or_reads_as_the_whole_one(
    checkpoint: Checkpoint, stored: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    damaged = bytearray(stored)
    # The first 4 kB hold the pickle, the last 4 kB the archive's directory.
    end = len(stored) - 1
    anywhere = st.integers(0, 4000) | st.integers(0, end) | st.integers(end - 4000, end)
    for place in data.draw(st.lists(anywhere, min_size=1, max_size=5)):
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pt"
    path.write_bytes(damaged)
    try:
        found = Checkpoint.load(path)
    except UnusableCheckpoint as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
    else:  # padding, or the same bytes as before
        assert_same(found, checkpoint)


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    torch.testing.assert_close(found.training, expected.training, rtol=0, atol=0)
    assert torch.equal(found.torch_rng, expected.torch_rng)
    names = ("cell", "iteration", "pending", "log", "crops_sha256", "generator_sha256", "seconds")
    assert [getattr(found, n) for n in names] == [getattr(expected, n) for n in names]


def flip_a_weight(path: Path, weight: torch.Tensor) -> None:
    """One bit of a weight, on the disk."""
    whole = bytearray(path.read_bytes())
    place = whole.find(weight.contiguous().numpy().tobytes())
    assert place > 0
    whole[place + 1] ^= 4
    path.write_bytes(whole)


def test_a_flipped_bit_that_pytorch_reads_over(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "flipped.pt"
    checkpoint.save(path)
    name, weight = next(iter(checkpoint.training["networks"].items()))
    flip_a_weight(path, weight)
    read = torch.load(path, weights_only=True)["training"]["networks"][name]
    assert not torch.equal(read, weight)
    assert "not a readable checkpoint: damaged (checksum of " in refusal(path)


def two_saved(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """After 3 iterations, and after 4."""
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path)
    replace(checkpoint, iteration=4).save(path)
    return path


def iterations(path: Path) -> tuple[int | None, str]:
    found, problem = load_newest(path)
    return found.iteration if found else None, problem


def test_the_newest_is_loaded_and_no_third_one_kept(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = two_saved(checkpoint, tmp_path)
    assert iterations(path) == (4, "")
    replace(checkpoint, iteration=5).save(path)
    assert [Checkpoint.load(p).iteration for p in (path, previous_of(path))] == [5, 4]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("how", ["torn", "flipped", "empty"])
def test_a_damaged_newest_gives_way_to_the_one_before(
    how: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = two_saved(checkpoint, tmp_path)
    if how == "flipped":
        flip_a_weight(path, next(iter(checkpoint.training["networks"].values())))
    else:
        path.write_bytes(path.read_bytes()[: -40 if how == "torn" else 0])
    found, problem = iterations(path)
    assert found == 3
    assert problem.startswith(f"{path}: not a readable checkpoint: damaged")
    assert problem.endswith("; going on from the one before, of iteration 3")
    assert "\n" not in problem
    # Kept, it would take the place of the whole one before it when the next is saved.
    assert not path.exists()
    replace(checkpoint, iteration=4).save(path)
    path.write_bytes(b"")
    assert iterations(path)[0] == 3


def test_both_damaged(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = two_saved(checkpoint, tmp_path)
    path.write_bytes(b"PK")
    previous_of(path).write_bytes(b"PK")
    found, problem = iterations(path)
    assert found is None
    assert problem.count("not a readable checkpoint") == 2
    assert load_newest(tmp_path / "absent.pt") == (None, "")


def test_a_kill_between_the_two_renames(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = two_saved(checkpoint, tmp_path)
    path.replace(previous_of(path))
    assert iterations(path) == (4, "")


def test_what_cannot_be_read_now_is_not_taken_for_damaged(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = two_saved(checkpoint, tmp_path)

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 4 bytes")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_module.torch, "load", full)
        with pytest.raises(RuntimeError, match="allocate memory"):
            load_newest(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"checkpoint.pt: cannot be read \(Is a directory\)"):
        load_newest(path)


def test_the_disk_has_the_file_before_its_name_and_then_the_folder(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = two_saved(checkpoint, tmp_path)
    done: list[str] = []
    rename, fsync = Path.replace, os.fsync

    def renamed(source: Path, target: Path) -> Path:
        done.append(f"{source.name} -> {target.name}")
        return rename(source, target)

    def synced(handle: int) -> None:
        done.append("sync " + Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    checkpoint.save(path)
    temporary = temporary_of(path).name
    assert done == [
        f"sync {temporary}",
        "checkpoint.pt -> checkpoint.previous.pt",
        f"{temporary} -> checkpoint.pt",
        f"sync {tmp_path.name}",
    ]


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """Inside, the system refuses to let a file grow further, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.999])
def test_a_full_disk_leaves_what_was_saved(
    part: float, checkpoint: Checkpoint, stored: bytes, tmp_path: Path
) -> None:
    path = two_saved(checkpoint, tmp_path)
    with pytest.raises(CellFailure) as caught, largest_file(int(part * len(stored))):
        replace(checkpoint, iteration=5).save(path)
    assert str(caught.value) == (
        f"one-d/SF1-TM3/0: the checkpoint of iteration 5 cannot be written to {path} (File too "
        "large); what was saved before is kept: the same command goes on from there"
    )
    assert [Checkpoint.load(p).iteration for p in (path, previous_of(path))] == [4, 3]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_iteration_alone(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = two_saved(checkpoint, tmp_path)
    assert iteration_of(path) == 4
    path.write_bytes(path.read_bytes()[:-40])
    assert iteration_of(path) is None
    assert iteration_of(tmp_path / "absent.pt") is None


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


@pytest.mark.parametrize("missing", ["cell", "pending", "statistics", "torch_rng", "log"])
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
