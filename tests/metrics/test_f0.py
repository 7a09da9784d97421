"""F0 and voicing errors against closed forms and nnmnkwii."""

from __future__ import annotations

import math

import nnmnkwii.metrics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from metrics import f0
from vcbench import protocols
from vcbench.alignment import AlignedPair, Analysis
from vcbench.plugins import Registry

Array = NDArray[np.float64]
unhurried = settings(deadline=None)  # a busy machine is no failure

hz = st.one_of(st.just(0.0), st.floats(40.0, 700.0))
tracks = st.integers(f0.MINIMUM_VOICED, 40).flatmap(
    lambda n: st.tuples(*[arrays(np.float64, n, elements=hz) for _ in range(2)])
)
voiced = st.integers(f0.MINIMUM_VOICED, 40).flatmap(
    lambda n: arrays(np.float64, n, elements=st.floats(40.0, 350.0))
)


def test_constant_difference_in_hz() -> None:
    reference = np.linspace(100, 200, 20)
    assert f0.f0_rmse_hz(reference, reference + 12.5) == pytest.approx(12.5)


def test_rms_of_unequal_differences() -> None:
    reference = np.full(20, 100.0)
    converted = np.where(np.arange(20) % 2, 103.0, 104.0)
    assert f0.f0_rmse_hz(reference, converted) == pytest.approx(math.sqrt((9 + 16) / 2))


@unhurried
@given(voiced)
def test_an_octave_is_ln_2(reference: Array) -> None:
    assert f0.log_f0_rmse(reference, 2 * reference) == pytest.approx(math.log(2))


@unhurried
@given(tracks)
def test_equal_to_nnmnkwii_over_frames_voiced_on_both_sides(pair: tuple[Array, Array]) -> None:
    reference, converted = pair
    both = (reference > 0) & (converted > 0)
    ours = f0.f0_rmse_hz(reference, converted), f0.log_f0_rmse(reference, converted)
    if both.sum() < f0.MINIMUM_VOICED:
        assert np.isnan(ours).all()
        return
    # What nnmnkwii calls mean_squared_error is a root mean square error.
    rmse = nnmnkwii.metrics.mean_squared_error
    expected = (
        rmse(reference[both], converted[both]),
        rmse(np.log(reference[both]), np.log(converted[both])),
    )
    assert ours == pytest.approx(expected, rel=1e-9, abs=1e-12)


@unhurried
@given(tracks)
def test_voicing_error_equals_nnmnkwii(pair: tuple[Array, Array]) -> None:
    expected = 100 * nnmnkwii.metrics.vuv_error(pair[0] > 0, pair[1] > 0)
    assert f0.voicing_error_percent(*pair) == pytest.approx(expected)
    assert f0.voicing_error_percent(*pair) == f0.voicing_error_percent(*pair[::-1])


def test_nine_voiced_frames_are_too_few_and_ten_are_enough() -> None:
    reference, converted = np.full(30, 100.0), np.full(30, 110.0)
    reference[:8] = 0.0
    converted[-12:] = 0.0
    assert f0.f0_rmse_hz(reference, converted) == pytest.approx(10.0)
    converted[-13] = 0.0
    assert math.isnan(f0.f0_rmse_hz(reference, converted))
    assert math.isnan(f0.log_f0_rmse(reference, converted))
    assert f0.voicing_error_percent(reference, converted) == pytest.approx(100 * 21 / 30)


def test_the_protocol_states_the_same_limit() -> None:
    limit = f"undefined with fewer than {f0.MINIMUM_VOICED} of them"
    assert all(limit in protocols.get(name).text for name in protocols.names())


@pytest.mark.parametrize(
    "metric", [f0.f0_rmse_hz, f0.log_f0_rmse, f0.voicing_error_percent], ids=lambda m: m.__name__
)
@pytest.mark.parametrize(
    ("reference", "converted", "message"),
    [
        (np.zeros(3), np.zeros(4), r"\(3,\).*\(4,\)"),
        (np.zeros((3, 1)), np.zeros((3, 1)), "frames,"),
        (np.zeros(0), np.zeros(0), "at least one frame"),
        (np.full(3, -1.0), np.zeros(3), "at least 0 Hz"),
        (np.zeros(3), np.full(3, np.nan), "finite"),
    ],
)
def test_unusable_arrays_are_refused(
    metric: object, reference: Array, converted: Array, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(reference, converted)


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("f0-rmse", "Hz", 20.0),
        ("log-f0-rmse", "ln Hz", math.log(1.2)),
        ("vuv-error", "%", 100 * 3 / 16),
    ],
)
def test_the_plugins_follow_the_path(name: str, unit: str, expected: float) -> None:
    def side(f0_hz: Array) -> Analysis:
        n = len(f0_hz)
        return Analysis(np.zeros((n, 2)), f0_hz, np.ones(n, dtype=bool), 5.0)

    reference = side(np.array([100.0] * 12 + [0.0]))
    converted = side(np.array([120.0] * 12 + [0.0, 150.0]))
    path = np.array([[i, i] for i in range(12)] + [[12, 12], [12, 13], [12, 13], [12, 13]])
    pair = AlignedPair(reference, converted, path)
    plugin = Registry().get("metric", name)
    assert plugin.details["unit"] == unit
    assert plugin.details["better"] == "lower"
    assert plugin.factory(pair) == pytest.approx(expected)
