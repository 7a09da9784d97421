"""What a report says of systems that lack cells or scores: what was measured, and no verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from synthetic_run import SyntheticRun

from vcbench.reporting import Leaderboard
from vcbench.reporting.explorer import against_column
from vcbench.reporting.grid import marks, notes, reference_note
from vcbench.reporting.tables import markdown
from vcbench.statistics import needed

Build = Callable[[SyntheticRun], Leaderboard]

FAILED = ("failed", "loss became NaN at iteration 660")
# 16 cells each: one system lacks a whole pair at one seed, the other a seed of each pair.
LACKING = SyntheticRun(
    seeds=tuple(range(8)),
    failures={
        "paper-1d-lsgan/SF1-TM3/1": FAILED,
        "residual-2d-bce/SF1-TM3/2": FAILED,
        "residual-2d-bce/SM1-TF2/3": FAILED,
    },
    samples=False,
)


def shown(board: Leaderboard, baseline: str) -> dict[str, dict]:
    found = next(a for a in board.against if a.baseline == baseline)
    rows = against_column(board, found)["rows"]
    return {r.system: c for r, c in zip(board.rows, rows, strict=True) if c}


def test_no_verdict_on_some_of_the_utterances_and_the_reason_beside_it(
    leaderboard_of: Build,
) -> None:
    board = leaderboard_of(LACKING)
    column = shown(board, "mean-variance")
    one, other = column["paper-1d-lsgan"], column["residual-2d-bce"]
    assert one["note"] == "untested (16/32 utterances)"
    assert one["mean"].startswith("−0.") and one["interval"] == "" == one["kind"]
    assert other["note"] == "untested (0/32 utterances)"
    assert (other["mean"], other["sort"]) == ("–", "")
    tested = {system: cell["tested"] for system, cell in column.items()}
    assert tested == {s: s in ("paper-1d", "residual-2d") for s in LACKING.effects}
    assert all(column[s]["note"].startswith("better, p") for s in ("paper-1d", "residual-2d"))
    row = board.row("paper-1d-lsgan")
    assert (row.versus_reference.n, row.versus_reference.expected) == (16, 32)
    assert row.beats_reference is None and not row.versus_reference.has_interval


def test_what_is_missing_does_not_make_the_rest_easier_to_claim(leaderboard_of: Build) -> None:
    board = leaderboard_of(LACKING)
    (default, *_) = board.against
    assert min(d.level for d in default.differences.values()) == pytest.approx(0.05 / 4)
    assert against_column(board, default)["how"] == (
        "paired over the same sentences; Holm over 4 systems; intervals at 98.75 %; "
        "n/N: utterances with both scores at every seed"
    )


def test_a_system_without_a_whole_seed_is_incomplete_too(leaderboard_of: Build) -> None:
    """Of the seeds that are left every utterance has a score: that is not the whole run."""
    lost = {f"paper-1d/{pair}/5": FAILED for pair in LACKING.pairs}
    board = leaderboard_of(replace(LACKING, failures=lost))
    column = shown(board, "mean-variance")
    assert column["paper-1d"]["note"] == "untested (incomplete)"
    assert column["residual-2d"]["tested"] and board.row("residual-2d").versus_reference.over_seeds


def test_too_few_seeds_of_an_incomplete_system_take_nothing_from_the_others(
    leaderboard_of: Build,
) -> None:
    lost = {f"paper-1d/{pair}/{seed}": FAILED for pair in LACKING.pairs for seed in range(4)}
    board = leaderboard_of(replace(LACKING, failures=lost))
    assert 4 < needed(4) == 8
    assert board.row("residual-2d").versus_reference.over_seeds


def test_against_an_incomplete_baseline_nothing_is_tested(leaderboard_of: Build) -> None:
    board = leaderboard_of(LACKING)
    column = shown(board, "paper-1d-lsgan")
    assert column["residual-2d"]["note"] == "untested (paper-1d-lsgan is incomplete)"
    assert not any(cell["tested"] for cell in column.values())
    lost = {f"paper-1d/{pair}/{seed}": FAILED for pair in LACKING.pairs for seed in LACKING.seeds}
    board = leaderboard_of(replace(LACKING, failures=lost))
    assert shown(board, "mean-variance")["paper-1d"]["note"] == "untested (not scored)"
    lost = {"mean-variance/SF1-TM3/-": ("failed", "no memory")}
    board = leaderboard_of(replace(LACKING, failures=lost))
    assert {row.beats_reference for row in board.trained} == {None}
    assert reference_note(board) == (
        "Nothing could be compared with the untrained mean-variance: of 2 cells, 1 failed."
    )


def test_the_note_counts_all_trained_systems(leaderboard_of: Build) -> None:
    text = reference_note(leaderboard_of(LACKING))
    assert text.startswith("2 of 4 trained systems beat the untrained mean-variance on MCD (")
    assert text.endswith(" Not tested, because incomplete: paper-1d-lsgan and residual-2d-bce.")
    whole = reference_note(leaderboard_of(replace(LACKING, effects={"a": -1.0}, failures={})))
    assert whole.startswith("Every trained system beats the untrained mean-variance on MCD (")


def test_a_note_on_what_does_not_beat_the_reference_names_the_untested_apart(
    leaderboard_of: Build,
) -> None:
    run = replace(
        LACKING,
        effects={"paper-1d": -0.6, "behind": 0.5, "lost": -0.5},
        failures={"lost/SF1-TM3/0": FAILED},
        seeds=(0, 1),
    )
    board = leaderboard_of(run)
    assert marks(board.row("behind")) == ["†"] and marks(board.row("lost")) == []
    (note,) = (n for n in notes(board) if n.startswith("†"))
    assert note.startswith(
        "† under-trained: in this run worse than the untrained mean-variance on MCD (paired over "
        "the same sentences, sign-flip test over sentences, Holm over 3 systems; intervals at "
        "98.33 %): behind +0."
    )
    assert note.split(". All others that are complete beat it (p = 0.")[1].endswith(
        ". Not tested, because incomplete: lost."
    )
    assert "| behind † |" in markdown(board) and "| lost |" in markdown(board)


def test_no_complete_system_leaves_nothing_to_compare(leaderboard_of: Build) -> None:
    run = replace(LACKING, effects={"a": 0.0}, seeds=(0, 1), failures={"a/SF1-TM3/0": FAILED})
    assert reference_note(leaderboard_of(run)) == (
        "Nothing could be compared with the untrained mean-variance: no trained system is complete."
    )
