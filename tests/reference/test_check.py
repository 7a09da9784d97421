"""How the scores of a cell that was trained again are compared; nothing is trained here."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from vcbench.reference.check import compared
from vcbench.reporting.run_files import SCORE_KEYS

UNDEFINED = math.nan


def table(**scores: float) -> pd.DataFrame:
    """Scores of one utterance each, by their metric."""
    rows = [("s", "A-B", "A>B", "0", "1", metric, "p", v) for metric, v in scores.items()]
    return pd.DataFrame(rows, columns=[*SCORE_KEYS, "value"]).assign(suite="x", unit="dB")


@pytest.mark.parametrize(
    ("stored", "again", "equal", "apart"),
    [
        ({"mcd": 7.5}, {"mcd": 7.5}, 1, 0.0),
        ({"mcd": 7.5}, {"mcd": 7.25}, 0, 0.25),
        ({"mcd": 7.25}, {"mcd": 7.5}, 0, 0.25),
        ({"mcd": math.inf}, {"mcd": math.inf}, 1, 0.0),
        ({"mcd": UNDEFINED}, {"mcd": UNDEFINED}, 1, 0.0),
        ({"mcd": UNDEFINED}, {"mcd": 7.5}, 0, math.inf),
        ({"mcd": 7.5}, {"mcd": UNDEFINED}, 0, math.inf),
        ({"mcd": 7.5}, {}, 0, math.inf),
        ({}, {"mcd": 7.5}, 0, math.inf),
        ({"mcd": UNDEFINED}, {}, 0, math.inf),
        ({}, {"mcd": UNDEFINED}, 0, math.inf),
    ],
)
def test_a_score_is_equal_to_one_that_is_there_and_the_same(
    stored: dict[str, float], again: dict[str, float], equal: int, apart: float
) -> None:
    # Another score, the same in both: what only one has stands beside it.
    found = compared(table(rmse=3.0, **stored), table(rmse=3.0, **again), notes=["so"])
    assert (found.rows, found.equal) == (2, 1 + equal)
    assert found.furthest == {"rmse": 0.0, "mcd": apart}
    assert found.ok(0.0) == bool(equal)
    assert found.ok(0.25) == (apart <= 0.25)
    assert found.notes == ["so"]


def test_the_largest_difference_of_a_metric_is_told() -> None:
    stored = pd.concat([table(mcd=7.0), table(mcd=8.0).assign(utterance="2")])
    again = pd.concat([table(mcd=7.125).assign(value=7.5), table(mcd=8.125).assign(utterance="2")])
    found = compared(stored, again)
    assert (found.rows, found.equal, found.furthest) == (2, 0, {"mcd": 0.5})


def test_nothing_is_equal_to_no_table_at_all() -> None:
    nothing = compared(table(), table())
    assert (nothing.rows, nothing.ok(1.0)) == (0, False)
    gone = compared(table(mcd=UNDEFINED, rmse=1.0), table())
    assert (gone.rows, gone.equal) == (2, 0)
    assert set(gone.furthest.values()) == {math.inf}
