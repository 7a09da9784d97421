"""Global variance distance against closed forms, and what smoothing does to it and to MCD."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from degraded_speech import smoothed
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from independent_scoring import eval_wav
from numpy.typing import NDArray
from voices import voice

from metrics import global_variance
from metrics.global_variance import (
    global_variance_distance,
    global_variance_log_ratio,
    gv_distance,
    gv_log_ratio,
)
from metrics.mel_cepstral_distortion import mcd
from vcbench import audio, protocols
from vcbench.alignment import AlignedPair, Analysis, align
from vcbench.plugins import Registry

Array = NDArray[np.float64]
unhurried = settings(deadline=None)  # a busy machine is no failure

PROTOCOL = protocols.get("vcbench-1")
WINDOWS = (1, 3, 5, 9)  # frames; 1 is no smoothing


def tracks(frames: int, dimensions: int) -> st.SearchStrategy[Array]:
    """Tracks of which every coefficient changes: a ramp is added that the noise cannot undo."""
    ramp = np.arange(frames, dtype=np.float64)[:, None]
    noise = arrays(np.float64, (frames, dimensions), elements=st.floats(-5, 5, width=32))
    return noise.map(lambda x: x + 11 * ramp)


pairs = st.tuples(st.integers(2, 12), st.integers(2, 12), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(tracks(shape[0], shape[2]), tracks(shape[1], shape[2]))
)


def analyze_eval(data_dir: Path, speaker: str, sentence: str) -> Analysis:
    waveform = audio.read(eval_wav(data_dir, speaker, sentence), sample_rate=16000)
    return PROTOCOL.analyze(waveform, 16000)


def rising(values: list[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


@unhurried
@given(pairs)
def test_equal_to_the_standard_librarys_variances(pair: tuple[Array, Array]) -> None:
    reference, converted = pair
    logs = [
        math.log(statistics.pvariance(y.tolist()) / statistics.pvariance(x.tolist()))
        for x, y in zip(reference.T, converted.T, strict=True)
    ]
    expected = statistics.fmean(map(abs, logs))
    assert global_variance_distance(reference, converted) == pytest.approx(expected, abs=1e-9)


@unhurried
@given(pairs)
def test_zero_for_itself_and_symmetric(pair: tuple[Array, Array]) -> None:
    reference, converted = pair
    assert global_variance_distance(reference, reference.copy()) == 0.0
    there = global_variance_distance(reference, converted)
    assert there == global_variance_distance(converted, reference) >= 0.0


@unhurried
@given(pairs, st.floats(0.05, 20))
def test_deviations_scaled_by_k_are_2_ln_k(pair: tuple[Array, Array], k: float) -> None:
    reference = pair[0]
    mean = reference.mean(axis=0)
    converted = mean + k * (reference - mean)
    expected = abs(2 * math.log(k))
    assert global_variance_distance(reference, converted) == pytest.approx(expected, abs=1e-9)


@unhurried
@given(pairs)
def test_order_of_frames_and_level_do_not_matter(pair: tuple[Array, Array]) -> None:
    reference, converted = pair
    expected = global_variance_distance(reference, converted)
    moved = global_variance_distance(reference, converted[::-1] + 3.0)
    assert moved == pytest.approx(expected, abs=1e-9)


def test_too_much_and_too_little_do_not_cancel() -> None:
    reference = np.array([[0.0, 0.0], [1.0, 1.0]])
    value = global_variance_distance(reference, reference * [0.5, 2.0])
    assert value == pytest.approx(2 * math.log(2))
    assert global_variance_log_ratio(reference, reference * [0.5, 2.0]) == pytest.approx(0.0)


@unhurried
@given(pairs, st.floats(0.05, 20))
def test_the_log_ratio_tells_too_little_from_too_much(pair: tuple[Array, Array], k: float) -> None:
    reference, other = pair
    ratio = global_variance_log_ratio(reference, reference * k)
    assert ratio == pytest.approx(2 * math.log(k), abs=1e-9)
    there = global_variance_log_ratio(reference, other)
    assert there == pytest.approx(-global_variance_log_ratio(other, reference), abs=1e-12)
    assert abs(there) <= global_variance_distance(reference, other) * (1 + 1e-12)


def test_smoothing_raises_it_where_distortion_stays_small(vcc2016_dir: Path) -> None:
    """Small against conversion: the raw source is at least 7 dB from its target (see below)."""
    for speaker, sentence in (("SF1", "200001"), ("TM3", "200001"), ("TF2", "200002")):
        own = analyze_eval(vcc2016_dir, speaker, sentence)
        aligned = [align(own, smoothed(own, window)) for window in WINDOWS]
        distances = [gv_distance(pair) for pair in aligned]
        assert distances[0] == mcd(aligned[0]) == 0.0
        assert rising(distances)
        assert distances[-1] > 0.3
        assert all(gv_log_ratio(p) == pytest.approx(-gv_distance(p), rel=0.1) for p in aligned)
        assert max(mcd(pair) for pair in aligned) < 4


@pytest.mark.parametrize("target", ["TM3", "TF2"])
@pytest.mark.parametrize("source", ["SF1", "SM1"])
def test_distortion_rewards_the_smoothing_that_it_punishes(
    vcc2016_dir: Path, source: str, target: str
) -> None:
    """Why MCD is not shown alone: it prefers ever more smoothing of unconverted speech."""
    reference = analyze_eval(vcc2016_dir, target, "200001")
    converted = analyze_eval(vcc2016_dir, source, "200001")
    aligned = [align(reference, smoothed(converted, window)) for window in WINDOWS]
    assert rising([-mcd(pair) for pair in aligned])
    assert rising([gv_distance(pair) for pair in aligned])
    assert mcd(aligned[-1]) > 7


def test_smoothing_raises_it_without_a_corpus() -> None:
    own = PROTOCOL.analyze(voice(), 16000)
    aligned = [align(own, smoothed(own, window)) for window in WINDOWS]
    distances = [gv_distance(pair) for pair in aligned]
    assert distances[0] == 0.0
    assert rising(distances)
    assert max(mcd(pair) for pair in aligned) < 1.5


@pytest.mark.parametrize("constant", [0.0, 0.1, -1 / 3, 1e6 + 0.1])
def test_a_coefficient_that_never_changes_makes_it_undefined(constant: float) -> None:
    """Also where the mean of equal numbers is rounded, so that their deviations are not 0."""
    moving = np.random.default_rng(0).normal(size=(7, 3))
    still = moving.copy()
    still[:, 1] = constant
    assert math.isnan(global_variance_distance(moving, still))
    assert math.isnan(global_variance_distance(still, moving))
    assert math.isnan(global_variance_log_ratio(still, moving))
    assert math.isnan(global_variance_distance(still, still))
    assert math.isfinite(global_variance_distance(moving, moving[:-1]))


@pytest.mark.parametrize("frames", [0, 1])
def test_fewer_than_two_frames_make_it_undefined(frames: int) -> None:
    moving = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert math.isnan(global_variance_distance(moving, moving[:frames]))
    assert math.isnan(global_variance_distance(moving[:frames], moving))
    assert global_variance_distance(moving, moving) == 0.0


def test_the_protocol_states_the_same_limit() -> None:
    limit = f"undefined with fewer than {global_variance.MINIMUM_FRAMES} kept frames"
    assert all(limit in protocols.get(name).text for name in protocols.names())


@pytest.mark.parametrize(
    ("reference", "converted", "message"),
    [
        (np.zeros(3), np.zeros(3), "frames, dimensions"),
        (np.zeros((3, 2)), np.zeros((3, 1)), r"\(3, 2\).*\(3, 1\)"),
        (np.zeros((3, 0)), np.zeros((3, 0)), "at least one dimension"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), "NaN"),
    ],
)
def test_unusable_arrays_are_refused(reference: Array, converted: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        global_variance_distance(reference, converted)


def test_the_plugin_leaves_out_c0_and_the_path() -> None:
    rng = np.random.default_rng(1)
    reference, converted = (
        Analysis(rng.normal(size=(n, 5)), np.zeros(n), np.ones(n, dtype=bool), 5.0) for n in (6, 4)
    )
    path = np.array([[0, 0], [1, 1], [2, 1], [3, 1], [4, 2], [5, 3]])
    expected = np.mean(
        np.abs(np.log(converted.mcep.var(axis=0)[1:] / reference.mcep.var(axis=0)[1:]))
    )
    value = gv_distance(AlignedPair(reference, converted, path))
    assert value == pytest.approx(expected, rel=1e-12)


def test_only_kept_frames_count() -> None:
    own = PROTOCOL.analyze(voice(), 16000)
    assert 0.5 < own.speech.mean() < 1.0  # there are frames to leave out
    spoiled = own.mcep + 100.0 * ~own.speech[:, None] * np.arange(len(own.mcep))[:, None]
    assert gv_distance(align(own, replace(own, mcep=spoiled))) == 0.0


def test_it_is_registered() -> None:
    plugin = Registry().get("metric", "gv-distance")
    assert plugin.details["unit"] == "ln"
    assert plugin.details["better"] == "lower"
    assert "Toda, Black and Tokuda, 2007, IEEE TASLP 15(8)" in plugin.details["paper"]
    assert plugin.options == ()
    assert Registry().get("metric", "gv-log-ratio").details["better"] == "neither"
