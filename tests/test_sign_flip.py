"""Differences over sentences: scipy's tests, a plain loop, exactness, and what few can show."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vcbench.statistics import SignFlip, judged, needed, smallest_p
from vcbench.statistics.sign_flip import N_SETS

Array = NDArray[np.float64]


def flipped(values: Array) -> SignFlip:
    return SignFlip.of_rows(values, np.arange(len(values)))


def some(n: int, seed: int = 0, mean: float = 0.3) -> Array:
    return np.random.default_rng(seed).normal(mean, 1.0, n)


def scipys(values: Array, **options: object) -> float:
    return float(
        scipy.stats.permutation_test(
            (values,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", **options
        ).pvalue
    )


@pytest.mark.parametrize("n", [2, 3, 6, 9, 12])
@pytest.mark.parametrize("seed", range(4))
def test_p_is_scipys_of_an_exact_permutation_test(n: int, seed: int) -> None:
    values = some(n, seed)
    assert flipped(values).p == pytest.approx(scipys(values, n_resamples=np.inf), rel=1e-12)


def test_with_ties_and_zeros_p_is_scipys_still() -> None:
    values = np.array([0.1, -0.1, 0.2, 0.3, 0.0, 0.3, -0.2, 0.6])
    assert flipped(values).p == pytest.approx(scipys(values, n_resamples=np.inf), rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_over_signed_ranks_it_is_wilcoxons_test(seed: int) -> None:
    values = some(11, seed)
    ranks = scipy.stats.rankdata(np.abs(values)) * np.sign(values)
    wilcoxon = scipy.stats.wilcoxon(values, method="exact").pvalue
    assert flipped(ranks).p == pytest.approx(wilcoxon, rel=1e-12)


def test_with_many_sentences_p_is_scipys_but_for_what_is_drawn() -> None:
    values = some(40, 3)
    theirs = scipys(values, n_resamples=60_000, rng=np.random.default_rng(1))
    assert 0.01 < theirs < 0.2
    # Standard deviation of ours: sqrt(p / N_SETS).
    assert flipped(values).p == pytest.approx(theirs, abs=5 * math.sqrt(theirs / N_SETS))


@pytest.mark.parametrize("n", [3, 5, 6, 8])
def test_the_smallest_p_is_that_of_differences_of_one_sign(n: int) -> None:
    values = np.arange(1.0, n + 1)
    wilcoxon = scipy.stats.wilcoxon(values, method="exact").pvalue
    assert flipped(values).p == flipped(values).smallest_p == smallest_p(n)
    assert smallest_p(n) == pytest.approx(wilcoxon)


def test_three_seeds_cannot_go_below_a_quarter() -> None:
    assert smallest_p(3) == 0.25
    assert smallest_p(5) > 0.05 >= smallest_p(6)


@pytest.mark.parametrize(
    ("comparisons", "n"), [(1, 6), (2, 7), (3, 7), (5, 8), (6, 8), (7, 9), (20, 10)]
)
def test_needed_is_the_fewest_that_reach_the_corrected_level(comparisons: int, n: int) -> None:
    assert needed(comparisons) == n
    for k, reached in ((n, True), (n - 1, False)):
        exact = scipy.stats.wilcoxon(np.arange(1.0, k + 1), method="exact").pvalue
        assert (exact <= 0.05 / comparisons) == reached


def rejected(values: Array, shift: float, level: float) -> bool:
    """A plain loop over all flips of signs: is a mean of `shift` rejected at `level`?"""
    moved = values - shift
    flips = [np.dot(s, moved) for s in itertools.product((-1, 1), repeat=len(values))]
    p = np.mean([abs(f) >= abs(moved.sum()) * (1 - 1e-12) for f in flips])
    return bool(p <= level + 1e-12)


@pytest.mark.parametrize("level", [0.05, 0.025, 0.2])
def test_the_interval_holds_the_means_that_a_plain_loop_does_not_reject(level: float) -> None:
    values = some(8, 5)
    low, high = flipped(values).interval(level)
    for bound, outwards in ((low, -1), (high, 1)):
        assert rejected(values, bound + outwards * 1e-6, level)
        assert not rejected(values, bound - outwards * 1e-6, level)


@given(
    st.lists(st.floats(-9, 9, allow_nan=False).map(lambda x: round(x, 2)), min_size=6, max_size=20),
    st.sampled_from([0.05, 0.025, 0.01]),
)
def test_p_and_interval_never_disagree(values: list[float], level: float) -> None:
    found = flipped(np.array(values))
    low, high = found.interval(level)
    if found.smallest_p > level:
        assert math.isnan(low) and math.isnan(high)
    else:
        assert (not low <= 0 <= high) == (found.p <= level + 1e-12)


@given(
    st.lists(st.floats(-9, 9, allow_nan=False).map(lambda x: round(x, 2)), min_size=6, max_size=9)
)
def test_swapping_the_systems_turns_the_difference_round(values: list[float]) -> None:
    ab, ba = (judged([flipped(sign * np.array(values))])[0] for sign in (1, -1))
    assert ba.mean == pytest.approx(-ab.mean)
    assert (ba.low, ba.high) == pytest.approx((-ab.high, -ab.low))
    assert ba.p == ab.p


def test_the_order_of_the_rows_does_not_matter_to_the_bit() -> None:
    values, sentence = some(40, 1), np.arange(40) % 10
    order = np.random.default_rng(2).permutation(40)
    found, other = (
        SignFlip.of_rows(v, s) for v, s in ((values, sentence), (values[order], sentence[order]))
    )
    assert found == other
    assert np.array_equal(found.sets, other.sets)


def test_a_sentence_with_all_its_scores_is_one_piece_of_evidence() -> None:
    values = some(8, 4)
    once, often = flipped(values), SignFlip.of_rows(np.tile(values, 5), np.tile(np.arange(8), 5))
    assert often.p == once.p
    assert often.interval(0.05) == pytest.approx(once.interval(0.05))
    assert often.standard_error == pytest.approx(once.standard_error)
    assert SignFlip.of_rows(np.tile(values, 5), np.arange(40)).p < once.p  # what it guards against


def test_equal_scores_have_a_p_of_1_and_an_interval_of_no_width() -> None:
    found = flipped(np.zeros(8))
    assert (found.p, found.interval(0.05)) == (1.0, (0.0, 0.0))


@pytest.mark.parametrize("n", [1, 3, 5])
def test_too_few_sentences_have_no_interval_and_find_nothing(n: int) -> None:
    (found,) = judged([flipped(np.full(n, 9.0))])
    assert not found.claimable and not found.decided and not found.has_interval
    assert found.detectable == math.inf
    assert math.isnan(found.p_holm)


def test_where_trainings_are_asked_about_few_of_them_allow_no_claim() -> None:
    values = np.full(20, 9.0) + some(20)
    (three,) = judged([SignFlip.of_rows(values, np.arange(20), n_seeds=3)])
    assert not three.claimable and not three.decided
    assert three.low > 0  # over sentences, for these trainings
    (taken,) = judged([SignFlip.of_rows(values, np.arange(20))])
    assert taken.decided and taken.p_holm < 0.001


@pytest.mark.parametrize("n", [7, 12, 54])
def test_intervals_of_normal_differences_hold_the_truth_in_95_of_100_cases(n: int) -> None:
    rng = np.random.default_rng(n)
    trials = 400 if n < 15 else 200
    held = 0
    for _ in range(trials):
        low, high = flipped(rng.normal(0, 1, n)).interval(0.05)
        held += low <= 0 <= high
    # At least 0.95 by construction; the standard deviation of 200 trials is 0.015.
    assert 0.92 <= held / trials <= 0.99


@pytest.mark.parametrize("n", [6, 8, 12, 54])
def test_a_detectable_difference_is_found_in_80_of_100_cases(n: int) -> None:
    size = SignFlip.of_rows(some(n), np.arange(n)).detectable(0.05) / np.std(some(n), ddof=1)
    rng = np.random.default_rng(7)
    trials = 400 if n < 15 else 200
    found = sum(flipped(rng.normal(size, 1, n)).p <= 0.05 for _ in range(trials)) / trials
    # The standard deviation of a share of 200 near 0.8 is 0.03.
    assert found == pytest.approx(0.8, abs=0.09)


def test_memory_does_not_grow_with_the_sentences() -> None:
    import tracemalloc

    values = some(3000)
    tracemalloc.start()
    flipped(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20  # 16384 sets of 3000 at once would be 390 MB
