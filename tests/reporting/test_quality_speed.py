"""The Pareto front, and what the scatter shows and says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from page_reader import read
from synthetic_run import SyntheticRun

from vcbench.reporting import render
from vcbench.reporting.figures import styles
from vcbench.reporting.model import Row
from vcbench.reporting.quality_speed import (
    COSTS,
    Point,
    _distinct_ticks,
    pareto,
    quality_panels,
)

coordinates = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def points(found: list[tuple[int, int]]) -> list[Point]:
    return [Point(Row(str(i), "trained", (), {}), c, s) for i, (c, s) in enumerate(found)]


@given(coordinates, st.booleans())
def test_the_front_is_what_nothing_dominates(found: list[tuple[int, int]], lower: bool) -> None:
    def dominates(a: Point, b: Point) -> bool:
        better = a.score - b.score if lower else b.score - a.score
        return a.cost <= b.cost and better <= 0 and (a.cost < b.cost or better < 0)

    every = points(found)
    expected = {p.row.system for p in every if not any(dominates(q, p) for q in every)}
    front = pareto(every, lower_is_better=lower)
    assert {p.row.system for p in front} == expected
    assert [p.cost for p in front] == sorted(p.cost for p in front)


def test_the_front_is_said_in_words_and_the_floor_is_off_the_scale(example) -> None:
    board = example.leaderboard
    speed, size = quality_panels(board, styles([row.system for row in board.trained]))
    # The first system of the synthetic suite is the fastest; residual-2d alone is better.
    front = "paper-1d (0.310, 7.84 dB) and residual-2d (0.370, 7.67 dB)"
    assert speed.note.startswith(f"Pareto front (dashed), by means: {front}.")
    assert "Off the scale: source-copy (0.390" in speed.note and "resynthesis" in speed.note
    unranked = "A hollow dot is a system that is not ranked."
    assert (
        size.note == f"Pareto front (dashed), by means: residual-2d (9.51 M, 7.67 dB). {unranked}"
    )
    # Signs are explained where they stand: parameters were counted of no baseline.
    diamonds = "Hollow diamonds are baselines."
    assert unranked in speed.note and diamonds in speed.note and diamonds not in size.note
    assert "mean-variance" in speed.svg and "mean-variance" not in size.svg
    # A system that is not ranked is drawn, and is in no front.
    assert "residual-2d-bce" in speed.svg and "residual-2d-bce" not in speed.note


def test_names_stand_apart_where_points_are_one(example) -> None:
    board = example.leaderboard
    same = [replace(r, scores=board.rows[0].scores, speed=board.rows[0].speed) for r in board.rows]
    panel, _ = quality_panels(replace(board, rows=tuple(same)), {})
    names = panel.svg.split("<text")[-len(same) :]
    assert all(row.system in text for row, text in zip(same, names, strict=True))
    at = re.compile(r'(?:translate\(|x=")([-\d.]+)(?: |" y=")([-\d.]+)')
    assert len({at.search(text).groups() for text in names}) == len(same)


@given(st.floats(0.001, 10.0), st.floats(0.04, 0.5))
def test_no_two_ticks_are_written_alike(lowest: float, spread: float) -> None:
    axes = Figure().add_subplot()
    axes.set_xlim(lowest, lowest * (1 + spread))
    for cost in COSTS:
        ticks = _distinct_ticks(axes, cost).tick_values(*axes.get_xlim())
        labels = [cost.write(tick) for tick in ticks]
        assert len(set(labels)) == len(labels)


def test_a_run_without_speed_or_scores_has_no_scatter(tmp_path: Path) -> None:
    folder = SyntheticRun(samples=False).write(tmp_path / "run")
    (folder / "throughput.csv").unlink()
    assert quality_panels(render(folder), {}) == []
    assert read((folder / "index.html").read_text()).all("section", id="quality") == []
    (folder / "results.csv").unlink()
    assert quality_panels(render(folder), {}) == []
