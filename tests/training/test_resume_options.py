"""Whatever the recipe, stopping a training and going on with it loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_networks import OPTIONS, small_cell
from whole_trainings import assert_same_result

from vcbench.training.checkpoint import Checkpoint
from vcbench.training.files import CHECKPOINT, STATUS
from vcbench.training.log import read_log
from vcbench.training.loop import train

RESUMED: dict[str, dict[str, Any]] = {
    **OPTIONS,
    "best": {"conversion_weights": "best", "validate_every": 2},
}


def stop_after(iterations: int) -> Callable[[], bool]:
    asked = iter(range(1, 10**6))
    return lambda: next(asked) == iterations


@pytest.mark.parametrize("name", RESUMED)
def test_stopping_changes_nothing(name: str, tmp_path: Path) -> None:
    cell = small_cell(tmp_path, batch_size=2, **RESUMED[name])
    train(cell, tmp_path / "whole")
    for iterations in (1, 4, 2, 3):  # 12 in all; a checkpoint is due after 8
        assert train(cell, tmp_path / "stopped", stop_requested=stop_after(iterations)) is None
    stopped = Checkpoint.load(tmp_path / "stopped" / CHECKPOINT)
    assert stopped.iteration == 10
    assert train(cell, tmp_path / "stopped") is not None
    assert_same_result(tmp_path / "stopped", tmp_path / "whole")


def test_the_options_leave_the_crops_alone(tmp_path: Path) -> None:
    hashes = set()
    for name in ("default", "all"):
        train(small_cell(tmp_path, **OPTIONS[name]), tmp_path / name)
        hashes.add(json.loads((tmp_path / name / STATUS).read_text())["crop_stream_sha256"])
    assert len(hashes) == 1


def test_second_discriminators_have_losses_of_their_own_in_the_log(tmp_path: Path) -> None:
    for name in ("default", "two-steps"):
        train(small_cell(tmp_path, **OPTIONS[name]), tmp_path / name)
    one, two = (read_log(tmp_path / name)[0] for name in ("default", "two-steps"))
    assert set(two) - set(one) == {"second_discriminator", "second_generator_adversarial"}
    assert set(one) <= set(two)
    # Of the first two discriminators alone: what a saturated one is told by stays comparable.
    assert two["discriminator"] == pytest.approx(one["discriminator"], rel=0.2)
