"""Log-spectral distance against closed forms and a computation frame by frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from voices import voice

from metrics import log_spectral_distance as lsd_module
from metrics.log_spectral_distance import (
    level_matched_distance_db,
    log_spectral_distance_db,
    lsd,
)
from metrics.mel_cepstral_distortion import mel_cepstral_distortion
from vcbench import protocols
from vcbench.alignment import AlignedPair, Analysis
from vcbench.plugins import Registry

Array = NDArray[np.float64]

PROTOCOL = protocols.get("vcbench-1")

power = st.floats(1e-6, 1e6)
pairs = st.tuples(st.integers(1, 8), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(*[arrays(np.float64, shape, elements=power) for _ in range(2)])
)


def test_twice_the_power_is_3_db_in_every_bin() -> None:
    value = log_spectral_distance_db(np.ones((4, 7)), np.full((4, 7), 2.0))
    assert value == pytest.approx(10 * math.log10(2))


@given(pairs)
def test_equal_to_the_definition_written_out(pair: tuple[Array, Array]) -> None:
    frames = []
    for x, y in zip(*pair, strict=True):
        squares = [(10 * math.log10(a / b)) ** 2 for a, b in zip(x, y, strict=True)]
        frames.append(math.sqrt(sum(squares) / len(squares)))
    expected = sum(frames) / len(frames)
    assert log_spectral_distance_db(*pair) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert log_spectral_distance_db(*pair) == pytest.approx(log_spectral_distance_db(*pair[::-1]))


@given(pairs, st.floats(1e-3, 1e3))
def test_a_gain_changes_the_plain_distance_only(pair: tuple[Array, Array], gain: float) -> None:
    reference, converted = pair
    path = np.stack([np.arange(len(reference))] * 2, axis=1)
    matched = level_matched_distance_db(reference, converted, path)
    assert level_matched_distance_db(reference, gain * converted, path) == pytest.approx(
        matched, abs=1e-9
    )
    assert level_matched_distance_db(reference, gain * reference, path) == pytest.approx(
        0, abs=1e-9
    )
    plain = log_spectral_distance_db(reference, gain * reference)
    assert plain == pytest.approx(abs(10 * math.log10(gain)), abs=1e-9)


def test_mel_cepstral_distortion_is_it_on_the_warped_axis_without_the_level() -> None:
    """The two families meet: spectra on a linear axis made of a cepstrum without warping."""
    rng = np.random.default_rng(0)
    cepstra = rng.normal(size=(2, 5, 24))
    axis = (np.arange(4096) + 0.5) * np.pi / 4096
    spectra = np.exp(2 * cepstra @ np.cos(np.outer(np.arange(1, 25), axis)))
    distance = log_spectral_distance_db(*spectra)
    assert distance == pytest.approx(mel_cepstral_distortion(*cepstra), rel=1e-9)


def test_blocks_of_a_long_path_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    reference, converted = np.exp(rng.normal(size=(2, 50, 6)))
    path = np.stack([np.arange(50)] * 2, axis=1)
    whole = level_matched_distance_db(reference, converted, path)
    monkeypatch.setattr(lsd_module, "_BLOCK", 7)
    assert level_matched_distance_db(reference, converted, path) == pytest.approx(whole)


def test_the_plugin_follows_the_path_and_leaves_out_the_level() -> None:
    rng = np.random.default_rng(2)
    sides = [
        Analysis(
            np.zeros((n, 3)),
            np.zeros(n),
            np.ones(n, dtype=bool),
            5.0,
            power_spectrum=np.exp(rng.normal(size=(n, 4))),
        )
        for n in (3, 4)
    ]
    path = np.array([[0, 0], [1, 1], [1, 2], [2, 3]])
    logs = [10 * np.log10(s.power_spectrum[path[:, k]]) for k, s in enumerate(sides)]
    difference = logs[0] - logs[1]
    expected = np.sqrt(np.mean((difference - difference.mean()) ** 2, axis=1)).mean()
    assert lsd(AlignedPair(sides[0], sides[1], path)) == pytest.approx(expected, rel=1e-12)
    plugin = Registry().get("metric", "lsd")
    assert (plugin.details["unit"], plugin.details["better"]) == ("dB", "lower")


def test_a_recordings_gain_does_not_count() -> None:
    own, loud = (PROTOCOL.analyze(gain * voice(), 16000) for gain in (0.1, 1.0))
    assert lsd(PROTOCOL.align(own, loud)) == pytest.approx(0, abs=1e-6)


def test_a_protocol_without_spectra_leaves_it_undefined() -> None:
    bare = Analysis(np.zeros((2, 3)), np.zeros(2), np.ones(2, dtype=bool), 5.0)
    assert math.isnan(lsd(AlignedPair(bare, bare, np.array([[0, 0], [1, 1]]))))


@pytest.mark.parametrize(
    ("reference", "converted", "message"),
    [
        (np.ones(3), np.ones(3), "frames, bins"),
        (np.ones((3, 2)), np.ones((4, 2)), r"\(3, 2\).*\(4, 2\)"),
        (np.ones((3, 2)), np.zeros((3, 2)), "above 0"),
        (np.ones((3, 2)), np.full((3, 2), np.inf), "finite"),
        (np.ones((0, 2)), np.ones((0, 2)), "at least one frame"),
    ],
)
def test_unusable_arrays_are_refused(reference: Array, converted: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        log_spectral_distance_db(reference, converted)
