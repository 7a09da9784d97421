"""Which sentences one should listen to: the worst and the best first, by measured scores.

A page plays few of many sentences. The first ones of a corpus would be somebody's choice, the best
ones an advertisement: half of those that are kept are the ones that went worst.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def worst_and_best(
    sentences: Sequence[str], scores: Mapping[str, float], *, lower_is_better: bool = True
) -> list[str]:
    """All `sentences`: the worst, the best, the second worst, the second best, and so on.

    Sentences without a score come last; these, and equal ones, stay in the order given.

    >>> worst_and_best(["a", "b", "c", "d"], {"a": 7.0, "b": 9.0, "c": 8.0})
    ['b', 'a', 'c', 'd']
    """
    scored = [s for s in sentences if math.isfinite(scores.get(s, math.nan))]
    ranked = sorted(scored, key=lambda s: scores[s], reverse=lower_is_better)
    half = (len(ranked) + 1) // 2
    ends = [ranked[i // 2] if i % 2 == 0 else ranked[-1 - i // 2] for i in range(2 * half)]
    return list(dict.fromkeys([*ends, *sentences]))


def mean_scores(
    results: pd.DataFrame,
    *,
    metric: str,
    protocol: str,
    direction: str,
    systems: Collection[str],
    seed: int | None,
) -> dict[str, float]:
    """Each sentence's mean over `systems` at one seed; `results` as in results.csv.

    A system that trains nothing has no seed and counts at every one.
    """
    # A column of seeds is text, integers or missing, by where the table comes from.
    seeds = {_seed(value) for value in (seed, None)}
    chosen = results[
        (results["metric"] == metric)
        & (results["protocol"] == protocol)
        & (results["direction"] == direction)
        & results["system"].isin(list(systems))
        & results["seed"].map(_seed).isin(seeds)
    ]
    means = chosen.groupby("utterance", sort=False)["value"].mean()
    return {str(name): float(value) for name, value in means.items()}


def _seed(value: object) -> str:
    """A seed as text, however a table holds it; "" where there is none."""
    text = str(value)
    return "" if text in ("None", "nan", "<NA>") else text.removesuffix(".0")
