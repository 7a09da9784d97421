"""Several conversions of the same sentences against each other: folders, tools, settings."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations

from vcbench.statistics.families import Difference, judged
from vcbench.statistics.sign_flip import SignFlip


@dataclass(frozen=True)
class Contrast:
    """Mean score of `a` minus that of `b`, over the sentences that both have a score for."""

    a: str
    b: str
    difference: Difference


def compare_conditions(
    scores: Mapping[str, Mapping[str, float]],
    *,
    sentence_of: Mapping[str, Hashable] | None = None,
) -> list[Contrast]:
    """Every two conditions against each other in one metric; all comparisons are one family.

    Sentences are paired and nothing else is resampled: the conditions are taken as they are, and
    a difference between two folders says nothing of the trainings that they came from. A sign-flip
    test over sentences (`vcbench.statistics.sign_flip`), corrected with Holm's procedure
    (`vcbench.statistics.families`).

    Args:
        scores: for each condition its score per utterance; NaN, or no entry, where it is undefined.
        sentence_of: the sentence of an utterance, where several (of other speakers, say) are one
            sentence; by default each utterance is a sentence of its own.

    Returns:
        A contrast for each two conditions in the order of `scores`, first with second, first with
        third, ... `difference.n` counts utterances with both scores, `expected` those that either
        of the two names. The interval, `p_holm`, `claimable` and `detectable` are as in
        `Difference`; the mean is NaN where no utterance has both scores.

    >>> a = {f"s{i}": 6.0 + 0.1 * i for i in range(8)}
    >>> b = {name: value + 0.5 + 0.01 * i for i, (name, value) in enumerate(a.items())}
    >>> found = compare_conditions({"a": a, "b": b})[0]
    >>> round(found.difference.mean, 3), found.difference.p_holm, found.difference.decided
    (-0.535, 0.0078125, True)
    """
    pairs = list(combinations(scores, 2))
    evidence, expected = [], []
    for a, b in pairs:
        names = list(dict.fromkeys([*scores[a], *scores[b]]))
        gaps = {n: scores[a].get(n, math.nan) - scores[b].get(n, math.nan) for n in names}
        both = [n for n in names if math.isfinite(gaps[n])]
        labels = [str(sentence_of[n]) if sentence_of else n for n in both]
        expected.append(len(names))
        evidence.append(
            SignFlip.of_rows([gaps[n] for n in both], labels, expected=len(names)) if both else None
        )
    found = judged(evidence)
    nothing = (math.nan, math.nan, math.nan, 0)
    return [
        Contrast(a, b, difference if has else Difference(*nothing, n))
        for (a, b), difference, has, n in zip(pairs, found, evidence, expected, strict=True)
    ]
