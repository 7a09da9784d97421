"""Event files: what is in them, and that writing them changes nothing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_cells import tiny_cell
from whole_trainings import assert_same_result, with_dropout

from vcbench.cli import main
from vcbench.engines import TrainingTask
from vcbench.errors import UsageError
from vcbench.training import tensorboard
from vcbench.training.log import read_log
from vcbench.training.loop import train
from vcbench.training.step import CycleGan
from vcbench.training.tensorboard import FOLDER, gradient_norm, grey


def events(folder: Path) -> EventAccumulator:
    everything = {"scalars": 0, "images": 0, "audio": 0}
    found = EventAccumulator(str(folder / FOLDER), size_guidance=everything)
    return found.Reload()


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """{tag: {iteration: value}}; fails where an iteration has two."""
    found = events(folder)
    values = {}
    for tag in found.Tags()["scalars"]:
        values[tag] = {event.step: event.value for event in found.Scalars(tag)}
        assert len(values[tag]) == len(found.Scalars(tag)), tag
    return values


def without(*names: str) -> Callable[..., Any]:
    """`find_spec` of a machine that has none of these packages."""
    real = importlib.util.find_spec
    return lambda name, *rest: None if name in names else real(name, *rest)


def test_a_training_that_is_watched_is_the_same(tmp_path: Path, plugin_file: str) -> None:
    """To the last bit of its weights; its generator draws random numbers."""
    for cell in (
        with_dropout(tmp_path, plugin_file),
        tiny_cell(tmp_path, "two-d", recipe={"generator_update": "alternating"}),
    ):
        for name in ("watched", "not"):
            train(cell, tmp_path / cell.system / name, tensorboard=name == "watched")
        assert_same_result(tmp_path / cell.system / "watched", tmp_path / cell.system / "not")
        assert (tmp_path / cell.system / "watched" / FOLDER).is_dir()
        assert not (tmp_path / cell.system / "not" / FOLDER).exists()


def test_scalars_are_those_of_the_log_with_the_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: dict[int, dict[str, float]] = {}
    step = CycleGan.step

    def recorded(gan: CycleGan, *given: Any) -> dict[str, torch.Tensor]:
        losses = step(gan, *given)
        norms[given[2] + 1] = {
            name: torch.cat([p.grad.flatten() for p in getattr(gan.networks, name)()]).norm().item()
            for name in ("generators", "discriminators")
        }
        return losses

    monkeypatch.setattr(CycleGan, "step", recorded)
    train(tiny_cell(tmp_path), tmp_path / "cell", tensorboard=True)
    found = scalars(tmp_path / "cell")
    names = {
        "loss/generator_adversarial": "generator_adversarial",
        "loss/cycle": "cycle",
        "loss/identity": "identity",
        "loss/discriminator": "discriminator",
        "loss/validation": "validation",
        "learning_rate/generator": "learning_rate_generator",
        "learning_rate/discriminator": "learning_rate_discriminator",
        "speed/iterations_per_second": "iterations_per_second",
    }
    lines = read_log(tmp_path / "cell")
    for tag, name in names.items():
        logged = {line["iteration"]: line[name] for line in lines if name in line}
        assert len(logged) >= 2
        assert found.pop(tag) == pytest.approx(logged, rel=1e-6), tag
    for name in ("generator", "discriminator"):
        expected = {iteration: norms[iteration][f"{name}s"] for iteration in (5, 10, 12)}
        assert min(expected.values()) > 0
        assert found.pop(f"gradient_norm/{name}") == pytest.approx(expected, rel=1e-5)
    assert found == {}


def test_held_out_sentences_are_seen_and_heard(tmp_path: Path) -> None:
    train(tiny_cell(tmp_path), tmp_path / "cell", tensorboard=True)
    found = events(tmp_path / "cell")
    pictures = [f"mel-cepstra: source, converted, target/{d}" for d in ("SF1-to-TM3", "TM3-to-SF1")]
    assert sorted(found.Tags()["images"]) == pictures
    for tag in pictures:
        assert [image.step for image in found.Images(tag)] == [6, 12]
        image = found.Images(tag)[0]
        assert (image.height, image.width) == (4 * (3 * 24 + 2), 4 * 32)
    assert sorted(found.Tags()["audio"]) == ["converted/SF1-to-TM3", "converted/TM3-to-SF1"]
    for tag in found.Tags()["audio"]:
        assert [sound.step for sound in found.Audio(tag)] == [6, 12]
        first = found.Audio(tag)[0]
        assert first.sample_rate == 16000
        assert first.length_frames == pytest.approx(50 * 80, abs=80)  # frames of 5 ms


def test_a_resumed_training_shows_each_iteration_once(tmp_path: Path) -> None:
    cell, folder = tiny_cell(tmp_path), tmp_path / "cell"
    train(cell, tmp_path / "whole", tensorboard=True)
    calls = iter(range(100))
    assert train(cell, folder, stop_requested=lambda: next(calls) == 8, tensorboard=True) is None
    # What a kill after a line that no checkpoint holds leaves behind.
    board = tensorboard.Board(folder, cell, wanted=True)
    with board:
        board.begin(9)
        board._writer.add_scalar("loss/cycle", 1e9, 10)
    train(cell, folder, tensorboard=True)
    resumed, whole = scalars(folder), scalars(tmp_path / "whole")
    for found in (resumed, whole):
        del found["speed/iterations_per_second"]
    assert resumed == whole


def test_without_speech_packages_there_are_pictures_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", without("pyworld"))
    train(tiny_cell(tmp_path), tmp_path / "cell", tensorboard=True)
    found = events(tmp_path / "cell").Tags()
    assert len(found["images"]) == 2
    assert found["audio"] == []
    assert capsys.readouterr().err == "--tensorboard: without audio, pyworld not installed here\n"


def test_speech_that_cannot_be_made_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = tiny_cell(tmp_path, held_out=())
    assert train(cell, tmp_path / "none", tensorboard=True) is not None
    cell = tiny_cell(tmp_path)
    board = tensorboard.Board(tmp_path / "cell", cell, wanted=True)
    Path(cell.validation_features["SF1"][0]).unlink()
    with board:
        board.begin(0)
        board._add_audio("a", "SF1", "TM3", torch.nn.Identity(), _speech(cell), 1)
    assert "no such feature file" in capsys.readouterr().err


def _speech(cell: Any) -> Any:
    from types import SimpleNamespace

    return {name: SimpleNamespace(statistics=None) for name in (cell.source, cell.target)}


def test_a_missing_package_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", without("tensorboard"))
    words = r"'tensorboard' is not installed; pip install 'vcbench\[tensorboard\]'"
    with pytest.raises(UsageError, match=words):
        train(tiny_cell(tmp_path), tmp_path / "cell", tensorboard=True)
    assert read_log(tmp_path / "cell") == []
    assert train(tiny_cell(tmp_path), tmp_path / "cell") is not None


@pytest.mark.parametrize("wanted", [True, False])
def test_a_cells_command_asks_for_it(wanted: bool, tmp_path: Path) -> None:
    command = TrainingTask("s/A-B/0", tmp_path, 10, tensorboard=wanted).command(1)
    assert ("--tensorboard" in command) == wanted


def test_the_norm_is_of_all_gradients_together() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (3,), (1,))]
    assert gradient_norm(parameters) is None
    parameters[0].grad = torch.full((2, 2), 2.0)
    parameters[2].grad = torch.tensor([-3.0])
    assert gradient_norm(parameters) == pytest.approx(5.0)


def test_shades_of_grey() -> None:
    crops = [np.array([[0.0, 3.0], [-9.0, 9.0]], np.float32), np.array([[-3.0, 0.0]], np.float32)]
    picture = grey(crops)
    assert picture.shape == (16, 8)
    assert picture.dtype == np.uint8
    expected = [[127, 255], [0, 255], [255, 255], [0, 127]]  # the third line is between the two
    np.testing.assert_array_equal(picture[::4, ::4], expected)
    np.testing.assert_array_equal(picture[3::4, 3::4], expected)


def test_the_command_tells_before_it_looks_at_the_suite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", without("tensorboard"))
    assert main(["run", "no-such-suite", "--tensorboard"]) == 2
    assert "'tensorboard' is not installed" in capsys.readouterr().err
