"""The crop stream: the same for every system, fair to every utterance, uniform, resumable."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from vcbench.errors import DataError
from vcbench.training.crops import BLOCK, CropStream, chained

unhurried = settings(deadline=None, max_examples=30)  # a busy machine is no failure

ARGUMENTS: dict[str, Any] = {
    "pair": "SF1-TM3",
    "seed": 0,
    "lengths_source": [200, 128, 301, 150, 777],
    "lengths_target": [129, 400, 256],
    "segment_frames": 128,
    "batch_size": 1,
    "crops": "fresh",
    "pairing": "independent",
}


def stream(**changes: Any) -> CropStream:
    return CropStream(**{**ARGUMENTS, **changes})


def first_crops(count: int, **changes: Any) -> np.ndarray:
    """(count, batch_size, 4)."""
    blocks = [stream(**changes).block(index) for index in range(-(-count // BLOCK))]
    return np.concatenate(blocks)[:count]


def test_nothing_but_the_data_decides_it() -> None:
    known = set(inspect.signature(CropStream).parameters)
    assert known == set(ARGUMENTS)
    np.testing.assert_array_equal(first_crops(3000), first_crops(3000))


def test_the_stream_of_one_seed_for_all_time() -> None:
    # NumPy may change what a generator draws from one version to another; then cells of different
    # versions are not comparable, and this tells.
    expected = "dc55261d3f572ceec631539c8647732e2133c4f250df483e4e9f5b6d2de2e5c9"
    assert hashlib.sha256(first_crops(2500).astype("<i8").tobytes()).hexdigest() == expected


def test_the_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()
    first_crops(100)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_the_defaults_are_the_papers() -> None:
    defaults = {key: ARGUMENTS[key] for key in ARGUMENTS if key not in ("crops", "pairing")}
    np.testing.assert_array_equal(CropStream(**defaults).block(1), stream().block(1))


CROPS, PAIRING = st.sampled_from(("fresh", "fixed")), st.sampled_from(("independent", "same-index"))


lengths = st.lists(st.integers(20, 90), min_size=1, max_size=12)


@unhurried
@given(lengths, lengths, st.integers(1, 20), st.integers(1, 4), st.integers(0, 2**31), CROPS)
def test_crops_lie_inside_and_utterances_come_equally_often(
    source: list[int], target: list[int], segment: int, batch_size: int, seed: int, how: str
) -> None:
    crops = stream(
        crops=how,
        lengths_source=source,
        lengths_target=target,
        segment_frames=segment,
        batch_size=batch_size,
        seed=seed,
    )
    for index in (0, 1):
        block = crops.block(index)
        assert block.shape == (BLOCK, batch_size, 4)
        for all_lengths, column in ((source, 0), (target, 2)):
            drawn, begin = block[..., column].ravel(), block[..., column + 1].ravel()
            assert (begin >= 0).all()
            assert (begin + segment <= np.asarray(all_lengths)[drawn]).all()
            counts = np.bincount(drawn, minlength=len(all_lengths))
            assert counts.max() - counts.min() <= 1


def test_every_round_holds_each_utterance_once() -> None:
    utterances = first_crops(50)[:, 0, 0]
    rounds = [sorted(utterances[i : i + 5]) for i in range(0, 50, 5)]
    assert rounds == 10 * [[0, 1, 2, 3, 4]]
    assert len({tuple(utterances[i : i + 5]) for i in range(0, 50, 5)}) > 1


def places(block: np.ndarray, column: int) -> dict[int, set[int]]:
    """{utterance: the first frames at which it is cut}."""
    found: dict[int, set[int]] = {}
    for utterance, first in block[..., column : column + 2].reshape(-1, 2).tolist():
        found.setdefault(utterance, set()).add(first)
    return found


@unhurried
@given(lengths, lengths, st.integers(1, 3), st.integers(0, 2**31), PAIRING)
def test_fixed_crops_stay_where_they_are_over_iterations_and_blocks(
    source: list[int], target: list[int], batch_size: int, seed: int, pairing: str
) -> None:
    options = {
        "lengths_source": source,
        "lengths_target": target,
        "segment_frames": 20,
        "batch_size": batch_size,
        "seed": seed,
        "pairing": pairing,
    }
    crops, fresh = (stream(crops=how, **options) for how in ("fixed", "fresh"))
    blocks = np.concatenate([crops.block(0), crops.block(1), crops.block(70)])
    for column, all_lengths in ((0, source), (2, target)):
        found = places(blocks, column)
        assert found.keys() == set(range(len(all_lengths)))
        assert all(len(first) == 1 for first in found.values())
    # The utterances themselves come as with fresh crops.
    np.testing.assert_array_equal(crops.block(1)[..., ::2], fresh.block(1)[..., ::2])


def test_a_fixed_crop_is_another_for_each_seed_and_speaker() -> None:
    same = {"lengths_source": [128 + 10**6], "lengths_target": [128 + 10**6], "crops": "fixed"}
    starts = [
        stream(seed=seed, pair=pair, **same).block(0)[0, 0, column]
        for seed in (0, 1)
        for pair in ("SF1-TM3", "SF1-TM2")
        for column in (1, 3)
    ]
    assert len(set(starts)) == 8


def test_fixed_crops_are_uniform_over_the_utterances() -> None:
    many = {"lengths_source": [137] * 5000, "lengths_target": [137] * 5000, "crops": "fixed"}
    block = stream(batch_size=5, **many).block(0)
    for column in (0, 2):
        drawn = [first for (first,) in places(block, column).values()]
        assert len(drawn) == 5000
        counts = np.bincount(drawn, minlength=10)
        assert len(counts) == 10
        assert scipy.stats.chisquare(counts).pvalue > 0.001


@unhurried
@given(lengths, lengths, st.integers(1, 4), st.integers(0, 2**31), CROPS)
def test_same_index_pairs_utterances_by_their_index(
    source: list[int], target: list[int], batch_size: int, seed: int, how: str
) -> None:
    crops = stream(
        lengths_source=source,
        lengths_target=target,
        segment_frames=20,
        batch_size=batch_size,
        seed=seed,
        crops=how,
        pairing="same-index",
    )
    for index in (0, 1):
        block = crops.block(index).reshape(-1, 4)
        longer, shorter = block[:, 0], block[:, 2]
        if len(source) < len(target):
            longer, shorter = shorter, longer
        sizes = sorted((len(source), len(target)))
        np.testing.assert_array_equal(shorter, longer % sizes[0])
        counts = np.bincount(longer, minlength=sizes[1])
        assert counts.max() - counts.min() <= 1
        for all_lengths, column in ((source, 0), (target, 2)):
            assert (block[:, column + 1] >= 0).all()
            assert (block[:, column + 1] + 20 <= np.asarray(all_lengths)[block[:, column]]).all()


def test_same_index_cuts_a_sentence_at_independent_places() -> None:
    both = {"lengths_source": [168, 168], "lengths_target": [168, 168], "pairing": "same-index"}
    blocks = np.concatenate([stream(**both).block(i)[:, 0] for i in range(20)])
    np.testing.assert_array_equal(blocks[:, 0], blocks[:, 2])
    assert abs(np.corrcoef(blocks[:, 1], blocks[:, 3])[0, 1]) < 0.03


@pytest.mark.parametrize("column", [1, 3])
def test_first_frames_are_uniform(column: int) -> None:
    # 41 places to begin; with this seed the test is as good as any single draw.
    crops = np.stack(
        [stream(lengths_source=[168], lengths_target=[168]).block(i)[:, 0] for i in range(20)]
    )
    counts = np.bincount(crops[..., column].ravel(), minlength=41)
    assert len(counts) == 41
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_the_speakers_are_drawn_independently() -> None:
    blocks = np.concatenate([stream().block(i)[:, 0] for i in range(20)])
    table = np.histogram2d(blocks[:, 0], blocks[:, 2], bins=(5, 3))[0]
    assert scipy.stats.chi2_contingency(table).pvalue > 0.001
    same = np.concatenate(
        [
            stream(lengths_source=[168, 168], lengths_target=[168, 168]).block(i)[:, 0]
            for i in range(20)
        ]
    )
    assert abs(np.corrcoef(same[:, 1], same[:, 3])[0, 1]) < 0.03


CHANGES: list[dict[str, Any]] = [
    {"pair": "SF1-TM2"},
    {"seed": 1},
    {"lengths_source": [200, 128, 301, 150, 776]},
    {"lengths_target": [129, 400]},
    {"segment_frames": 127},
    {"batch_size": 2},
    {"crops": "fixed"},
    {"pairing": "same-index"},
]


def chain(crops: np.ndarray) -> str:
    sha256 = "00" * 32
    for crop in crops:
        sha256 = chained(sha256, crop)
    return sha256


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_the_chained_hash_tells_streams_apart(change: dict[str, Any]) -> None:
    assert chain(first_crops(500, **change)) != chain(first_crops(500))
    assert chain(first_crops(500)) == chain(first_crops(500))


def test_the_chained_hash_covers_every_crop_in_its_order() -> None:
    crops = first_crops(6)
    assert len({chain(crops[:n]) for n in range(7)}) == 7
    assert chain(crops[::-1]) != chain(crops)
    first = hashlib.sha256(bytes(32) + crops[0].astype("<i8").tobytes()).hexdigest()
    assert chain(crops[:1]) == first


@pytest.mark.parametrize(("speaker", "n"), [("lengths_source", 2), ("lengths_target", 0)])
def test_too_short_an_utterance(speaker: str, n: int) -> None:
    short = list(ARGUMENTS[speaker])
    short[n] = 127
    with pytest.raises(DataError) as caught:
        stream(**{speaker: short})
    message = f"utterance number {n} has 127 frames, fewer than segment_frames (128)"
    assert message in str(caught.value)
    assert "SF1-TM3" in str(caught.value)


def test_an_utterance_as_long_as_a_crop_has_one_crop() -> None:
    crops = first_crops(40, lengths_source=[128], lengths_target=[128])
    assert not crops.any()


def test_no_utterances() -> None:
    with pytest.raises(DataError, match="SF1-TM3: a speaker has no training utterances"):
        stream(lengths_target=[])
