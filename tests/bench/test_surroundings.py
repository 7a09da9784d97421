"""What `vcbench bench features` and `bench loop` print: that the figures fit together."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import torch

from vcbench.bench import features, loop
from vcbench.cli import main
from vcbench.training.log import TrainingLog


def by_name(rows: list[dict[str, Any]]) -> dict[str, float]:
    assert all(row["unit"] for row in rows)
    return {row["metric"]: row["value"] for row in rows}


def test_features_by_one_process_and_by_two() -> None:
    found = by_name(features.measure(utterances=2, pairs=1))
    assert (found["processes"], found["utterances"], found["pairs"]) == (2, 2, 1)
    assert found["ratio"] == found["one_process_s"] / found["many_processes_s"]
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    share = found["one_process_processor_s"] / found["many_processes_processor_s"]
    assert found["ratio_with_a_core_each"] == pytest.approx(2 * share)
    assert found["ratio_with_a_core_each"] < 2.2  # to start processes costs


def test_what_the_loop_costs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that takes 10 ms an iteration makes the loop cost that much."""
    monkeypatch.setattr(loop, "UTTERANCES", 8)
    small = {"scale": 0.03, "segment_frames": 32, "iterations": 12, "warm_up": 2}
    threads = torch.get_num_threads()
    before = by_name(loop.measure(**small))
    assert before["iterations"] == 9
    assert before["loop_overhead"] == pytest.approx(100 * before["loop"] / before["step"])
    add = TrainingLog.add

    def slow(*given: Any) -> None:
        add(*given)
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass

    monkeypatch.setattr(TrainingLog, "add", slow)
    after = by_name(loop.measure(**small))
    assert after["loop"] > 10 > before["loop"]
    assert torch.get_num_threads() == threads


def test_the_command_prints_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"metric": "ratio", "value": 1.875, "unit": "x"}]
    monkeypatch.setattr(features, "measure", lambda: rows)
    assert main(["bench", "features", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ratio": 1.875}
    monkeypatch.setattr(loop, "measure", lambda scale: rows)
    assert main(["bench", "loop"]) == 0
    assert capsys.readouterr().out.split() == ["ratio", "1.875", "x"]
    assert main(["bench", "loop", "--scale", "0"]) == 2
