"""The answer's sentence in each situation that a run can end in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from synthetic_run import SyntheticRun

from vcbench.reporting.answer import answer, doubts, intervals
from vcbench.reporting.grid import notes
from vcbench.reporting.leaderboard import build
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.run_files import read_run
from vcbench.reporting.seeds import differences, evidence, scores_by_seed
from vcbench.statistics import ALPHA, MIN_SEEDS, SignFlip, holm

Build = Callable[[SyntheticRun], Leaderboard]
SEEDS = tuple(range(MIN_SEEDS))
CLAIMS = ("leads", "better than", "told apart")


def test_a_clear_leader_with_its_lead_and_interval(leaderboard_of: Build) -> None:
    board = leaderboard_of(
        SyntheticRun(effects={"best": -2.0, "next": -1.0, "last": -0.5}, seeds=SEEDS)
    )
    text = answer(board)
    lead = board.row("next").versus_leader
    assert text.startswith("best leads on MCD with ")
    assert f"{lead.mean:.2f} dB [{lead.low:.2f}, {lead.high:.2f}] better than next;" in text
    assert "in this run it beats the untrained mean-variance by" in text
    assert lead.mean > 0  # next minus best: the sentence tells the direction in words


def test_a_leader_that_cannot_be_told_apart(leaderboard_of: Build) -> None:
    effects = {"a": -1.0, "b": -1.0, "c": 3.0}
    board = leaderboard_of(SyntheticRun(effects=effects, n_sentences=6, seeds=SEEDS))
    best, other = board.ranked[0].system, board.ranked[1].system
    assert answer(board).startswith(f"{best} has the lowest MCD, ")
    assert f"but cannot be told apart from {other};" in answer(board)
    found = board.row(other).versus_leader
    assert found.low < 0 < found.high
    assert answer(board).endswith(
        f" With 80 % power this design finds differences from {found.detectable:.2f} dB on."
    )


def test_a_lead_that_luck_in_training_explains_is_none(tmp_path: Path) -> None:
    run = SyntheticRun(effects={"a": -1.0, "b": -1.0}, seeds=SEEDS, n_sentences=20)
    folder = run.write(tmp_path / "run")
    scores = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    luck = {("a", "0"): -1.0, ("a", "1"): 0.7, ("a", "2"): -0.6, ("b", "3"): 0.9, ("b", "4"): -0.5}
    shift = [luck.get(key, 0.0) for key in zip(scores["system"], scores["seed"], strict=True)]
    scores["value"] = scores["value"].astype(float) + shift
    scores.to_csv(folder / "results.csv", index=False)
    board = build(read_run(folder))
    mcd = scores_by_seed(scores[scores["metric"] == "mcd"])
    by_sentences = evidence(differences(mcd, "a", "b"), in_run=True)
    assert by_sentences.interval(0.05)[1] < 0
    assert answer(board).startswith("a has the lowest MCD, ")
    assert "but cannot be told apart from b;" in answer(board)


def test_nothing_beats_the_untrained_conversion(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects={"a": 1.0, "b": 2.0}))
    assert answer(board).startswith(
        "In this run, no trained system beats the untrained mean-variance on MCD ("
    )
    assert "the lowest of them, a, is at " in answer(board)
    behind = board.row("a").versus_reference
    assert f"a difference of +{behind.mean:.2f} dB [{behind.low:.2f}, " in answer(board)


def test_an_erratic_leader_that_does_not_beat_the_reference_says_so(tmp_path: Path) -> None:
    folder = SyntheticRun(effects={"erratic": 0.0, "steady": 0.0}, seeds=SEEDS).write(
        tmp_path / "run"
    )
    scores = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    mcd = scores["metric"] == "mcd"
    odd = scores["utterance"].str.endswith(tuple("13579"))
    reference = scores[mcd & (scores["system"] == "mean-variance")]
    keys = ["direction", "utterance"]
    for system, shift in (("erratic", odd * -5.0 + ~odd * 4.0), ("steady", odd * 0.0 - 0.2)):
        mine = mcd & (scores["system"] == system)
        same = scores[mine].merge(reference, on=keys, suffixes=("", "_reference"))
        values = same["value_reference"].astype(float).to_numpy() + shift[mine].to_numpy()
        scores.loc[mine, "value"] = [f"{value:.6f}" for value in values]
    scores.to_csv(folder / "results.csv", index=False)
    text = answer(build(read_run(folder)))
    assert text.startswith("erratic has the lowest MCD, ")
    assert "cannot be told apart from steady; in this run it does not beat the untrained" in text
    assert "(difference −0.50 dB [" in text


def test_a_single_system_without_reference(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects={"a": -1.0}, baselines={"source-copy": 1.0}))
    assert answer(board).startswith("a reaches ")
    assert answer(board).endswith("no other trained system is complete.")


def test_where_higher_is_better_the_words_turn_round(tmp_path: Path) -> None:
    folder = SyntheticRun(effects={"low": -2.0, "high": 2.0}, seeds=SEEDS).write(tmp_path / "run")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"better": "lower"', '"better": "higher"'))
    text = answer(build(read_run(folder)))
    assert text.startswith("high leads on MCD")
    assert "−" not in text


def test_baselines_only(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects={}, seeds=()))
    assert answer(board) == "This run trained no system: it holds baselines only."


def test_every_system_incomplete(leaderboard_of: Build) -> None:
    run = SyntheticRun(effects={"a": 0.0}, failures={"a/SF1-TM3/0": ("oom", "killed")})
    assert answer(leaderboard_of(run)) == (
        "No trained system can be ranked: a (of 4 cells, 1 ran out of memory)."
    )


def test_nothing_scored(tmp_path: Path) -> None:
    folder = SyntheticRun(failures={"paper-1d/SF1-TM3/0": ("failed", "x")}).write(tmp_path / "run")
    (folder / "results.csv").unlink()
    expected = "No system was scored: 1 of 22 cells did not finish."
    assert answer(build(read_run(folder))) == expected


def test_doubts_name_crops_missing_cells_and_few_sentences(leaderboard_of: Build) -> None:
    run = SyntheticRun(
        n_sentences=3,
        seeds=SEEDS,
        beside=True,
        other_crops=["paper-1d"],
        failures={"residual-2d/SF1-TM3/0": ("timeout", "took too long")},
    )
    crops, cells, sentences = doubts(leaderboard_of(run))
    assert crops.startswith("Systems did not see the same crops of the same features")
    assert "in 12 of 12 groups of cells" in crops
    assert "not a controlled comparison" in crops
    assert cells == "Incomplete: 1 of 54 cells did not finish."
    assert sentences == (
        "Only 3 sentences: intervals from fewer than 6 are too narrow, and a claim that one of 4 "
        "systems beats mean-variance needs 8."
    )


def test_a_sound_run_leaves_no_doubts(leaderboard_of: Build) -> None:
    assert doubts(leaderboard_of(SyntheticRun(seeds=SEEDS, beside=True))) == []


def test_with_one_seed_the_order_is_a_measurement_and_no_finding(leaderboard_of: Build) -> None:
    effects = {"best": -2.0, "next": -1.0, "last": -0.5}
    board = leaderboard_of(SyntheticRun(effects=effects, seeds=(0,), beside=True))
    text = answer(board)
    score = board.row("best").scores["mcd"]
    apart = board.row("next").scores["mcd"].mean - score.mean
    assert text.startswith(
        f"best has the lowest MCD, {score.mean:.2f} dB [{score.low:.2f}, {score.high:.2f}], in "
        f"this run of one seed, {apart:.2f} dB below next; in this run it beats the untrained "
    )
    assert not any(claim in text for claim in CLAIMS)
    assert doubts(board) == [
        "One seed: intervals cover the choice of sentences; training again with another seed may "
        "change the order."
    ]


@pytest.mark.parametrize(("n_seeds", "p"), [(2, "0.5"), (3, "0.25"), (5, "0.062")])
def test_with_few_seeds_no_system_leads_either(n_seeds: int, p: str, leaderboard_of: Build) -> None:
    run = SyntheticRun(effects={"a": -2.0, "b": 0.0}, seeds=tuple(range(n_seeds)), beside=True)
    board = leaderboard_of(run)
    assert f"in this run of {n_seeds} seeds, " in answer(board)
    assert not any(claim in answer(board) for claim in CLAIMS)
    (doubt,) = doubts(board)
    assert "too few seeds for a claim about the system" in doubt
    assert f"p = {p} with {n_seeds}, 0.031 with 6)" in doubt


def test_with_one_seed_a_first_place_by_chance_is_not_crowned(leaderboard_of: Build) -> None:
    effects = {"a": -1.0, "b": -0.98, "c": -0.97, "d": -0.5}
    board = leaderboard_of(SyntheticRun(effects=effects, seeds=(0,), n_sentences=20))
    apart = [(row.system, row.apart_in_run) for row in board.ranked]
    assert apart == [("a", None), ("b", False), ("c", False), ("d", True)]
    text = answer(board)
    assert text.startswith("a has the lowest MCD, ")
    assert (
        " dB below b; the run's sentences do not tell it apart from b and c. In this run it beats "
        "the untrained mean-variance by "
    ) in text
    assert not any(claim in text for claim in CLAIMS)
    # An interval of a difference between two trained systems would be taken for a claim.
    assert [row.versus_leader.has_interval for row in board.ranked[1:]] == [False] * 3


def test_whom_the_sentences_tell_apart_is_asked_of_means_over_seeds_and_of_all_at_once(
    tmp_path: Path,
) -> None:
    effects = {f"s{i}": 0.025 * i - 1 for i in range(7)}
    run = SyntheticRun(effects=effects, seeds=(0, 1), n_sentences=10)
    board = build(read_run(run.write(tmp_path / "run")))
    scores = pd.read_csv(tmp_path / "run" / "results.csv")
    keys = ["pair", "direction", "utterance"]
    means = scores[scores["metric"] == "mcd"].groupby(["system", *keys])["value"].mean()
    first, *others = [row.system for row in board.ranked]
    tables = [(means[s] - means[first]).reset_index() for s in others]
    p = [SignFlip.of_rows(table["value"], table["utterance"]).p for table in tables]
    told = dict(zip(others, holm(p)[0] <= ALPHA, strict=True))
    assert {row.system: row.apart_in_run for row in board.ranked[1:]} == told
    assert any(raw <= ALPHA and not told[s] for raw, s in zip(p, others, strict=True))
    assert True in told.values()


@pytest.mark.parametrize("n_sentences", [3, 5])
def test_where_sentences_are_too_few_nobody_is_said_to_be_alike(
    n_sentences: int, leaderboard_of: Build
) -> None:
    effects = {"a": -1.0, "b": -0.99}
    board = leaderboard_of(SyntheticRun(effects=effects, seeds=(0,), n_sentences=n_sentences))
    assert [row.apart_in_run for row in board.ranked] == [None, None]
    assert "tell it apart" not in answer(board)


def test_with_one_seed_where_higher_is_better_the_first_is_above(tmp_path: Path) -> None:
    folder = SyntheticRun(effects={"low": -2.0, "high": 2.0}, seeds=(0,)).write(tmp_path / "run")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"better": "lower"', '"better": "higher"'))
    text = answer(build(read_run(folder)))
    assert text.startswith("high has the highest MCD, ")
    assert " dB above low; " in text


def test_one_training_under_two_names_is_level(tmp_path: Path) -> None:
    folder = SyntheticRun(effects={"a": -1.0}, seeds=(0,)).write(tmp_path / "run")
    scores = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    twin = scores[scores["system"] == "a"].assign(system="b")
    pd.concat([scores, twin]).to_csv(folder / "results.csv", index=False)
    cells = (folder / "cells.jsonl").read_text()
    lines = [line for line in cells.splitlines() if line.startswith('{"cell": "a/')]
    twins = "\n".join(lines).replace('"a/', '"b/').replace('"system": "a"', '"system": "b"')
    (folder / "cells.jsonl").write_text(cells + twins)
    text = answer(build(read_run(folder)))
    assert " in this run of one seed, level with b; in this run it beats the untrained " in text


def partial(only: str) -> SyntheticRun:
    """A run of two systems over two pairs and seeds, of which only cells named so were run."""
    cells = [f"{s}/{p}/{n}" for s in "ab" for p in ("SF1-TM3", "SM1-TF2") for n in (0, 1)]
    left = {cell: ("skipped", "left out by --only") for cell in cells if not cell.startswith(only)}
    return SyntheticRun(effects={"a": -1.0, "b": 0.0}, baselines={}, failures=left)


def test_a_partial_run_says_so_and_ranks_no_partial_system(leaderboard_of: Build) -> None:
    board = leaderboard_of(partial("a/SF1-TM3/"))
    row = board.row("a")
    assert (row.rank, row.cells_ok, len(row.cells)) == (None, 2, 4)
    assert row.unranked == "of 4 cells, 2 skipped (left out by --only)"
    assert board.row("b") is None
    assert "Partial: 2 of 8 cells were run (--only)." in doubts(board)
    assert board.failed == () and len(board.left_out) == 6
    assert not any("did not finish" in doubt for doubt in doubts(board))


def test_a_system_that_was_run_wholly_is_ranked_though_others_were_left_out(
    leaderboard_of: Build,
) -> None:
    board = leaderboard_of(partial("a/"))
    assert [row.system for row in board.ranked] == ["a"]
    assert "Partial: 4 of 8 cells were run (--only)." in doubts(board)


def test_cells_skipped_by_an_early_end_are_not_called_failed(leaderboard_of: Build) -> None:
    run = SyntheticRun(
        effects={"a": -1.0},
        failures={"a/SM1-TF2/1": ("skipped", "the run ended early: KeyboardInterrupt")},
    )
    board = leaderboard_of(run)
    assert board.failed == () and board.left_out == ()
    assert board.row("a").unranked == (
        "of 4 cells, 1 skipped (the run ended early: KeyboardInterrupt)"
    )
    incomplete = next(doubt for doubt in doubts(board) if doubt.startswith("Incomplete"))
    assert incomplete == (
        "Incomplete: 1 of 10 cells was skipped (the run ended early: KeyboardInterrupt)."
    )


def test_mcd_alone_is_doubted_until_msd_and_gv_stand_beside_it(tmp_path: Path) -> None:
    folder = SyntheticRun(effects={"a": -1.0}, seeds=SEEDS, beside=True).write(tmp_path / "run")
    board = build(read_run(folder))
    assert [column.metric for column in board.columns][:3] == ["mcd", "msd", "gv-distance"]
    assert doubts(board) == []
    scores = pd.read_csv(folder / "results.csv", dtype=str, keep_default_na=False)
    scores[scores["metric"] != "msd"].to_csv(folder / "results.csv", index=False)
    (doubt,) = doubts(build(read_run(folder)))
    assert doubt == (
        "MCD without MSD: smoothed spectra may lower it. Add msd to the suite's metrics."
    )
    scores[scores["metric"] == "f0-rmse"].to_csv(folder / "results.csv", index=False)
    assert doubts(build(read_run(folder))) == []


def test_with_enough_seeds_the_untrained_reference_is_beaten_by_the_system(
    leaderboard_of: Build,
) -> None:
    board = leaderboard_of(SyntheticRun(effects={"a": -3.0, "b": -1.0}, seeds=tuple(range(7))))
    found = board.row("a").versus_reference
    assert found.over_seeds and found.decided
    assert "; it beats the untrained mean-variance by 1." in answer(board)
    few = leaderboard_of(SyntheticRun(effects={"a": -3.0, "b": -1.0}, seeds=tuple(range(6))))
    assert not few.row("a").versus_reference.over_seeds
    assert "; in this run it beats the untrained mean-variance by 1." in answer(few)


def test_with_too_few_sentences_nothing_is_said_to_beat_the_reference(
    leaderboard_of: Build,
) -> None:
    run = SyntheticRun(effects={"a": -3.0, "b": 3.0}, n_sentences=6, seeds=(0,))
    board = leaderboard_of(run)
    assert {row.beats_reference for row in board.trained} == {None}
    assert "in this run its difference to the untrained mean-variance is −1." in answer(board)
    assert " (lower, that is better), of too few sentences." in answer(board)
    assert any("a sign-flip test needs 7." in note for note in notes(board))
    assert doubts(board)[-1] == (
        "Only 6 sentences: a claim that one of 2 systems beats mean-variance needs 7."
    )


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("effect", [2.0, -2.0])
def test_the_answer_says_which_way_of_a_difference_is_good(
    better: str, effect: float, tmp_path: Path
) -> None:
    folder = SyntheticRun(effects={"a": effect}, n_sentences=4, seeds=(0,)).write(tmp_path / "run")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"better": "lower"', f'"better": "{better}"'))
    board = build(read_run(folder))
    way, sign = ("higher", "+") if effect > 0 else ("lower", "−")
    good = "better" if way == better else "worse"
    text = answer(board)
    assert f"in this run its difference to the untrained mean-variance is {sign}" in text
    assert text.endswith(f" ({way}, that is {good}), of too few sentences.")
    assert doubts(board)[-1] == (
        "Only 4 sentences: intervals from fewer than 6 are too narrow, and a claim that the system "
        "beats mean-variance needs 6."
    )


def test_the_intervals_say_when_they_cover_seeds(leaderboard_of: Build) -> None:
    few = leaderboard_of(SyntheticRun(effects={"a": -1.0}, seeds=SEEDS[:-1], luck=1.0))
    assert "not that of speakers or seeds" in intervals(few)
    enough = leaderboard_of(SyntheticRun(effects={"a": -1.0}, seeds=SEEDS, luck=1.0))
    assert "the luck of a training, not the choice of speakers" in intervals(enough)
    widths = [e.high - e.low for e in (b.row("a").scores["mcd"] for b in (few, enough))]
    assert widths[1] > 1.5 * widths[0]
