"""Which sentences are played: the worst and the best first."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcbench.samples import mean_scores, worst_and_best
from vcbench.store import RESULTS


@given(
    st.lists(st.sampled_from([math.nan, 1.0, 2.0, 3.0, 4.0, 5.0]), max_size=9),
    st.booleans(),
)
def test_ends_first_and_nothing_lost(values: list[float], low: bool) -> None:
    names = [f"s{i}" for i in range(len(values))]
    scores = dict(zip(names, values, strict=True))
    found = worst_and_best(names, scores, lower_is_better=low)
    assert sorted(found) == sorted(names)
    known = [scores[name] for name in found if not math.isnan(scores[name])]
    assert len(known) == len(found) or all(math.isnan(scores[n]) for n in found[len(known) :])
    sign = 1 if low else -1
    # However many are played, no sentence between the worst and the best of them was left out
    # for one that is nearer to the middle.
    for kept in range(1, len(known) + 1):
        shown, rest = known[:kept], known[kept:]
        worst, best = shown[0::2], shown[1::2]
        assert all(sign * w >= sign * r for w in worst for r in rest)
        assert all(sign * b <= sign * r for b in best for r in rest)


def row(system: str, seed: object, utterance: str, value: float, **other: str) -> dict:
    common = {"suite": "s", "pair": "A-B", "direction": "A>B", "metric": "mcd", "unit": "dB"}
    common |= {"protocol": "p", "system": system, "seed": seed, "utterance": utterance}
    return {**common, "value": value, **other}


@pytest.mark.parametrize("kind", ["text", "integers", "mixed", "floats"])
def test_means_are_of_one_seed_and_direction_and_of_the_systems_named(kind: str) -> None:
    seeds = {"text": ("3", "5", ""), "mixed": (3, 5, None), "integers": (3, 5, pd.NA)}
    three, five, none = seeds.get(kind, (3.0, 5.0, np.nan))
    rows = [
        row("a", three, "u1", 6.0),
        row("b", three, "u1", 8.0),
        row("a", three, "u2", math.nan),
        row("b", three, "u2", 9.0),
        row("a", five, "u1", 100.0),
        row("outside", none, "u1", 10.0),
        row("baseline", none, "u1", 100.0),
        row("a", three, "u1", 100.0, direction="B>A"),
        row("a", three, "u1", 100.0, metric="f0-rmse"),
        row("a", three, "u1", 100.0, protocol="q"),
    ]
    table = pd.DataFrame(rows, columns=RESULTS)
    if kind == "integers":
        table["seed"] = table["seed"].astype("Int64")
    found = mean_scores(
        table,
        metric="mcd",
        protocol="p",
        direction="A>B",
        systems=["a", "b", "outside"],
        seed=3,
    )
    assert found == {"u1": 8.0, "u2": 9.0}
