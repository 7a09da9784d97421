"""The page as a person meets it: opened from a file, sorted, filtered, listened to, printed."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pages_to_open import Rendered, example_in, hostile_in, lacking_in

from vcbench.reporting import format as fmt
from vcbench.reporting import render
from vcbench.reporting.explorer import against_column

ATTACKED = "() => [window.hit === undefined, document.images.length]"
OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def example(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return example_in(tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def lacking(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return lacking_in(tmp_path_factory.mktemp("lacking"))


@pytest.fixture(scope="module")
def hostile(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return hostile_in(tmp_path_factory.mktemp("hostile"))


def scores(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results.csv", dtype={"utterance": str, "seed": str}).fillna(
        {"seed": ""}
    )


def of_cells(page: Any, selector: str) -> dict[str, str]:
    """The text of one cell of the leaderboard by its row's system."""
    return page.evaluate(
        """selector => Object.fromEntries([...document.querySelectorAll('.board tr[data-system]')]
        .map(row => [row.querySelector('.system').textContent,
                     row.querySelector(selector).innerText.trim()]))""",
        selector,
    )


def order(page: Any, column: int) -> list[list[str]]:
    """`data-sort` of a column, body by body."""
    return page.evaluate(
        """i => [...document.querySelectorAll('.board tbody')].map(body =>
        [...body.querySelectorAll('tr[data-system]')].map(row => row.cells[i].dataset.sort))""",
        column,
    )


def in_order(values: list[str], *, ascending: bool) -> bool:
    present = [v for v in values if v]
    if values[: len(present)] != present:
        return False  # what is missing goes last
    try:
        keys: list[Any] = [float(v) for v in present]
    except ValueError:
        keys = [v.lower() for v in present]
    return keys == sorted(keys, reverse=not ascending)


def test_every_column_sorts_each_group_both_ways(example, open_page) -> None:
    page = open_page(example.folder / "index.html")
    buttons = page.locator(".board thead button")
    n = buttons.count()
    assert n == len(example.leaderboard.columns) + 8
    for i in range(n):
        before = [sorted(body) for body in order(page, i)]
        for expected in ("ascending", "descending"):
            if i or expected == "descending":  # the first column is sorted to begin with
                buttons.nth(i).click()
            headers = page.locator(".board thead th")
            found = [headers.nth(k).get_attribute("aria-sort") for k in range(n)]
            assert found == [expected if k == i else None for k in range(n)]
            bodies = order(page, i)
            assert [sorted(body) for body in bodies] == before
            for body in bodies:
                assert in_order(body, ascending=expected == "ascending"), (i, expected, body)


def test_sorting_from_the_keyboard_is_announced(example, open_page) -> None:
    page = open_page(example.folder / "index.html")
    button = page.get_by_role("button", name="F0 RMSE ↓", exact=True).first
    button.focus()
    outline = button.evaluate("e => getComputedStyle(e).outlineStyle")
    page.keyboard.press("Enter")
    means = scores(example.folder).query("metric == 'f0-rmse'").groupby("system")["value"].mean()
    names = page.locator(".board tbody").first.locator(".system").all_inner_texts()
    assert names == sorted(names, key=lambda name: means[name]) and len(names) == 3
    assert page.locator("#said").inner_text().startswith("sorted by F0 RMSE\u00a0↓, ascending")
    page.keyboard.press("Space")
    assert page.locator(".board tbody").first.locator(".system").all_inner_texts() == names[::-1]
    assert outline != "none"


@pytest.mark.parametrize(
    "chosen",
    [
        {"pair": "SF1-TM3"},
        {"direction": "TF2 → SM1"},
        {"seed": "1"},
        {"pair": "SM1-TF2", "direction": "SM1 → TF2", "seed": "0"},
    ],
    ids=lambda chosen: "-".join(chosen),
)
def test_a_filter_shows_the_selections_own_figures(chosen: dict, example, open_page) -> None:
    page = open_page(example.folder / "index.html")
    whole = page.locator(".board").inner_text()
    for name, label in chosen.items():
        page.locator(f"#filter [name={name}]").select_option(label=label)
    frame = scores(example.folder)
    if "pair" in chosen:
        frame = frame[frame["pair"] == chosen["pair"]]
    if "direction" in chosen:
        frame = frame[frame["direction"] == chosen["direction"].replace(" → ", ">")]
    if "seed" in chosen:
        frame = frame[frame["seed"].isin(["", chosen["seed"]])]
    decimals = {"mcd": 2, "f0-rmse": 1, "log-f0-rmse": 4, "vuv-error": 2}
    for i, column in enumerate(example.leaderboard.columns):
        shown = of_cells(page, f".metric[data-metric='{i}']")
        for system, text in shown.items():
            found = frame[(frame["system"] == system) & (frame["metric"] == column.metric)]
            mean = fmt.number(found["value"].mean(), decimals[column.metric])
            lines = text.split()
            assert lines[0] == mean, (system, column.metric)
            assert lines[1].split("/")[0] == str(len(found)) and len(lines) == 2
    # The system that lost a cell lacks its utterances where that cell is in the selection.
    lost = chosen.get("pair", "SF1-TM3") == "SF1-TM3" and chosen.get("seed", "1") == "1"
    lost = lost and "direction" not in chosen
    n, expected = of_cells(page, ".metric")["residual-2d-bce"].split()[1].split("/")
    assert (int(n) < int(expected)) == lost
    assert set(of_cells(page, ".rank").values()) == {"–"}
    said = page.inner_text("#filter-said")
    assert "Intervals, tests, ranks and marks belong to the whole run" in said
    assert page.locator(".board .interval, .board .track, .board .remark:visible").count() == 0
    assert page.locator(".board thead .metric").first.get_attribute("aria-sort") == "ascending"
    assert all(in_order(body, ascending=True) for body in order(page, 2))
    page.get_by_role("button", name="Show all").click()
    assert page.locator(".board").inner_text() == whole
    assert page.inner_text("#filter-said") == ""


def test_only_directions_of_the_chosen_pair_can_be_chosen(example, open_page) -> None:
    page = open_page(example.folder / "index.html")
    page.locator("#filter [name=direction]").select_option(label="SF1 → TM3")
    page.locator("#filter [name=pair]").select_option(label="SM1-TF2")
    assert page.locator("#filter [name=direction]").input_value() == "-1"
    enabled = page.locator("#filter [name=direction] option:not([disabled])").all_inner_texts()
    assert enabled == ["all", "SM1 → TF2", "TF2 → SM1"]


def test_the_chosen_baseline_decides_what_is_marked(example, open_page) -> None:
    page = open_page(example.folder / "index.html")
    assert "to mean-variance" in page.locator(".board thead .versus").inner_text()
    names = {row.system: i for i, row in enumerate(example.leaderboard.rows)}
    for found in example.leaderboard.against:
        column = against_column(example.leaderboard, found)
        page.locator("#filter [name=baseline]").select_option(label=found.baseline)
        shown = of_cells(page, ".versus")
        for system, text in shown.items():
            expected = column["rows"][names[system]]
            parts = [expected[k] for k in ("mean", "interval", "note")] if expected else ["–"]
            assert text.split() == " ".join(parts).split(), (found.baseline, system)
    assert any(a.trained for a in example.leaderboard.against)


def paired(frame: pd.DataFrame, a: str, b: str, metric: str) -> pd.Series:
    wide = frame[frame["metric"] == metric].pivot_table(
        index=["direction", "utterance"], columns=["system", "seed"], values="value"
    )
    one, other = (wide.xs(system, axis=1, level="system") for system in (a, b))
    if list(other.columns) == [""]:
        return one.sub(other[""], axis=0).dropna().mean(axis=1)
    return (one - other).dropna().mean(axis=1)


@pytest.mark.parametrize(
    ("a", "b", "metric", "label"),
    [
        ("paper-1d", "paper-1d-lsgan", "mcd", "MCD"),
        ("paper-1d", "residual-2d-bce", "vuv-error", "VUV error"),
        ("residual-2d", "source-copy", "f0-rmse", "F0 RMSE"),
    ],
)
def test_a_dot_for_each_paired_utterance(a, b, metric, label, example, open_page) -> None:
    page = open_page(example.folder / "index.html")
    for name, value in (("a", a), ("b", b), ("metric", label)):
        page.locator(f"#pick [name={name}]").select_option(label=value)
    expected = paired(scores(example.folder), a, b, metric)
    dots = page.locator("#differences-plot circle")
    assert dots.count() == len(expected) and len(expected) in (16, 32)
    assert page.locator("#differences-plot .side0").count() == int((expected < 0).sum())
    text = page.inner_text("#differences-said")
    assert f"{label} of {a} less that of {b}: mean " in text
    mean = text.split(": mean ")[1].split()[0].replace("−", "-")
    places = len(mean.partition(".")[2])
    assert math.isclose(float(mean), round(expected.mean(), places), abs_tol=1e-9)
    heights = dots.evaluate_all("all => all.map(dot => Number(dot.getAttribute('cy')))")
    assert heights == sorted(heights, reverse=True)
    page.locator("#pick [name=b]").select_option(label=a)
    assert dots.count() == 0
    assert page.inner_text("#differences-said") == "Choose two different systems."


def test_of_an_incomplete_system_the_page_says_what_is_missing(lacking, open_page) -> None:
    page = open_page(lacking.folder / "index.html")
    for name in ("paper-1d-lsgan", "residual-2d-bce", "residual-2d"):
        page.locator("#pick [name=a]").select_option(label=name)
        page.locator("#pick [name=b]").select_option(label="mean-variance")
        dots, text = page.locator("#differences-plot circle"), page.inner_text("#differences-said")
        if name == "paper-1d-lsgan":
            assert dots.count() == 16
            assert text.endswith(" Over the whole run: untested (16/32 utterances).")
        elif name == "residual-2d-bce":
            assert dots.count() == 0
            assert text == (
                "No utterance has a score of both systems at every seed: residual-2d-bce has 224 "
                "of 256 scores."
            )
        else:
            assert dots.count() == 32 and " Tested over the whole run: better, p " in text
    whole = of_cells(page, ".versus")
    assert whole["residual-2d-bce"] == "–\nuntested (0/32 utterances)"
    assert whole["paper-1d-lsgan"].endswith("\nuntested (16/32 utterances)")
    page.locator("#filter [name=pair]").select_option(label="SF1-TM3")
    frame = scores(lacking.folder)
    frame = frame[(frame["pair"] == "SF1-TM3") & frame["seed"].isin(["", *"01345678"])]
    expected = paired(frame, "residual-2d-bce", "mean-variance", "mcd")
    shown = of_cells(page, ".versus")["residual-2d-bce"].split()
    assert float(shown[0].replace("−", "-")) == pytest.approx(expected.mean(), abs=0.0051)
    assert shown[1:] == ["n", "16"] and len(expected) == 16
    assert of_cells(page, ".versus")["source-copy"] == "–"


# Without `audio.load()`, which would abort the request that the change of `preload` has just begun.
DURATIONS = """() => Promise.all([...document.querySelectorAll('audio')].map(audio =>
  new Promise(done => {
    audio.addEventListener('loadedmetadata', () => done(audio.duration));
    audio.addEventListener('error', () => done(-1));
    audio.preload = 'metadata';
  })))"""


def test_every_sound_has_a_duration(example, open_page) -> None:
    durations = open_page(example.folder / "index.html").evaluate(DURATIONS)
    assert len(durations) == 4 * 2 * 7
    assert durations == pytest.approx([0.4] * len(durations), abs=0.01)


def test_a_page_with_its_sounds_plays_without_its_folder(example, open_page, tmp_path) -> None:
    shutil.copytree(example.folder, tmp_path / "run")
    render(tmp_path / "run", inline_audio=True)
    alone = tmp_path / "mailed" / "page.html"
    alone.parent.mkdir()
    shutil.copy(tmp_path / "run" / "index.html", alone)
    shutil.rmtree(tmp_path / "run")
    durations = open_page(alone).evaluate(DURATIONS)
    assert durations == pytest.approx([0.4] * 56, abs=0.01)


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", ["example", "hostile"])
def test_nothing_overflows(name: str, width: int, request, open_page) -> None:
    folder = request.getfixturevalue(name).folder
    page = open_page(folder / "index.html", width=width, color_scheme="dark")
    assert page.evaluate(OVERFLOW) <= 0
    page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for control in page.locator("#filter select, #pick select").all():
        assert control.bounding_box()["x"] + control.bounding_box()["width"] <= width
    page.locator("#filter [name=seed]").select_option(label="0")
    assert page.evaluate(OVERFLOW) <= 0


def test_hostile_names_are_text_and_run_nothing(hostile, open_page) -> None:
    page = open_page(hostile.folder / "index.html")
    assert page.evaluate(ATTACKED) == [True, 0]
    systems = [fmt.one_line(row.system) for row in hostile.leaderboard.rows]
    assert sorted(page.locator(".board .system").all_inner_texts()) == sorted(systems)
    # What the script writes from the data is as much text as what the template wrote.
    for name in ("pair", "direction", "seed"):
        control = page.locator(f"#filter [name={name}]")
        control.select_option(index=1)
        assert control.locator("option").nth(1).inner_text() in page.inner_text("#filter-said")
    page.locator("#filter [name=baseline]").select_option(index=3)
    for i, system in enumerate(systems[:-1]):
        page.locator("#pick [name=a]").select_option(index=i)
        page.locator("#pick [name=b]").select_option(index=i + 1)
        said = page.inner_text("#differences-said")
        assert f"MCD of {system} less that of {systems[i + 1]}: mean" in said
    assert "flag \"'><img src=x onerror=" in page.inner_text("#leaderboard")
    assert fmt.one_line("bad </script><script>window.hit=1") in page.inner_text("#unfinished")
    assert "{{ 7*7 }}" in page.locator(".question").inner_text()
    assert page.evaluate(ATTACKED) == [True, 0]
    assert page.locator("script").count() == 2


def test_without_scripts_the_tables_stay_and_dead_controls_do_not(example, open_page) -> None:
    page = open_page(example.folder / "index.html", java_script_enabled=False)
    assert page.locator(".controls:visible").count() == 0
    assert page.locator(".board tr[data-system]").count() == len(example.leaderboard.rows)
    assert page.locator("#differences table tbody tr").count() == 4
    assert "✓" not in page.locator(".board .verdict").first.inner_text()  # a mark, not text
    assert page.locator(".board .verdict.better").count() == 3


def test_on_paper_everything_is_unfolded_and_no_control_is_left(example, open_page) -> None:
    page = open_page(example.folder / "index.html")
    folded = page.locator("details:not([open])").count()
    assert folded > 0
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator(".controls:visible, nav:visible").count() == 0
    assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded


def test_every_control_table_and_section_has_a_name(example, open_page) -> None:
    page = open_page(example.folder / "index.html")
    unnamed = page.evaluate(
        """() => [
        ...[...document.querySelectorAll('table')].filter(t => !t.caption),
        ...[...document.querySelectorAll('select, input')].filter(s => !s.labels.length),
        ...[...document.querySelectorAll('main > section')].filter(s =>
            !document.getElementById(s.getAttribute('aria-labelledby'))),
        ...[...document.querySelectorAll('th:not([scope])')],
        ...[...document.querySelectorAll('audio:not([aria-label])')],
        ...[...document.querySelectorAll('nav a')].filter(a =>
            !document.querySelector(a.getAttribute('href'))),
        ].map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
