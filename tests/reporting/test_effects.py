"""The comparison as the page, the files and the plot show it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest
from page_reader import Element, read
from rendered_run import Rendered, rendered
from synthetic_run import HOSTILE, METRICS, SyntheticRun

from vcbench.reporting.answer import answer
from vcbench.reporting.figures import effects_panel
from vcbench.reporting.model import Column, Effect
from vcbench.reporting.verdict import effect_notes
from vcbench.statistics import Difference

MCD = Column(key="mcd", metric="mcd", protocol="vcbench-1", unit="dB", better="lower")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A base against one better system, one undecided, one equal, one failed, one saturated."""
    synthetic = SyntheticRun(
        effects={"base": 0.0, "better": -3.0, "same": 0.0, "twin": 0.0, "gone": 1.0},
        seeds=tuple(range(8)),
        pairs=("SF1-TM3",),
        luck=0.2,
        samples=False,
        twins={"twin": "base"},
        failures={"gone/SF1-TM3/0": ("failed", "loss became NaN")},
        health={"base/SF1-TM3/0": ("discriminator saturated since iteration 50 (loss below 1)",)},
        question="Does it matter?",
        compare={
            "baseline": "base",
            "against": ["same", "better", "twin", "gone"],
            "metric": "mcd",
        },
    )
    return rendered(synthetic, tmp_path_factory.mktemp("compared"))


@pytest.fixture(scope="module")
def page(compared: Rendered) -> Element:
    return read(compared.text("index.html"))


def test_the_page_answers_in_one_sentence_and_tells_of_saturation_below(
    compared: Rendered, page: Element
) -> None:
    paragraph = page.one("p", class_="answer")
    assert paragraph.text == answer(compared.leaderboard)
    power, saturated = (e.text for e in paragraph.all("span", class_="second"))
    assert saturated.startswith("The discriminator saturated")
    assert len(paragraph.all("span", class_="interval")) == 2
    assert power.startswith("With 80 % power this design finds differences from 0.")
    assert page.one("p", class_="question").text == "Does it matter?"


def test_the_effects_stand_before_the_leaderboard_and_can_be_reached(page: Element) -> None:
    assert [e.attributes["id"] for e in page.one("main").children][:2] == ["effects", "leaderboard"]
    assert page.one("nav").children[0].attributes["href"] == "#effects"


def test_the_page_has_a_plot_with_a_row_per_system_in_the_suites_order(page: Element) -> None:
    figure = page.one("section", id="effects").one("figure")
    texts = [e.text for e in figure.one("svg").all("text")]
    names = [t for t in texts if t in ("same", "better", "twin", "gone")]
    assert names == ["same", "better", "twin", "gone"]
    assert "not compared" in texts
    assert any("difference in MCD ↓ (dB, vcbench-1); left is better" in t for t in texts)
    assert figure.one("figcaption").text == "MCD less that of base"


def test_the_table_of_effects_holds_every_metric(compared: Rendered, page: Element) -> None:
    table = page.one("section", id="effects").one("table")
    rows = table.one("tbody").all("tr")
    assert [row.one("span", class_="system").text for row in rows] == [
        "same",
        "better",
        "twin",
        "gone",
    ]
    decisions = [row.all("td")[0].text for row in rows]
    p = [e.differences["mcd"].p_holm for e in compared.leaderboard.comparison.effects]
    assert decisions == [
        f"undecided (p = {p[0]:.2g})",
        f"better (p = {p[1]:.2g})",
        "no difference",
        "not compared: of 8 cells, 1 failed",
    ]
    for row, effect in zip(rows, compared.leaderboard.comparison.effects, strict=True):
        assert len(row.all("td")) == 1 + len(METRICS)
        for cell, metric in zip(row.all("td")[1:], METRICS, strict=True):
            found = effect.differences[metric]
            if effect.system == "gone":
                assert cell.text == "–"
                continue
            assert float(cell.attributes["data-sort"]) == found.mean
            shown = cell.one("span", class_="mean").text.replace("−", "-")
            assert float(shown) == pytest.approx(found.mean, abs=0.06)
            sign = "" if float(shown) == 0 else "-" if found.mean < 0 else "+"
            assert shown.startswith(sign)
    for note in effect_notes(compared.leaderboard):
        assert note in page.one("section", id="effects").text


def test_markdown_begins_with_question_answer_and_effects(compared: Rendered) -> None:
    blocks = compared.text("leaderboard.md").split("\n\n")
    text = answer(compared.leaderboard).replace("[", "[")
    assert blocks[:3] == ["# synthetic", "*Does it matter?*", f"**{text}**"]
    table = blocks[blocks.index("## Effects") + 1].splitlines()
    found = compared.leaderboard.comparison.effects[1].differences["mcd"]
    assert table[0].startswith("| system | MCD | MCD ↓ (dB, vcbench-1) | F0 RMSE ↓ (Hz, ")
    shown = f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}] (16/16)".replace("-", "−")
    assert table[3].startswith(f"| better | better (p = {found.p_holm:.2g}) | {shown} |")
    assert blocks.index("## Effects") < blocks.index("## Leaderboard")


def test_json_holds_every_number_of_the_comparison(compared: Rendered) -> None:
    document = json.loads(compared.text("leaderboard.json"))
    comparison = document["comparison"]
    assert document["answer"] == answer(compared.leaderboard)
    assert comparison["baseline"] == "base"
    assert comparison["metric"] == "mcd"
    assert (comparison["seeds"], comparison["seeds_and_sentences_needed"]) == (8, 8)
    assert comparison["correction"] == "Holm over 4 comparisons of each metric"
    assert comparison["notes"] == effect_notes(compared.leaderboard)
    for entry, effect in zip(
        comparison["systems"], compared.leaderboard.comparison.effects, strict=True
    ):
        assert (entry["system"], entry["decision"]) == (effect.system, effect.decision)
        assert set(entry["differences"]) == set(METRICS)
        if effect.decision == "missing":
            assert entry["missing_because"] == "of 8 cells, 1 failed"
            assert entry["differences"]["mcd"]["mean"] is None
            continue
        for metric, found in effect.differences.items():
            assert entry["differences"][metric] == {
                "mean": found.mean,
                "ci": [found.low, found.high],
                "confidence": 1 - found.level,
                "covers": ["sentences", "seeds"],
                "n": found.n,
                "expected": found.expected,
                "p": found.p,
                "p_holm": found.p_holm,
                "claimable": True,
                "detectable_at_80_percent_power": found.detectable,
            }
            assert (found.p_holm <= 0.05) == (not found.low <= 0 <= found.high)
    assert [e["every_score_equal"] for e in comparison["systems"]] == [False, False, True, False]


def test_a_run_that_compares_nothing_has_neither_section_nor_numbers(example: Rendered) -> None:
    assert read(example.text("index.html")).all("section", id="effects") == []
    assert "## Effects" not in example.text("leaderboard.md")
    assert json.loads(example.text("leaderboard.json"))["comparison"] is None


def effect(system: str, mean: float, half: float = 0.1, decision: str = "undecided") -> Effect:
    return Effect(system, {"mcd": Difference(mean, mean - half, mean + half, 9, 9)}, decision)


def paths(svg: str) -> list[str]:
    return [e.get("style", "") for e in ET.fromstring(svg).iter(f"{SVG}path")] + [
        e.get("style", "") for e in ET.fromstring(svg).iter(f"{SVG}use")
    ]


def draw(*effects: Effect) -> str:
    panel = effects_panel(effects, MCD, title="t", axis_label="x")
    assert panel is not None
    return panel.svg


def test_a_decided_dot_is_filled_and_an_undecided_one_hollow() -> None:
    decided, undecided = (
        draw(effect("a", 1.0, decision=decision)) for decision in ("worse", "undecided")
    )
    assert "fill: var(--paper)" in undecided and "stroke: var(--muted)" in undecided
    assert "var(--paper)" not in decided
    assert "fill: currentColor; stroke: currentColor" in decided


def test_zero_is_in_the_plot_wherever_the_effects_are() -> None:
    for mean in (5.0, -5.0):
        ticks = [
            float(e.text.replace("−", "-"))
            for e in ET.fromstring(draw(effect("a", mean))).iter(f"{SVG}text")
            if e.text and re.fullmatch(r"−?[\d.]+", e.text)
        ]
        assert min(ticks) <= 0 <= max(ticks)


def test_a_plot_grows_with_its_rows_and_needs_something_to_draw() -> None:
    heights = [
        float(
            ET.fromstring(draw(*[effect(f"s{i}", 0.1 * i) for i in range(n)]))
            .get("viewBox", "")
            .split()[3]
        )
        for n in (2, 20)
    ]
    assert heights[1] > 3 * heights[0]
    nothing = Difference(float("nan"), float("nan"), float("nan"), 0, 0)
    gone = Effect("a", {"mcd": nothing}, "missing")
    assert effects_panel([gone], MCD, title="t", axis_label="x") is None


def test_an_effect_without_interval_is_a_dot() -> None:
    nan = float("nan")
    alone = Effect("a", {"mcd": Difference(0.3, nan, nan, 1, 1)}, "undecided")
    assert "var(--muted)" in draw(alone)


def test_equal_effects_give_equal_bytes_and_names_are_text() -> None:
    effects = [effect(HOSTILE, 0.2), effect("$x_1$", -0.2)]
    svg = draw(*effects)
    assert draw(*effects) == svg
    texts = [e.text for e in ET.fromstring(svg).iter(f"{SVG}text")]
    assert "$x_1$" in texts
    assert "<script" not in svg


def test_hostile_names_are_shown_as_text_in_a_comparison(tmp_path) -> None:
    synthetic = SyntheticRun(
        effects={HOSTILE: 0.0, "a|b": -1.0},
        seeds=(0,),
        samples=False,
        compare={"baseline": HOSTILE, "against": ["a|b"], "metric": "mcd"},
    )
    report = rendered(synthetic, tmp_path / "run")
    page = read(report.text("index.html"))
    assert HOSTILE in page.one("h2", id="effects-title").text
    # The page's data, and its own script.
    assert [e.attributes.get("id", "") for e in page.all("script")] == ["scores", ""]
    rows = [line for line in report.text("leaderboard.md").splitlines() if line[:2] == "| "]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows[:3]} == {7}


def test_notes_name_what_was_trained_but_is_not_compared(leaderboard_of) -> None:
    """As where a suite has `sweep:` and a `compare:` of its own."""
    synthetic = SyntheticRun(
        effects={"base": 0.0, "asked": -1.0, "swept": 1.0},
        samples=False,
        compare={"baseline": "base", "against": ["asked"], "metric": "mcd"},
    )
    apart = "Trained, but not in this comparison: swept."
    assert apart in effect_notes(leaderboard_of(synthetic))


def test_nothing_is_said_where_all_are_compared(compared: Rendered) -> None:
    assert not any("not in this comparison" in n for n in effect_notes(compared.leaderboard))
