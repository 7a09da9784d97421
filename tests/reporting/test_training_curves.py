"""Training on the page: validation beside training, learning rates, and health."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from page_reader import read
from synthetic_run import SyntheticRun

from vcbench.reporting import figures, render, training_curves
from vcbench.reporting.figures import styles
from vcbench.reporting.run_files import read_run

WEIGHTS = {"iterations": 2000, "lambda_cycle": 10.0, "lambda_identity": 5.0}


def written(folder: Path, training: dict[str, Any], **run: Any) -> Path:
    """A run of two systems, with these keys of training."""
    SyntheticRun(
        effects={"a": -0.6, "b": 0.4},
        systems={"a": {"training": training}, "b": {"training": training}},
        samples=False,
        **run,
    ).write(folder)
    return folder


def drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[pd.Series]]:
    """Each panel's dotted and solid lines as (x, y), by title."""
    kept: dict[str, Any] = {}
    real = figures.panel_of

    def spy(figure: Any, **about: Any) -> figures.Panel:
        kept[about["title"]] = figure.axes[0].lines
        return real(figure, **about)

    monkeypatch.setattr(figures, "panel_of", spy)
    monkeypatch.setattr(training_curves, "panel_of", spy)
    training_curves.training_panels(read_run(folder), styles(["a", "b"]))
    return {
        title: [pd.Series(line.get_ydata(), index=line.get_xdata()) for line in lines]
        for title, lines in kept.items()
    }


@pytest.mark.parametrize(
    ("training", "cycle", "identity"),
    [
        (WEIGHTS, 10.0, 5.0),
        ({**WEIGHTS, "identity_until": 500}, 10.0, 0.0),
        ({**WEIGHTS, "identity_until": 2000}, 10.0, 5.0),
        (
            {
                "iterations": 2000,
                "loss_stages": [
                    {"from_share": 0, "adversarial": 1, "cycle": 9, "identity": 9},
                    {"from_share": 0.5, "adversarial": 1, "cycle": 2, "identity": 0},
                ],
            },
            2.0,
            0.0,
        ),
    ],
)
def test_the_dotted_line_is_the_validation_losss_own_sum_of_training_losses(
    training: dict[str, Any],
    cycle: float,
    identity: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = written(tmp_path, training)
    if training.get("identity_until") == 500:  # as a run leaves it
        table = pd.read_csv(folder / "training.csv")
        gone = (table["name"] == "identity") & (table["iteration"] > 500)
        table[~gone].to_csv(folder / "training.csv", index=False)
    lines = drawn(folder, monkeypatch)["validation"]
    log = pd.read_csv(folder / "training.csv")
    wide = log[log["system"] == "a"].pivot_table(
        index=["iteration"], columns="name", values="value"
    )
    expected = cycle * wide["cycle"]
    if identity:
        expected = expected + identity * wide["identity"]
    dotted = [line for line in lines if len(line) == len(expected)]
    assert len(dotted) == 2  # a and b; validation itself is logged half as often
    np.testing.assert_allclose(dotted[0], expected)
    assert list(dotted[0].index) == list(expected.index)


@pytest.mark.parametrize("training", [{}, {**WEIGHTS, "mask_frames": 30}])
def test_no_dotted_line_where_the_sum_is_unknown_or_another(
    training: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, training)
    manifest = folder / "manifest.json"
    document = json.loads(manifest.read_text())
    document["suite"]["training"] = {}
    manifest.write_text(json.dumps(document))
    assert len(drawn(folder, monkeypatch)["validation"]) == 2 * (4 + 1)
    panels = training_curves.training_panels(read_run(folder), styles(["a", "b"]))
    assert not any("dotted: the same" in panel.note for panel in panels)


def test_equal_learning_rates_are_drawn_once_and_others_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path, WEIGHTS)
    (line,) = drawn(folder, monkeypatch)["learning rate"]
    assert set(line) == {0.0002} and line.index[-1] == 2000
    table = pd.read_csv(folder / "training.csv")
    rates = table[table["name"] == "learning_rate_generator"]
    other = rates.assign(name="learning_rate_discriminator", value=0.0001)
    half = rates[rates["system"] == "b"].assign(value=0.00005)
    kept = table[(table["name"] != "learning_rate_generator") | (table["system"] == "a")]
    pd.concat([kept, other, half]).to_csv(folder / "training.csv", index=False)
    lines = drawn(folder, monkeypatch)["learning rate"]
    assert sorted({float(v) for line in lines for v in line}) == [0.00005, 0.0001, 0.0002]
    assert len(lines) == 3
    panel = training_curves.training_panels(read_run(folder), styles(["a", "b"]))[-1]
    assert panel.note == (
        "solid: generators, dotted: discriminators; in the text's colour: equal for several systems"
    )


def health(folder: Path) -> dict[str, Any]:
    return training_curves.health(read_run(folder))


def test_flags_of_cells_and_losses_that_are_not_finite_are_named(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        WEIGHTS,
        health={"a/SF1-TM3/0": ("discriminator saturated since iteration 1200",)},
        failures={
            "b/SF1-TM3/1": ("failed", "b/SF1-TM3/1: at iteration 7 the cycle loss became nan"),
            "b/SM1-TF2/1": ("failed", "disk full in /inform/nancy"),
        },
    )
    found = health(folder)
    assert found["flags"] == [
        ("a/SF1-TM3/0", "discriminator saturated since iteration 1200"),
        ("b/SF1-TM3/1", "b/SF1-TM3/1: at iteration 7 the cycle loss became nan"),
    ]
    render(folder)
    section = read((folder / "index.html").read_text()).one("section", id="training")
    for cell, flag in found["flags"]:
        assert cell in section.text and flag in section.text


def test_what_was_looked_for_is_said_and_what_could_not_be(tmp_path: Path) -> None:
    folder = written(tmp_path, WEIGHTS)
    assert "not for an output that is its input" in health(folder)["looked"]
    table = pd.read_csv(folder / "training.csv")
    change = table[table["name"] == "validation"].assign(name="change", value=0.9)
    pd.concat([table, change]).to_csv(folder / "training.csv", index=False)
    assert health(folder)["looked"].endswith("held-out speech changed by less than 20 %).")
    render(folder)
    section = read((folder / "index.html").read_text()).one("section", id="training")
    assert "Nothing was noticed." in section.text
