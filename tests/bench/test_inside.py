"""What a step costs at least, cells beside each other, and convolutions one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from vcbench.bench import convolution, floor, jobs
from vcbench.bench.jobs import Jobs
from vcbench.bench.train import PAPER_SYSTEM
from vcbench.cli import main
from vcbench.errors import VcbenchError
from vcbench.inspection import count_macs
from vcbench.plugins import Registry
from vcbench.training.models import build_networks, build_objective
from vcbench.training.step import CycleGan

SMALL = replace(PAPER_SYSTEM, scale=0.03)


def test_the_floor_counts_every_call_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "COPIED", 1000)
    networks = build_networks(SMALL, Registry())
    gan = CycleGan(networks, build_objective(SMALL, Registry(), networks), SMALL)
    crop = torch.randn(1, 24, 128)
    generator = 2 * count_macs(networks.source_to_target, crop)
    judge = 2 * count_macs(networks.discriminator_target, crop)
    with_identity, without = (floor.measure(gan, crop, crop, i) for i in (0, 20_000))
    # Each generator sees 3 crops, or 2; each discriminator a fake, of which only the gradient with
    # respect to the fake is wanted, and then two crops. A gradient costs as much as the output; the
    # first layer has none with respect to a crop, which is why this is no equation.
    for found, crops in ((with_identity, 3), (without, 2)):
        most = 3 * 2 * crops * generator + (2 * 2 + 3 * 4) * judge
        assert 0.85 * most < found.operations <= most
    assert with_identity.bytes == 28 * sum(p.numel() for p in networks.parameters())
    assert with_identity.operations_per_second > 0
    assert with_identity.seconds > 0


def test_the_floor_sees_a_step_that_is_played_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "COPIED", 1000)
    networks = build_networks(SMALL, Registry())
    gan = CycleGan(networks, build_objective(SMALL, Registry(), networks), SMALL)
    monkeypatch.setattr(gan, "step", lambda *_: pytest.fail("it may dispatch nothing"))
    assert floor.measure(gan, *torch.randn(2, 1, 24, 128), 0).operations > 0


def test_processes_train_beside_each_other() -> None:
    found = jobs.train_beside(SMALL, jobs=2, threads=1, seconds=0.2)
    assert (found.jobs, found.threads) == (2, 1)
    assert found.steps_per_second > 0
    assert found.cells_per_hour(100) == pytest.approx(36 * found.steps_per_second)


def test_a_process_that_fails_is_told() -> None:
    broken = replace(SMALL, generator=replace(SMALL.generator, name="none"))
    with pytest.raises(VcbenchError, match="unknown generator 'none'"):
        jobs.train_beside(broken, jobs=1, threads=1, seconds=0.2)


def test_rows_of_jobs_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(_: Any, *, jobs: int, threads: int, seconds: float) -> Any:
        return Jobs(jobs, threads, 2.0 * jobs)

    monkeypatch.setattr(jobs, "train_beside", measured)
    rows = {row["metric"]: row["value"] for row in jobs.measure(scale=1.0, device="cpu", jobs=3)}
    assert rows["ratio"] == 3
    assert [value for name, value in rows.items() if name.endswith("_steps")] == [2, 6]


def test_convolutions_are_timed_both_ways(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        convolution, "SHAPES", ((4, (9,), 64, (3,), (2,)), (4, (9,), 8, (3,), (1,)))
    )
    assert main(["bench", "convolution"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("1 x 4 x 9 -> 64, kernel 3")
    assert lines[0].endswith("4 positions, used")
    assert lines[3].endswith("14 positions, not used")
