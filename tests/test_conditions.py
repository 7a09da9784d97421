"""Several folders of converted speech against each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from vcbench.statistics import compare_conditions, holm


def folders(n: int = 12, **gains: float) -> dict[str, dict[str, float]]:
    rng = np.random.default_rng(0)
    hard = rng.normal(7, 1, n)
    return {
        name: {f"u{i}": hard[i] + gain + 0.1 * rng.normal() for i in range(n)}
        for name, gain in gains.items()
    }


def test_all_pairs_are_compared_and_corrected_together_as_with_scipy() -> None:
    scores = folders(a=0.0, b=0.05, c=0.5)
    found = compare_conditions(scores)
    assert [(c.a, c.b) for c in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    p = []
    for contrast in found:
        gaps = np.array([scores[contrast.a][u] - scores[contrast.b][u] for u in scores["a"]])
        p.append(
            scipy.stats.permutation_test(
                (gaps,),
                lambda x, axis: x.mean(axis=axis),
                permutation_type="samples",
                n_resamples=np.inf,
            ).pvalue
        )
        assert contrast.difference.mean == pytest.approx(gaps.mean())
    assert [c.difference.p for c in found] == pytest.approx(p)
    assert [c.difference.p_holm for c in found] == pytest.approx(list(holm(p)[0]))
    assert [c.difference.decided for c in found] == [False, True, True]
    assert 0 < found[0].difference.detectable < 0.3


def test_an_utterance_without_both_scores_is_left_out_and_counted() -> None:
    scores = folders(a=0.0, b=0.5)
    scores["a"]["u3"] = math.nan
    del scores["b"]["u4"]
    scores["b"]["extra"] = 1.0
    (found,) = compare_conditions(scores)
    assert (found.difference.n, found.difference.expected) == (10, 13)
    both = [u for u in scores["a"] if u not in ("u3", "u4")]
    mean = np.mean([scores["a"][u] - scores["b"][u] for u in both])
    assert found.difference.mean == pytest.approx(mean)


def test_utterances_of_one_sentence_are_one_piece_of_evidence() -> None:
    scores = folders(12, a=0.0, b=0.5)
    (alone,) = compare_conditions(scores)
    (three,) = compare_conditions(scores, sentence_of={f"u{i}": i // 4 for i in range(12)})
    assert alone.difference.decided
    assert not three.difference.claimable and not three.difference.decided
    assert three.difference.mean == pytest.approx(alone.difference.mean)


def test_nothing_in_common_is_no_difference_and_no_error() -> None:
    (found,) = compare_conditions({"a": {"x": 1.0}, "b": {"y": 2.0}})
    assert math.isnan(found.difference.mean)
    assert (found.difference.n, found.difference.expected) == (0, 2)
    assert not found.difference.decided
    assert compare_conditions({"a": {"x": 1.0}}) == []
