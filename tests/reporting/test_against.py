"""Trained systems against a baseline that the reader chooses, and the data that go to the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_run import HOSTILE, METRICS, SyntheticRun

from vcbench.reporting import Leaderboard, against
from vcbench.reporting.explorer import against_column, as_script_data, explorer
from vcbench.reporting.leaderboard import build
from vcbench.reporting.run_files import read_run

Build = Callable[[SyntheticRun], Leaderboard]


def notes(board: Leaderboard, baseline: str) -> dict[str, str]:
    found = next(a for a in board.against if a.baseline == baseline)
    rows = against_column(board, found)["rows"]
    return {r.system: c["note"] for r, c in zip(board.rows, rows, strict=True) if c}


def test_the_default_baseline_is_the_reference_and_says_what_the_marks_say(
    leaderboard_of: Build,
) -> None:
    board = leaderboard_of(SyntheticRun())
    first = board.against[0]
    assert first.baseline == "mean-variance" and not first.trained
    for row in board.trained:
        assert first.differences[row.system] == row.versus_reference
        said = notes(board, "mean-variance")[row.system].split(",")[0]
        assert (said == "better") == bool(row.beats_reference)
    assert "it tells of this run" in against_column(board, first)["how"]


def test_the_suites_own_baseline_comes_first_with_its_own_verdicts(leaderboard_of: Build) -> None:
    asked = {"baseline": "a", "against": ["b"], "metric": "mcd"}
    effects = {"a": 0.0, "b": -1.0, "c": -1.0}
    board = leaderboard_of(SyntheticRun(effects=effects, seeds=tuple(range(7)), compare=asked))
    assert board.against[0].baseline == "a"
    (effect,) = board.comparison.effects
    assert board.against[0].differences["b"] == effect.differences["mcd"]
    assert notes(board, "a")["b"].startswith("better, p")


def test_the_order_of_systems_in_the_suite_changes_no_interval(tmp_path: Path) -> None:
    run = SyntheticRun(effects={"a": -3.0, "b": -2.0, "c": -1.0}, seeds=(0,), n_sentences=20)
    stored = read_run(run.write(tmp_path / "run"))
    suite = stored.suite
    turned = {**suite, "systems": dict(reversed(suite["systems"].items()))}
    boards = [build(stored), build(replace(stored, manifest={**stored.manifest, "suite": turned}))]
    orders = [[x.baseline for x in board.against if x.trained] for board in boards]
    assert orders == [["a", "b", "c"], ["c", "b", "a"]]
    one, other = ({x.baseline: x.differences for x in board.against} for board in boards)
    assert one == other
    # All have the smallest p of a test by sampling, so that only their order could part them.
    assert len({found.p for found in one["mean-variance"].values()}) == 1


def test_too_few_seeds_allow_no_claim_between_trained_systems(leaderboard_of: Build) -> None:
    run = SyntheticRun(effects={"a": 0.0, "b": -3.0}, seeds=(0, 1))
    board = leaderboard_of(run)
    assert notes(board, "a") == {"b": "too few seeds"}
    (found,) = next(x for x in board.against if x.baseline == "a").differences.values()
    assert found.mean < 0 and not found.has_interval
    assert notes(board, "mean-variance")["b"].startswith("better, p")


def test_a_twin_is_equal_and_no_system_stands_against_itself(leaderboard_of: Build) -> None:
    run = SyntheticRun(effects={"a": 0.0, "b": 0.0}, twins={"b": "a"}, seeds=tuple(range(6)))
    board = leaderboard_of(run)
    assert notes(board, "a")["b"].split(",")[0] == "equal"
    assert all(x.baseline not in x.differences for x in board.against)


def test_a_sweep_does_not_compare_each_with_each(
    leaderboard_of: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(against, "MAX_BASELINES", 4)
    board = leaderboard_of(SyntheticRun())
    assert [x.baseline for x in board.against] == [
        "mean-variance",
        "source-copy",
        "resynthesis",
        "paper-1d",
    ]


def test_every_score_of_the_run_is_in_the_page_once(tmp_path: Path) -> None:
    failed = {"residual-2d/SF1-TM3/1": ("failed", "")}
    folder = SyntheticRun(failures=failed, undefined=[("paper-1d", "mcd")]).write(tmp_path / "run")
    run = read_run(folder)
    found = json.loads(str(as_script_data(explorer(run, build(run)))))
    rows = []
    for system, pair, direction, seed, values in found["scores"]:
        for metric, of_metric in zip(METRICS, values, strict=True):
            sentences = found["directions"][direction]["sentences"]
            for sentence, value in zip(sentences, of_metric, strict=True):
                seed_name = "" if seed < 0 else found["seeds"][seed]
                label = found["directions"][direction]["label"].replace(" → ", ">")
                rows.append(
                    (
                        found["systems"][system],
                        found["pairs"][pair]["label"],
                        label,
                        seed_name,
                        sentence,
                        metric,
                        np.nan if value is None else value,
                    )
                )
    keys = ["system", "pair", "direction", "seed", "utterance", "metric"]
    shown = pd.DataFrame(rows, columns=[*keys, "value"]).set_index(keys)["value"].sort_index()
    stored = run.results.set_index(keys)["value"].sort_index()
    assert shown.index.equals(stored.index)
    np.testing.assert_allclose(shown, stored, rtol=5e-6)
    # The failed cell is known, so that its utterances are expected.
    place = found["systems"].index("residual-2d")
    assert [c[3] for c in found["cells"] if c[0] == place].count(False) == 1


def test_no_name_can_end_the_script_that_holds_it() -> None:
    text = str(as_script_data({"name": f"</script>{HOSTILE}<!-- & \u2028 ]]>"}))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["name"] == f"</script>{HOSTILE}<!-- & \u2028 ]]>"
