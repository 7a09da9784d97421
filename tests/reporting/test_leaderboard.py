"""Rows, ranks, marks and checks of the leaderboard, against effects that the test put in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_run import METRICS, SyntheticRun

from vcbench.reporting.answer import answer
from vcbench.reporting.crops import check_crops
from vcbench.reporting.leaderboard import build
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.run_files import Cell, read_run

Build = Callable[[SyntheticRun], Leaderboard]


def systems(rows: tuple) -> list[str]:
    return [row.system for row in rows]


def test_systems_are_ranked_by_the_suites_first_metric(example) -> None:
    board = example.leaderboard
    assert board.ranked_by is not None and board.ranked_by.key == "mcd"
    assert [(r.rank, r.system) for r in board.ranked] == [
        (1, "residual-2d"),
        (2, "paper-1d"),
        (3, "paper-1d-lsgan"),
    ]
    assert systems(board.baselines) == ["source-copy", "mean-variance", "resynthesis"]
    assert [c.metric for c in board.columns] == list(METRICS)


def test_means_are_those_of_the_stored_scores(example) -> None:
    scores = pd.read_csv(example.folder / "results.csv")
    for (system, metric), group in scores.groupby(["system", "metric"]):
        estimate = example.leaderboard.row(system).scores[metric]
        assert estimate.mean == pytest.approx(group["value"].mean(), rel=1e-12)
        assert estimate.n == len(group)
    grouped = scores[scores["metric"] == "mcd"].groupby(["system", "direction"])["value"].mean()
    for (system, direction), mean in grouped.items():
        estimate = example.leaderboard.per_direction["mcd"][system][direction]
        assert estimate.mean == pytest.approx(mean, rel=1e-12)


def test_directions_stand_in_the_order_of_the_pairs(example) -> None:
    assert example.leaderboard.directions == ("SF1>TM3", "TM3>SF1", "SM1>TF2", "TF2>SM1")


def test_a_system_with_a_failed_cell_is_shown_unranked_with_the_reason(example) -> None:
    row = example.leaderboard.row("residual-2d-bce")
    assert row.rank is None
    assert row.unranked == "of 4 cells, 1 failed"
    assert (row.cells_ok, len(row.cells)) == (3, 4)
    # 2 pairs x 2 directions x 2 seeds x 8 sentences, less the failed cell's 2 x 8.
    assert (row.scores["mcd"].n, row.scores["mcd"].expected) == (48, 64)
    failed_direction = example.leaderboard.per_direction["mcd"]["residual-2d-bce"]["SF1>TM3"]
    assert (failed_direction.n, failed_direction.expected) == (8, 16)
    assert [c.reason for c in example.leaderboard.failed] == ["loss became NaN at iteration 660"]


def test_a_system_with_an_undefined_score_in_the_first_metric_is_not_ranked(
    leaderboard_of: Build,
) -> None:
    board = leaderboard_of(
        SyntheticRun(undefined=[("paper-1d", "mcd"), ("residual-2d", "f0-rmse")])
    )
    undefined = board.row("paper-1d")
    assert undefined.rank is None
    assert undefined.unranked == "MCD undefined for 8 of 64 utterances"
    other = board.row("residual-2d")
    assert other.rank == 1
    assert (other.scores["f0-rmse"].n, other.scores["f0-rmse"].expected) == (56, 64)


def test_marks_follow_the_paired_difference_to_mean_variance(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects={"better": -0.5, "same": 0.0, "worse": 0.5}))
    assert {r.system: r.beats_reference for r in board.trained} == {
        "better": True,
        "same": False,
        "worse": False,
    }
    worse = board.row("worse").versus_reference
    # The effect is half a spread of 0.5 dB.
    assert worse.mean == pytest.approx(0.25, abs=0.05)
    assert worse.low > 0
    means = {s: board.row(s).scores["mcd"].mean for s in ("worse", "mean-variance")}
    assert worse.mean == pytest.approx(means["worse"] - means["mean-variance"])


def test_without_mean_variance_nothing_is_marked(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(baselines={"source-copy": 1.0}))
    assert {row.beats_reference for row in board.trained} == {None}


def test_where_higher_is_better_the_ranking_turns_round(tmp_path: Path) -> None:
    folder = SyntheticRun(effects={"low": -1.0, "high": 1.0}).write(tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["metrics"]["mcd"]["better"] = "higher"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    board = build(read_run(folder))
    assert systems(board.ranked) == ["high", "low"]
    assert [row.beats_reference for row in board.ranked] == [True, False]


def test_one_metric_under_two_protocols_makes_two_columns(tmp_path: Path) -> None:
    folder = SyntheticRun().write(tmp_path / "run")
    scores = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    other = scores[scores["metric"] == "mcd"].assign(protocol="sprocket")
    pd.concat([scores, other]).to_csv(folder / "results.csv", index=False)
    board = build(read_run(folder))
    assert [c.key for c in board.columns][:2] == ["mcd@vcbench-1", "mcd@sprocket"]
    assert board.row("paper-1d").scores["mcd@sprocket"].n == 64
    assert set(board.protocols) == {"vcbench-1", "sprocket"}


def test_the_order_of_the_stored_rows_does_not_matter(tmp_path: Path) -> None:
    folder = SyntheticRun().write(tmp_path / "run")
    before = build(read_run(folder))
    header, *lines = (folder / "results.csv").read_text().splitlines()
    np.random.default_rng(0).shuffle(lines)
    (folder / "results.csv").write_text("\n".join([header, *lines]) + "\n")
    after = build(read_run(folder))
    assert [(r.system, r.scores, r.versus_reference) for r in after.rows] == [
        (r.system, r.scores, r.versus_reference) for r in before.rows
    ]


def test_speeds_come_from_throughput(example) -> None:
    row = example.leaderboard.row("paper-1d")
    assert row.iterations_per_second == pytest.approx(11.3)
    assert row.real_time_factor == pytest.approx(0.31)
    assert row.parameters == 38055704
    assert row.macs == pytest.approx(3.1e9)
    quartile = row.speed.measured["training", "iterations_per_second"].p25
    assert quartile == pytest.approx(11.3 * 0.97)
    assert example.leaderboard.row("source-copy").parameters is None


def test_a_speed_that_was_not_measured_is_none(tmp_path: Path) -> None:
    folder = SyntheticRun().write(tmp_path / "run")
    (folder / "throughput.csv").write_text(
        "system,device,phase,metric,value,unit\npaper-1d,cpu,model,macs,,MAC\n"
    )
    row = build(read_run(folder)).row("paper-1d")
    assert row.macs is None and row.iterations_per_second is None


def test_health_flags_name_their_cell(example) -> None:
    flags = example.leaderboard.row("paper-1d").health
    assert flags == ("paper-1d/SF1-TM3/0: discriminator saturated at iteration 1200",)


def test_a_run_without_scores_or_trained_systems_has_a_leaderboard(
    tmp_path: Path, leaderboard_of: Build
) -> None:
    baselines = leaderboard_of(SyntheticRun(effects={}, seeds=()))
    assert baselines.ranked == () and len(baselines.baselines) == 3
    folder = SyntheticRun().write(tmp_path / "unscored")
    (folder / "results.csv").unlink()
    unscored = build(read_run(folder))
    assert unscored.columns == () and unscored.ranked_by is None
    assert {row.unranked for row in unscored.trained} == {"nothing was scored"}


def cell(system: str, stream: str | None, *, iterations: int = 10, status: str = "ok") -> Cell:
    return Cell(
        f"{system}/A-B/0",
        system,
        "A-B",
        0,
        "trained",
        status,
        iterations=iterations,
        crop_stream_sha256=stream,
    )


def test_equal_crop_streams_pass() -> None:
    check = check_crops([cell("a", "x"), cell("b", "x"), cell("c", None, status="failed")])
    assert (check.ok, check.compared, check.unknown) == (True, 1, ())
    assert check.sentence().startswith("In 1 group of cells")
    assert "saw the same crops of the same features in the same order" in check.sentence()


def test_different_crop_streams_are_an_error_that_names_who_saw_what() -> None:
    check = check_crops([cell("a", "1" * 64), cell("b", "2" * 64), cell("c", "1" * 64)])
    assert not check.ok
    assert check.sentence() == (
        "Systems did not see the same crops of the same features in the same order in 1 of 1 group "
        "of cells with equal pair, seed and training length: A-B, seed 0 (b saw 22222222; a and c "
        "saw 11111111)."
    )


def fed(**training: dict[str, object]) -> dict[str, object]:
    """A suite whose systems have these keys of training over fresh crops."""
    return {
        "training": {"crops": "fresh", "pairing": "independent", "batch_size": 1},
        "systems": {name: {"training": own} for name, own in training.items()},
    }


def test_systems_that_the_suite_feeds_differently_are_not_held_against_each_other() -> None:
    suite = fed(a={}, b={"pitch": "cyclegan"}, c={"crops": "fixed"})
    cells = [cell("a", "x"), cell("b", "x"), cell("c", "y")]
    assert not check_crops(cells).ok
    check = check_crops(cells, suite)
    assert check.ok and check.compared == 1
    assert check.sentence() == (
        "The suite feeds systems differently: crops is fresh for a and b, fixed for c. In 1 group "
        "of cells with equal pair, seed, training length and such settings, all systems saw the "
        "same crops of the same features in the same order (equal SHA-256)."
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", 2),
        ("segment_frames", 64),
        ("crops", "fixed"),
        ("pairing", "same-index"),
        ("sentences", "disjoint"),
    ],
)
def test_within_a_setting_equal_hashes_are_demanded_still(key: str, value: object) -> None:
    suite = fed(a={key: value}, b={key: value}, c={}, d={})
    one, other = "1" * 64, "2" * 64
    alike = [cell("c", other), cell("d", other)]
    assert check_crops([cell("a", one), cell("b", one), *alike], suite).ok
    check = check_crops([cell("a", one), cell("b", other), *alike], suite)
    assert not check.ok
    assert check.compared == 2 and len(check.mismatches) == 1
    assert "(a saw 11111111; b saw 22222222)" in check.sentence()
    assert check.sentence().startswith(f"The suite feeds systems differently: {key} is ")


def test_what_does_not_decide_the_crops_sets_no_system_apart() -> None:
    suite = fed(a={}, b={"pitch": "cyclegan", "lambda_cycle": 5.0})
    assert not check_crops([cell("a", "x"), cell("b", "y")], suite).ok


def test_where_every_system_is_fed_differently_nothing_is_compared() -> None:
    check = check_crops([cell("a", "x"), cell("b", "y")], fed(a={}, b={"batch_size": 4}))
    assert check.ok and check.compared == 0
    assert check.sentence() == (
        "The suite feeds systems differently: batch_size is 1 for a, 4 for b. There were no two "
        "trained systems that it feeds alike whose crops could be compared."
    )


def test_only_equal_training_lengths_are_compared() -> None:
    check = check_crops([cell("a", "x"), cell("b", "y", iterations=20)])
    assert check.ok and check.compared == 0


def test_a_trained_cell_without_hash_is_named() -> None:
    check = check_crops([cell("a", "x"), cell("b", None)])
    assert check.unknown == ("b/A-B/0",)
    assert check.sentence().endswith("b/A-B/0 stored no hash.")


def test_paired_scores_average_over_seeds(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun())
    row = board.row("paper-1d")
    assert row.scores["mcd"].n == 64
    # Utterance by direction: 8 sentences x 4 directions, each seed-averaged score once.
    assert row.versus_reference.n == 32
    assert not math.isnan(row.versus_reference.mean)


def with_external(folder: Path, system: str) -> Leaderboard:
    """The run in `folder`, with what it wrote of a baseline taken for an external system's."""
    path = folder / "cells.jsonl"
    cells = [json.loads(line) for line in path.read_text().splitlines()]
    for cell in cells:
        if cell["system"] == system:
            cell["kind"] = "external"
    path.write_text("\n".join(map(json.dumps, cells)))
    return build(read_run(folder))


def test_an_external_system_is_ranked_beside_trained_ones_and_counts_as_no_seed(
    tmp_path: Path,
) -> None:
    run = SyntheticRun(
        effects={"a": 0.0, "b": 1.0},
        seeds=tuple(range(7)),
        baselines={"source-copy": -2.0, "mean-variance": 0.5},
    )
    board = with_external(run.write(tmp_path / "run"), "source-copy")
    assert systems(board.ranked) == ["source-copy", "a", "b"]
    assert systems(board.baselines) == ["mean-variance"]
    assert board.n_seeds == 7
    assert board.row("source-copy").beats_reference is True


def test_only_external_systems_are_compared_over_sentences(tmp_path: Path) -> None:
    run = SyntheticRun(effects={}, seeds=(), baselines={"x": -2.0, "mean-variance": 0.0})
    board = with_external(run.write(tmp_path / "run"), "x")
    assert board.row("x").versus_reference.decided
    assert answer(board).startswith("x reaches ")


def test_a_suites_own_comparison_with_the_reference_is_the_leaderboards_too(
    leaderboard_of: Build,
) -> None:
    asked = {"baseline": "mean-variance", "against": ["a"], "metric": "mcd"}
    effects = {"a": -0.2, "b": -1.0, "c": 1.0}
    board = leaderboard_of(SyntheticRun(effects=effects, seeds=tuple(range(8)), compare=asked))
    (effect,) = board.comparison.effects
    assert board.row("a").versus_reference == effect.differences["mcd"]
    alone = leaderboard_of(SyntheticRun(effects=effects, seeds=tuple(range(8))))
    assert alone.row("a").versus_reference.p_holm >= effect.differences["mcd"].p_holm


@pytest.mark.parametrize("n_seeds", [1, 9])
def test_marks_p_and_intervals_say_one_thing(n_seeds: int, leaderboard_of: Build) -> None:
    effects = {f"s{i}": 0.12 * (i - 4) for i in range(8)}
    seeds = tuple(range(n_seeds))
    board = leaderboard_of(SyntheticRun(effects=effects, seeds=seeds, luck=0.1, n_sentences=12))
    found = {row.system: row.versus_reference for row in board.trained}
    for row in board.trained:
        difference = found[row.system]
        assert row.beats_reference == (difference.p_holm <= 0.05 and difference.mean < 0)
        assert (difference.p_holm <= 0.05) == (not difference.low <= 0 <= difference.high)
    assert {d.decided for d in found.values()} == {True, False}
    # One family: the smallest p is held against a share of 0.05 as large as there are systems.
    assert min(d.level for d in found.values()) == pytest.approx(0.05 / 8)
