"""Hidden runs of frames: what is drawn, and what a generator then sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_networks import small_cell
from torch import Tensor, nn

from vcbench.training.cell import Cell
from vcbench.training.masks import NO_MASKS, draw_masks, through, with_all_seen
from vcbench.training.streams import random_stream

many = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def masked(folder: Path, longest: int) -> Cell:
    return small_cell(folder, mask_frames=longest)


def drawn(cell: Cell, iteration: int, batch: int = 1, frames: int = 32) -> list[Tensor]:
    source, target = draw_masks(cell, iteration, torch.zeros(batch, 24, frames))
    assert source is not None
    assert target is not None
    return [source, target]


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    return masked(tmp_path_factory.mktemp("cell"), 20)


@many
@given(
    longest=st.integers(1, 40),
    more=st.integers(0, 30),
    batch=st.integers(1, 4),
    iteration=st.integers(0, 10**6),
)
def test_one_run_of_each_crop_is_hidden(
    cell: Cell, longest: int, more: int, batch: int, iteration: int
) -> None:
    frames = longest + more
    cell = replace(cell, recipe=replace(cell.recipe, mask_frames=longest))
    for mask in drawn(cell, iteration, batch, frames):
        assert mask.shape == (batch, 1, frames)
        for row in mask[:, 0].tolist():
            assert set(row) <= {0.0, 1.0}
            hidden = [i for i, seen in enumerate(row) if seen == 0]
            assert len(hidden) <= longest
            assert hidden == list(range(min(hidden, default=0), max(hidden, default=-1) + 1))


def test_lengths_and_places_are_uniform(tmp_path: Path) -> None:
    cell = masked(tmp_path, 3)
    masks = torch.cat([m[:, 0] for i in range(200) for m in drawn(cell, i, batch=20, frames=8)])
    lengths = (masks == 0).sum(dim=1)
    share = torch.bincount(lengths) / len(lengths)
    # 8000 draws: a quarter each, with a standard deviation of 0.005.
    torch.testing.assert_close(share, torch.full((4,), 0.25), rtol=0, atol=0.025)
    starts = (masks[lengths == 3] == 0).float().argmax(dim=1)
    share = torch.bincount(starts) / len(starts)
    torch.testing.assert_close(share, torch.full((6,), 1 / 6), rtol=0, atol=0.045)


def test_pair_seed_and_iteration_decide_and_nothing_else(cell: Cell) -> None:
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = torch.stack(drawn(cell, 3, batch=8))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, torch.stack(drawn(cell, 4, batch=8)))
    for change in ({"seed": 1}, {"target": "TM2"}):
        assert not torch.equal(first, torch.stack(drawn(replace(cell, **change), 3, batch=8)))
    other = replace(cell, system="other", recipe=replace(cell.recipe, lambda_cycle=1.0))
    assert torch.equal(first, torch.stack(drawn(other, 3, batch=8)))
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])


def test_no_masks(tmp_path: Path) -> None:
    assert draw_masks(masked(tmp_path, 0), 0, torch.zeros(1, 24, 32)) == NO_MASKS


class Told(nn.Module):
    """Returns what it is given."""

    def forward(self, *given: Tensor) -> Tensor:
        return torch.cat(given, dim=1)


def test_a_generator_cannot_see_what_is_hidden() -> None:
    mcep, mask = torch.full((2, 3, 4), 7.0), torch.ones(2, 1, 4)
    mask[0, 0, 1:3] = 0
    given = through(Told(), mcep, mask)
    assert given[0, 0].tolist() == [7, 0, 0, 7]
    assert given[1, 2].tolist() == [7, 7, 7, 7]
    assert torch.equal(given[:, 3:], mask)
    assert torch.equal(through(Told(), mcep, None), mcep)


def test_what_a_batch_ends_with_is_seen() -> None:
    mask = torch.zeros(2, 1, 4)
    whole = with_all_seen(mask)
    assert whole is not None
    assert whole[:, 0].sum(dim=1).tolist() == [0, 0, 4, 4]
    assert with_all_seen(None) is None


def test_a_stream_is_the_same_on_every_machine() -> None:
    # From sha256("masks/SF1-TM3/0/5") and PCG64, both fixed for good.
    found = random_stream("masks", "SF1-TM3", 0, 5).integers(0, 1000, 3).tolist()
    assert found == [820, 134, 992]
