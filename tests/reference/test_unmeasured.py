"""Which commands the findings page still asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from page_numbers import stored_below, wrong_on_page
from published_runs import made
from reporting.synthetic_run import SyntheticRun

from vcbench import suite
from vcbench.reference import findings, unmeasured
from vcbench.reference.publish import publish
from vcbench.suite.merge import Sources

COMMAND = "vcbench run reference"
SMALL = f"{COMMAND} --budget cpu-small"

commands = partial(unmeasured.commands, "reference")


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> Iterator[None]:
    """To read and check a suite takes most of the time of these tests, and none changes one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suite, "load", cache(suite.load))
        yield


def published(budget: str | None = "cpu-small", **keys: Any) -> dict[str, Any]:
    """The summary of a run of all that the suite asks for, but for `keys`."""
    loaded = suite.load("reference", budget=budget)
    trainings = len(loaded.cells())
    return {
        "suite": "reference",
        "budget": budget,
        "iterations": sorted({s.training.iterations for s in loaded.systems.values()}),
        "width": loaded.scale,
        "seeds": list(loaded.seeds),
        "pairs": [str(pair) for pair in loaded.pairs],
        "systems": list(loaded.systems),
        "cells": trainings,
        "cells_ok": trainings,
        **keys,
    }


def test_what_is_still_to_be_measured_is_what_no_published_run_has() -> None:
    every = [budget for budget in Sources("reference").budgets if budget != "smoke"]
    assert every
    assert commands([]) == [*(f"{COMMAND} --budget {budget}" for budget in every), COMMAND]
    both = [published(seeds=[1]), published(seeds=[0, 2, 7])]
    assert not any("cpu-small" in command for command in commands(both))
    assert commands([published(suite="vcc2016")]) == commands([])
    assert commands([published() | {"budget": "h100-20k"}]) == commands([])
    assert COMMAND not in commands([published(None)])


@pytest.mark.parametrize(
    ("seeds", "said"),
    [([1], "seeds 0, 2 are missing"), ([2, 0], "seed 1 is missing")],
)
def test_missing_seeds_are_named_behind_the_command_of_all(seeds: list[int], said: str) -> None:
    """A run of those alone, published, would delete the others."""
    assert commands([published(seeds=seeds)])[0] == f"{SMALL}  # {said}"


@pytest.mark.parametrize(
    "less",
    [
        {"cells_ok": 3},
        {"pairs": ["SF1-TF2"]},
        {"systems": ["paper-1d", "residual-2d"]},
        {"iterations": [60]},
        {"iterations": [60, 5000]},
        {"iterations": []},
        {"width": 0.125},
        {"width": None},
    ],
)
def test_a_run_of_less_than_the_suite_measures_none_of_its_seeds(less: dict[str, Any]) -> None:
    assert SMALL not in commands([published()])
    assert commands([published(**less)])[0] == SMALL


def test_a_run_of_more_than_the_suite_measures_it() -> None:
    whole = published()
    more = published(pairs=[*whole["pairs"], "SF2-TM1"], systems=["own", *whole["systems"]])
    assert commands([more]) == commands([whole])


def test_the_page_names_what_a_published_run_lacks(tmp_path: Path) -> None:
    """As `publish` and `findings` have it: the numbers stand in code, which nothing measures."""
    loaded = suite.load("reference", budget="cpu-small")
    run = SyntheticRun(
        effects={system: 0.1 * i for i, system in enumerate(loaded.systems)},
        pairs=tuple(map(str, loaded.pairs)),
        seeds=(0,),
        n_sentences=3,
        iterations=loaded.systems["paper-1d"].training.iterations,
    )
    folder = made(tmp_path / "run", run, figures=False)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | {"suite_name": "reference", "budget": "cpu-small"}
    path.write_text(json.dumps(manifest))
    publish(folder, tmp_path / "ref" / "small", cache_dir=tmp_path)
    text = findings.page(tmp_path / "ref", root=tmp_path)
    assert f"still to be measured: `{SMALL}  # seeds 1, 2 are missing`; `{COMMAND} " in text
    assert wrong_on_page(text, stored_below(tmp_path / "ref"), root=tmp_path) == []
