"""Throughput: every figure of the contract, with its unit and spread, of a tiny trained cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cells import tiny_cell
from voices import voice

from vcbench import audio, throughput
from vcbench.errors import VcbenchError
from vcbench.plugins import Registry
from vcbench.training.cell import Cell
from vcbench.training.loop import train
from vcbench.training.models import build_networks
from vcbench.world import FeatureParameters

SPREAD = ("", "_p25", "_p75")
CONTRACT = {
    ("model", "threads"): "count",
    ("model", "parameters"): "count",
    ("model", "generator_parameters"): "count",
    ("model", "discriminator_parameters"): "count",
    ("model", "macs"): "MAC",
    **{("training", f"iterations_per_second{s}"): "it/s" for s in SPREAD},
    ("training", "peak_memory"): "MiB",
    **{("generator", f"frames_per_second{s}"): "frames/s" for s in SPREAD},
    **{("generator", f"real_time_factor{s}"): "s/s" for s in SPREAD},
    **{("conversion", f"real_time_factor{s}"): "s/s" for s in SPREAD},
}


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    return tiny_cell(tmp_path_factory.mktemp("features"), recipe={"iterations": 2})


@pytest.fixture(scope="module")
def folder(cell: Cell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "cell.json").write_text(json.dumps(cell.to_json()), encoding="utf-8")
    train(cell, folder)
    return folder


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "voice.wav"
    audio.write(path, voice(0.5), sample_rate=16000)
    return path


@pytest.fixture(scope="module")
def global_state() -> Iterator[None]:
    """What measuring takes for itself; it has a process of its own everywhere else."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def rows(folder: Path, wav: Path, global_state: None) -> list[dict[str, Any]]:
    return throughput.measure(folder, wav, seconds=0.05)


def values(rows: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    return {(row["phase"], row["metric"]): row["value"] for row in rows}


def test_every_figure_of_the_contract(rows: list[dict[str, Any]]) -> None:
    assert {(row["phase"], row["metric"]): row["unit"] for row in rows} == CONTRACT
    assert len(rows) == len(CONTRACT)
    for row in rows:
        assert list(row) == ["system", "device", "phase", "metric", "value", "unit"]
        assert (row["system"], row["device"]) == ("one-d", "cpu")
        assert 0 < row["value"] < float("inf")


def test_quartiles_lie_around_the_median(rows: list[dict[str, Any]]) -> None:
    found = values(rows)
    spreads = [key for key in found if (key[0], f"{key[1]}_p25") in found]
    assert len(spreads) == 4
    for phase, metric in spreads:
        low, high = found[phase, f"{metric}_p25"], found[phase, f"{metric}_p75"]
        assert low <= found[phase, metric] <= high


def test_sizes_are_those_of_the_networks(rows: list[dict[str, Any]], cell: Cell) -> None:
    found, networks = values(rows), build_networks(cell, Registry())
    sizes = [sum(p.numel() for p in child.parameters()) for child in networks.children()]
    assert found["model", "generator_parameters"] == sizes[0]
    assert found["model", "discriminator_parameters"] == sizes[2]
    assert found["model", "parameters"] == sum(sizes)
    assert found["model", "threads"] == torch.get_num_threads()
    # At 128 frames, whatever the length of the crops that it was trained on.
    stem, head = 24 * 2 * 4 * 15 * 128, 8 * 24 * 15 * 128
    assert stem + head < found["model", "macs"] < 100 * (stem + head)


def test_real_time_is_five_milliseconds_a_frame(rows: list[dict[str, Any]]) -> None:
    found = values(rows)
    frames_per_s = found["generator", "frames_per_second"]
    assert frames_per_s * found["generator", "real_time_factor"] == pytest.approx(200, rel=0.2)
    # A conversion holds a generator's pass, and analysis and synthesis besides.
    whole = found["conversion", "real_time_factor"]
    assert whole > found["generator", "real_time_factor_p25"]


class Clock:
    """A clock that each call of the measured function moves on."""

    def __init__(self, durations: list[float]) -> None:
        self.now_s, self._durations = 0.0, iter(durations)

    def __call__(self) -> float:
        return self.now_s

    def work(self) -> None:
        self.now_s += next(self._durations)


def test_repeats_last_long_enough_and_leave_the_first_two_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock([9.0, 9.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    monkeypatch.setattr(throughput.time, "perf_counter", clock)
    found = throughput._repeat(clock.work, 2.0)
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    clock = Clock(10 * [3.0])
    monkeypatch.setattr(throughput.time, "perf_counter", clock)
    assert throughput._repeat(clock.work, 1.0) == pytest.approx(5 * [3.0])


def test_a_conversion_is_timed_per_second_of_speech(
    wav: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Converter:
        parameters = FeatureParameters()

        def __init__(self) -> None:
            self.frames: list[int] = []

        def __call__(self, features: Any) -> None:
            self.frames.append(len(features.f0_hz))
            clock.work()

    clock = Clock([1.0, 1.0, 0.1, 0.2, 0.3, 0.2, 0.2])
    monkeypatch.setattr(throughput.time, "perf_counter", clock)
    converter = Converter()
    found = throughput._conversion_factors(converter, wav, 0.0)
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.4, 0.4])  # the recording lasts 0.5 s
    assert converter.frames == 7 * [101]


def test_the_process_prints_json(
    folder: Path, wav: Path, global_state: None, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(folder), str(wav), "--seconds", "0.01", "--threads", "1"]
    assert throughput.main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {(row["phase"], row["metric"]) for row in printed} == set(CONTRACT)
    assert values(printed)["model", "threads"] == 1


def test_a_process_of_its_own_that_fails(tmp_path: Path, wav: Path) -> None:
    with pytest.raises(VcbenchError) as caught:
        throughput.measure_in_process(tmp_path / "cell", wav, seconds=0.01, threads=1)
    message = str(caught.value)
    assert message.startswith("throughput of cell could not be measured: ")
    assert message.endswith("cell.json: cannot be read (No such file or directory)")


@pytest.mark.slow
def test_a_process_of_its_own(folder: Path, wav: Path) -> None:
    measured = throughput.measure_in_process(folder, wav, seconds=0.01, threads=1)
    assert {(row["phase"], row["metric"]) for row in measured} == set(CONTRACT)
