"""The speed gates tell a slower generator from an unchanged one, whatever else the machine does."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vcbench.bench.counts import FRAMES, N_MCEP
from vcbench.bench.generators import (
    built_in,
    compare_prepared,
    forward,
    forward_and_backward,
    generators,
    prepared,
)
from vcbench.bench.paired import compare
from vcbench.plugins import Registry

NAMES = built_in(Registry(), "generator")
SCALE = 0.03
BATCH = 20  # convolutions, as short as any generator's call
WORK = {"forward": forward, "backward": forward_and_backward}


class Slowed(nn.Module):
    """A generator that convolves more than it needs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.extra = inner, 0
        self.register_buffer("weight", torch.randn(16, N_MCEP, 3))

    def forward(self, mcep: Tensor) -> Tensor:
        for _ in range(self.extra):
            self.convolve(mcep)
        return self.inner(mcep)

    @torch.no_grad()
    def convolve(self, mcep: Tensor) -> None:
        F.conv1d(mcep, self.weight)


@pytest.mark.slow
@pytest.mark.parametrize("phase", WORK)
@pytest.mark.parametrize("name", NAMES)
def test_a_quarter_more_work_is_slower(name: str, phase: str) -> None:
    torch.manual_seed(0)
    mcep = torch.randn(1, N_MCEP, FRAMES)
    # Both frozen: how fast the generator is now has no part in this.
    (_, inner), (_, frozen) = (generators(name, scale=SCALE) for _ in range(2))
    slowed = Slowed(inner)
    work: Callable[[nn.Module, Tensor], Callable[[], list[Tensor]]] = WORK[phase]
    slow, reference = work(slowed, mcep), work(frozen, mcep)
    batches = compare(slow, lambda: [slowed.convolve(mcep) for _ in range(BATCH)]).ratio
    slowed.extra = round(0.25 * batches * BATCH)
    found = compare_prepared(slow, reference)
    assert found.verdict == "slower"
    assert 1.1 < found.ratio < 1.5  # a quarter, as far as the other work leaves caches alone


@pytest.mark.slow
def test_an_unchanged_one_passes_20_times_of_20() -> None:
    cases = itertools.islice(itertools.cycle(itertools.product(NAMES, WORK)), 20)
    found = [compare_prepared(*prepared(name, phase, scale=SCALE)) for name, phase in cases]
    # An unsure one passes with a warning: whatever else this machine does decides how many are.
    verdicts = [measured.verdict for measured in found]
    assert "slower" not in verdicts
    assert verdicts.count("ok") >= 18


def test_the_step_of_a_system_can_be_gated() -> None:
    found = compare(*prepared("residual-pixelshuffle-2d", "step", scale=0.03), pairs=4)
    assert found.pairs == 4
    assert 0.2 < found.ratio < 5
