"""DTW against a plain double loop and fastdtw; the gate; the aligned pair."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from fastdtw import fastdtw
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vcbench import alignment
from vcbench.alignment import AlignedPair, Analysis, align, dtw_path
from vcbench.errors import DataError

Array = NDArray[np.float64]
unhurried = settings(deadline=None)  # a busy machine is no failure


def plain_dtw(reference: Array, converted: Array) -> tuple[float, list[tuple[int, int]]]:
    """Least cost and path by the textbook loop; ties go to the diagonal, then to (1, 0)."""
    cost: dict[tuple[int, int], float] = {(-1, -1): 0.0}
    came: dict[tuple[int, int], tuple[int, int]] = {}
    for i, j in itertools.product(range(len(reference)), range(len(converted))):
        steps = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        came[i, j] = min(steps, key=lambda step: cost.get(step, np.inf))
        distance = float(np.linalg.norm(reference[i] - converted[j]))
        cost[i, j] = cost[came[i, j]] + distance
    at = (len(reference) - 1, len(converted) - 1)
    path = []
    while at != (-1, -1):
        path.append(at)
        at = came[at]
    return cost[path[0]], path[::-1]


def cost_of(path: NDArray[np.intp], reference: Array, converted: Array) -> float:
    return float(np.linalg.norm(reference[path[:, 0]] - converted[path[:, 1]], axis=1).sum())


def sequences(elements: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[Array, Array]]:
    lengths = st.integers(1, 16)

    def pair(shape: tuple[int, int, int]) -> st.SearchStrategy[tuple[Array, Array]]:
        n, m, d = shape
        return st.tuples(
            arrays(np.float64, (n, d), elements=elements),
            arrays(np.float64, (m, d), elements=elements),
        )

    return st.tuples(lengths, lengths, st.integers(1, 3)).flatmap(pair)


reals = sequences(st.floats(-100, 100, allow_nan=False, width=32))
small_integers = sequences(st.integers(-2, 2).map(float))


@unhurried
@given(reals)
def test_cost_equals_that_of_the_textbook_loop(pair: tuple[Array, Array]) -> None:
    cost, _ = plain_dtw(*pair)
    assert cost_of(dtw_path(*pair), *pair) == pytest.approx(cost, rel=1e-12, abs=1e-12)


@unhurried
@given(st.lists(st.integers(-2, 2), min_size=1, max_size=20), st.data())
def test_path_equals_that_of_the_textbook_loop_where_many_paths_tie(
    values: list[int], data: st.DataObject
) -> None:
    other = data.draw(st.lists(st.integers(-2, 2), min_size=1, max_size=20))
    # One-dimensional integers have exact distances, so that ties are true ties on both sides.
    pair = np.array(values, float)[:, None], np.array(other, float)[:, None]
    _, path = plain_dtw(*pair)
    assert [tuple(step) for step in dtw_path(*pair)] == path


@unhurried
@given(small_integers)
def test_path_is_complete_monotone_and_without_gaps(pair: tuple[Array, Array]) -> None:
    path = dtw_path(*pair)
    assert tuple(path[0]) == (0, 0)
    assert tuple(path[-1]) == (len(pair[0]) - 1, len(pair[1]) - 1)
    assert {tuple(step) for step in np.diff(path, axis=0)} <= {(1, 1), (1, 0), (0, 1)}


@unhurried
@given(reals)
def test_cost_is_symmetric(pair: tuple[Array, Array]) -> None:
    reference, converted = pair
    there = cost_of(dtw_path(reference, converted), reference, converted)
    back = cost_of(dtw_path(converted, reference), converted, reference)
    assert there == pytest.approx(back, rel=1e-12, abs=1e-12)


@unhurried
@given(reals)
def test_a_sequence_and_itself_are_matched_frame_by_frame(pair: tuple[Array, Array]) -> None:
    frames = np.arange(len(pair[0]))
    assert np.array_equal(dtw_path(pair[0], pair[0].copy()), np.column_stack([frames, frames]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 90), st.integers(20, 90))
def test_cost_is_never_above_fastdtw(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(n, 4)).cumsum(axis=0)
    converted = rng.normal(size=(m, 4)).cumsum(axis=0)
    approximate, _ = fastdtw(reference, converted, radius=1, dist=2)
    exact = cost_of(dtw_path(reference, converted), reference, converted)
    assert exact <= approximate * (1 + 1e-12)


def test_ties_go_to_the_diagonal() -> None:
    path = dtw_path(np.zeros((3, 2)), np.zeros((5, 2)))
    assert path.tolist() == [[0, 0], [0, 1], [0, 2], [1, 3], [2, 4]]


def test_without_a_diagonal_ties_go_to_the_reference() -> None:
    reference, converted = np.array([[2.0], [0.0], [2.0]]), np.array([[-1.0], [2.0], [-1.0]])
    path = dtw_path(reference, converted)  # the last pair costs as much from (1, 2) as from (2, 1)
    assert path.tolist() == [[0, 0], [0, 1], [1, 2], [2, 2]]
    assert [tuple(step) for step in path] == plain_dtw(reference, converted)[1]


def test_warping_undoes_a_stretch() -> None:
    frames = np.random.default_rng(3).normal(size=(40, 5))
    slow = np.repeat(frames, 3, axis=0)
    path = dtw_path(slow, frames)
    assert np.array_equal(slow[path[:, 0]], frames[path[:, 1]])


@pytest.mark.parametrize(
    ("reference", "converted", "message"),
    [
        (np.zeros((0, 2)), np.zeros((3, 2)), "no frames"),
        (np.zeros((3, 2)), np.zeros((3, 4)), r"\(3, 2\).*\(3, 4\)"),
        (np.zeros(3), np.zeros(3), "dimensions"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "NaN"),
        (np.zeros((3, 2)), np.full((3, 2), np.inf), "infinite"),
    ],
)
def test_what_cannot_be_aligned_is_named(reference: Array, converted: Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        dtw_path(reference, converted)


def test_too_long_is_refused_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "MAXIMUM_FRAME_PAIRS", 99)
    assert len(dtw_path(np.zeros((9, 1)), np.zeros((11, 1)))) == 11
    with pytest.raises(DataError, match="10 x 10 frames, at most 99 pairs"):
        dtw_path(np.zeros((10, 1)), np.zeros((10, 1)))
    with pytest.raises(DataError, match="too long"):  # 8 GiB if it were tried
        monkeypatch.undo()
        dtw_path(np.zeros((120_000, 1)), np.zeros((72_000, 1)))


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
