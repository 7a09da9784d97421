"""Figures: deterministic, escaped, honest about averaging, and without global state."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pandas as pd
import pytest

from vcbench.reporting.figures import (
    MAX_POINTS,
    direction_panel,
    effects_panel,
    loss_panels,
    shared_limits,
    styles,
)
from vcbench.reporting.model import Column, Effect
from vcbench.statistics import Estimate


def curves(n: int, *, systems: tuple[str, ...] = ("a", "b"), name: str = "cycle") -> pd.DataFrame:
    rows = [
        (system, "A-B", seed, float(i), name, 1.0 + 1 / (i + 1 + k))
        for k, system in enumerate(systems)
        for seed in ("0", "1")
        for i in range(n)
    ]
    return pd.DataFrame(rows, columns=["system", "pair", "seed", "iteration", "name", "value"])


def lines_of(svg: str, index: int) -> list[int]:
    """Numbers of points of the lines drawn in series colour `index`."""
    drawn = []
    for path in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}path"):
        if f"stroke: var(--series-{index})" in path.get("style", ""):
            drawn.append(len(re.findall(r"[ML]", path.get("d", ""))))
    return drawn


def test_one_panel_per_loss_in_the_order_of_the_training(example) -> None:
    panels = loss_panels(example.run.training, styles(["paper-1d"]))
    assert [p.title for p in panels] == [
        "discriminator",
        "generator adversarial",
        "cycle",
        "identity",
        "validation",
    ]


def test_a_line_per_cell_and_one_for_their_mean() -> None:
    (panel,) = loss_panels(curves(20), styles(["a", "b"]))
    for index in (0, 1):
        widths = lines_of(panel.svg, index)
        assert len(widths) == 3
    assert panel.note == ""


def test_a_single_value_is_a_dot() -> None:
    (panel,) = loss_panels(curves(1), styles(["a", "b"]))
    (several,) = loss_panels(curves(2), styles(["a", "b"]))
    markers = [p.svg.count("fill: var(--series-0)") for p in (panel, several)]
    assert markers[0] > 0 and markers[1] == 0


def test_long_curves_are_averaged_in_blocks_and_say_so() -> None:
    (panel,) = loss_panels(curves(10 * MAX_POINTS), styles(["a", "b"]))
    assert panel.note == "each point is the mean of 10 logged values"
    assert max(lines_of(panel.svg, 0)) <= MAX_POINTS


def test_block_means_are_means_of_their_block() -> None:
    from vcbench.reporting.figures import _in_blocks

    n = 2 * MAX_POINTS + 5
    frame = pd.DataFrame({"iteration": np.arange(n), "value": np.arange(n, dtype=float)})
    x, y, size = _in_blocks(frame)
    assert size == 3
    expected = [np.mean(np.arange(i, min(i + 3, n))) for i in range(0, n, 3)]
    np.testing.assert_allclose(y, expected)
    np.testing.assert_array_equal(x, [min(i + 2, n - 1) for i in range(0, n, 3)])


def test_values_that_are_not_finite_are_left_out_and_an_empty_panel_is_not_drawn() -> None:
    frame = curves(5)
    frame.loc[0, "value"] = np.inf
    assert len(loss_panels(frame, styles(["a", "b"]))) == 1
    assert loss_panels(frame.assign(value=np.nan), styles(["a", "b"])) == []


def test_the_change_says_what_it_is_and_stands_behind_the_losses() -> None:
    frame = pd.concat([curves(10 * MAX_POINTS, name=n) for n in ("change", "validation", "cycle")])
    panels = loss_panels(frame, styles(["a", "b"]))
    assert [p.title for p in panels] == ["cycle", "validation", "change"]
    assert panels[2].note == (
        "no loss: mean |G(x) - x| / mean |x| on held-out speech; near 0 the generators return what "
        "they are given; each point is the mean of 10 logged values"
    )


def test_learning_rates_and_speeds_are_not_losses() -> None:
    frame = pd.concat(
        [curves(3, name=n) for n in ("learning_rate_generator", "iterations_per_second", "cycle")]
    )
    assert [p.title for p in loss_panels(frame, styles(["a", "b"]))] == ["cycle"]


def test_equal_data_give_equal_bytes_without_a_date(example) -> None:
    look = styles(["paper-1d", "residual-2d"])
    first = loss_panels(example.run.training, look)
    assert loss_panels(example.run.training, look) == first
    assert "date" not in first[0].svg.lower()


def test_ids_of_two_panels_differ_and_references_resolve() -> None:
    frame = pd.concat([curves(5, name=name) for name in ("cycle", "identity")])
    a, b = loss_panels(frame, styles(["a", "b"]))
    ids_a, ids_b = (set(re.findall(r'\bid="([^"]+)"', panel.svg)) for panel in (a, b))
    assert ids_a and not ids_a & ids_b
    used = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", a.svg))
    assert used and {x or y for x, y in used} <= ids_a


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$\\frac{", "a&b", '"x"'])
def test_hostile_names_are_text(name: str) -> None:
    estimate = Estimate(1.0, 0.5, 1.5, 3, 3)
    panel = direction_panel(
        "A>B",
        {name: estimate},
        styles([name]),
        axis_label=name,
        limits=(0.0, 2.0),
        prefix="p",
    )
    root = ET.fromstring(panel.svg)
    tags = {element.tag.partition("}")[2] for element in root.iter()}
    assert "script" not in tags
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert name in texts


def labels(svg: str) -> list[str]:
    """All texts of a figure."""
    found = ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return [element.text or "" for element in found]


def test_names_of_a_sweep_stay_apart() -> None:
    known = Estimate(1.0, 0.5, 1.5, 3, 3)
    rates = [f"learning_rate_{network}-2e-4" for network in ("generator", "discriminator")]
    long = [f"gradient_penalty-{'very_' * 9}{middle}-{'long_' * 9}weight-10" for middle in "ab"]
    panel = direction_panel(
        "A>B",
        dict.fromkeys([*rates, *long], known),
        styles(rates),
        axis_label="x",
        limits=(0.0, 2.0),
        prefix="p",
    )
    column = Column("mcd", "mcd", "p", "dB", "lower")
    effects = [Effect(name, {"mcd": known}, "undecided") for name in [*rates, *long]]
    compared = effects_panel(effects, column, title="t", axis_label="x")
    assert compared is not None
    for svg in (panel.svg, compared.svg):
        found = labels(svg)
        assert set(rates) <= set(found), "not cut at all"
        assert len({text for text in found if text.startswith("gradient_")}) == 2


def test_long_names_leave_the_figure_its_room() -> None:
    known = {"n": Estimate(1.0, 0.5, 1.5, 3, 3)}

    def room(name: str) -> float:
        svg = direction_panel(
            "A>B", {name: known["n"]}, {}, axis_label="x", limits=(0.0, 2.0), prefix="p"
        ).svg
        patch = re.search(r'id="p-patch_2">\s*<path d="M ([\d.]+) [\d.]+\s*L ([\d.]+)', svg)
        assert patch
        return float(patch.group(2)) - float(patch.group(1))

    assert room("n" * 32) > 0.8 * room("n" * 18)


def test_trained_systems_are_filled_baselines_hollow_and_undefined_means_not_drawn() -> None:
    nan = float("nan")
    known, gone = Estimate(1, 0.5, 1.5, 3, 3), Estimate(nan, nan, nan, 0, 3)

    def markers(scores: dict[str, Estimate]) -> list[str]:
        panel = direction_panel(
            "A>B", scores, styles(["trained"]), axis_label="x", limits=(0.0, 2.0), prefix="p"
        )
        uses = ET.fromstring(panel.svg).iter("{http://www.w3.org/2000/svg}use")
        # Ticks are markers too; theirs is the colour of the text.
        return [u.get("style", "") for u in uses if "var(" in u.get("style", "")]

    (filled,) = markers({"trained": known})
    assert filled.startswith("fill: var(--series-0)")
    (hollow,) = markers({"baseline": known})
    assert "fill-opacity: 0" in hollow and "stroke: var(--muted)" in hollow
    assert markers({"trained": gone}) == []


def test_more_systems_than_colours_differ_by_their_dashes() -> None:
    look = styles([f"s{i}" for i in range(14)])
    assert len({(s.colour, s.dashes) for s in look.values()}) == 14


def test_limits_hold_every_interval() -> None:
    nan = float("nan")
    found = shared_limits([Estimate(5, 4, 6, 2, 2), Estimate(9, nan, nan, 1, 1)])
    assert found is not None
    assert found[0] < 4 and found[1] > 9
    assert shared_limits([Estimate(nan, nan, nan, 0, 1)]) is None
    low, high = shared_limits([Estimate(0, 0, 0, 2, 2)]) or (0, 0)
    assert low < 0 < high


def test_matplotlibs_settings_are_left_as_they_were(example) -> None:
    before = dict(matplotlib.rcParams)
    loss_panels(example.run.training, styles(["paper-1d"]))
    assert dict(matplotlib.rcParams) == before


def test_reporting_imports_neither_torch_nor_pyplot() -> None:
    code = (
        "import sys, vcbench.reporting;"
        "print(*{'torch', 'matplotlib.pyplot', 'pyworld'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
