"""Differences between systems over seeds and sentences, from tables of scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vcbench.reporting.seeds import differences, evidence, n_seeds, scores_by_seed
from vcbench.statistics import MIN_SEEDS, Crossed, SignFlip, judged


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


def table(frame: pd.DataFrame) -> pd.DataFrame:
    return differences(scores_by_seed(frame), "a", "b")


def test_two_names_of_one_system_seldom_differ_where_sentences_alone_say_they_do() -> None:
    rng = np.random.default_rng(0)
    tables = [table(scores(rng)) for _ in range(100)]
    for in_run, most in ((False, 10), (True, 100)):
        found = [judged([evidence(t, in_run=in_run)])[0] for t in tables]
        claimed = sum(d.decided for d in found)
        assert claimed <= most
    assert claimed >= 50


def test_a_difference_much_larger_than_luck_is_found() -> None:
    (found,) = judged([evidence(table(scores(np.random.default_rng(1), gain_db=2.0)))])
    assert found.decided and found.high < 0 and found.over_seeds
    assert found.mean == pytest.approx(-2.0, abs=0.5)


def test_the_order_of_the_rows_is_nothing_to_the_bit() -> None:
    frame = scores(np.random.default_rng(2))
    assert evidence(table(frame.sample(frac=1, random_state=0))) == evidence(table(frame))


def test_with_seeds_enough_they_are_resampled_and_with_fewer_averaged() -> None:
    many, few = (scores(np.random.default_rng(3), n_seeds=n) for n in (MIN_SEEDS, MIN_SEEDS - 1))
    assert isinstance(evidence(table(many)), Crossed)
    assert isinstance(evidence(table(many), in_run=True), SignFlip)
    averaged = evidence(table(few))
    assert isinstance(averaged, SignFlip) and not averaged.over_seeds
    means = table(few).mean(axis=1)
    by_hand = SignFlip.of_rows(means, means.index.get_level_values("utterance").to_numpy(dtype=str))
    assert averaged.interval(0.05) == pytest.approx(by_hand.interval(0.05))
    assert not judged([averaged])[0].claimable
    assert judged([evidence(table(few), in_run=True)])[0].claimable


def test_an_utterance_is_a_row_and_a_sentence_holds_its_directions() -> None:
    frame = scores(np.random.default_rng(9), gain_db=0.4)
    # The other direction lacks two sentences: a sentence's weight is the number of its scores.
    other = frame.assign(direction="B>A", value=frame["value"] * 1.1)
    frame = pd.concat([frame, other[~other["utterance"].isin(["s0", "s1"])]])
    found = evidence(table(frame))
    assert (found.n, found.expected, found.n_sentences, found.n_seeds) == (18, 18, 10, MIN_SEEDS)
    values = table(frame)
    assert found.mean == pytest.approx(values.to_numpy().mean())
    sentence = np.repeat(values.index.get_level_values("utterance").to_numpy(dtype=str), MIN_SEEDS)
    seed = np.tile(np.arange(MIN_SEEDS), len(values))
    by_hand = Crossed.of_rows(values.to_numpy().ravel(), sentence, seed)
    assert found.standard_error == pytest.approx(by_hand.standard_error)


def test_equal_seeds_are_paired_so_that_what_a_seed_does_to_both_cancels() -> None:
    frame = scores(np.random.default_rng(12), luck_db=0.0, gain_db=0.2)
    shift = dict(zip(sorted(set(frame["seed"])), np.linspace(-3, 3, MIN_SEEDS), strict=True))
    shared = frame.assign(value=frame["value"] + frame["seed"].map(shift))
    alone, found = (evidence(table(f)).interval(0.05) for f in (frame, shared))
    assert found == pytest.approx(alone)


def test_an_untrained_system_stands_beside_every_seed() -> None:
    frame = scores(np.random.default_rng(13))
    untrained = frame[(frame["system"] == "b") & (frame["seed"] == "0")].assign(seed="")
    frame = pd.concat([frame[frame["system"] == "a"], untrained])
    assert table(frame).shape == (10, MIN_SEEDS)
    mean = frame[frame["system"] == "a"]["value"].mean() - untrained["value"].mean()
    assert evidence(table(frame)).mean == pytest.approx(mean)
    themselves = differences(scores_by_seed(frame), "b", "b")
    assert list(themselves.columns) == [""] and n_seeds(themselves) == 0
    # Nothing was trained: sentences are all that could have been others.
    assert judged([evidence(themselves)])[0].claimable


def test_an_utterance_without_a_score_at_some_seed_is_left_out_and_counted() -> None:
    frame = scores(np.random.default_rng(15))
    gone = (frame["utterance"] == "s3") & (frame["seed"] == "2") & (frame["system"] == "a")
    found = evidence(table(frame.assign(value=frame["value"].mask(gone))))
    rest = evidence(table(frame[frame["utterance"] != "s3"]))
    assert (found.n, found.expected) == (9, 10)
    assert found.mean == rest.mean


def test_systems_that_share_nothing_give_no_evidence() -> None:
    frame = scores(np.random.default_rng(16))
    apart = frame["seed"].where(frame["system"] == "a", frame["seed"] + "0")
    assert evidence(table(frame.assign(seed=apart))) is None
    assert evidence(table(frame[frame["system"] == "a"])) is None
