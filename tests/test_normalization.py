"""Statistics and the transforms built on them: properties, and numpy's own formulas."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from vcbench.errors import DataError
from vcbench.normalization import SpeakerStatistics, continuous_log_f0, convert_f0

Array = NDArray[np.float64]

# Nothing may divide by zero, overflow or be invalid; squares of tiny numbers may vanish.
LOUD: dict = {"divide": "raise", "over": "raise", "invalid": "raise"}


@dataclass(frozen=True)
class Speech:
    """One utterance's features."""

    f0_hz: Array
    mcep: Array


@st.composite
def utterances(draw: st.DrawFn) -> list[Speech]:
    """One to four utterances of three coefficients, at least one frame of them voiced."""
    found = []
    for index in range(draw(st.integers(1, 4))):
        frames = draw(st.integers(1, 20))
        mcep = draw(hnp.arrays(np.float64, (frames, 3), elements=st.floats(-50, 50)))
        pitch = st.one_of(st.just(0.0), st.floats(50, 900))
        f0_hz = draw(hnp.arrays(np.float64, frames, elements=pitch))
        if index == 0:
            f0_hz[0] = 100.0
        found.append(Speech(f0_hz, mcep))
    return found


def statistics(
    log_f0_mean: float = 5.0, log_f0_std: float = 0.3, scale: float = 1.0
) -> SpeakerStatistics:
    return SpeakerStatistics(
        scale * np.array([1.0, -2.0]),
        scale * np.array([0.5, 3.0]),
        log_f0_mean,
        log_f0_std,
        continuous_log_f0_mean=log_f0_mean + 0.1,
        continuous_log_f0_std=log_f0_std / 2,
    )


# Speakers: log F0 means of 50 to 500 Hz.
SPEAKERS = st.builds(statistics, st.floats(3.9, 6.2), st.floats(0.01, 0.6), st.floats(0.1, 10))


@given(utterances())
def test_statistics_are_numpys_over_all_frames_together(speech: list[Speech]) -> None:
    with np.errstate(**LOUD):
        found = SpeakerStatistics.from_features(speech)
    frames = np.concatenate([u.mcep for u in speech])
    np.testing.assert_allclose(found.mcep_mean, np.mean(frames, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.mcep_std, np.std(frames, axis=0), atol=1e-7)
    voiced = [np.log(f) for u in speech for f in u.f0_hz if f > 0]
    assert found.log_f0_mean == pytest.approx(np.mean(voiced), abs=1e-12)
    assert found.log_f0_std == pytest.approx(np.std(voiced), abs=1e-12)


@given(utterances())
def test_frames_weigh_alike_however_they_are_cut_into_utterances(speech: list[Speech]) -> None:
    whole = Speech(
        np.concatenate([u.f0_hz for u in speech]), np.concatenate([u.mcep for u in speech])
    )
    parts, one = SpeakerStatistics.from_features(speech), SpeakerStatistics.from_features([whole])
    # Continuous log F0 does depend on where an utterance ends: it is not interpolated beyond.
    cut = {"continuous_log_f0_mean", "continuous_log_f0_std"}
    assert one.to_json().keys() > cut
    for name in one.to_json().keys() - cut:
        assert parts.to_json()[name] == one.to_json()[name]


@given(utterances())
def test_normalising_gives_zero_mean_and_unit_variance_and_can_be_undone(
    speech: list[Speech],
) -> None:
    found = SpeakerStatistics.from_features(speech)
    frames = np.concatenate([u.mcep for u in speech])
    with np.errstate(**LOUD):
        normalized = found.normalize(frames)
        back = found.denormalize(normalized)
    np.testing.assert_allclose(back, frames, atol=1e-9)
    moving = np.std(frames, axis=0) > 1e-3
    np.testing.assert_allclose(normalized.mean(axis=0)[moving], 0, atol=1e-9)
    np.testing.assert_allclose(normalized.std(axis=0)[moving], 1, rtol=1e-9)


def test_a_coefficient_that_never_moves_is_no_division_by_zero() -> None:
    speech = Speech(np.full(5, 100.0), np.full((5, 2), 0.1))
    with np.errstate(**LOUD):
        found = SpeakerStatistics.from_features([speech])
        normalized = found.normalize(speech.mcep)
    np.testing.assert_allclose(normalized, 0, atol=1e-6)
    np.testing.assert_allclose(found.denormalize(normalized), speech.mcep)


def test_a_speaker_without_a_voiced_frame_has_no_statistics() -> None:
    speech = [Speech(np.zeros(4), np.ones((4, 2)))] * 3
    with pytest.raises(DataError, match="no voiced frame in 3 utterances"):
        SpeakerStatistics.from_features(speech)


@given(utterances())
def test_json_and_back_is_exact(speech: list[Speech]) -> None:
    found = SpeakerStatistics.from_features(speech)
    again = SpeakerStatistics.from_json(json.loads(json.dumps(found.to_json())))
    np.testing.assert_array_equal(again.mcep_mean, found.mcep_mean)
    np.testing.assert_array_equal(again.mcep_std, found.mcep_std)
    for name in ("log_f0_mean", "log_f0_std", "continuous_log_f0_mean", "continuous_log_f0_std"):
        assert getattr(again, name) == getattr(found, name)


PITCH = hnp.arrays(
    np.float64, st.integers(0, 40), elements=st.one_of(st.just(0.0), st.floats(60, 800))
)


@given(PITCH, SPEAKERS, SPEAKERS)
def test_f0_is_the_log_gaussian_formula_where_voiced_and_zero_elsewhere(
    f0_hz: Array, source: SpeakerStatistics, target: SpeakerStatistics
) -> None:
    with np.errstate(**LOUD):
        found = convert_f0(f0_hz, source=source, target=target)
    expected = [
        np.exp(
            target.log_f0_mean
            + target.log_f0_std / source.log_f0_std * (np.log(f) - source.log_f0_mean)
        )
        if f > 0
        else 0.0
        for f in f0_hz
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_array_equal(found > 0, f0_hz > 0)


@given(PITCH, SPEAKERS)
def test_to_the_same_speaker_f0_stays(f0_hz: Array, speaker: SpeakerStatistics) -> None:
    found = convert_f0(f0_hz, source=speaker, target=speaker)
    np.testing.assert_allclose(found, f0_hz, rtol=1e-12)


@given(PITCH, SPEAKERS, SPEAKERS)
def test_a_mean_shift_multiplies_f0_by_one_factor(
    f0_hz: Array, source: SpeakerStatistics, target: SpeakerStatistics
) -> None:
    with np.errstate(**LOUD):
        found = convert_f0(f0_hz, source=source, target=target, pitch="mean-shift")
    factor = np.exp(target.log_f0_mean - source.log_f0_mean)
    np.testing.assert_allclose(found, factor * f0_hz, rtol=1e-9)


@given(utterances(), SPEAKERS)
def test_a_mean_shift_gives_the_targets_mean_and_keeps_the_sources_deviation(
    speech: list[Speech], target: SpeakerStatistics
) -> None:
    source = SpeakerStatistics.from_features(speech)
    converted = [
        Speech(convert_f0(u.f0_hz, source=source, target=target, pitch="mean-shift"), u.mcep)
        for u in speech
    ]
    found = SpeakerStatistics.from_features(converted)
    assert found.log_f0_mean == pytest.approx(target.log_f0_mean, abs=1e-6)
    assert found.log_f0_std == pytest.approx(source.log_f0_std, abs=1e-6)


@given(utterances(), SPEAKERS)
def test_converted_f0_has_the_targets_statistics(
    speech: list[Speech], target: SpeakerStatistics
) -> None:
    source = SpeakerStatistics.from_features(speech)
    assume(source.log_f0_std > 1e-3)  # one pitch has no spread that could be matched: see below
    with np.errstate(**LOUD):
        converted = [
            Speech(convert_f0(u.f0_hz, source=source, target=target), u.mcep) for u in speech
        ]
    found = SpeakerStatistics.from_features(converted)
    assert found.log_f0_mean == pytest.approx(target.log_f0_mean, abs=1e-6)
    assert found.log_f0_std == pytest.approx(target.log_f0_std, abs=1e-6)


@pytest.mark.parametrize("frames", [1, 3, 7, 100, 999])
@pytest.mark.parametrize("pitch_hz", [77.7, 100.0, 123.4, 200.3])
def test_a_monotone_source_is_only_shifted(pitch_hz: float, frames: int) -> None:
    """The deviation of equal values is 0 or what rounding leaves, and no number to divide by."""
    speech = Speech(np.full(frames, pitch_hz), np.ones((frames, 2)))
    source = SpeakerStatistics.from_features([speech])
    target = statistics(log_f0_mean=5.3, log_f0_std=0.3)
    with np.errstate(**LOUD):
        found = convert_f0(speech.f0_hz, source=source, target=target)
        other = convert_f0(2 * speech.f0_hz, source=source, target=target)
    np.testing.assert_allclose(found, np.exp(5.3))
    np.testing.assert_allclose(other, 2 * np.exp(5.3))


def interpolated(f0_hz: Array) -> list[float]:
    """Frame by frame: the voiced frames on either side, weighed by how near they are."""
    voiced = [i for i, f in enumerate(f0_hz) if f > 0]
    found = []
    for i in range(len(f0_hz)):
        left = max((v for v in voiced if v <= i), default=voiced[0])
        right = min((v for v in voiced if v >= i), default=voiced[-1])
        share = (i - left) / (right - left) if right > left else 0.0
        found.append((1 - share) * np.log(f0_hz[left]) + share * np.log(f0_hz[right]))
    return found


@given(PITCH)
def test_continuous_log_f0_is_linear_between_voiced_frames_and_held_at_the_edges(
    f0_hz: Array,
) -> None:
    assume((f0_hz > 0).any())
    with np.errstate(**LOUD):
        found = continuous_log_f0(f0_hz)
    np.testing.assert_allclose(found, interpolated(f0_hz), rtol=1e-12)


def test_continuous_log_f0_of_an_example() -> None:
    found = continuous_log_f0(np.array([0, 0, 100.0, 0, 0, 0, 200.0, 200.0, 0]))
    expected = 100.0 * 2 ** np.array([0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1])
    np.testing.assert_allclose(np.exp(found), expected)


@given(utterances())
def test_log_f0_is_one_more_value_normalised_over_all_frames(speech: list[Speech]) -> None:
    voiced = [u for u in speech if (u.f0_hz > 0).any()]
    found = SpeakerStatistics.from_features(speech)
    tracks = np.concatenate([interpolated(u.f0_hz) for u in voiced])
    assert found.continuous_log_f0_mean == pytest.approx(np.mean(tracks), abs=1e-9)
    assert found.continuous_log_f0_std == pytest.approx(np.std(tracks), abs=1e-6)
    assume(np.std(tracks) > 1e-3)
    with np.errstate(**LOUD):
        frames = [found.normalize_frames(u, pitch="cyclegan") for u in speech]
    for u, seen in zip(speech, frames, strict=True):
        assert seen.shape == (len(u.mcep), 4)
        for pitch in ("log-gaussian", "mean-shift"):
            np.testing.assert_array_equal(
                found.normalize_frames(u, pitch=pitch), found.normalize(u.mcep)
            )
        np.testing.assert_array_equal(seen[:, :3], found.normalize(u.mcep))
        if not (u.f0_hz > 0).any():
            np.testing.assert_array_equal(seen[:, 3], 0)
    pooled = np.concatenate(
        [seen[:, 3] for u, seen in zip(speech, frames, strict=True) if (u.f0_hz > 0).any()]
    )
    np.testing.assert_allclose((pooled.mean(), pooled.std()), (0, 1), atol=1e-6)
    back = found.denormalize_log_f0(pooled)
    np.testing.assert_allclose(back, tracks, atol=1e-9)


def test_a_monotone_speakers_log_f0_is_no_division_by_zero() -> None:
    speech = Speech(np.full(7, 77.7), np.ones((7, 2)))
    with np.errstate(**LOUD):
        found = SpeakerStatistics.from_features([speech])
        seen = found.normalize_frames(speech, pitch="cyclegan")
    np.testing.assert_allclose(seen[:, 2], 0, atol=1e-6)
    np.testing.assert_allclose(np.exp(found.denormalize_log_f0(seen[:, 2])), 77.7)
