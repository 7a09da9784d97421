"""Mel-cepstral distortion against closed forms, the log spectrum it stands for, and nnmnkwii."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nnmnkwii.metrics import melcd
from numpy.typing import NDArray

from metrics.mel_cepstral_distortion import frame_distortions_db, mcd, mel_cepstral_distortion
from vcbench.alignment import AlignedPair, Analysis
from vcbench.plugins import Registry

Array = NDArray[np.float64]
unhurried = settings(deadline=None)  # a busy machine is no failure

pairs = st.tuples(st.integers(1, 12), st.integers(1, 6)).flatmap(
    lambda shape: st.tuples(
        *[arrays(np.float64, shape, elements=st.floats(-5, 5, width=32)) for _ in range(3)]
    )
)


def test_one_neper_of_one_coefficient_is_6_14_db() -> None:
    reference, converted = np.zeros((1, 24)), np.zeros((1, 24))
    converted[0, 7] = 1.0
    value = mel_cepstral_distortion(reference, converted)
    assert value == pytest.approx(6.141851463713754, rel=1e-15)


def test_it_is_the_rms_difference_of_the_log_spectra_in_db() -> None:
    rng = np.random.default_rng(0)
    reference, converted = rng.normal(size=(2, 1, 24))
    warped_axis = (np.arange(4096) + 0.5) * np.pi / 4096
    cosines = np.cos(np.outer(np.arange(1, 25), warped_axis))
    power_db = [10 * np.log10(np.exp(2 * c @ cosines)) for c in (reference, converted)]
    rms_db = np.sqrt(np.mean((power_db[0] - power_db[1]) ** 2))
    assert mel_cepstral_distortion(reference, converted) == pytest.approx(rms_db, rel=1e-12)


@unhurried
@given(pairs)
def test_equal_to_nnmnkwii(arrays_: tuple[Array, Array, Array]) -> None:
    reference, converted, _ = arrays_
    expected = melcd(reference, converted)
    assert mel_cepstral_distortion(reference, converted) == pytest.approx(expected, rel=1e-12)


@unhurried
@given(pairs)
def test_it_is_a_metric(arrays_: tuple[Array, Array, Array]) -> None:
    a, b, c = arrays_
    assert mel_cepstral_distortion(a, a.copy()) == 0.0
    assert mel_cepstral_distortion(a, b) == mel_cepstral_distortion(b, a) >= 0.0
    through_c = mel_cepstral_distortion(a, c) + mel_cepstral_distortion(c, b)
    assert mel_cepstral_distortion(a, b) <= through_c * (1 + 1e-12) + 1e-12


def test_frames_are_averaged_not_squared() -> None:
    reference, converted = np.zeros((2, 3)), np.array([[1.0, 0, 0], [3.0, 0, 0]])
    distortions = frame_distortions_db(reference, converted)
    assert distortions[1] == pytest.approx(3 * distortions[0])
    assert mel_cepstral_distortion(reference, converted) == pytest.approx(2 * distortions[0])


@pytest.mark.parametrize(
    ("reference", "converted", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 2)), r"\(3, 2\).*\(4, 2\)"),
        (np.zeros((3, 2)), np.zeros((3, 1)), "one shape"),
        (np.zeros(3), np.zeros(3), "frames, dimensions"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "at least one frame"),
        (np.full((1, 2), np.nan), np.zeros((1, 2)), "NaN"),
    ],
)
def test_unusable_arrays_are_refused(reference: Array, converted: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mel_cepstral_distortion(reference, converted)


def test_the_plugin_leaves_out_c0_and_follows_the_path() -> None:
    rng = np.random.default_rng(1)
    sides = [
        Analysis(rng.normal(size=(n, 5)), np.zeros(n), np.ones(n, dtype=bool), 5.0) for n in (3, 4)
    ]
    path = np.array([[0, 0], [1, 1], [1, 2], [2, 3]])
    expected = melcd(sides[0].mcep[[0, 1, 1, 2], 1:], sides[1].mcep[:, 1:])
    assert mcd(AlignedPair(sides[0], sides[1], path)) == pytest.approx(expected, rel=1e-12)


def test_it_is_registered() -> None:
    plugin = Registry().get("metric", "mcd")
    assert plugin.details["unit"] == "dB"
    assert plugin.details["better"] == "lower"
    assert "Kubichek, 1993" in plugin.details["paper"]
    assert plugin.options == ()
