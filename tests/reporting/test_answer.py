"""The answer's sentence in each situation that a run can end in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from synthetic_run import SyntheticRun

from vcbench.reporting.answer import answer, doubts
from vcbench.reporting.leaderboard import build
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.run_files import read_run

Build = Callable[[SyntheticRun], Leaderboard]


def test_a_clear_leader_with_its_lead_and_interval(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects={"best": -2.0, "next": -1.0, "last": -0.5}))
    text = answer(board)
    lead = board.row("next").versus_leader
    assert text.startswith("best leads on MCD with ")
    assert f"{lead.mean:.2f} dB [{lead.low:.2f}, {lead.high:.2f}] better than next;" in text
    assert "beats the untrained mean-variance by" in text
    assert lead.mean > 0  # next minus best: the sentence tells the direction in words


def test_a_leader_that_cannot_be_told_apart(leaderboard_of: Build) -> None:
    effects = {"a": -1.0, "b": -1.0, "c": 3.0}
    board = leaderboard_of(SyntheticRun(effects=effects, n_sentences=6, seeds=(0,)))
    best, other = board.ranked[0].system, board.ranked[1].system
    assert answer(board).startswith(f"{best} has the lowest MCD, ")
    assert f"but cannot be told apart from {other};" in answer(board)


def test_nothing_beats_the_untrained_conversion(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects={"a": 1.0, "b": 2.0}))
    assert answer(board).startswith("No trained system beats the untrained mean-variance on MCD (")
    assert "the best of them, a, is at " in answer(board)
    behind = board.row("a").versus_reference
    assert f"a difference of +{behind.mean:.2f} dB [{behind.low:.2f}, " in answer(board)


def test_an_erratic_leader_that_does_not_beat_the_reference_says_so(tmp_path: Path) -> None:
    folder = SyntheticRun(effects={"erratic": 0.0, "steady": 0.0}).write(tmp_path / "run")
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
    assert "cannot be told apart from steady; it does not beat the untrained mean-variance" in text
    assert "(difference −0.50 dB [" in text


def test_a_single_system_without_reference(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects={"a": -1.0}, baselines={"source-copy": 1.0}))
    assert answer(board).startswith("a reaches ")
    assert answer(board).endswith("no other trained system is complete.")


def test_where_higher_is_better_the_words_turn_round(tmp_path: Path) -> None:
    folder = SyntheticRun(effects={"low": -2.0, "high": 2.0}).write(tmp_path / "run")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"better": "lower"', '"better": "higher"'))
    text = answer(build(read_run(folder)))
    assert text.startswith("high leads on MCD")
    assert "−" not in text


def test_baselines_only(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects={}, seeds=()))
    assert answer(board) == "This run trained no system: it holds untrained baselines only."


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
        other_crops=["paper-1d"],
        failures={"residual-2d/SF1-TM3/0": ("timeout", "took too long")},
    )
    crops, cells, sentences = doubts(leaderboard_of(run))
    assert crops.startswith("Systems saw different crops in 4 of 4 groups")
    assert "not a controlled comparison" in crops
    assert cells == "Incomplete: 1 of 22 cells did not finish."
    assert sentences == "Only 3 sentences: intervals from fewer than 6 are too narrow."


def test_a_sound_run_leaves_no_doubts(leaderboard_of: Build) -> None:
    assert doubts(leaderboard_of(SyntheticRun())) == []
