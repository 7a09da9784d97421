"""The suites that answer the field's questions: each asks one, changes one thing, and runs."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from suites import shipped
from vcbench import suite
from vcbench.statistics import needed

QUESTIONS = [name for name, _ in shipped() if name.startswith("questions/")]
PARTS = ("generator", "discriminator", "objective", "training")
BUDGETS = (None, "smoke", "quick")


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """`part.key` of all that two resolved systems do not share."""
    return [
        f"{part}.{key}"
        for part in PARTS
        for key in sorted(one[part].keys() | other[part].keys())
        if one[part].get(key) != other[part].get(key)
    ]


def test_all_questions_are_there() -> None:
    assert len(QUESTIONS) == 21


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_compares_systems_that_differ_in_one_part(name: str, budget: str | None) -> None:
    found = suite.load(name, budget=budget)
    resolved = found.resolved()
    compare = resolved["compare"]
    assert found.question is not None
    assert found.question.endswith("?")
    systems = resolved["systems"]
    assert {compare["baseline"], *compare["against"]} == set(systems)
    for system in compare["against"]:
        parts = {
            d.split(".")[0] for d in differences(systems[compare["baseline"]], systems[system])
        }
        assert len(parts) == 1, (system, parts)


@pytest.mark.parametrize("name", QUESTIONS)
def test_in_full_a_question_has_seeds_enough_for_all_of_its_claims(name: str) -> None:
    found = suite.load(name)
    compare = found.resolved()["compare"]
    assert len(found.seeds) >= needed(len(compare["against"]))
    assert found.corpus.name == "vcc2016"
    assert [str(pair) for pair in found.pairs] == ["SF1-TF2", "SF1-TM3", "SM1-TF2", "SM1-TM3"]
    assert found.scale == 1.0


@pytest.mark.parametrize("name", QUESTIONS)
def test_smoke_needs_nothing_but_the_embedded_corpus(name: str) -> None:
    found = suite.load(name, budget="smoke")
    assert found.corpus.name == "demo"
    assert all(s.training.iterations <= 20 for s in found.systems.values())


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One cache for all: questions share the cells that they have in common."""
    home = tmp_path_factory.mktemp("questions")
    own = {"VCBENCH_CACHE_DIR": str(home / "cache"), "VCBENCH_REPORTS_DIR": str(home / "reports")}
    return {**os.environ, **own, "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_runs_and_is_answered_in_a_sentence(
    name: str, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "vcbench", "run", name, "--budget", "smoke"]
    command += ["--no-throughput"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    run = Path(environment["VCBENCH_REPORTS_DIR"], Path(name).name, "latest")
    cells = [json.loads(line) for line in (run / "cells.jsonl").read_text("utf-8").splitlines()]
    assert {cell["status"] for cell in cells} == {"ok"}
    assert len((run / "throughput.csv").read_text("utf-8").splitlines()) == 1  # the names alone
    with (run / "results.csv").open(encoding="utf-8") as file:
        scored = {row["system"] for row in csv.DictReader(file) if row["metric"] == "mcd"}
    assert scored == {cell["system"] for cell in cells}
    leaderboard = json.loads((run / "leaderboard.json").read_text("utf-8"))
    # One seed supports no claim, whatever was measured.
    assert "ndecided" in leaderboard["answer"] or "no difference" in leaderboard["answer"]
    compare = json.loads((run / "manifest.json").read_text("utf-8"))["suite"]["compare"]
    found = {c["system"] for c in leaderboard["comparison"]["systems"]}
    assert found == set(compare["against"])
