"""What a suite's `compare` decides, and the sentence that answers its question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from synthetic_run import SyntheticRun

from vcbench.reporting.answer import answer, doubts
from vcbench.reporting.grid import effects_grid
from vcbench.reporting.leaderboard import build
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.run_files import read_run
from vcbench.reporting.seeds import differences, evidence, scores_by_seed
from vcbench.reporting.verdict import effect_notes

Build = Callable[[SyntheticRun], Leaderboard]
SATURATED = ("discriminator saturated since iteration 1200 (loss below 0.014)",)


def against(baseline: str, *systems: str, metric: str = "mcd") -> dict[str, Any]:
    return {"baseline": baseline, "against": list(systems), "metric": metric}


def run_of(effects: Mapping[str, float], n_seeds: int, **options: Any) -> SyntheticRun:
    """Systems with these effects; the first is the baseline of a comparison with all others."""
    defaults: dict[str, Any] = {
        "seeds": tuple(range(n_seeds)),
        "pairs": ("SF1-TM3",),
        "luck": 0.2,
        "samples": False,
        "baselines": {"mean-variance": 9.0},  # which every system beats
        "compare": against(*effects),
    }
    return SyntheticRun(effects=effects, **{**defaults, **options})


def sweep(n: int = 10) -> dict[str, float]:
    """A base and systems of which every third has an effect of 0.6, 1.2, ... either way."""
    effects = {f"s{i}": 0.0 if i % 3 else 0.6 * (i // 3 + 1) * (-1) ** i for i in range(n)}
    return {"base": 0.0, **effects}


def decisions(board: Leaderboard) -> dict[str, str]:
    return {effect.system: effect.decision for effect in board.comparison.effects}


def test_a_suite_that_compares_nothing_has_the_answer_of_a_leaderboard(
    leaderboard_of: Build,
) -> None:
    board = leaderboard_of(run_of({"a": -1.0, "b": 0.0}, 2, compare=None))
    assert board.comparison is None
    assert answer(board).startswith("a has the lowest MCD, ")
    assert effect_notes(board) == []


@pytest.mark.parametrize(
    ("effect", "decision", "verb"), [(-2.0, "better", "lowers"), (2.0, "worse", "raises")]
)
def test_a_large_effect_is_told_with_direction_size_and_interval(
    effect: float, decision: str, verb: str, leaderboard_of: Build
) -> None:
    board = leaderboard_of(run_of({"sigmoid": 0.0, "none": effect}, 6))
    assert decisions(board) == {"none": decision}
    found = board.comparison.effects[0].differences["mcd"]
    low, high = sorted(map(abs, (found.low, found.high)))
    assert answer(board) == (
        f"none {verb} MCD by {abs(found.mean):.2f} dB [{low:.2f}, {high:.2f}] against sigmoid."
    )


def test_where_nothing_beats_the_untrained_conversion_that_is_said_first(
    leaderboard_of: Build,
) -> None:
    effects = {"sigmoid": 0.5, "none": 1.5}
    untrained = {"mean-variance": 0.0}
    text = answer(leaderboard_of(run_of(effects, 8, baselines=untrained)))
    assert text.startswith("No trained system beats the untrained mean-variance on MCD (")
    assert ". none raises MCD by " in text
    asked = against("mean-variance", "none")  # then that is the answer
    said = answer(leaderboard_of(run_of(effects, 8, baselines=untrained, compare=asked)))
    assert said.startswith("none raises MCD by ")


def test_differences_are_those_over_seeds_and_in_every_metric(tmp_path: Path) -> None:
    run = read_run(run_of({"a": 0.0, "b": -0.5, "c": 0.3}, 8).write(tmp_path / "run"))
    board = build(run)
    for effect in board.comparison.effects:
        assert set(effect.differences) == {"mcd", "f0-rmse", "log-f0-rmse", "vuv-error"}
        for metric, found in effect.differences.items():
            scores = scores_by_seed(run.results[run.results["metric"] == metric])
            tables = {s: evidence(differences(scores, s, "a")) for s in ("b", "c")}
            mine = tables[effect.system]
            smaller = mine.p == min(e.p for e in tables.values())
            # Holm: the smaller p is held against 0.05 / 2, the other against 0.05 if that was less.
            first = min(e.p for e in tables.values()) <= 0.025
            level = 0.025 if smaller or not first else 0.05
            assert (found.low, found.high) == mine.interval(level)
            assert (found.mean, found.p, found.level) == (mine.mean, mine.p, level)
            assert found.over_seeds
            assert found.decided == (not found.low <= 0 <= found.high) == (found.p_holm <= 0.05)


def test_an_undecided_effect_is_bounded_by_its_interval(leaderboard_of: Build) -> None:
    board = leaderboard_of(run_of({"one-conv": 0.0, "two-convs": 0.0}, 6))
    found = board.comparison.effects[0].differences["mcd"]
    assert decisions(board) == {"two-convs": "undecided"}
    bound = max(-found.low, found.high)
    text = answer(board).replace("−", "-")
    assert text.startswith("Undecided: two-convs differs from one-conv by ")
    assert f"{found.mean:+.2f} dB MCD [{found.low:.2f}, {found.high:.2f}]" in text
    assert text.endswith(
        f", which bounds any effect to {bound:.2f} dB. With 80 % power this design finds "
        f"differences from {found.detectable:.2f} dB on."
    )


@pytest.mark.parametrize(("n_seeds", "said"), [(1, "one seed"), (5, "5 seeds")])
def test_with_few_seeds_even_a_huge_effect_is_only_what_was_measured(
    n_seeds: int, said: str, leaderboard_of: Build
) -> None:
    board = leaderboard_of(run_of({"a": 0.0, "b": -4.0}, n_seeds))
    assert decisions(board) == {"b": "undecided"}
    text = answer(board)
    mean = board.comparison.effects[0].differences["mcd"].mean
    assert mean < -1.5
    assert text.startswith(
        f"Undecided: in this run of {said}, b differs from a by −{-mean:.2f} dB MCD [−"
    )
    assert text.endswith("] over sentences alone; a claim needs 6 seeds.")
    assert "bounds" not in text


def test_more_comparisons_need_more_seeds(leaderboard_of: Build, tmp_path: Path) -> None:
    effects = {"a": 0.0, "b": -4.0, "c": 0.0}
    few = leaderboard_of(run_of(effects, 6))
    assert set(decisions(few).values()) == {"undecided"}
    assert answer(few).startswith(
        "Undecided: in this run of 6 seeds, against a, MCD differs by −1."
    )
    assert answer(few).endswith("; a claim about 2 systems needs 7 seeds.")
    assert "sentences alone" not in answer(few)
    enough = build(read_run(run_of(effects, 7).write(tmp_path / "enough")))
    assert decisions(enough) == {"b": "better", "c": "undecided"}
    assert answer(enough).startswith("Against a, b lowers MCD by ")
    assert "]; c is undecided (" in answer(enough)


def test_too_few_sentences_decide_nothing_either(leaderboard_of: Build) -> None:
    board = leaderboard_of(run_of({"a": 0.0, "b": -4.0}, 6, n_sentences=5))
    assert decisions(board) == {"b": "undecided"}
    assert answer(board).endswith("; a claim needs 6 sentences.")
    one = leaderboard_of(run_of({"a": 0.0, "b": -4.0}, 1, n_sentences=1))
    assert answer(one).endswith("; a claim needs 6 seeds and 6 sentences.")
    assert "[" not in answer(one)


@pytest.mark.parametrize("n_seeds", [1, 6])
def test_equal_scores_are_no_difference_whatever_the_seeds(
    n_seeds: int, leaderboard_of: Build
) -> None:
    board = leaderboard_of(run_of({"one": 0.0, "two": 0.0}, n_seeds, twins={"two": "one"}))
    assert decisions(board) == {"two": "equal"}
    assert answer(board) == "No difference: every score is equal between two and one."


def test_scores_that_are_equal_in_one_metric_only_are_not_called_the_same(tmp_path: Path) -> None:
    run = run_of({"one": 0.0, "two": 0.0}, 1, twins={"two": "one"})
    folder = run.write(tmp_path / "run")
    scores = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    scores.loc[(scores["system"] == "two") & (scores["metric"] == "f0-rmse"), "value"] = "1.0"
    scores.to_csv(folder / "results.csv", index=False)
    assert answer(build(read_run(folder))) == (
        "No difference in MCD: every score is equal between two and one; in other metrics some "
        "differ."
    )


def test_one_score_that_differs_is_a_difference(tmp_path: Path) -> None:
    folder = run_of({"one": 0.0, "two": 0.0}, 6, twins={"two": "one"}).write(tmp_path / "run")
    scores = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    row = scores.index[(scores["system"] == "two") & (scores["metric"] == "mcd")][0]
    scores.loc[row, "value"] = f"{float(scores.loc[row, 'value']) + 1e-6:.6f}"
    scores.to_csv(folder / "results.csv", index=False)
    assert decisions(build(read_run(folder))) == {"two": "undecided"}


def test_a_failed_cell_takes_its_system_out_and_is_named(leaderboard_of: Build) -> None:
    failures = {"b/SF1-TM3/3": ("oom", "killed")}
    board = leaderboard_of(run_of({"a": 0.0, "b": -4.0, "c": 3.0}, 7, failures=failures))
    assert decisions(board) == {"b": "missing", "c": "worse"}
    assert math.isnan(board.comparison.effects[0].differences["mcd"].mean)
    assert answer(board).endswith("; not compared: b (of 7 cells, 1 ran out of memory).")
    # The family stays the one that was asked for.
    assert board.comparison.effects[1].differences["mcd"].level == pytest.approx(0.025)


def test_without_its_baseline_a_comparison_has_no_answer(leaderboard_of: Build) -> None:
    failures = {"a/SF1-TM3/3": ("failed", "x")}
    board = leaderboard_of(run_of({"a": 0.0, "b": -4.0}, 6, failures=failures))
    assert answer(board) == "No answer: a cannot be compared (of 6 cells, 1 failed)."
    assert decisions(board) == {"b": "missing"}


def test_without_anything_to_compare_there_is_no_answer(leaderboard_of: Build) -> None:
    left = {f"b/SF1-TM3/{seed}": ("skipped", "left out by --only") for seed in range(6)}
    board = leaderboard_of(run_of({"a": 0.0, "b": -4.0}, 6, failures=left))
    assert answer(board) == "No answer: with a nothing can be compared: b (it was not run)."


def test_an_undefined_score_in_the_metric_asked_about_is_no_comparison(
    leaderboard_of: Build,
) -> None:
    run = run_of({"a": 0.0, "b": -4.0}, 6, undefined=[("b", "mcd")])
    assert answer(leaderboard_of(run)) == (
        "No answer: with a nothing can be compared: b (MCD undefined for 12 of 96 utterances)."
    )


def test_an_undefined_score_in_another_metric_is_left_out_and_counted(
    leaderboard_of: Build,
) -> None:
    board = leaderboard_of(run_of({"a": 0.0, "b": -4.0}, 6, undefined=[("b", "f0-rmse")]))
    (effect,) = board.comparison.effects
    assert effect.decision == "better"
    assert (effect.differences["f0-rmse"].n, effect.differences["f0-rmse"].expected) == (14, 16)


def test_a_metric_that_was_not_scored_is_said_so(leaderboard_of: Build) -> None:
    run = run_of({"a": 0.0, "b": -4.0}, 6, compare=against("a", "b", metric="pesq"))
    assert answer(leaderboard_of(run)) == ("No answer: a cannot be compared (PESQ was not scored).")


def test_where_higher_is_better_more_is_better(tmp_path: Path) -> None:
    run = run_of({"a": 0.0, "b": 4.0}, 6, baselines={"mean-variance": -1.0})
    folder = run.write(tmp_path / "run")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"better": "lower"', '"better": "higher"'))
    board = build(read_run(folder))
    assert decisions(board) == {"b": "better"}
    assert answer(board).startswith("b raises MCD by 2.")


def test_an_untrained_baseline_needs_no_seeds_of_its_own(leaderboard_of: Build) -> None:
    untrained = {"mean-variance": 0.0}
    run = run_of({"a": -3.0}, 6, compare=against("mean-variance", "a"), baselines=untrained)
    assert answer(leaderboard_of(run)).startswith("a lowers MCD by 1.")


def test_two_untrained_systems_are_compared_over_sentences(leaderboard_of: Build) -> None:
    run = run_of(
        {"a": -3.0},
        1,
        compare=against("source-copy", "mean-variance"),
        baselines={"source-copy": 1.5, "mean-variance": 0.0},
    )
    board = leaderboard_of(run)
    assert answer(board).startswith("mean-variance lowers MCD by 0.")
    assert "they resample sentences" in effect_notes(board)[0]


def test_a_sweep_is_told_by_numbers_and_its_largest_effect(leaderboard_of: Build) -> None:
    board = leaderboard_of(run_of(sweep(), 9, n_sentences=12))
    found = decisions(board)
    decided = [s for s, decision in found.items() if decision in ("better", "worse")]
    assert decided == ["s0", "s3", "s6", "s9"]
    widest = max(
        max(-e.differences["mcd"].low, e.differences["mcd"].high)
        for e in board.comparison.effects
        if e.decision == "undecided"
    )
    text = answer(board)
    assert text.startswith("4 of 10 systems differ from base in MCD, most of all s9, which lowers ")
    assert (
        f"]; 6 are undecided, with effects of at most {widest:.2f} dB (see the effects). With 80 % "
        "power this design finds differences from 0."
    ) in text


def test_a_sweep_of_one_seed_names_its_largest_difference_and_claims_nothing(
    leaderboard_of: Build,
) -> None:
    text = answer(leaderboard_of(run_of(sweep(), 1)))
    assert text.startswith(
        "Undecided: in this run of one seed, the largest of 10 differences from "
    )
    assert text.endswith(
        "over sentences alone, of s9; a claim about 10 systems needs 9 seeds and 9 sentences "
        "(see the effects)."
    )


def test_a_sweep_without_any_effect_is_bounded(leaderboard_of: Build) -> None:
    effects = {"base": 0.0, **{f"s{i}": 0.0 for i in range(6)}}
    text = answer(leaderboard_of(run_of(effects, 8)))
    assert text.startswith("Undecided: the largest of 6 differences from base in MCD is ")
    assert "; none exceeds 0." in text


def test_the_family_and_what_it_covers_are_explained(leaderboard_of: Build) -> None:
    family, claims = effect_notes(leaderboard_of(run_of(sweep(), 9, n_sentences=9)))
    assert "the levels at which Holm's procedure tested the 10 differences" in family
    assert "(from 99.5 % for the smallest p)" in family
    assert "at least 9 seeds and sentences" in claims
    (single, _) = effect_notes(leaderboard_of(run_of({"a": 0.0, "b": 1.0}, 1)))
    assert "Holm" not in single
    assert "one seed tells too little of luck in training" in single


def test_saturation_is_counted_for_the_compared_systems(leaderboard_of: Build) -> None:
    health = {f"a/SF1-TM3/{seed}": SATURATED for seed in (0, 2)} | {"c/SF1-TM3/1": SATURATED}
    run = run_of({"a": 0.0, "b": -2.0, "c": 0.0}, 6, health=health, compare=against("a", "b"))
    assert answer(leaderboard_of(run)).endswith(
        " against a. The discriminator saturated in 2 of 6 cells of a and in none of b, within "
        "2000 iterations."
    )


def test_saturation_of_several_and_other_flags(leaderboard_of: Build) -> None:
    health = {"a/SF1-TM3/0": SATURATED, "c/SF1-TM3/0": SATURATED, "b/SF1-TM3/0": ("loss grew",)}
    text = answer(leaderboard_of(run_of({"a": 0.0, "b": 0.0, "c": 0.0}, 2, health=health)))
    assert " saturated in 1 of 2 cells of a and 1 of 2 of c, and in none of b, within" in text


@pytest.mark.parametrize(("part", "told"), [("discriminator", True), ("generator", False)])
def test_that_nothing_saturated_is_told_where_adversaries_differ(
    part: str, told: bool, leaderboard_of: Build
) -> None:
    systems = {"b": {part: {"name": "other"}}}
    text = answer(leaderboard_of(run_of({"a": 0.0, "b": 0.0}, 6, systems=systems)))
    sentence = "The discriminator saturated in none of 12 cells, within 2000 iterations."
    assert text.endswith(sentence) == told
    assert ("saturated" in text) == told


def test_doubts_stay_beside_the_answer(leaderboard_of: Build) -> None:
    run = run_of({"a": 0.0, "b": -2.0}, 1, other_crops=["b"])
    found = doubts(leaderboard_of(run))
    assert len(found) == 3
    assert found[0].startswith("One seed: ")
    assert found[1].startswith("Systems did not see the same crops")


def test_a_lower_distortion_with_more_smoothing_is_doubted(tmp_path: Path) -> None:
    folder = run_of({"a": 0.0, "b": -2.0}, 6).write(tmp_path / "run")
    scores = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    smoothing = scores[scores["metric"] == "f0-rmse"].assign(metric="gv-distance")
    value = {"a": 1.0, "b": 2.0}
    smoothing["value"] = smoothing["system"].map(lambda s: str(value.get(s, 1.5)))
    more = pd.concat([scores, smoothing])
    assert not any("over-smoothing may be" in doubt for doubt in doubts(build(read_run(folder))))
    more.to_csv(folder / "results.csv", index=False)
    _, doubt = doubts(build(read_run(folder)))  # the first: without MSD
    assert doubt == (
        "b: lower MCD than a but a larger GV distance; over-smoothing may be all there is to it."
    )
    value["b"] = 0.5
    smoothing["value"] = smoothing["system"].map(lambda s: str(value.get(s, 1.5)))
    pd.concat([scores, smoothing]).to_csv(folder / "results.csv", index=False)
    assert len(doubts(build(read_run(folder)))) == 1


def test_a_system_that_is_worse_in_both_is_not_suspected_of_smoothing(tmp_path: Path) -> None:
    folder = run_of({"a": 0.0, "b": 2.0}, 6).write(tmp_path / "run")
    scores = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    smoothing = scores[scores["metric"] == "f0-rmse"].assign(metric="gv-distance")
    smoothing["value"] = (smoothing["system"] == "b").map({True: "2.0", False: "1.0"})
    pd.concat([scores, smoothing]).to_csv(folder / "results.csv", index=False)
    board = build(read_run(folder))
    assert decisions(board) == {"b": "worse"}
    assert len(doubts(board)) == 1  # MCD without MSD


def test_the_metric_asked_about_decides_and_stands_first(leaderboard_of: Build) -> None:
    run = run_of({"a": 0.0, "b": -3.0}, 6, compare=against("a", "b", metric="f0-rmse"))
    board = leaderboard_of(run)
    assert answer(board).startswith("b lowers F0 RMSE by 1")
    headers = effects_grid(board).headers
    assert headers[1:4] == ("F0 RMSE", "F0 RMSE ↓ (Hz, vcbench-1)", "MCD ↓ (dB, vcbench-1)")
