"""Timing two functions in turns, on clocks that the tests wind themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vcbench.bench import paired
from vcbench.bench.paired import PAIRS, Paired, compare, median_interval


class Clock:
    """Time that passes where a function says so; the machine's load multiplies it."""

    def __init__(self, load: Callable[[int], float] = lambda _: 1.0) -> None:
        self.now, self.load = 0.0, load
        self.calls: list[str] = []

    def function(self, name: str, seconds: Callable[[int], float]) -> Callable[[], None]:
        def call() -> None:
            self.calls.append(name)
            self.now += seconds(len(self.calls)) * self.load(len(self.calls))

        return call


def timed(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, first: float, second: float, **options: int
) -> Paired:
    monkeypatch.setattr(paired.time, "process_time", lambda: clock.now)
    functions = [clock.function(n, lambda _, s=s: s) for n, s in (("A", first), ("B", second))]
    return compare(*functions, **options)


def test_they_take_turns_at_being_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    found = timed(monkeypatch, clock, 0.03, 0.02, pairs=4)
    assert "".join(clock.calls).endswith("ABBAABBA")
    assert (found.first_s, found.second_s) == pytest.approx((0.03, 0.02))
    assert found.ratio == pytest.approx(1.5)
    assert found.ci95 == pytest.approx((1.5, 1.5))
    assert found.pairs == 4


def test_short_functions_are_called_until_a_sample_is_long_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    found = timed(monkeypatch, clock, 0.002, 0.001, pairs=2)
    assert "".join(clock.calls).endswith(5 * "A" + 10 * "B" + 5 * "A")
    assert (found.first_s, found.second_s) == pytest.approx((0.002, 0.001))


def test_a_load_that_changes_between_pairs_changes_no_ratio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(load=lambda call: 1 + (call - 1) // 2 % 3)
    found = timed(monkeypatch, clock, 0.011, 0.010)
    assert found.ratio == pytest.approx(1.1)
    assert found.verdict == "slower"


@pytest.mark.parametrize(
    ("ci95", "verdict"),
    [
        ((1.051, 1.2), "slower"),
        ((1.049, 1.2), "unsure"),
        ((0.9, 1.051), "unsure"),
        ((0.9, 1.049), "ok"),
        ((0.5, 0.6), "ok"),
    ],
)
def test_a_verdict_needs_the_whole_interval(ci95: tuple[float, float], verdict: str) -> None:
    assert Paired(1.0, 1.0, 1.0, ci95, PAIRS, "").verdict == verdict


@pytest.mark.parametrize(("most", "pairs"), [(None, 30), (70, 70), (120, 120), (20, 30)])
def test_while_unsure_it_measures_on(
    most: int | None, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other pair says 1.00 and 1.10, for ever."""
    clock = Clock()
    monkeypatch.setattr(paired.time, "process_time", lambda: clock.now)
    slow = clock.function("A", lambda call: 0.011 if (call - 1) // 2 % 2 else 0.010)
    quick = clock.function("B", lambda _: 0.010)
    seen: list[tuple[int, int]] = []
    found = compare(slow, quick, most_pairs=most, progress=lambda *at: seen.append(at))
    assert found.verdict == "unsure"
    assert found.pairs == pairs
    assert seen[0] == (1, 30)
    assert seen[-1] == (pairs, pairs)


def test_processor_time_is_counted_on_one_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(paired.time, "process_time", lambda: 0.0)
    monkeypatch.setattr(paired.time, "perf_counter", lambda: clock.now)
    threads: list[int] = []

    def call() -> None:
        threads.append(torch.get_num_threads())
        clock.now += 0.01

    before = torch.get_num_threads()
    found = compare(call, call, threads=2, pairs=2)
    assert found.clock == "time on the clock"
    assert found.ratio == pytest.approx(1)
    assert set(threads) == {2}
    assert torch.get_num_threads() == before


@given(st.lists(st.floats(0.5, 2), min_size=2, max_size=40), st.floats(0.1, 10))
def test_the_interval_holds_the_median_and_scales(values: list[float], factor: float) -> None:
    low, high = median_interval(values)
    assert min(values) <= low <= np.median(values) <= high <= max(values)
    assert median_interval([factor * v for v in values]) == pytest.approx(
        (factor * low, factor * high)
    )


def test_the_interval_is_that_of_another_bootstrap() -> None:
    values = np.random.default_rng(3).normal(1, 0.02, size=101)
    other = stats.bootstrap((values,), np.median, method="percentile", n_resamples=20_000, rng=1)
    assert median_interval(list(values)) == pytest.approx(other.confidence_interval, abs=1e-3)
