"""The training loop: what it leaves, that stopping loses nothing, and how it fails."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tiny_cells import SYSTEMS, tiny_cell
from torch import Tensor
from whole_trainings import assert_same_result, with_dropout

from vcbench import features
from vcbench.errors import CellFailure, DataError
from vcbench.training.cell import Cell, ComponentSpec
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.crops import CropStream
from vcbench.training.files import CHECKPOINT, LOG, STATUS, previous_of, read_status
from vcbench.training.log import read_log
from vcbench.training.loop import train
from vcbench.training.step import CycleGan

few_examples = settings(
    deadline=None,
    max_examples=6,
    phases=[Phase.generate],  # shrinking would train for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def stop_at(*calls: int) -> Callable[[], bool]:
    """True when asked for the n-th time, for each n in `calls`."""
    asked = iter(range(1, 10**6))
    return lambda: next(asked) in calls


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_training_leaves(system: str, tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, system)  # 12 iterations; lines at 5, 10; validation at 6; ends
    folder = tmp_path / "cell"
    status = train(cell, folder)
    assert status is not None
    assert read_status(folder) == status
    previous = previous_of(folder / CHECKPOINT)
    assert {p.name for p in folder.iterdir()} == {CHECKPOINT, previous.name, LOG, STATUS}
    assert (status["iterations"], status["health"], status["device"]) == (12, [], "cpu")
    assert 0 < status["seconds"] < 600
    lines = read_log(folder)
    assert [line["iteration"] for line in lines if "cycle" in line] == [5, 10, 12]
    assert [line["iteration"] for line in lines if "validation" in line] == [6, 12]
    (first, *_) = (line for line in lines if "validation" in line)
    assert set(first) == {"iteration", "validation", "change"}
    assert 0.3 < first["change"] < 3
    losses = {"generator_adversarial", "cycle", "identity", "discriminator"}
    rates = {"learning_rate_generator", "learning_rate_discriminator"}
    assert set(lines[0]) == {"iteration", "iterations_per_second"} | losses | rates
    # Decay from iteration 6 to 12: number 10, counted from 0 as 9, and the last one.
    assert [line["learning_rate_generator"] for line in lines if "cycle" in line] == pytest.approx(
        [2e-4, 1e-4, 2e-4 / 6]
    )
    checkpoint = Checkpoint.load(folder / CHECKPOINT)
    assert (checkpoint.cell, checkpoint.iteration) == (cell, 12)
    assert Checkpoint.load(previous).iteration == 8
    assert set(checkpoint.statistics) == {"SF1", "TM3"}


def test_a_line_holds_the_mean_of_its_iterations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[float] = []
    step = CycleGan.step

    def recorded(gan: CycleGan, *arguments: Any) -> dict[str, Tensor]:
        losses = step(gan, *arguments)
        returned.append(losses["cycle"].item())
        return losses

    monkeypatch.setattr(CycleGan, "step", recorded)
    train(tiny_cell(tmp_path), tmp_path / "cell")
    logged = [line["cycle"] for line in read_log(tmp_path / "cell") if "cycle" in line]
    expected = [np.mean(returned[a:b]) for a, b in ((0, 5), (5, 10), (10, 12))]
    assert logged == pytest.approx(expected, rel=1e-5)


def test_a_validation_line_holds_the_means_of_the_held_out_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    returned: list[dict[str, float]] = []
    validate = CycleGan.validate

    def recorded(gan: CycleGan, *crops: Tensor) -> dict[str, Tensor]:
        found = validate(gan, *crops)
        returned.append({name: value.item() for name, value in found.items()})
        return found

    monkeypatch.setattr(CycleGan, "validate", recorded)
    train(tiny_cell(tmp_path), tmp_path / "cell")
    lines = [line for line in read_log(tmp_path / "cell") if "validation" in line]
    assert (len(lines), len(returned)) == (2, 4)  # two sentences of each speaker
    for i, line in enumerate(lines):
        for name in ("validation", "change"):
            first, second = (found[name] for found in returned[2 * i : 2 * i + 2])
            assert first != second
            assert line[name] == pytest.approx((first + second) / 2)


def seen_by(cell: Cell, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What each step was given: source and target, one after the other."""
    inputs: list[Tensor] = []
    step = CycleGan.step

    def recorded(gan: CycleGan, source: Tensor, target: Tensor, i: int) -> dict[str, Tensor]:
        inputs.extend((source.clone(), target.clone()))
        return step(gan, source, target, i)

    with monkeypatch.context() as patch:
        patch.setattr(CycleGan, "step", recorded)
        train(cell, folder)
    return inputs


def test_every_system_sees_the_same_normalised_crops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [tiny_cell(tmp_path, system, recipe={"batch_size": 2}) for system in SYSTEMS]
    first, second = (seen_by(cell, tmp_path / cell.system, monkeypatch) for cell in cells)
    assert len(first) == 24
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    hashes = [
        json.loads((tmp_path / s / STATUS).read_text())["crop_stream_sha256"] for s in SYSTEMS
    ]
    assert hashes[0] == hashes[1]

    # And they are what the stream says, cut out of the files and normalised here.
    cell = cells[0]
    mceps = {
        s: [features.load(Path(path)).mcep for path in paths]
        for s, paths in cell.train_features.items()
    }
    stream = CropStream(
        pair="SF1-TM3",
        seed=0,
        lengths_source=[len(m) for m in mceps["SF1"]],
        lengths_target=[len(m) for m in mceps["TM3"]],
        segment_frames=32,
        batch_size=2,
    )
    used = Checkpoint.load(tmp_path / cell.system / CHECKPOINT).crops_sha256
    assert hashes[0] == used
    for i, crops in enumerate(stream.block(0)[:12]):
        for speaker, batch, column in (("SF1", first[2 * i], 0), ("TM3", first[2 * i + 1], 2)):
            pooled = np.concatenate(mceps[speaker])
            for row in range(2):
                utterance, begin = crops[row, column], crops[row, column + 1]
                crop = mceps[speaker][utterance][begin : begin + 32]
                expected = (crop - pooled.mean(axis=0)) / pooled.std(axis=0)
                np.testing.assert_allclose(batch[row].numpy(), expected.T, atol=1e-5)


@pytest.mark.parametrize("system", SYSTEMS)
def test_stopping_anywhere_changes_nothing(system: str, tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, system)
    train(cell, tmp_path / "whole")

    @few_examples
    @given(st.sets(st.integers(1, 11), min_size=1, max_size=3))
    def property_holds(stops: set[int]) -> None:
        folder = tmp_path / "stopped"
        shutil.rmtree(folder, ignore_errors=True)
        done = 0
        for stop in sorted(stops):
            assert train(cell, folder, stop_requested=stop_at(stop - done)) is None
            done = stop
            assert Checkpoint.load(folder / CHECKPOINT).iteration == stop
            assert not (folder / STATUS).exists()
        assert train(cell, folder) is not None
        assert_same_result(folder, tmp_path / "whole")

    property_holds()


@pytest.mark.parametrize("stops", [(1,), (3, 4, 7), (8,), (9, 1)])
def test_stopping_a_generator_with_dropout(
    stops: tuple[int, ...], tmp_path: Path, plugin_file: str
) -> None:
    cell = with_dropout(tmp_path, plugin_file)
    train(cell, tmp_path / "whole")
    for calls in stops:
        torch.rand(calls)  # where the global generator stands plays no part
        train(cell, tmp_path / "stopped", stop_requested=stop_at(calls))
    assert train(cell, tmp_path / "stopped") is not None
    assert_same_result(tmp_path / "stopped", tmp_path / "whole")


def test_a_kill_after_lines_that_no_checkpoint_holds(tmp_path: Path, plugin_file: str) -> None:
    cell = with_dropout(tmp_path, plugin_file)
    train(cell, tmp_path / "whole")
    killed = tmp_path / "killed"
    train(cell, killed, stop_requested=stop_at(3))
    old = (killed / CHECKPOINT).read_bytes()
    train(cell, killed, stop_requested=stop_at(8))  # until 11, with lines of 5, 6 and 10
    (killed / CHECKPOINT).write_bytes(old)
    train(cell, killed)
    assert_same_result(killed, tmp_path / "whole")


def test_a_log_without_a_checkpoint_begins_again(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path)
    train(cell, tmp_path / "whole")
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / LOG).write_text('{"iteration": 5, "cycle": 9.0, "discriminator": 9.0}\n')
    train(cell, killed)
    assert_same_result(killed, tmp_path / "whole")


def test_training_again_what_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = tiny_cell(tmp_path)
    train(cell, tmp_path / "cell")
    shutil.copytree(tmp_path / "cell", tmp_path / "copy")
    (tmp_path / "cell" / STATUS).unlink()  # killed between the last checkpoint and the status
    monkeypatch.setattr(CycleGan, "step", None)
    train(cell, tmp_path / "cell")
    assert_same_result(tmp_path / "cell", tmp_path / "copy")


@pytest.mark.parametrize("every", [1, 12])
def test_a_request_to_stop_is_heard_at_a_checkpoint_too(every: int, tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, recipe={"checkpoint_every": every})
    assert train(cell, tmp_path / "cell", stop_requested=stop_at(4)) is None
    assert Checkpoint.load(tmp_path / "cell" / CHECKPOINT).iteration == 4


def networks_of(cell: Cell, folder: Path) -> dict[str, Tensor]:
    train(cell, folder)
    return Checkpoint.load(folder / CHECKPOINT).training["networks"]


@pytest.mark.parametrize(
    "change",
    [{"validate_every": 1}, {"validate_every": 99}, {"log_every": 1}, {"checkpoint_every": 2}],
    ids=str,
)
def test_looking_at_a_training_does_not_change_it(
    change: dict[str, int], tmp_path: Path, plugin_file: str
) -> None:
    plain = networks_of(with_dropout(tmp_path, plugin_file), tmp_path / "plain")
    watched = networks_of(with_dropout(tmp_path, plugin_file, **change), tmp_path / "watched")
    assert all(torch.equal(plain[name], watched[name]) for name in plain)


def test_held_out_speech_does_not_change_a_training(tmp_path: Path) -> None:
    plain = networks_of(tiny_cell(tmp_path / "a"), tmp_path / "plain")
    other = networks_of(tiny_cell(tmp_path / "b", held_out=(99, 99, 99)), tmp_path / "other")
    none = networks_of(tiny_cell(tmp_path / "c", held_out=()), tmp_path / "none")
    assert all(torch.equal(plain[n], other[n]) and torch.equal(plain[n], none[n]) for n in plain)
    assert not any("validation" in line for line in read_log(tmp_path / "none"))
    values = [
        [line["validation"] for line in read_log(tmp_path / name) if "validation" in line]
        for name in ("plain", "other")
    ]
    assert values[0] != values[1]


def test_held_out_speech_shorter_than_a_crop_is_left_out(tmp_path: Path) -> None:
    train(tiny_cell(tmp_path, held_out=(31, 20)), tmp_path / "cell")
    assert not any("validation" in line for line in read_log(tmp_path / "cell"))


def test_the_global_generators_are_left_alone(tmp_path: Path, plugin_file: str) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    train(with_dropout(tmp_path, plugin_file), tmp_path / "cell")
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_seeds_and_systems_differ(tmp_path: Path) -> None:
    cells = [tiny_cell(tmp_path), tiny_cell(tmp_path, seed=1)]
    first, second = (networks_of(cell, tmp_path / str(cell.seed)) for cell in cells)
    assert not any(torch.equal(first[n], second[n]) for n in first if n.endswith("conv.weight"))


def test_another_number_of_coefficients(tmp_path: Path) -> None:
    assert train(tiny_cell(tmp_path, "two-d", n_mcep=17), tmp_path / "cell") is not None


def test_a_clip_shorter_than_a_crop(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, lengths={"SF1": (40, 31), "TM3": (50,)})
    with pytest.raises(DataError, match=r"pair SF1-TM3: .* number 1 has 31 frames, fewer than"):
        train(cell, tmp_path / "cell")


def test_a_discriminator_that_has_won_is_named(tmp_path: Path, plugin_file: str) -> None:
    objective = ComponentSpec("won")
    cell = tiny_cell(tmp_path, objective=objective, plugin_files=(plugin_file,))
    status = train(cell, tmp_path / "cell")
    assert status is not None
    assert status["health"] == ["discriminator saturated since iteration 5 (loss below 0.005)"]


@pytest.mark.parametrize(("loss", "stuck"), [(0.95, True), (0.8, False)])
def test_generators_at_their_bound_are_named_with_it(
    loss: float, stuck: bool, tmp_path: Path, plugin_file: str
) -> None:
    objective = ComponentSpec("won-with-a-bound", {"generator_loss": loss})
    cell = tiny_cell(tmp_path, objective=objective, plugin_files=(plugin_file,))
    status = train(cell, tmp_path / "cell")
    assert status is not None
    assert status["health"] == [
        "discriminator saturated since iteration 5 (loss below 0.005, the generators' adversarial "
        "loss above 1.8 of at most 2)"
    ] * int(stuck)


def test_generators_that_change_nothing_are_named(tmp_path: Path, plugin_file: str) -> None:
    generator = ComponentSpec("unchanging")
    cell = tiny_cell(tmp_path, generator=generator, plugin_files=(plugin_file,))
    status = train(cell, tmp_path / "cell")
    assert status is not None
    (flag,) = status["health"]
    assert flag.startswith("identity collapse since iteration 6 (")
    changes = [line["change"] for line in read_log(tmp_path / "cell") if "change" in line]
    assert min(changes) > 0
    assert max(changes) < 0.1


def test_a_loss_that_is_no_number_any_more(tmp_path: Path, plugin_file: str) -> None:
    objective = ComponentSpec("nan-after-a-while")
    cell = tiny_cell(tmp_path, objective=objective, plugin_files=(plugin_file,))
    with pytest.raises(CellFailure) as caught:
        train(cell, tmp_path / "cell")
    assert str(caught.value) == (
        "one-d/SF1-TM3/0: at iteration 7 the generator_adversarial loss became nan; "
        "try a smaller learning rate"
    )
    assert not (tmp_path / "cell" / STATUS).exists()
    assert [line["iteration"] for line in read_log(tmp_path / "cell")] == [5, 6]


@pytest.mark.parametrize(("every", "kept"), [(3, 6), (6, 6), (7, None)])
def test_no_checkpoint_is_written_after_a_loss_that_is_no_number(
    every: int, kept: int | None, tmp_path: Path, plugin_file: str
) -> None:
    """It breaks in iteration 7; no line of the log is due before 12."""
    cell = tiny_cell(
        tmp_path,
        objective=ComponentSpec("nan-after-a-while"),
        plugin_files=(plugin_file,),
        recipe={"checkpoint_every": every, "log_every": 99, "validate_every": 99},
    )
    with pytest.raises(CellFailure, match="at iteration 7 the generator_adversarial loss"):
        train(cell, tmp_path / "cell")
    path = tmp_path / "cell" / CHECKPOINT
    assert path.exists() == (kept is not None)
    if kept:
        assert Checkpoint.load(path).iteration == kept
    assert not (tmp_path / "cell" / STATUS).exists()


def test_a_broken_loss_is_told_before_the_validation_that_it_breaks(
    tmp_path: Path, plugin_file: str
) -> None:
    cell = tiny_cell(
        tmp_path,
        objective=ComponentSpec("nan-after-a-while"),
        plugin_files=(plugin_file,),
        recipe={"log_every": 99, "validate_every": 8},
    )
    with pytest.raises(CellFailure, match="at iteration 7 the generator_adversarial loss"):
        train(cell, tmp_path / "cell")


def test_a_training_that_is_at_an_end_no_longer_does_not_say_that_it_is(tmp_path: Path) -> None:
    """Its newest checkpoint is damaged, and going on from the one before is stopped."""
    cell, folder = tiny_cell(tmp_path), tmp_path / "cell"
    train(cell, folder)
    path = folder / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-100])
    assert train(cell, folder, stop_requested=stop_at(1)) is None
    assert Checkpoint.load(path).iteration < cell.recipe.iterations
    assert not (folder / STATUS).exists()
    assert train(cell, folder) is not None
    assert (folder / STATUS).exists()


def test_another_versions_checkpoints_are_not_written_over(tmp_path: Path) -> None:
    cell, folder = tiny_cell(tmp_path), tmp_path / "cell"
    train(cell, folder)
    path = folder / CHECKPOINT
    stored = torch.load(path, weights_only=True)
    torch.save({**stored, "format": "vcbench-checkpoint-0"}, path)
    before = path.read_bytes()
    with pytest.raises(CellFailure, match=r"not a vcbench checkpoint .* name another folder"):
        train(cell, folder)
    assert path.read_bytes() == before


def test_weights_ruined_by_the_last_update(tmp_path: Path) -> None:
    # Its losses, computed before it, are finite still.
    recipe = {"iterations": 1, "learning_rate_generator": 1e38}
    with pytest.raises(CellFailure, match=r"the validation loss became (nan|inf) at iteration 1;"):
        train(tiny_cell(tmp_path, "two-d", recipe=recipe), tmp_path / "cell")
    assert not (tmp_path / "cell" / STATUS).exists()


def test_weights_ruined_where_nothing_is_validated(tmp_path: Path) -> None:
    recipe = {"iterations": 1, "learning_rate_generator": 1e39}
    with pytest.raises(CellFailure) as caught:
        train(tiny_cell(tmp_path, held_out=(), recipe=recipe), tmp_path / "cell")
    said = "one-d/SF1-TM3/0: weights became infinite or NaN at iteration 1 (the first: source_to_"
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith("); try a smaller learning rate")
    assert {p.name for p in (tmp_path / "cell").iterdir()} == {LOG}


@pytest.mark.parametrize("name", ["checkpoint", "log", "status"])
def test_what_a_killed_writer_left_is_removed(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    folder.mkdir()
    (folder / f"{name}.4711.tmp").write_bytes(b"half")
    (folder / "cell.4711.tmp").write_bytes(b"the harness writes this one")
    train(tiny_cell(tmp_path), folder)
    assert [p.name for p in folder.glob("*.tmp")] == ["cell.4711.tmp"]
