"""Holm's procedure, its intervals, and what a whole family claims when nothing is there."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcbench.statistics import ALPHA, Crossed, Difference, Evidence, SignFlip, holm, judged

# Few values, as a test that counts outcomes gives them: most families have ties.
COUNTED = st.lists(st.sampled_from([0.001, 0.01, 0.02, 0.04, 0.5]), min_size=1, max_size=6)
P = st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=6) | COUNTED


def closed_testing(p: list[float]) -> list[float]:
    """Corrected p by the closure of Bonferroni's test, which Holm's procedure is a short cut for.

    A hypothesis is rejected if every set of hypotheses that holds it is (Marcus, Peritz & Gabriel,
    Biometrika 63, 1976).
    """
    k = len(p)
    sets = [s for n in range(1, k + 1) for s in itertools.combinations(range(k), n)]
    return [max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(k)]


@given(P)
def test_corrected_p_are_those_of_closed_testing(p: list[float]) -> None:
    corrected, _ = holm(p)
    assert corrected == pytest.approx(closed_testing(p), rel=1e-12)


def test_a_published_kind_of_example() -> None:
    corrected, levels = holm([0.01, 0.04, 0.03, 0.005])
    assert corrected == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert levels == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])


@given(P.flatmap(lambda p: st.tuples(st.just(p), st.permutations(range(len(p))))))
def test_nothing_depends_on_the_order_of_a_family(drawn: tuple[list[float], list[int]]) -> None:
    p, order = drawn
    corrected, levels = holm(p)
    moved = holm([p[i] for i in order])
    assert [list(part) for part in moved] == [list(corrected[order]), list(levels[order])]


@given(P)
def test_equal_p_have_the_level_of_the_first_and_the_undecided_that_of_the_first_failure(
    p: list[float],
) -> None:
    ranked = sorted(p)
    tested = [ALPHA / (len(p) - ranked.index(mine)) for mine in p]
    failed = [level for mine, level in zip(p, tested, strict=True) if mine > level]
    assert holm(p)[1] == pytest.approx([min([level, *failed]) for level in tested])


def test_comparisons_that_all_reach_the_smallest_p_have_intervals_of_one_level() -> None:
    far = SignFlip.of_rows(np.linspace(3, 4, 20), np.arange(20))
    assert far.p == far.smallest_p
    for found in judged([far] * 6):
        assert found.level == ALPHA / 6
        assert (found.low, found.high) == far.interval(ALPHA / 6)


@given(P)
def test_a_p_is_below_its_level_exactly_where_its_correction_is_below_alpha(p: list[float]) -> None:
    corrected, levels = holm(p)
    for raw, mine, level in zip(p, corrected, levels, strict=True):
        if not math.isclose(mine, ALPHA, rel_tol=1e-9):
            assert (raw <= level) == (mine <= ALPHA)
        assert ALPHA / len(p) <= level <= ALPHA


@given(P)
def test_bonferroni_claims_nothing_that_holm_does_not(p: list[float]) -> None:
    corrected, _ = holm(p)
    assert all(c <= min(1, len(p) * raw) + 1e-12 for c, raw in zip(corrected, p, strict=True))


def test_what_could_not_be_compared_stays_in_the_family() -> None:
    corrected, _ = holm([0.02, math.nan, math.nan])
    assert corrected == pytest.approx([0.06, 1, 1])


def evidence(rng: np.random.Generator, gain: float, n: int = 10) -> SignFlip:
    return SignFlip.of_rows(rng.normal(gain, 1, n), np.arange(n))


def test_no_difference_has_an_interval_that_disagrees_with_its_corrected_p() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        for found in judged([evidence(rng, gain) for gain in (0, 0.8, 1.0, 2.0)]):
            assert found.decided == (found.p_holm <= ALPHA) == (not found.low <= 0 <= found.high)
            seen.add((found.decided, round(found.level, 4)))
    # Every step of the procedure occurs, and most of them as the one that fails.
    assert {level for decided, level in seen if decided} == {0.0125, 0.0167, 0.025, 0.05}
    assert len({level for decided, level in seen if not decided}) >= 3


def test_every_interval_holds_the_plain_one() -> None:
    rng = np.random.default_rng(1)
    family = [evidence(rng, gain) for gain in (0, 1, 2)]
    for mine, found in zip(family, judged(family), strict=True):
        low, high = mine.interval(ALPHA)
        assert found.low <= low <= high <= found.high


def test_too_few_of_one_comparison_make_the_others_no_easier() -> None:
    rng = np.random.default_rng(2)
    large = evidence(rng, 3.0, n=12)
    few = SignFlip.of_rows(rng.normal(9, 1, 12), np.arange(12), n_seeds=3)
    alone, (beside, unclaimed, none) = judged([large])[0], judged([large, few, None])
    assert beside.p_holm == pytest.approx(3 * alone.p_holm)
    assert unclaimed.claimable is False and math.isnan(unclaimed.p)
    assert (unclaimed.low, unclaimed.high) == few.interval(ALPHA)
    assert (none.n, none.expected, none.decided) == (0, 0, False)


def a_family(rng: np.random.Generator, design: str, systems: int) -> list[Evidence]:
    """Systems that differ from their baseline in luck alone; what the baseline does is shared."""
    seeds, sentences = (8, 12) if design == "seeds" else (1, 12)
    luck = 0.3 if design == "seeds" else 0.0

    def scores() -> np.ndarray:
        lucky = rng.normal(0, luck, (seeds, 1)) + rng.normal(0, 0.1, (1, sentences))
        return lucky + rng.normal(0, 0.15, (seeds, sentences))

    baseline = scores()
    family: list[Evidence] = []
    for _ in range(systems):
        table = scores() - baseline
        if design == "seeds":
            seed, sentence = np.indices(table.shape)
            family.append(Crossed.of_rows(table.ravel(), sentence.ravel(), seed.ravel()))
        else:
            family.append(SignFlip.of_rows(table[0], np.arange(sentences)))
    return family


@pytest.mark.parametrize("design", ["seeds", "sentences"])
@pytest.mark.parametrize("systems", [1, 5])
def test_families_without_effect_make_a_false_claim_in_5_of_100_cases(
    design: str, systems: int
) -> None:
    rng = np.random.default_rng(3)
    families = 600
    claimed = uncorrected = 0
    for _ in range(families):
        family = a_family(rng, design, systems)
        claimed += any(found.decided for found in judged(family))
        uncorrected += any(judged([mine])[0].decided for mine in family)
    # Nominal 0.05; the standard deviation of a share of 600 is 0.009.
    assert 0.015 <= claimed / families <= 0.077
    if systems > 1:
        assert uncorrected / families > 0.1  # what the correction is for


@pytest.mark.parametrize("design", ["seeds", "sentences"])
def test_the_first_of_equal_systems_is_seldom_told_apart_from_all_others(design: str) -> None:
    """The claim that one system leads needs no correction: it is false if any part of it is."""
    rng = np.random.default_rng(4)
    families = 300
    seeds, sentences = (8, 12) if design == "seeds" else (1, 12)
    claimed = 0
    for _ in range(families):
        tables = [
            rng.normal(0, 0.3, (seeds, 1)) * (design == "seeds")
            + rng.normal(0, 0.1, (1, sentences))
            + rng.normal(0, 0.15, (seeds, sentences))
            for _ in range(3)
        ]
        first, *others = sorted(tables, key=np.mean)
        found = []
        for other in others:
            seed, sentence = np.indices(first.shape)
            rows = ((other - first).ravel(), sentence.ravel())
            mine = Crossed.of_rows(*rows, seed.ravel()) if seeds > 1 else SignFlip.of_rows(*rows)
            found += judged([mine])
        claimed += all(d.decided for d in found)
    assert claimed / families <= 0.077


def test_a_difference_is_an_estimate_that_is_not_decided_by_itself() -> None:
    assert not Difference(1.0, 0.5, 1.5, 3, 3).decided
    assert Difference(1.0, 0.5, 1.5, 3, 3, claimable=True).decided
