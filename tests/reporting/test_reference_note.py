"""What a report says of systems beside the untrained reference: better, worse, or not shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun

from vcbench.reporting import Leaderboard
from vcbench.reporting.explorer import against_column
from vcbench.reporting.grid import mark_words, reference_note, worse_than_reference
from vcbench.reporting.leaderboard import build
from vcbench.reporting.run_files import read_run

Build = Callable[[SyntheticRun], Leaderboard]

HOW = "paired over the same sentences, sign-flip test over sentences"
ALL_WAYS = {"ahead": -1.0, "level": 0.0, "behind": 0.5}


def test_those_that_are_worse_are_told_from_those_not_shown_to_beat(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects=ALL_WAYS, n_sentences=20))
    worse, level = (board.row(s).versus_reference for s in ("behind", "level"))
    assert worse.low > 0 and level.low < 0 < level.high
    assert reference_note(board) == (
        f"† under-trained: in this run worse than the untrained mean-variance on MCD ({HOW}, Holm "
        "over 3 systems; intervals at 95 % to 98.33 %): "
        f"behind +{worse.mean:.2f} dB [{worse.low:.2f}, {worse.high:.2f}], p < 0.001; "
        f"not shown to beat it: level +{level.mean:.2f} dB [−{-level.low:.2f}, {level.high:.2f}], "
        f"p = {level.p_holm:.2g}, 80 % power for differences from {level.detectable:.2f} dB on. "
        "All others beat it (p < 0.001)."
    )


def test_where_higher_is_better_the_lower_is_worse(tmp_path: Path) -> None:
    run = SyntheticRun(effects={"low": -1.0, "high": 1.0}, n_sentences=20)
    folder = run.write(tmp_path / "run")
    manifest = folder / "manifest.json"
    for better, worse in (("higher", [False, True]), ("neither", [False, False])):
        text = manifest.read_text()
        before = "lower" if better == "higher" else "higher"
        manifest.write_text(text.replace(f'"better": "{before}"', f'"better": "{better}"'))
        board = build(read_run(folder))
        found = [worse_than_reference(board, board.row(s)) for s in ("high", "low")]
        assert found == worse


def test_of_too_few_sentences_nothing_is_called_worse(leaderboard_of: Build) -> None:
    board = leaderboard_of(SyntheticRun(effects={"a": 3.0, "b": 2.0}, n_sentences=5))
    assert mark_words(board, board.ranked) == "not shown to beat"


@pytest.mark.parametrize(
    ("n_sentences", "beaten", "said"),
    [
        (20, "ab", "each p < 0.001"),
        (8, "ab", "p = 0.016 at most"),
        (20, "a", "p < 0.001"),
        (8, "a", "p = 0.0078"),
    ],
)
def test_of_several_p_the_largest_is_told(
    n_sentences: int, beaten: str, said: str, leaderboard_of: Build
) -> None:
    effects = dict.fromkeys(beaten, -2.0)
    run = SyntheticRun(effects=effects, n_sentences=n_sentences, seeds=(0,))
    assert reference_note(leaderboard_of(run)).endswith(f"; {said}).")
    if n_sentences == 20:
        some = reference_note(leaderboard_of(replace(run, effects={**effects, "behind": 2.0})))
        assert some.endswith(f" All others beat it ({said}).")


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        ({"a": -1.0}, ""),
        (dict.fromkeys("abcdef", -1.0), "; intervals at 99.17 %"),
        ({"a": -1.0, "b": 0.0}, "; intervals at 95 % to 97.5 %"),
        ({"a": 0.0, "b": 0.0}, "; intervals at 97.5 %"),
    ],
)
def test_the_level_of_the_intervals_is_told_where_it_is_not_95_percent(
    effects: dict[str, float], said: str, leaderboard_of: Build
) -> None:
    board = leaderboard_of(SyntheticRun(effects=effects, n_sentences=20, seeds=(0,)))
    k = len(effects)
    holm = f", Holm over {k} systems" if k > 1 else ""
    assert f"({HOW}{holm}{said}" in reference_note(board)
    assert ("intervals at" in reference_note(board)) == bool(said)
    shown = against_column(board, board.against[0])["how"]
    assert said in shown and ("intervals at" in shown) == bool(said)
