"""The replay buffer: what it shows, how often, and what it needs to go on."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_networks import small_cell
from torch import Tensor

from vcbench.training.replay import ReplayBuffers

many = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def numbered(iteration: int, batch: int = 1) -> Tensor:
    """Fakes (batch, 1, 1) that are all different, each its own number."""
    return torch.arange(batch).reshape(batch, 1, 1) + 1.0 * batch * iteration


@many
@given(size=st.integers(1, 6), batch=st.integers(1, 3), iterations=st.integers(1, 30))
def test_what_is_shown_was_made_and_what_left_does_not_come_back(
    size: int, batch: int, iterations: int, tmp_path: Path
) -> None:
    buffers = ReplayBuffers(small_cell(tmp_path, replay_buffer=size))
    kept: set[float] = set()
    for i in range(iterations):
        new = numbered(i, batch)
        shown = buffers.exchange({"d": new}, i)["d"]
        assert shown.shape == new.shape
        for fake, seen in zip(new.flatten().tolist(), shown.flatten().tolist(), strict=True):
            if len(kept) < size:
                assert seen == fake
                kept.add(fake)
            elif seen != fake:  # swapped
                assert seen in kept
                kept = kept - {seen} | {fake}
        assert {v.item() for v in buffers.state()["d"]} == kept


def test_half_of_what_is_shown_is_old_from_anywhere(tmp_path: Path) -> None:
    buffers = ReplayBuffers(small_cell(tmp_path, replay_buffer=5))
    old, places = 0, [0] * 5
    for i in range(4005):
        before = [v.item() for v in buffers.state().get("d", [])]
        shown = buffers.exchange({"d": numbered(i)}, i)["d"].item()
        if shown != i:
            old += 1
            places[before.index(shown)] += 1
    # 4000 chances: standard deviations of 0.008 and 0.009.
    assert old / 4000 == pytest.approx(0.5, abs=0.04)
    assert [n / old for n in places] == pytest.approx([0.2] * 5, abs=0.045)


def test_each_discriminator_has_its_own(tmp_path: Path) -> None:
    buffers = ReplayBuffers(small_cell(tmp_path, replay_buffer=2))
    differ = False
    for i in range(30):
        first, second = (
            buffers.exchange({"a": numbered(i), "b": -numbered(i)}, i)[n] for n in ("a", "b")
        )
        assert first.item() >= 0
        assert second.item() <= 0
        differ |= first.item() != -second.item()
    assert differ


def test_no_buffer_shows_what_is_new(tmp_path: Path) -> None:
    buffers = ReplayBuffers(small_cell(tmp_path))
    fakes = {"d": numbered(0)}
    assert buffers.exchange(fakes, 0) == fakes
    assert buffers.state() == {}


def test_what_is_kept_does_not_change_with_what_it_was_made_of(tmp_path: Path) -> None:
    buffers = ReplayBuffers(small_cell(tmp_path, replay_buffer=1))
    fake = numbered(7)
    buffers.exchange({"d": fake}, 0)
    fake.zero_()
    assert buffers.state()["d"][0].item() == 7


def test_state_goes_on_where_it_was(tmp_path: Path) -> None:
    cell = small_cell(tmp_path, replay_buffer=3)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    whole, first, second = (ReplayBuffers(cell) for _ in range(3))
    expected = [whole.exchange({"d": numbered(i)}, i)["d"].item() for i in range(30)]
    found = [first.exchange({"d": numbered(i)}, i)["d"].item() for i in range(11)]
    second.load_state(copy.deepcopy(first.state()))
    found += [second.exchange({"d": numbered(i)}, i)["d"].item() for i in range(11, 30)]
    assert found == expected
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])
