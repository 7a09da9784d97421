"""F0 and voicing errors against closed forms, nnmnkwii, scipy and mir_eval."""

from __future__ import annotations

import math
from dataclasses import replace

import mir_eval.melody
import nnmnkwii.metrics
import numpy as np
import pytest
import scipy.stats
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
# mir_eval warns of it; the tests mean it.
without_a_voice = pytest.mark.filterwarnings("ignore:.*melody has no voiced frames")

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
    assert math.isnan(f0.f0_rmse_cents(reference, converted))
    assert math.isnan(f0.gross_pitch_error_percent(reference, converted))
    assert f0.voicing_error_percent(reference, converted) == pytest.approx(100 * 21 / 30)
    assert f0.f0_frame_error_percent(reference, converted) == pytest.approx(100 * 21 / 30)


def test_the_protocol_states_the_same_limit() -> None:
    limit = f"undefined with fewer than {f0.MINIMUM_VOICED} of them"
    assert all(limit in protocols.get(name).text for name in protocols.names())


@pytest.mark.parametrize(
    "metric",
    [
        f0.f0_rmse_hz,
        f0.f0_rmse_hz_of_all_frames,
        f0.log_f0_rmse,
        f0.f0_rmse_cents,
        f0.centred_log_f0_rmse,
        f0.f0_correlation,
        f0.f0_correlation_hz,
        f0.f0_correlation_hz_of_all_frames,
        f0.gross_pitch_error_percent,
        f0.voicing_error_percent,
        f0.f0_frame_error_percent,
    ],
    ids=lambda m: m.__name__,
)
@pytest.mark.parametrize(
    ("reference", "converted", "message"),
    [
        (np.zeros(3), np.zeros(4), r"\(3,\).*\(4,\)"),
        (np.zeros((3, 1)), np.zeros((3, 1)), "frames,"),
        (np.full(3, -1.0), np.zeros(3), "at least 0 Hz"),
        (np.zeros(3), np.full(3, np.nan), "finite"),
    ],
)
def test_unusable_arrays_are_refused(
    metric: object, reference: Array, converted: Array, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric(reference, converted)


@unhurried
@given(tracks)
def test_cents_are_1200_to_the_octave(pair: tuple[Array, Array]) -> None:
    both = (pair[0] > 0) & (pair[1] > 0)
    value = f0.f0_rmse_cents(*pair)
    if both.sum() < f0.MINIMUM_VOICED:
        assert math.isnan(value)
        return
    cents = 1200 * np.log2(pair[1][both] / pair[0][both])
    assert value == pytest.approx(math.sqrt(np.mean(cents**2)), rel=1e-9, abs=1e-9)


@unhurried
@given(tracks)
def test_the_centred_rmse_is_the_deviation_of_the_difference(pair: tuple[Array, Array]) -> None:
    both = (pair[0] > 0) & (pair[1] > 0)
    value = f0.centred_log_f0_rmse(*pair)
    if both.sum() < f0.MINIMUM_VOICED:
        assert math.isnan(value)
        return
    expected = np.std(np.log(pair[1][both]) - np.log(pair[0][both]))
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


@unhurried
@given(voiced, st.floats(0.2, 5))
def test_another_register_leaves_the_melody_alone(reference: Array, factor: float) -> None:
    assert f0.centred_log_f0_rmse(reference, factor * reference) == pytest.approx(0, abs=1e-12)
    correlation = f0.f0_correlation(reference, factor * reference)
    if not math.isnan(correlation) and np.ptp(reference) > 1e-3:
        assert correlation == pytest.approx(1.0)


@unhurried
@given(tracks)
def test_correlations_equal_scipys(pair: tuple[Array, Array]) -> None:
    both = (pair[0] > 0) & (pair[1] > 0)
    for correlation, scale, least in (
        (f0.f0_correlation, np.log, 1e-6),
        (f0.f0_correlation_hz, np.asarray, 1e-3),
    ):
        value = correlation(*pair)
        sides = [scale(side[both]) for side in pair]
        if both.sum() < f0.MINIMUM_VOICED or min(np.ptp(side) for side in sides) == 0:
            assert math.isnan(value)
        elif min(np.ptp(side) for side in sides) > least:  # else both computations are rounding
            assert value == pytest.approx(scipy.stats.pearsonr(*sides).statistic, abs=1e-7)


@pytest.mark.parametrize("constant", [100.0, 133.7])
def test_a_monotone_has_no_correlation(constant: float) -> None:
    moving = np.linspace(100, 200, 20)
    assert math.isnan(f0.f0_correlation(moving, np.full(20, constant)))
    assert math.isnan(f0.f0_correlation(np.full(20, constant), moving))
    assert f0.f0_correlation(moving, moving[::-1]) < -0.9


def test_a_gross_error_is_more_than_20_percent_of_the_reference() -> None:
    reference = np.full(20, 100.0)
    converted = np.array([79.0, 80.0, 120.0, 121.0] + [100.0] * 16)
    assert f0.gross_pitch_error_percent(reference, converted) == pytest.approx(100 * 2 / 20)
    # Of the reference's: the other way round 120 is 16.7 % off 100, and 80 is 25 % off.
    assert f0.gross_pitch_error_percent(converted, reference) == pytest.approx(100 * 2 / 20)
    assert f0.gross_pitch_error_percent(converted[1:], reference[1:]) == pytest.approx(100 / 19)


@unhurried
@given(tracks)
def test_frames_with_an_error_of_either_kind_add_up(pair: tuple[Array, Array]) -> None:
    """Chu and Alwan: errors of voicing and gross errors of pitch are never one frame."""
    reference, converted = pair
    both = (reference > 0) & (converted > 0)
    value = f0.f0_frame_error_percent(reference, converted)
    voicing = f0.voicing_error_percent(reference, converted)
    assert voicing <= value <= 100.0
    if both.sum() >= f0.MINIMUM_VOICED:
        gross = f0.gross_pitch_error_percent(reference, converted)
        assert value == pytest.approx(voicing + gross * both.mean())


@without_a_voice
@unhurried
@given(tracks)
def test_voicing_error_from_mir_evals_recall_and_false_alarm(pair: tuple[Array, Array]) -> None:
    reference, converted = (side > 0 for side in pair)
    recall, false_alarm = mir_eval.melody.voicing_measures(reference, converted)
    if not reference.any() or reference.all():  # one of the two rates has nothing to count
        return
    missed, invented = (1 - recall) * reference.sum(), false_alarm * (~reference).sum()
    expected = 100 * (missed + invented) / len(reference)
    assert f0.voicing_error_percent(*pair) == pytest.approx(expected)


@without_a_voice
@unhurried
@given(tracks, st.integers(0, 2**32 - 1))
def test_frame_error_is_what_mir_evals_overall_accuracy_lacks(
    pair: tuple[Array, Array], seed: int
) -> None:
    """With F0 that is only ever too high: mir_eval's tolerance is in cents, alike to both sides."""
    reference = pair[0]
    factor = np.random.default_rng(seed).uniform(1.0, 1.4, len(reference))
    converted = np.where(pair[1] > 0, np.where(reference > 0, reference, 100.0) * factor, 0.0)
    cents = [mir_eval.melody.hz2cents(side) for side in (reference, converted)]
    voicing = [(side > 0).astype(float) for side in (reference, converted)]
    tolerance = 1200 * math.log2(1.2)
    accuracy = mir_eval.melody.overall_accuracy(
        voicing[0], cents[0], voicing[1], cents[1], cent_tolerance=tolerance
    )
    assert f0.f0_frame_error_percent(reference, converted) == pytest.approx(100 * (1 - accuracy))


@unhurried
@given(voiced, st.integers(0, 2**32 - 1))
def test_gross_error_is_what_mir_evals_pitch_accuracy_lacks(reference: Array, seed: int) -> None:
    converted = reference * np.random.default_rng(seed).uniform(1.0, 1.4, len(reference))
    ones = np.ones(len(reference))
    accuracy = mir_eval.melody.raw_pitch_accuracy(
        ones,
        mir_eval.melody.hz2cents(reference),
        ones,
        mir_eval.melody.hz2cents(converted),
        cent_tolerance=1200 * math.log2(1.2),
    )
    assert f0.gross_pitch_error_percent(reference, converted) == pytest.approx(100 * (1 - accuracy))


def test_a_conversion_without_voice_counts_as_wrong_and_is_not_left_out() -> None:
    reference = np.array([100.0] * 15 + [0.0] * 5)
    silent = np.zeros(20)
    assert f0.voicing_error_percent(reference, silent) == 75.0
    assert f0.f0_frame_error_percent(reference, silent) == 75.0
    assert math.isnan(f0.gross_pitch_error_percent(reference, silent))


def test_a_path_without_frames_defines_nothing() -> None:
    """Some protocols compare F0 on a path through voiced frames only; there may be none."""
    empty = np.zeros(0)
    assert math.isnan(f0.f0_rmse_hz(empty, empty))
    assert math.isnan(f0.f0_correlation(empty, empty))
    assert math.isnan(f0.voicing_error_percent(empty, empty))
    assert math.isnan(f0.f0_frame_error_percent(empty, empty))


def side(f0_hz: Array) -> Analysis:
    n = len(f0_hz)
    return Analysis(np.zeros((n, 2)), f0_hz, np.ones(n, dtype=bool), 5.0)


def aligned() -> AlignedPair:
    """Twelve pairs voiced 30 % apart, one unvoiced, three voiced on one side only."""
    reference = side(np.array([100.0] * 6 + [110.0] * 6 + [0.0]))
    converted = side(np.array([130.0] * 6 + [143.0] * 6 + [0.0, 150.0]))
    path = np.array([[i, i] for i in range(12)] + [[12, 12], [12, 13], [12, 13], [12, 13]])
    return AlignedPair(reference, converted, path)


@pytest.mark.parametrize(
    ("name", "unit", "better", "expected"),
    [
        ("f0-rmse", "Hz", "lower", math.sqrt((30**2 + 33**2) / 2)),
        ("log-f0-rmse", "ln Hz", "lower", math.log(1.3)),
        ("f0-rmse-cents", "cents", "lower", 1200 * math.log2(1.3)),
        ("log-f0-rmse-centred", "ln Hz", "lower", 0.0),
        ("f0-correlation", "r", "higher", 1.0),
        ("f0-correlation-hz", "r", "higher", 1.0),
        ("gpe", "%", "lower", 100.0),
        ("vuv-error", "%", "lower", 100 * 3 / 16),
        ("ffe", "%", "lower", 100 * 15 / 16),
        ("voiced-frames", "frames", "neither", 12.0),
    ],
)
def test_the_plugins_follow_the_path(name: str, unit: str, better: str, expected: float) -> None:
    plugin = Registry().get("metric", name)
    assert plugin.details["unit"] == unit
    assert plugin.details["better"] == better
    assert plugin.factory(aligned()) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_protocols_own_path_for_pitch_is_followed_and_voicing_stays_on_the_whole_path() -> None:
    whole = aligned()
    own = AlignedPair(side(np.full(10, 100.0)), side(np.full(10, 150.0)), np.array([[9, 9]] * 11))
    pair = replace(whole, pitch=own)
    assert f0.f0_rmse(pair) == pytest.approx(50.0)
    assert f0.voiced_frames(pair) == 11
    assert f0.vuv_error(pair) == f0.vuv_error(whole)
    assert f0.ffe(pair) == f0.ffe(whole)


def test_a_protocol_that_counts_unvoiced_frames_is_followed() -> None:
    pair = replace(aligned(), unvoiced_counts=True)
    expected = math.sqrt((6 * 30**2 + 6 * 33**2 + 3 * 150**2) / 16)
    assert f0.f0_rmse(pair) == pytest.approx(expected)
