"""Speaker similarity without weights: its parts, and its equal error rate on VCC2016."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from metrics.speaker_similarity import (
    Scale,
    cosine,
    embed,
    enrol,
    equal_error_rate,
)
from vcbench import audio, protocols

Array = NDArray[np.float64]

PROTOCOL = protocols.get("vcbench-1")
SPEAKERS = ("SF1", "SM1", "TF2", "TM3")
scores = st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=30).map(np.array)


def test_an_embedding_is_means_then_deviations() -> None:
    mcep = np.array([[0.0, 1.0], [6.0, 1.0]])
    assert embed(mcep).tolist() == [3.0, 1.0, 3.0, 0.0]


def test_scaled_embeddings_have_mean_0_and_deviation_1() -> None:
    training = np.random.default_rng(0).normal(3, 2, size=(50, 6))
    scaled = Scale.of(training)(training)
    assert scaled.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert scaled.std(axis=0) == pytest.approx(1)
    with pytest.raises(ValueError, match="must differ between utterances"):
        Scale.of(np.ones((5, 6)))


def test_a_speakers_embedding_is_the_mean_of_the_utterances_on_the_scale_of_all() -> None:
    rng = np.random.default_rng(1)
    spoken = {"a": [rng.normal(size=(n, 3)) for n in (5, 50)], "b": [rng.normal(2, 3, (9, 3))]}
    scale, voices = enrol(spoken)
    found = np.array([embed(x) for x in [*spoken["a"], *spoken["b"]]])
    scaled = (found - found.mean(axis=0)) / found.std(axis=0)
    assert scale(found) == pytest.approx(scaled)
    assert voices["a"] == pytest.approx((scaled[0] + scaled[1]) / 2)
    assert voices["b"] == pytest.approx(scaled[2])
    with pytest.raises(ValueError, match="speaker 'c' has no utterance"):
        enrol({**spoken, "c": []})


def test_of_two_speakers_with_as_much_speech_the_one_is_the_others_opposite() -> None:
    rng = np.random.default_rng(2)
    spoken = {
        name: [rng.normal(m, 1, (40, 4)) for _ in range(6)] for name, m in (("a", 0), ("b", 1))
    }
    scale, voices = enrol(spoken)
    said = scale(embed(rng.normal(0.3, 1, (40, 4))))
    assert cosine(voices["a"], said) == pytest.approx(-cosine(voices["b"], said))


def test_cosine_of_known_angles() -> None:
    assert cosine(np.array([1.0, 1.0]), np.array([3.0, 3.0])) == pytest.approx(1.0)
    assert cosine(np.array([1.0, 0.0]), np.array([-2.0, 0.0])) == -1.0
    assert cosine(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(math.sqrt(0.5))
    assert math.isnan(cosine(np.zeros(2), np.ones(2)))
    with pytest.raises(ValueError, match="equal"):
        cosine(np.ones(2), np.ones(3))


def test_error_rate_of_separated_alike_and_exchanged_scores() -> None:
    low, high = np.linspace(0, 0.4, 20), np.linspace(0.6, 1, 30)
    assert equal_error_rate(high, low) == 0.0
    assert equal_error_rate(low, high) == pytest.approx(1.0)
    assert equal_error_rate(low, low) == pytest.approx(0.5, abs=0.05)


@given(scores, scores)
def test_error_rate_equals_that_of_scikit_learns_roc_curve(same: Array, different: Array) -> None:
    truth = np.r_[np.ones(len(same)), np.zeros(len(different))]
    let_in, accepted, _ = roc_curve(truth, np.r_[same, different], drop_intermediate=False)
    refused = 1 - accepted
    gaps = np.abs(refused - let_in)
    # Two thresholds can be equally near; both are right.
    expected = ((refused + let_in) / 2)[np.isclose(gaps, gaps.min())]
    assert np.isclose(equal_error_rate(same, different), expected).any()


@pytest.mark.parametrize("bad", [np.zeros(0), np.array([np.nan]), np.zeros((2, 2))])
def test_unusable_scores_are_refused(bad: Array) -> None:
    with pytest.raises(ValueError, match="similarities"):
        equal_error_rate(bad, np.ones(2))
    with pytest.raises(ValueError, match="similarities"):
        equal_error_rate(np.ones(2), bad)


@pytest.mark.parametrize(
    ("mcep", "message"),
    [
        (np.zeros(3), "frames, dimensions"),
        (np.zeros((1, 3)), "at least 2"),
        (np.full((3, 2), np.inf), "infinite"),
    ],
)
def test_unusable_mel_cepstra_are_refused(mcep: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed(mcep)


def speech(data_dir: Path, part: str, count: int) -> dict[str, list[Array]]:
    """Mel-cepstra, gated and without c0, of the first sentences of each speaker."""
    found: dict[str, list[Array]] = {}
    for speaker in SPEAKERS:
        folder = data_dir / "npVCC2016" / part / speaker / "wavs"
        if not folder.is_dir():
            pytest.skip("needs VCC2016 in the split of npVCC2016")
        found[speaker] = [
            PROTOCOL.analyze(audio.read(wav, sample_rate=16000), 16000).gated().mcep[:, 1:]
            for wav in sorted(folder.glob("*.wav"))[:count]
        ]
    return found


def rates(data_dir: Path, *, training: int, evaluation: int) -> dict[str, float]:
    """Equal error rates in percent: utterances against utterances, and against speakers."""
    scale, speakers = enrol(speech(data_dir, "trains", training))
    said = [
        (name, sentence, scale(embed(x)))
        for name, xs in speech(data_dir, "evals", evaluation).items()
        for sentence, x in enumerate(xs)
    ]
    pairs = [
        (a[0] == b[0], cosine(a[2], b[2]))
        for a, b in itertools.combinations(said, 2)
        if a[1] != b[1]
    ]
    trials = [
        (name == speaker, cosine(embedding, z))
        for name, _, z in said
        for speaker, embedding in speakers.items()
    ]
    return {
        kind: 100
        * equal_error_rate(
            np.array([s for same, s in found if same]),
            np.array([s for same, s in found if not same]),
        )
        for kind, found in (("utterances", pairs), ("speakers", trials))
    }


def test_an_utterance_is_nearest_to_its_own_speaker(vcc2016_dir: Path) -> None:
    """A speaker swap is what it is meant to see."""
    found = rates(vcc2016_dir, training=5, evaluation=3)
    assert found["speakers"] <= 13
    assert found["utterances"] < 35


@pytest.mark.slow
def test_the_equal_error_rates_that_the_module_states(
    vcc2016_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rates(vcc2016_dir, training=81, evaluation=54)
    with capsys.disabled():
        print("\nequal error rate, VCC2016: " + str({k: f"{v:.2f} %" for k, v in found.items()}))
    assert found["utterances"] == pytest.approx(15.1, abs=0.1)
    assert found["speakers"] == pytest.approx(0.9, abs=0.1)
