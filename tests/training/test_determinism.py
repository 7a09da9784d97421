"""`--deterministic`: what it sets, that it is undone, and that networks that cannot are named."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_cells import SYSTEMS, tiny_cell
from whole_trainings import assert_same_result

from vcbench.errors import CellFailure
from vcbench.training.cell import Cell, ComponentSpec
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.determinism import deterministic
from vcbench.training.files import CHECKPOINT
from vcbench.training.loop import train
from vcbench.training.step import CycleGan

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def settings() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        os.environ.get(WORKSPACE),
    )


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return tiny_cell(tmp_path, deterministic=True)


@pytest.mark.parametrize("before", [None, ":16:8"])
def test_settings_hold_inside_and_are_undone(
    before: str | None, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(WORKSPACE, raising=False)
    if before:
        monkeypatch.setenv(WORKSPACE, before)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    outside = settings()
    assert outside == (False, False, False, True, before)
    with deterministic(cell):
        assert settings() == (True, False, True, False, ":4096:8")
    assert settings() == outside
    with pytest.raises(KeyError), deterministic(cell):
        raise KeyError
    assert settings() == outside
    with deterministic(replace(cell, deterministic=False)):
        assert settings() == outside


def test_a_cell_is_trained_inside(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    step = CycleGan.step

    def recorded(gan: CycleGan, *arguments: object) -> object:
        seen.append(settings()[0])
        return step(gan, *arguments)

    monkeypatch.setattr(CycleGan, "step", recorded)
    outside = settings()
    train(cell, tmp_path / "cell")
    assert seen == [True] * 12
    assert settings() == outside


@pytest.mark.parametrize("system", SYSTEMS)
def test_two_runs_agree(system: str, tmp_path: Path) -> None:
    """With it and without; and on a CPU it changes no bit of these networks' training."""
    cell = tiny_cell(tmp_path, system)
    for name, asked in (("a", False), ("b", False), ("c", True), ("d", True)):
        train(replace(cell, deterministic=asked), tmp_path / name)
    assert_same_result(tmp_path / "a", tmp_path / "b")
    assert_same_result(tmp_path / "c", tmp_path / "d")
    first, other = (Checkpoint.load(tmp_path / n / CHECKPOINT).training for n in ("a", "c"))
    torch.testing.assert_close(first, other, rtol=0, atol=0)


def test_an_operation_without_a_deterministic_algorithm_is_named(tmp_path: Path) -> None:
    plugin = tmp_path / "putting.py"
    plugin.write_text(
        "import torch\n"
        "from vcbench.plugins import register_generator\n"
        "class Putting(torch.nn.Conv1d):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x).clone().put_(torch.tensor([0]), torch.tensor([0.0]))\n"
        "@register_generator('putting')\n"
        "def putting(*, n_mcep, scale):\n"
        "    'Says nothing.'\n"
        "    return Putting(n_mcep, n_mcep, 1)\n"
    )
    cell = tiny_cell(
        tmp_path,
        generator=ComponentSpec("putting"),
        plugin_files=(str(plugin),),
        deterministic=True,
    )
    with pytest.raises(CellFailure) as caught:
        train(cell, tmp_path / "cell")
    message = str(caught.value)
    assert message.startswith("one-d/SF1-TM3/0: cannot be trained with --deterministic: put_")
    assert "\n" not in message
    assert train(replace(cell, deterministic=False), tmp_path / "without") is not None
