"""Speed of every registered generator: `pytest --benchmark`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from vcbench.inspection import count_macs
from vcbench.plugins import Registry
from vcbench.training.cell import ComponentSpec
from vcbench.training.models import build_module, count_parameters, isolated_rng

FRAMES = 128
N_MCEP = 24


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A second thread would make the figure depend on whatever else the machine does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", Registry().names("generator"))
@pytest.mark.usefixtures("one_thread")
def test_generator(name: str, benchmark: BenchmarkFixture) -> None:
    """Forward pass of one full-size generator on 24 x 128, batch 1, one thread."""
    with isolated_rng("benchmark", name):
        spec = ComponentSpec(name)
        generator = build_module(Registry(), "generator", spec, n_mcep=N_MCEP, scale=1.0).eval()
        mcep = torch.randn(1, N_MCEP, FRAMES)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return generator(mcep)

    output = benchmark.pedantic(forward, rounds=20, warmup_rounds=3)
    benchmark.extra_info["parameters"] = count_parameters(generator)
    benchmark.extra_info["macs"] = count_macs(generator, mcep)
    assert output.shape == mcep.shape
    assert torch.isfinite(output).all()
