"""Differences between two systems: what luck in training and the choice of sentences may explain.

Sentences alone do not tell whether one system is better than another: the same system trained
twice differs by more than an interval over sentences allows. A claim about two systems therefore
needs several trainings of each, and evidence over trainings as well as sentences.

Conventions
-----------
- Equal seeds of two systems are paired: they saw the same crops, and what their networks have in
  common began with the same weights. The evidence is one difference for each seed and sentence.
  An untrained system has the same scores beside every seed.
- With at least `MIN_SEEDS` seeds, seeds and sentences are resampled (`vcbench.statistics.crossed`).
- With fewer they are averaged, and sentences alone are resampled (`vcbench.statistics.sign_flip`).
  That describes these trainings. A claim about the systems is out of reach: an exact sign-flip
  test over 3 seeds cannot go below p = 0.25.
- Two untrained systems are compared over sentences, which is all there is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from vcbench.statistics import MIN_SEEDS, Crossed, Evidence, SignFlip

UNTRAINED = ""  # what stands in the column of seeds for a system that trains nothing


def scores_by_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """The scores of one metric: a row per (pair, direction, utterance), columns (system, seed).

    Rows and columns are sorted; what was not scored, or is undefined, is NaN.
    """
    keys = ["pair", "direction", "utterance", "system", "seed"]
    wide = frame.set_index(keys)["value"].unstack(["system", "seed"])
    return wide.sort_index().sort_index(axis=1)


def differences(scores: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """`a` minus `b` from what `scores_by_seed` gives: the same rows, a column per seed.

    Two untrained systems give one column, `UNTRAINED`. There is no column for a seed that only one
    of two trained systems has, and none at all where a system was never scored.
    """
    one, other = (_of(scores, system) for system in (a, b))
    if list(other.columns) == [UNTRAINED]:
        return one.sub(other[UNTRAINED], axis=0)
    if list(one.columns) == [UNTRAINED]:
        return other.rsub(one[UNTRAINED], axis=0)
    seeds = [seed for seed in one.columns if seed in other.columns]
    return one[seeds] - other[seeds]


def equal_scores(scores: pd.DataFrame, a: str, b: str) -> bool:
    """Whether both systems have the same scores, to the last bit, of the same seeds."""
    return _of(scores, a).equals(_of(scores, b))


def n_seeds(table: pd.DataFrame) -> int:
    """How many seeds `differences` found; 0 where neither system trains."""
    return 0 if list(table.columns) == [UNTRAINED] else table.shape[1]


def evidence(
    table: pd.DataFrame, *, expected: int | None = None, in_run: bool = False
) -> Evidence | None:
    """What `differences` gives as evidence; None where no utterance has a difference.

    Utterances that lack a difference at any seed are left out, which shows in `n` of `expected`
    (by default all rows). `in_run`: only these trainings are asked about, so that their seeds are
    averaged however many there are.
    """
    expected = len(table) if expected is None else expected
    whole = table.dropna()
    if whole.empty or not whole.shape[1]:
        return None
    sentences = whole.index.get_level_values("utterance").to_numpy(dtype="str")
    values = whole.to_numpy(dtype=np.float64)
    seeds = n_seeds(table)
    if seeds >= MIN_SEEDS and not in_run:
        return Crossed.of_rows(
            values.T.ravel(),
            np.tile(sentences, seeds),
            np.repeat(np.arange(seeds), len(whole)),
            n=len(whole),
            expected=expected,
        )
    return SignFlip.of_rows(
        values.mean(axis=1), sentences, expected=expected, n_seeds=0 if in_run else seeds
    )


def _of(scores: pd.DataFrame, system: str) -> pd.DataFrame:
    """One system's scores, a column per seed; no column where it has none."""
    of_system = scores.columns.get_level_values("system") == system
    return scores.loc[:, of_system].droplevel("system", axis=1)
