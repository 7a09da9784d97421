"""Intervals over seeds and sentences, against systems whose true difference is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from scipy.stats import wilcoxon

from vcbench.reporting.leaderboard import difference, paired_scores
from vcbench.reporting.seeds import (
    MIN_SEEDS,
    difference_over_seeds,
    differences,
    estimate,
    half_width,
    scores_by_seed,
    seeds_needed,
    smallest_p,
)


def scores(
    rng: np.random.Generator,
    *,
    n_seeds: int = MIN_SEEDS,
    luck_db: float = 0.3,
    gain_db: float = 0.0,
) -> pd.DataFrame:
    """Two systems over 10 sentences; each training is lucky or not by a spread of `luck_db`."""
    hard = rng.normal(0, 0.3, 10)
    rows = []
    for system, mean in (("a", 6.0 - gain_db), ("b", 6.0)):
        for seed in range(n_seeds):
            values = mean + rng.normal(0, luck_db) + hard + rng.normal(0, 0.05, 10)
            rows += [
                ("A-B", "A>B", system, str(seed), f"s{i}", value) for i, value in enumerate(values)
            ]
    names = ["pair", "direction", "system", "seed", "utterance", "value"]
    return pd.DataFrame(rows, columns=names)


def test_two_names_of_one_system_seldom_differ_where_sentences_alone_say_they_do() -> None:
    rng = np.random.default_rng(0)
    frames = [scores(rng) for _ in range(100)]
    over_seeds = [difference_over_seeds(f, "a", "b", n_resamples=500) for f in frames]
    over_sentences = [difference(paired_scores(f), "a", "b") for f in frames]
    assert sum(d.low <= 0 <= d.high for d in over_seeds) >= 90
    assert sum(d.low <= 0 <= d.high for d in over_sentences) <= 50


def test_a_difference_much_larger_than_luck_is_found() -> None:
    found = difference_over_seeds(scores(np.random.default_rng(1), gain_db=2.0), "a", "b")
    assert found.high < 0
    assert found.mean == pytest.approx(-2.0, abs=0.5)


def test_the_mean_is_that_of_the_paired_difference_and_the_order_of_rows_is_nothing() -> None:
    frame = scores(np.random.default_rng(2))
    found = difference_over_seeds(frame, "a", "b")
    paired = difference(paired_scores(frame), "a", "b")
    assert found.mean == pytest.approx(paired.mean, rel=1e-12)
    assert found.n == paired.n == 10
    shuffled = frame.sample(frac=1, random_state=0)
    again = difference_over_seeds(shuffled, "a", "b")
    assert (again.low, again.high) == (found.low, found.high)


def test_without_luck_in_training_the_interval_is_nearly_that_over_sentences() -> None:
    frame = scores(np.random.default_rng(3), luck_db=0.0)
    found, paired = (
        difference_over_seeds(frame, "a", "b"),
        difference(paired_scores(frame), "a", "b"),
    )
    assert 0.9 < (found.high - found.low) / (paired.high - paired.low) < 3


@pytest.mark.parametrize("damage", ["seeds", "undefined", "utterances", "absent"])
def test_where_trainings_are_too_few_or_scores_missing_there_is_none(damage: str) -> None:
    frame = scores(np.random.default_rng(4))
    assert difference_over_seeds(frame, "a", "b") is not None
    mine = frame["system"] == "a"
    if damage == "seeds":
        frame = frame[~(mine & (frame["seed"] == "0"))]
    elif damage == "undefined":
        frame.loc[frame.index[mine][0], "value"] = np.nan
    elif damage == "utterances":
        frame = frame[~(mine & (frame["utterance"] == "s0"))]
    else:
        frame = frame[~mine]
    assert difference_over_seeds(frame, "a", "b") is None


@pytest.mark.parametrize("n_seeds", [3, 5, 6])
def test_the_smallest_p_is_that_of_an_exact_test_on_differences_of_one_sign(n_seeds: int) -> None:
    # All of one sign is the outermost outcome of the signed-rank test too.
    exact = wilcoxon(np.arange(1.0, n_seeds + 1), method="exact").pvalue
    assert smallest_p(n_seeds) == pytest.approx(exact)
    assert (smallest_p(n_seeds) < 0.05) == (n_seeds >= MIN_SEEDS)


@pytest.mark.parametrize(
    ("n_comparisons", "n_seeds"), [(1, 6), (2, 7), (3, 7), (5, 8), (6, 8), (7, 9), (20, 10)]
)
def test_seeds_needed_are_the_fewest_that_can_reach_the_corrected_level(
    n_comparisons: int, n_seeds: int
) -> None:
    assert seeds_needed(n_comparisons) == n_seeds
    for n, reached in ((n_seeds, True), (n_seeds - 1, False)):
        exact = wilcoxon(np.arange(1.0, n + 1), method="exact").pvalue
        assert (exact <= 0.05 / n_comparisons) == reached


def by_a_plain_loop(frame: pd.DataFrame, n_comparisons: int, n_resamples: int) -> tuple[float, ...]:
    """Mean and interval of a minus b: one draw of seeds and one of sentences at a time."""
    score = {
        (row.system, row.seed, row.direction, row.utterance): row.value
        for row in frame.itertuples()
    }
    seeds, sentences = sorted(set(frame["seed"])), sorted(set(frame["utterance"]))
    directions = sorted(set(frame["direction"]))
    rng = np.random.default_rng(123)

    def mean(drawn_seeds: list[str], drawn_sentences: list[str]) -> float:
        found = [
            score["a", seed, d, s] - score["b", seed, d, s]
            for seed in drawn_seeds
            for s in drawn_sentences
            for d in directions
            if ("a", seed, d, s) in score
        ]
        return sum(found) / len(found)

    means = [
        mean(
            [seeds[i] for i in rng.integers(len(seeds), size=len(seeds))],
            [sentences[i] for i in rng.integers(len(sentences), size=len(sentences))],
        )
        for _ in range(n_resamples)
    ]
    n = min(len(seeds), len(sentences))
    quantile = student.ppf(1 - 0.05 / n_comparisons / 2, n - 1)
    half = quantile * (n / (n - 1)) ** 0.5 * np.std(means)
    middle = mean(seeds, sentences)
    return middle, middle - half, middle + half


@pytest.mark.parametrize(("n_comparisons", "n_seeds"), [(1, 6), (5, 8)])
def test_intervals_are_those_of_a_plain_loop(n_comparisons: int, n_seeds: int) -> None:
    frame = scores(np.random.default_rng(9), n_seeds=n_seeds, gain_db=0.4)
    # The other direction lacks two sentences: a sentence's weight is the number of its scores.
    other = frame.assign(direction="B>A", value=frame["value"] * 1.1)
    frame = pd.concat([frame, other[~other["utterance"].isin(["s0", "s1"])]])
    expected = by_a_plain_loop(frame, n_comparisons, 1500)
    table = differences(scores_by_seed(frame), "a", "b")
    found = estimate(table, n_comparisons=n_comparisons, n_resamples=8000)
    assert found.mean == pytest.approx(expected[0], rel=1e-12)
    # 1500 resamples hold a standard error to 1.8 %.
    width = expected[2] - expected[1]
    assert found.low == pytest.approx(expected[1], abs=0.04 * width)
    assert found.high == pytest.approx(expected[2], abs=0.04 * width)


def false_claims(n_comparisons: int, corrected_for: int) -> float:
    """Share of 300 families without any true effect in which some interval excludes zero."""
    rng = np.random.default_rng(11)
    n_seeds, n_sentences, families = 8, 10, 300
    counts = np.ones(n_sentences, dtype=np.intp)

    def luck() -> np.ndarray:
        system = rng.normal(0, 0.3, (n_seeds, 1)) + rng.normal(0, 0.1, n_sentences)
        return system + rng.normal(0, 0.1, (n_seeds, n_sentences))

    claimed = 0
    for _ in range(families):
        baseline = luck()
        gaps = [luck() - baseline for _ in range(n_comparisons)]
        halves = [half_width(g, counts, n_comparisons=corrected_for, n_resamples=400) for g in gaps]
        claimed += any(abs(g.mean()) > half for g, half in zip(gaps, halves, strict=True))
    return claimed / families


def test_five_comparisons_without_effect_make_a_false_claim_in_one_family_of_twenty() -> None:
    # The standard deviation of a share of 300 near 0.05 is 0.013.
    assert false_claims(5, corrected_for=5) <= 0.08
    assert false_claims(5, corrected_for=1) >= 0.10  # what the correction is for


def test_equal_seeds_are_paired_so_that_what_a_seed_does_to_both_cancels() -> None:
    frame = scores(np.random.default_rng(12), luck_db=0.0, gain_db=0.2)
    alone = difference_over_seeds(frame, "a", "b")
    shift = dict(zip(sorted(set(frame["seed"])), np.linspace(-3, 3, MIN_SEEDS), strict=True))
    shared = frame.assign(value=frame["value"] + frame["seed"].map(shift))
    found = difference_over_seeds(shared, "a", "b")
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_an_untrained_system_stands_beside_every_seed() -> None:
    frame = scores(np.random.default_rng(13))
    untrained = frame[(frame["system"] == "b") & (frame["seed"] == "0")].assign(seed="")
    frame = pd.concat([frame[frame["system"] == "a"], untrained])
    table = differences(scores_by_seed(frame), "a", "b")
    assert table.shape == (10, MIN_SEEDS)
    mean = frame[frame["system"] == "a"]["value"].mean() - untrained["value"].mean()
    assert estimate(table).mean == pytest.approx(mean)
    assert list(differences(scores_by_seed(frame), "b", "b").columns) == [""]


def test_with_few_seeds_sentences_alone_are_resampled() -> None:
    frame = scores(np.random.default_rng(14), n_seeds=MIN_SEEDS - 1)
    table = differences(scores_by_seed(frame), "a", "b")
    averaged = pd.DataFrame({"0": table.mean(axis=1)})
    few, one = estimate(table), estimate(averaged)
    assert (few.mean, few.low, few.high) == pytest.approx((one.mean, one.low, one.high))


def test_an_utterance_without_a_score_at_some_seed_is_left_out_and_counted() -> None:
    frame = scores(np.random.default_rng(15))
    gone = (frame["utterance"] == "s3") & (frame["seed"] == "2") & (frame["system"] == "a")
    damaged = frame.assign(value=frame["value"].mask(gone))
    found = estimate(differences(scores_by_seed(damaged), "a", "b"))
    rest = frame[frame["utterance"] != "s3"]
    assert (found.n, found.expected) == (9, 10)
    assert found.mean == pytest.approx(estimate(differences(scores_by_seed(rest), "a", "b")).mean)
