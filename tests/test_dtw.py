"""DTW against a plain double loop and fastdtw."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from fastdtw import fastdtw
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vcbench import dtw
from vcbench.dtw import dtw_path
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


@unhurried
@given(small_integers, st.integers(1, 12))
def test_the_path_does_not_depend_on_the_blocks(pair: tuple[Array, Array], block: int) -> None:
    """Whether moves are kept or computed again: to the frame, where many paths tie."""
    whole = dtw_path(*pair)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dtw, "_BLOCK", block)
        assert np.array_equal(dtw_path(*pair), whole)


@pytest.mark.parametrize(("n", "m"), [(2400, 2200), (100, 1500), (1500, 100)])
def test_long_sequences_need_the_memory_of_a_block(
    monkeypatch: pytest.MonkeyPatch, n: int, m: int
) -> None:
    rng = np.random.default_rng(n)
    pair = rng.normal(size=(n, 1)), rng.normal(size=(m, 1))
    whole = dtw_path(*pair)
    monkeypatch.setattr(dtw, "_BLOCK", 256)
    tracemalloc.start()
    try:
        path = dtw_path(*pair)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(path, whole)
    rows = 16 * n * ((n + m) // 256 + 1)
    # Moves of a triangle, rows of costs, and what is in proportion to the lengths.
    assert peak < 256**2 // 2 + rows + 180 * (n + m)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_path_is_as_cheap_as_that_of_librosa(seed: int) -> None:
    from librosa.sequence import dtw as librosa_dtw

    rng = np.random.default_rng(seed)
    reference, converted = (
        rng.normal(size=(n, 24)).cumsum(axis=0) for n in rng.integers(200, 900, 2)
    )
    costs, path = librosa_dtw(reference.T, converted.T, metric="euclidean")
    ours = dtw_path(reference, converted)
    assert cost_of(ours, reference, converted) == pytest.approx(costs[-1, -1], rel=1e-12)
    assert np.array_equal(ours, path[::-1])  # no ties among real numbers


def test_too_long_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtw, "MAXIMUM_FRAME_PAIRS", 99)
    assert len(dtw_path(np.zeros((9, 1)), np.zeros((11, 1)))) == 11
    with pytest.raises(DataError, match="10 x 10 frames, at most 99 pairs"):
        dtw_path(np.zeros((10, 1)), np.zeros((10, 1)))
    with pytest.raises(DataError, match="too long"):  # an hour if it were tried
        monkeypatch.undo()
        dtw_path(np.zeros((720_000, 1)), np.zeros((72_000, 1)))
