"""Which weights convert: the last, the average, or those with the lowest validation loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import small_cell
from torch import Tensor

from vcbench.errors import CellFailure, DataError
from vcbench.plugins import Registry
from vcbench.training import loop
from vcbench.training.averaging import ConversionWeights, average_decay
from vcbench.training.cell import Recipe
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.files import CHECKPOINT
from vcbench.training.log import read_log
from vcbench.training.loop import train
from vcbench.training.models import build_networks, conversion_networks

GENERATORS = ("source_to_target.", "target_to_source.")


def trained(folder: Path, **recipe: Any) -> tuple[Checkpoint, Registry]:
    cell = small_cell(folder, **recipe)
    train(cell, folder / "cell")
    return Checkpoint.load(folder / "cell" / CHECKPOINT), Registry(cell.plugin_files)


def generators(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if name.startswith(GENERATORS)}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_last_weights_convert(tmp_path: Path) -> None:
    checkpoint, registry = trained(tmp_path)
    found = conversion_networks(checkpoint, registry).state_dict()
    assert_equal(dict(found), dict(checkpoint.training["networks"]))
    assert checkpoint.training["conversion"] == {"weights": {}, "validation": None}


def test_the_averaged_weights_convert(tmp_path: Path) -> None:
    checkpoint, registry = trained(tmp_path, conversion_weights="averaged")
    found = conversion_networks(checkpoint, registry).state_dict()
    last, kept = checkpoint.training["networks"], checkpoint.training["conversion"]["weights"]
    assert_equal(generators(found), kept)
    assert all(torch.equal(found[n], last[n]) for n in last.keys() - kept.keys())
    floats = [n for n in kept if kept[n].is_floating_point()]
    assert not any(torch.equal(kept[n], last[n]) for n in floats)


def test_the_average_forgets_the_initial_weights_early() -> None:
    recipe = Recipe(iterations=10**6, average_decay=0.999)
    assert [average_decay(i, recipe) for i in (0, 8, 80)] == pytest.approx([0.1, 0.5, 0.9])
    assert average_decay(10**5, recipe) == 0.999
    assert average_decay(0, Recipe(iterations=1, average_decay=0.0)) == 0


def test_the_average_lies_within_what_was_averaged(tmp_path: Path) -> None:
    cell = small_cell(tmp_path, conversion_weights="averaged", average_decay=0.9)
    networks = build_networks(cell, Registry(cell.plugin_files))
    average = ConversionWeights(networks, cell.recipe)
    low = {n: v.clone() for n, v in networks.state_dict().items()}
    high = {n: v.clone() for n, v in networks.state_dict().items()}
    for iteration in range(20):
        with torch.no_grad():
            for p in networks.parameters():
                p.add_(torch.rand_like(p) - 0.4)
        average.updated(iteration)
        for name, value in networks.state_dict().items():
            low[name], high[name] = low[name].minimum(value), high[name].maximum(value)
    for name, value in average.state()["weights"].items():
        assert (value >= low[name]).all()
        assert (value <= high[name]).all()
        assert not value.is_floating_point() or (value > low[name]).any()


@pytest.mark.parametrize(
    ("losses", "best"), [([3.0, 1.0, 2.0, 1.0], 1), ([1.0, 2.0, 3.0, 4.0], 0), ([4, 3, 2, 1], 3)]
)
def test_the_weights_with_the_lowest_validation_loss_convert(
    losses: list[float], best: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []
    results: Iterator[float] = iter(losses)

    def validate(gan: Any, *_: Any) -> dict[str, float]:
        seen.append({n: v.clone() for n, v in gan.networks.state_dict().items()})
        return {"validation": next(results)}

    monkeypatch.setattr(loop, "_validate", validate)
    checkpoint, registry = trained(tmp_path, conversion_weights="best", validate_every=3)
    assert len(seen) == 4
    found = conversion_networks(checkpoint, registry).state_dict()
    assert_equal(generators(found), generators(seen[best]))
    assert checkpoint.training["conversion"]["validation"] == losses[best]
    assert best == 3 or not torch.equal(
        seen[best]["source_to_target.last.weight"], seen[3]["source_to_target.last.weight"]
    )


def test_the_lowest_is_that_of_the_log(tmp_path: Path) -> None:
    checkpoint, _ = trained(tmp_path, conversion_weights="best", validate_every=1)
    lines = read_log(tmp_path / "cell")
    logged = [line["validation"] for line in lines if "validation" in line]
    assert len(logged) == 12
    assert checkpoint.training["conversion"]["validation"] == min(logged)


def test_the_lowest_stays_the_lowest_after_a_stop(tmp_path: Path) -> None:
    cell = small_cell(tmp_path, conversion_weights="best")
    networks = build_networks(cell, Registry(cell.plugin_files))
    first, second = (ConversionWeights(networks, cell.recipe) for _ in range(2))
    first.validated(1.0)
    second.load_state(first.state())
    for loss in (1.5, 1.0):
        with torch.no_grad():
            networks.source_to_target.last.weight.add_(1)
        second.validated(loss)
        assert_equal(second.state()["weights"], first.state()["weights"])
    second.validated(0.5)
    assert_equal(second.state()["weights"], generators(networks.state_dict()))
    assert second.state()["validation"] == 0.5


def test_looking_for_the_best_does_not_change_the_training(tmp_path: Path) -> None:
    plain, _ = trained(tmp_path / "plain")
    best, _ = trained(tmp_path / "best", conversion_weights="best")
    assert_equal(dict(plain.training["networks"]), dict(best.training["networks"]))


@pytest.mark.parametrize("held_out", [(), (31, 20)])
def test_the_best_without_speech_to_find_them_by(held_out: tuple[int, ...], tmp_path: Path) -> None:
    cell = small_cell(tmp_path, held_out=held_out, conversion_weights="best")
    with pytest.raises(CellFailure) as caught:
        train(cell, tmp_path / "none")
    found = f"{len(held_out)} sentences of SF1 are held out, none of them with 32 frames"
    assert found in str(caught.value)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("kind", ["last", "averaged", "best"])
def test_weights_that_do_not_fit_the_plugins(kind: str, tmp_path: Path) -> None:
    checkpoint, registry = trained(tmp_path, conversion_weights=kind)
    conversion_networks(checkpoint, registry)
    training = checkpoint.training
    del training["networks"]["discriminator_source.0.bias"]
    with pytest.raises(DataError, match="do not fit generator 'small' and discriminator 'small'"):
        conversion_networks(checkpoint, registry)
