"""Differences over seeds and sentences: loops, scipy, and systems whose difference is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from vcbench.statistics import Crossed, SignFlip, judged

Array = NDArray[np.float64]


def crossed(table: Array) -> Crossed:
    """From a table (seeds, sentences)."""
    seed, sentence = np.indices(table.shape)
    return Crossed.of_rows(table.ravel(), sentence.ravel(), seed.ravel())


def gaps(
    rng: np.random.Generator, seeds: int, sentences: int, *, luck: float = 0.3, gain: float = 0.0
) -> Array:
    """Differences of two systems, (seeds, sentences): luck of a seed, a sentence's own, noise."""
    return (
        gain
        + rng.normal(0, luck, (seeds, 1))
        + rng.normal(0, 0.2, (1, sentences))
        + rng.normal(0, 0.15, (seeds, sentences))
    )


def test_where_only_seeds_differ_it_is_the_t_test_over_seeds() -> None:
    per_seed = np.random.default_rng(0).normal(0.3, 1, 8)
    found = crossed(np.repeat(per_seed[:, None], 10, axis=1))
    theirs = scipy.stats.ttest_1samp(per_seed, 0)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert found.interval(0.05) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert found.degrees == pytest.approx(7)


def test_where_only_sentences_differ_it_is_the_t_test_over_sentences() -> None:
    per_sentence = np.random.default_rng(1).normal(0.3, 1, 20)
    found = crossed(np.repeat(per_sentence[None], 8, axis=0))
    theirs = scipy.stats.ttest_1samp(per_sentence, 0)
    assert found.interval(0.01) == pytest.approx(tuple(theirs.confidence_interval(0.99)))


def test_the_standard_error_is_that_of_two_bootstraps_in_a_plain_loop() -> None:
    rng = np.random.default_rng(2)
    rows = [(i, j, d) for i in range(7) for j in range(9) for d in range(1 + j % 2)]
    seed, sentence, _ = np.array(rows).T
    values = rng.normal(0, 1, len(rows)) + seed / 3 + sentence / 4
    found = Crossed.of_rows(values, sentence, seed)
    total = 0.0
    for group, n in ((seed, 7), (sentence, 9)):
        means = []
        for _ in range(4000):
            drawn = rng.integers(0, n, n)
            means.append(np.concatenate([values[group == g] for g in drawn]).mean())
        total += np.var(means) * n / (n - 1)
    # 4000 resamples hold a standard error to 1.1 %; the ratio's second order adds about 2 %.
    assert found.standard_error == pytest.approx(math.sqrt(total), rel=0.05)
    assert found.mean == pytest.approx(values.mean())


def test_p_and_interval_never_disagree_above_the_floor() -> None:
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(200):
        found = crossed(gaps(rng, 9, 12, gain=0.15))
        for level in (0.05, 0.0125):
            low, high = found.interval(level)
            excluded = not low <= 0 <= high
            assert excluded == (found.p <= level)
            seen.add(excluded)
    assert seen == {True, False}


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_p_is_never_less_than_a_sign_flip_test_of_so_few_could_give(shape: tuple[int, int]) -> None:
    found = crossed(9 + 0.01 * np.random.default_rng(4).normal(size=shape))
    assert found.p == 2 / 2**6
    assert crossed(np.full(shape, 9.0)).p == 2 / 2**6
    assert crossed(np.zeros(shape)).p == 1.0


@pytest.mark.parametrize("shape", [(1, 9), (9, 1)])
def test_one_seed_or_sentence_has_no_interval(shape: tuple[int, int]) -> None:
    (found,) = judged([crossed(np.random.default_rng(5).normal(9, 1, shape))])
    assert not found.has_interval and not found.claimable and not found.decided


@pytest.mark.parametrize(("seeds", "sentences"), [(6, 12), (8, 54), (10, 8)])
@pytest.mark.parametrize("luck", [0.0, 0.3])
def test_one_system_under_two_names_differs_in_5_of_100_cases(
    seeds: int, sentences: int, luck: float
) -> None:
    rng = np.random.default_rng(seeds)
    trials = 1000
    found = sum(crossed(gaps(rng, seeds, sentences, luck=luck)).p <= 0.05 for _ in range(trials))
    # Nominal 0.05, less where noise is counted twice; a share of 1000 has a deviation of 0.007.
    assert 0.005 <= found / trials <= 0.07


def test_sentences_alone_would_call_luck_a_difference() -> None:
    rng = np.random.default_rng(6)
    alone = [gaps(rng, 6, 12).mean(axis=0) for _ in range(200)]
    found = [SignFlip.of_rows(values, np.arange(12)).p <= 0.05 for values in alone]
    assert np.mean(found) > 0.25


@pytest.mark.parametrize(("seeds", "sentences"), [(8, 12), (8, 54)])
def test_a_detectable_difference_is_found_in_80_of_100_cases(seeds: int, sentences: int) -> None:
    rng = np.random.default_rng(8)
    sizes = [crossed(gaps(rng, seeds, sentences)).detectable(0.05) for _ in range(300)]
    size = float(np.sqrt(np.mean(np.square(sizes))))
    trials = 600
    found = sum(crossed(gaps(rng, seeds, sentences, gain=size)).p <= 0.05 for _ in range(trials))
    # Standard deviation 0.016; the noise that is counted twice makes the size a little too large.
    assert found / trials == pytest.approx(0.82, abs=0.07)
