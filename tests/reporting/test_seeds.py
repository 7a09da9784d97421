"""Intervals over seeds and sentences, against systems whose true difference is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from vcbench.reporting.leaderboard import difference, paired_scores
from vcbench.reporting.seeds import MIN_SEEDS, difference_over_seeds, smallest_p


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
