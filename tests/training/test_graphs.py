"""The recorded step, with a recording that a CPU can play back."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import OPTIONS
from test_step_options import batches, system
from tiny_cells import tiny_cell
from torch import Tensor

from vcbench.training import step as step_module
from vcbench.training.graphs import WARM_UP, CudaRecorder, Recorded, Step, recorder


class Replayed:
    """Calls the step again, with the tensors that it was recorded with and no others."""

    def __init__(self, step: Step, key: Hashable, inputs: Sequence[Tensor]) -> None:
        self.call = lambda: step(key, *inputs)
        self.outputs: dict[str, Tensor] = {}

    def replay(self) -> None:
        made = self.call()
        if not self.outputs:
            self.outputs = {name: value.clone() for name, value in made.items()}
        for name, value in made.items():  # a graph writes to the same memory every time
            self.outputs[name].copy_(value)


class CpuRecorder:
    def __init__(self) -> None:
        self.recorded: list[Hashable] = []
        self.warm = 0

    @contextmanager
    def warming_up(self) -> Iterator[None]:
        self.warm += 1
        yield

    def record(self, step: Step, key: Hashable, inputs: Sequence[Tensor]) -> Replayed:
        self.recorded.append(key)
        return Replayed(step, key, inputs)


def test_each_key_is_recorded_once_and_outputs_are_kept() -> None:
    calls: list[float] = []

    def step(key: Hashable, x: Tensor) -> dict[str, Tensor]:
        calls.append(x.item())
        return {"y": x * float(str(key))}

    recording = CpuRecorder()
    recorded = Recorded(step, recording)
    results = [recorded(2, torch.tensor(float(i)))["y"] for i in range(8)]
    results += [recorded(3, torch.tensor(float(i)))["y"] for i in range(WARM_UP + 1)]
    assert [float(r) for r in results] == [2.0 * i for i in range(8)] + [
        3.0 * i for i in range(WARM_UP + 1)
    ]
    assert recording.recorded == [2, 3]
    assert recording.warm == 2 * WARM_UP
    assert calls == [float(i) for i in [*range(8), *range(WARM_UP + 1)]]


# Long enough for each stage to be recorded and played back.
ITERATIONS = 24
RECIPE = {"iterations": ITERATIONS, "decay_start": 10, "identity_until": 13}


@pytest.mark.parametrize("name", [n for n, o in OPTIONS.items() if "replay_buffer" not in o])
def test_a_training_that_is_played_back_is_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = CpuRecorder()

    def trained(with_recorder: Any) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
        monkeypatch.setattr(step_module, "recorder", lambda cell: with_recorder)
        gan = system(tmp_path, **{**RECIPE, **OPTIONS[name]})
        losses = [gan.step(*batch, i) for i, batch in enumerate(batches(ITERATIONS))]
        return gan.networks.state_dict(), losses

    expected, found = trained(None), trained(recording)
    assert len(recording.recorded) > 1
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_step_that_cannot_be_recorded_runs_unrecorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Refusing(CpuRecorder):
        def record(self, step: Step, key: Hashable, inputs: Sequence[Tensor]) -> Replayed:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

    recorded = Recorded(lambda key, x: {"y": 2 * x}, Refusing())
    found = [float(recorded("a", torch.tensor(float(i)))["y"]) for i in range(WARM_UP + 3)]
    assert found == [2.0 * i for i in range(WARM_UP + 3)]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "runs unrecorded: operation not permitted when stream is capturing" in said


def test_what_can_be_recorded(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, "one-d")
    assert recorder(cell) is None
    on_gpu = replace(cell, device="cuda:0")
    assert isinstance(recorder(on_gpu), CudaRecorder)
    for changed in ({"replay_buffer": 5}, {"adam_epsilon_placement": "tf"}):
        assert recorder(replace(on_gpu, recipe=replace(cell.recipe, **changed))) is None
