"""Modulation spectrum distance against a transform written out, and where its floor lies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from degraded_speech import smoothed
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from voices import voice

from metrics.mel_cepstral_distortion import mcd
from metrics.modulation_spectrum import (
    FFT_SIZE,
    averaged_modulation_spectrum_distance,
    log_modulation_spectrum,
    modulation_spectrum_distance,
    msd,
)
from vcbench import protocols
from vcbench.alignment import AlignedPair, Analysis
from vcbench.plugins import Registry

Array = NDArray[np.float64]

PROTOCOL = protocols.get("vcbench-1")
TWO_INDEPENDENT = math.pi / math.sqrt(3)


def noise(frames: int, seed: int, dimensions: int = 24) -> Array:
    return np.random.default_rng(seed).normal(size=(frames, dimensions))


@pytest.mark.parametrize("frames", [7, 700, FFT_SIZE, FFT_SIZE + 1, 2500])
def test_equal_to_the_fourier_sum_written_out(frames: int) -> None:
    """Of a track longer than the transform, too: nothing is cut off."""
    track = noise(frames, 0, 2)
    bins = np.array([1, 2, 77, 511, 512])
    waves = np.exp(-2j * np.pi * np.outer(bins, np.arange(frames)) / FFT_SIZE)
    expected = np.log(np.abs(waves @ (track - track.mean(axis=0))) ** 2 / frames)
    spectrum = log_modulation_spectrum(track)
    assert spectrum.shape == (FFT_SIZE // 2, 2)
    assert spectrum[bins - 1] == pytest.approx(expected, abs=1e-7)


@given(arrays(np.float64, (12, 3), elements=st.floats(-5, 5, width=32)), st.floats(0.05, 20))
def test_movement_scaled_by_k_is_2_ln_k_apart(track: Array, k: float) -> None:
    track = track + noise(12, 1, 3)
    assert modulation_spectrum_distance(track, track) == 0.0
    value = modulation_spectrum_distance(track, 5.0 + k * track)
    assert value == pytest.approx(abs(2 * math.log(k)), abs=1e-6)
    assert value == pytest.approx(modulation_spectrum_distance(5.0 + k * track, track))


def test_rms_over_coefficients_and_bins() -> None:
    reference = noise(50, 2, 2)
    converted = reference * [1.0, math.e]
    assert modulation_spectrum_distance(reference, converted) == pytest.approx(math.sqrt(4 / 2))


def test_two_utterances_with_nothing_but_their_statistics_in_common_are_1_81_apart() -> None:
    values = [
        modulation_spectrum_distance(noise(600, 2 * k), noise(750, 2 * k + 1)) for k in range(8)
    ]
    assert np.mean(values) == pytest.approx(TWO_INDEPENDENT, rel=0.02)


def test_averages_over_utterances_lose_that_floor_and_keep_what_smoothing_does() -> None:
    natural = [noise(500 + 20 * k, k) for k in range(20)]
    others = [noise(480 + 20 * k, 100 + k) for k in range(20)]
    apart = averaged_modulation_spectrum_distance(natural, others)
    assert apart == pytest.approx(TWO_INDEPENDENT / math.sqrt(20), rel=0.1)
    kernel = np.ones(3) / 3
    slow = [np.stack([np.convolve(t, kernel, "same") for t in x.T], axis=1) for x in others]
    assert averaged_modulation_spectrum_distance(natural, slow) > 4 * apart


def test_an_average_of_one_is_the_distance_of_a_pair() -> None:
    reference, converted = noise(40, 3, 4), noise(50, 4, 4)
    value = averaged_modulation_spectrum_distance([reference], [converted])
    assert value == modulation_spectrum_distance(reference, converted)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 + 0.1])
def test_a_coefficient_that_never_changes_makes_it_undefined(constant: float) -> None:
    moving = noise(31, 5, 3)  # odd, so that no bin of a constant is exactly 0
    still = moving.copy()
    still[:, 1] = constant
    assert np.isnan(log_modulation_spectrum(still)).any(axis=0).tolist() == [False, True, False]
    assert math.isnan(modulation_spectrum_distance(moving, still))
    assert math.isnan(averaged_modulation_spectrum_distance([moving, moving], [moving, still]))


@pytest.mark.parametrize("frames", [0, 1])
def test_fewer_than_two_frames_make_it_undefined(frames: int) -> None:
    moving = noise(30, 6, 3)
    assert math.isnan(modulation_spectrum_distance(moving, moving[:frames]))


@pytest.mark.parametrize(
    ("references", "converted", "message"),
    [
        ([np.zeros(3)], [np.zeros(3)], "frames, dimensions"),
        ([np.zeros((3, 0))], [np.zeros((3, 0))], "at least one"),
        ([np.full((3, 2), np.nan)], [np.zeros((3, 2))], "NaN"),
        ([np.zeros((3, 2))], [np.zeros((3, 1))], "2 and converted 1 dimensions"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], [np.zeros((3, 2))], "as many dimensions"),
        ([], [np.zeros((3, 2))], "at least one on each side"),
    ],
)
def test_unusable_arrays_are_refused(
    references: list[Array], converted: list[Array], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        averaged_modulation_spectrum_distance(references, converted)


def test_the_plugin_leaves_out_c0_and_the_path() -> None:
    sides = [Analysis(noise(n, n, 5), np.zeros(n), np.ones(n, dtype=bool), 5.0) for n in (60, 40)]
    pair = AlignedPair(sides[0], sides[1], np.array([[0, 0], [59, 39]]))
    expected = modulation_spectrum_distance(sides[0].mcep[:, 1:], sides[1].mcep[:, 1:])
    assert msd(pair) == expected
    plugin = Registry().get("metric", "msd")
    assert (plugin.details["unit"], plugin.details["better"]) == ("ln", "lower")


def test_smoothing_raises_it_where_distortion_stays_small() -> None:
    own = PROTOCOL.analyze(voice(), 16000)
    aligned = [PROTOCOL.align(own, smoothed(own, window)) for window in (1, 3, 5, 11)]
    values = [msd(pair) for pair in aligned]
    assert values[0] == 0.0
    assert values == sorted(values)
    assert values[2] > 1.5
    assert max(mcd(pair) for pair in aligned) < 2.0
