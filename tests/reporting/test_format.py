"""How numbers and names are written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcbench.reporting import format as fmt
from vcbench.statistics import Estimate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (38_055_704, "38.1 M"),
        (999_600, "1.00 M"),
        (999_400, "999 k"),
        (3.1e9, "3.10 G"),
        (12, "12.0"),
        (0, "0"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_quantity(value: float | None, text: str) -> None:
    assert fmt.quantity(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0250, "0.0250"), (9.996, "10.0"), (8000.4, "8000"), (-0.5, "−0.500"), (math.inf, "–")],
)
def test_measurement(value: float, text: str) -> None:
    assert fmt.measurement(value) == text


@given(st.floats(1e-6, 1e15))
def test_three_significant_digits_are_within_half_a_percent(value: float) -> None:
    factors = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    digits, _, prefix = fmt.quantity(value).partition(" ")
    assert float(digits) * factors.get(prefix, 1) == pytest.approx(value, rel=0.00501)


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert fmt.number(-1.25, 1) == "−1.2"
    assert fmt.number(-0.001, 2) == "0.00"
    assert fmt.signed(0.3, 1) == "+0.3"
    assert fmt.signed(-0.3, 1) == "−0.3"
    assert fmt.signed(0.001, 2) == "0.00"


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([7.9], 2),
        ([7.5, 7.5, 10.1, 3.1, 8.0], 2),  # one system above 10 does not coarsen the others
        ([12.4], 2),
        ([34.0], 1),
        ([0.19], 4),
        ([0.29], 3),
        ([1200.0], 0),
        ([0.00001], 4),
        ([0.0, float("nan")], 2),
        ([], 2),
    ],
)
def test_decimals_follow_the_median(values: list[float], decimals: int) -> None:
    assert fmt.decimals_for(values) == decimals


def test_a_small_difference_gets_the_decimals_that_show_it() -> None:
    narrow = Estimate(0.004, 0.002, 0.006, 10, 10)
    assert fmt.decimals_for_difference(narrow, 2) == 3
    assert fmt.decimals_for_difference(Estimate(0.2, 0.1, 0.3, 10, 10), 2) == 2


def test_an_estimate_shows_how_many_were_scored_of_how_many() -> None:
    assert fmt.with_interval(Estimate(8.0, 7.5, 8.5, 10, 10), 2) == "8.00 [7.50, 8.50] (10/10)"
    assert fmt.with_interval(Estimate(8.0, 7.5, 8.5, 9, 10), 2) == "8.00 [7.50, 8.50] (9/10)"
    nan = math.nan
    assert fmt.with_interval(Estimate(8.0, nan, nan, 1, 1), 2) == "8.00 (1/1)"
    assert fmt.with_interval(Estimate(nan, nan, nan, 0, 4), 2) == "– (0/4)"
    assert fmt.with_interval(Estimate(nan, nan, nan, 0, 0), 2) == "–"


def test_names() -> None:
    assert fmt.metric_label("log-f0-rmse") == "log F0 RMSE"
    assert fmt.metric_label("gv-distance") == "GV distance"
    assert fmt.metric_label("my-metric") == "my metric"
    assert fmt.direction_label("SF1>TM3") == "SF1 → TM3"
    assert fmt.one_line("a\nb\x1b[31m\u202e") == "a b [31m"


@given(st.text(max_size=40), st.integers(3, 30))
def test_a_shortened_name_fits_and_keeps_its_ends(name: str, length: int) -> None:
    (short,) = fmt.shortened([name], length)
    whole = fmt.one_line(name)
    assert len(short) <= length
    assert short == whole or (short[0] == whole[0] and short[-1] == whole[-1] and "…" in short)


@given(st.lists(st.text("ab-", max_size=40), max_size=6), st.integers(3, 30))
def test_shortened_names_stay_apart(names: list[str], length: int) -> None:
    found = fmt.shortened(names, length)
    assert len(set(found)) == len(set(names))
    by_length = {max(map(len, fmt.shortened(names, n)), default=0) for n in range(3, length)}
    assert not by_length or max(by_length) <= max(map(len, found), default=0)


def test_listing_counts_what_it_does_not_name() -> None:
    assert fmt.listing("abc") == "a, b and c"
    assert fmt.listing("abcdef") == "a, b, c and 3 more"
    assert fmt.listing("a") == "a"
    assert fmt.listing("") == ""
