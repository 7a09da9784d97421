"""The supervised topline: it learns what it is shown, and never from what it converts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcbench.errors import DataError
from vcbench.parallel_gmm import ParallelGmm, folds
from vcbench.world import Array

N_MCEP = 4


def smooth(frames: int, seed: int) -> Array:
    """A trajectory (frames, N_MCEP) of about unit variance that moves slowly."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(frames + 20, N_MCEP))
    kernel = np.hanning(21)
    columns = [np.convolve(c, kernel / np.linalg.norm(kernel), mode="valid") for c in noise.T]
    return np.stack(columns, axis=1)


def stretched(trajectory: Array, factor: float) -> Array:
    """The same, spoken at another rate."""
    at = np.linspace(0, len(trajectory) - 1, round(len(trajectory) * factor))
    return np.stack([np.interp(at, np.arange(len(trajectory)), c) for c in trajectory.T], axis=1)


@given(st.integers(2, 200))
def test_each_sentence_is_converted_once_by_what_has_not_seen_it(n: int) -> None:
    found = folds(n)
    assert sorted(i for _, converted in found for i in converted) == list(range(n))
    for learnt, converted in found:
        assert learnt
        assert not set(learnt) & set(converted)
        assert sorted(learnt + converted) == list(range(n))


def test_a_linear_relation_is_learnt_from_sentences_at_another_rate() -> None:
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(N_MCEP, N_MCEP)))[0]
    # A rotation near the identity, so that frames still find each other.
    relation = 0.8 * np.eye(N_MCEP) + 0.2 * rotation
    spoken = [smooth(400, seed) for seed in range(4)]
    conversion = ParallelGmm([(x, stretched(x @ relation, 1.2)) for x in spoken])
    unheard = smooth(300, 9)
    error = np.sqrt(np.mean((conversion(unheard) - unheard @ relation) ** 2))
    unconverted = np.sqrt(np.mean((unheard - unheard @ relation) ** 2))
    assert error < 0.5 * unconverted


def test_one_gaussian_gives_the_least_squares_regression() -> None:
    rng = np.random.default_rng(0)
    # 300 frames are too few for two Gaussians; equal timing, so the path is known to be diagonal.
    source = smooth(300, 1)
    target = 1.02 * source + 0.01 * rng.normal(size=source.shape)
    converted = ParallelGmm([(source, target)])(source)
    ones = np.ones((len(source), 1))
    regression = np.linalg.lstsq(np.hstack([source, ones]), target, rcond=None)[0]
    expected = np.hstack([source, ones]) @ regression
    assert np.abs(converted - expected).max() < 0.03
    assert np.abs(converted - source).max() > 0.03


def test_the_same_sentences_give_the_same_conversion() -> None:
    pairs = [(smooth(300, seed), smooth(280, seed + 50)) for seed in range(5)]
    unheard = smooth(100, 99)
    assert np.array_equal(ParallelGmm(pairs)(unheard), ParallelGmm(pairs)(unheard))


def test_as_many_frames_as_it_is_given() -> None:
    conversion = ParallelGmm([(smooth(300, 1), smooth(250, 2))])
    for frames in (1, 2, 3, 77):
        assert conversion(smooth(frames, 3)).shape == (frames, N_MCEP)


def test_too_few_frames_are_refused() -> None:
    with pytest.raises(DataError, match=r"10 aligned frames of 1 parallel .* at least 17"):
        ParallelGmm([(smooth(10, 1), smooth(10, 1))])
