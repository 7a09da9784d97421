"""Training in sittings, points of learning curves, and when a curve has levelled off."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from home import Home
from hypothesis import given
from hypothesis import strategies as st
from tiny_cells import tiny_cell
from training.whole_trainings import assert_same_result

from vcbench import mapped, parallel
from vcbench.plugins import Registry
from vcbench.reference import curves as learning_curves
from vcbench.reference.__main__ import main
from vcbench.reporting import levelling
from vcbench.sittings import keep_points, points_of, train_in_sittings
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.files import CHECKPOINT
from vcbench.training.loop import train


@given(st.integers(1, 500), st.integers(1, 600))
def test_points_rise_to_the_last_iteration(iterations: int, every: int) -> None:
    points = points_of(iterations, every)
    assert points[-1] == iterations
    assert points == sorted(set(points))
    assert all(point % every == 0 for point in points[:-1])
    assert len(points) == math.ceil(iterations / every)


def test_sittings_change_nothing_and_end_at_each_point(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path)  # 12 iterations, checkpoints every 8
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(cell, whole)
    seen: list[int] = []

    def at(point: int, checkpoint: Checkpoint) -> None:
        assert checkpoint.iteration == point
        seen.append(point)

    status = train_in_sittings(cell, parts, [5, 8, 9, 12], at)
    assert seen == [5, 8, 9, 12]
    assert status is not None
    assert_same_result(parts, whole)
    # What was passed is not done again; the last is, where something may have been lost with it.
    assert train_in_sittings(cell, parts, [5, 8, 9, 12], at) is not None
    assert seen == [5, 8, 9, 12, 12]


def test_a_stop_is_heard_and_the_next_call_goes_on(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) >= 3

    seen: list[int] = []
    folder = tmp_path / "cell"
    found = train_in_sittings(
        cell, folder, [6, 12], lambda point, _: seen.append(point), stop_requested=stop
    )
    assert found is None
    assert seen == []
    assert Checkpoint.load(folder / CHECKPOINT).iteration == 3
    assert train_in_sittings(cell, folder, [6, 12], lambda point, _: seen.append(point))
    assert seen == [6, 12]
    train(cell, tmp_path / "whole")
    assert_same_result(folder, tmp_path / "whole")


def test_points_are_what_the_generators_of_that_iteration_answer(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path)
    files = {s: [Path(p) for p in cell.validation_features[s]] for s in (cell.source, cell.target)}
    folder = tmp_path / "cell"
    registry = Registry()
    train_in_sittings(cell, folder, [4, 12], keep_points(folder, registry, files))
    train(cell, tmp_path / "short", stop_requested=iter([False] * 3 + [True]).__next__)
    for point, place in (("00000004", tmp_path / "short"), ("00000012", folder)):
        expected = mapped.answers(Checkpoint.load(place / CHECKPOINT), registry, files)
        with np.load(folder / mapped.POINTS / f"{point}.npz") as found:
            assert sorted(found.files) == sorted(expected)
            assert len(expected) == 4
            for name, answer in expected.items():
                assert found[name].dtype == np.float16
                assert np.array_equal(found[name], answer.astype(np.float16))


def table(series: dict[tuple[str, str], list[float]], *, every: int = 100) -> pd.DataFrame:
    """Curves by (system, pair): one value at each multiple of `every`."""
    rows = [
        (system, pair, "F>M", "0", every * i, "s1", "mcd", "vcbench-1", value, "dB")
        for (system, pair), values in series.items()
        for i, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows, columns=levelling.CURVES)


@given(st.lists(st.lists(st.floats(-20, 20), min_size=12, max_size=12), min_size=2, max_size=5))
def test_changes_are_those_of_a_fitted_line_with_a_t_interval(curves: list[list[float]]) -> None:
    (found,) = levelling.levelling(table({("a", f"F-M{i}"): c for i, c in enumerate(curves)}))
    x = np.arange(1, 13) * 100.0
    last = x >= 800
    changes = [np.polyfit(x[last], np.array(c)[last], 1)[0] * 400 for c in curves]
    assert found.points == 5
    assert found.change == pytest.approx(np.mean(changes), abs=1e-9)
    error = scipy.stats.sem(changes)
    if error > 1e-9:
        low, high = scipy.stats.t.interval(0.95, len(changes) - 1, np.mean(changes), error)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-8)
    assert found.last == pytest.approx(np.mean([c[-1] for c in curves]))


@pytest.mark.parametrize(
    ("slopes", "verdict"),
    [
        ([0.0, 0.01, -0.01], "levelled off"),
        ([-0.5, -0.52, -0.48], "still falling"),
        ([0.5, 0.52, 0.48], "rising"),
        ([-1.0, 1.0, 0.3], "undecided"),
        ([-0.5], "one cell alone: nothing can be said"),
    ],
)
def test_verdicts(slopes: list[float], verdict: str) -> None:
    """Slopes are changes over the last third, in dB."""
    curves = {
        ("a", f"F-M{i}"): [9 + slope * 3 * k / 12 for k in range(12)]
        for i, slope in enumerate(slopes)
    }
    (found,) = levelling.levelling(table(curves))
    assert found.verdict == verdict
    assert math.isnan(found.change) == (len(slopes) == 1)
    if len(slopes) > 1:
        assert found.change == pytest.approx(np.mean(slopes))
    few = {key: values[:3] for key, values in curves.items()}
    if len(slopes) > 1:
        assert levelling.levelling(table(few))[0].verdict == "too few points"


def test_baselines_are_those_of_the_same_sentences() -> None:
    curves = table({("a", "F-M"): [9.0, 8.0]})
    results = pd.DataFrame(
        [
            ("mean-variance", "F>M", "s1", "mcd", "vcbench-1", 7.5),
            ("mean-variance", "F>M", "s2", "mcd", "vcbench-1", 99.0),
            ("mean-variance", "M>F", "s1", "mcd", "vcbench-1", 99.0),
            ("source-copy", "F>M", "s1", "mcd", "other", 99.0),
            ("a", "F>M", "s1", "mcd", "vcbench-1", 99.0),
        ],
        columns=["system", "direction", "utterance", "metric", "protocol", "value"],
    )
    assert levelling.references(results, curves) == {"mean-variance": 7.5}
    svg = levelling.drawing(curves, {"mean-variance": 7.5})
    assert svg == levelling.drawing(curves, {"mean-variance": 7.5})
    assert b"mean-variance" in svg
    assert b">a</text>" in svg


@pytest.mark.slow
def test_the_command_scores_points_and_leaves_the_cells_of_a_run(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    local = Path(home.environment["VCBENCH_CACHE_DIR"])
    (cache / "features").symlink_to(local / "features")
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(cache))
    monkeypatch.setattr(parallel, "default_jobs", lambda: 1)  # as many threads as at home
    out = tmp_path / "curves.csv"
    asked = [str(home.suite), "--data", str(home.data), "--every", "3", "--sentences", "1"]
    assert main(["curves", *asked, "--jobs", "1", "-o", str(out)]) == 0
    found = pd.read_csv(out)
    assert list(found.columns) == levelling.CURVES == learning_curves.COLUMNS
    assert len(found) == 2 * 2 * 2  # systems, points, directions
    assert set(found["iteration"]) == {3, 6}
    for cell in (cache / "cells").iterdir():
        assert_same_result(cell, local / "cells" / cell.name)
    # At the end of training the points are the run's scores, but for the rounding of the answers.
    run = pd.read_csv(home.first_run / "results.csv")
    keys = ["system", "direction", "utterance", "metric"]
    both = found[found["iteration"] == 6].merge(run, on=keys)
    assert len(both) == 4
    assert (both["value_x"] - both["value_y"]).abs().max() < 0.2
    capsys.readouterr()
    assert main(["curves", *asked, "-o", str(out), "--every", "0"]) == 2
    assert "must be at least 1" in capsys.readouterr().err
    # A network that has run away, and sentences that nobody kept: the other points are scored.
    one = min((cache / "cells").glob("*/points/*.npz"))
    with np.load(one) as kept:
        answers = dict(kept)
    answers[min(answers)][:] = np.inf
    mapped.save(one, answers, half=True)
    asked[-1] = "2"
    assert main(["curves", *asked, "-o", str(out)]) == 0
    assert len(pd.read_csv(out)) == 7
    assert "WARNING 9 answers cannot be scored: " in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--fresh",), ("--engine", "slurm")])
def test_what_curves_cannot_do_is_refused(
    option: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["curves", "demo", "--every", "5", "-o", str(tmp_path / "curves.csv")]
    assert main([*asked, *option]) == 2
    assert "curves are made here" in capsys.readouterr().err
