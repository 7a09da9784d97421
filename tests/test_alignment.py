"""The gate and the aligned pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vcbench.alignment import AlignedPair, Analysis, align
from vcbench.errors import DataError

Array = NDArray[np.float64]


def analysis(seed: int, frames: int, speech: NDArray[np.bool_] | None = None) -> Analysis:
    rng = np.random.default_rng(seed)
    mask = np.ones(frames, dtype=bool) if speech is None else speech
    return Analysis(rng.normal(size=(frames, 4)), rng.uniform(80, 200, frames), mask, 5.0)


def test_align_drops_frames_below_the_gate_on_each_side() -> None:
    speech = np.array([False, True, True, False, True, False])
    reference, converted = analysis(0, 6, speech), analysis(1, 5)
    pair = align(reference, converted)
    assert np.array_equal(pair.reference.mcep, reference.mcep[speech])
    assert np.array_equal(pair.reference.f0_hz, reference.f0_hz[speech])
    assert pair.reference.speech.all() and len(pair.reference.speech) == 3
    assert np.array_equal(pair.converted.mcep, converted.mcep)
    assert pair.path.max(axis=0).tolist() == [2, 4]


def test_align_does_not_look_at_the_level() -> None:
    reference, converted = analysis(0, 30), analysis(1, 35)
    louder = converted.mcep.copy()
    louder[:, 0] += np.linspace(0, 50, 35)
    other = Analysis(louder, converted.f0_hz, converted.speech, 5.0)
    assert np.array_equal(align(reference, converted).path, align(reference, other).path)


@pytest.mark.parametrize("side", ["reference", "converted"])
def test_align_without_speech_names_the_side(side: str) -> None:
    silent = analysis(0, 6, np.zeros(6, dtype=bool))
    pair = (silent, analysis(1, 5)) if side == "reference" else (analysis(1, 5), silent)
    with pytest.raises(DataError, match=f"above the gate: none of the {side}'s 6 frames"):
        align(*pair)


def test_aligned_arrays_follow_the_path() -> None:
    reference, converted = analysis(0, 3), analysis(1, 2)
    pair = AlignedPair(reference, converted, np.array([[0, 0], [1, 0], [2, 1]]))
    assert np.array_equal(pair.mcep[0], reference.mcep)
    assert np.array_equal(pair.mcep[1], converted.mcep[[0, 0, 1]])
    assert np.array_equal(pair.f0_hz[0], reference.f0_hz)
    assert np.array_equal(pair.f0_hz[1], converted.f0_hz[[0, 0, 1]])


def test_every_array_of_a_frame_is_gated_together() -> None:
    speech = np.array([False, True, True, False, True])
    plain = analysis(0, 5, speech)
    arrays = {
        "power_spectrum": np.arange(15.0).reshape(5, 3),
        "dtw_features": np.arange(10.0).reshape(5, 2),
        "mcd_features": np.arange(5.0)[:, None],
    }
    gated = replace(plain, **arrays).gated()
    for name, array in arrays.items():
        assert np.array_equal(getattr(gated, name), array[speech])
    assert plain.gated().power_spectrum is None


def test_path_and_distance_see_what_the_protocol_gives_them() -> None:
    """The path by one array, the distance over another, and c1 to c_order where it gives none."""
    reference, converted = analysis(0, 12), analysis(1, 15)
    pair = align(reference, converted)
    assert np.array_equal(pair.mcd_features[0], pair.mcep[0][:, 1:])
    given = [replace(side, dtw_features=side.mcep[:, :1]) for side in (reference, converted)]
    by_level = align(*given)
    assert not np.array_equal(by_level.path, pair.path)
    assert np.array_equal(by_level.mcd_features[1], by_level.mcep[1][:, 1:])
    given = [replace(side, mcd_features=side.mcep[:, :2]) for side in given]
    assert np.array_equal(align(*given).path, by_level.path)
    assert np.array_equal(align(*given).mcd_features[1], by_level.mcep[1][:, :2])


def test_envelopes_follow_the_path_and_are_absent_where_a_side_has_none() -> None:
    sides = [
        replace(analysis(n, n), power_spectrum=np.arange(n * 2.0).reshape(n, 2)) for n in (6, 9)
    ]
    pair = align(*sides)
    envelopes = pair.power_spectrum
    assert envelopes is not None
    for side, envelope, frames in zip(sides, envelopes, pair.path.T, strict=True):
        assert side.power_spectrum is not None
        assert np.array_equal(envelope, side.power_spectrum[frames])
    assert align(sides[0], analysis(3, 9)).power_spectrum is None


def test_f0_has_a_path_of_its_own_where_the_protocol_says_so() -> None:
    pitch = [analysis(seed, frames) for seed, frames in ((5, 8), (6, 11))]
    sides = [replace(analysis(n, n), pitch=own) for n, own in zip((6, 9), pitch, strict=True)]
    pair, own = align(*sides), align(*pitch)
    assert np.array_equal(pair.f0_hz[0], own.f0_hz[0]) and len(pair.f0_hz[0]) == len(own.path)
    assert len(pair.voiced[0]) == len(pair.path) != len(own.path)
