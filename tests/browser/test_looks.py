"""What a page looks like on a phone, on a screen and on paper, as far as a browser can tell."""

from __future__ import annotations

import io
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from pages_to_open import Rendered, pictured_in

OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"
PAPER_PX = 1017  # what A4 across leaves between margins of 14 mm
COLOURS = """() => ['--ink', '--paper', '--link', '--series-0', '--series-3', '--baseline']
  .map(name => getComputedStyle(document.documentElement).getPropertyValue(name))"""


@pytest.fixture(scope="module")
def pictured(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return pictured_in(tmp_path_factory.mktemp("pictured"))


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_do_not_widen_the_page(width: int, scheme: str, pictured, open_page) -> None:
    page = open_page(pictured.folder / "index.html", width=width, color_scheme=scheme)
    page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert page.locator(".spectrogram").count() == 4 * 2 * 7
    assert page.locator("svg.contour").count() == 4 * 2 * 5
    assert page.evaluate(OVERFLOW) <= 0
    outside = page.evaluate(
        """() => [...document.querySelectorAll('.spectrogram *, .f0 *')].filter(e => {
          const own = e.getBoundingClientRect(), card = e.closest('li').getBoundingClientRect();
          return own.left < card.left || own.right > card.right + .5 || own.bottom > card.bottom;
        }).map(e => e.outerHTML.slice(0, 120))"""
    )
    assert outside == []


@pytest.mark.parametrize("width", [390, 700, 1440])
def test_labels_of_pictures_keep_their_size(width: int, pictured, open_page) -> None:
    page = open_page(pictured.folder / "index.html", width=width)
    heights = page.evaluate(
        """() => [...document.querySelectorAll('details[open] .f0 text')].map(e =>
          e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).fontSize))"""
    )
    # Of text that is not scaled, a line's height is that of its font.
    assert heights and all(0.9 < height < 1.6 for height in heights)
    for selector in (".f0 text", ".spectrogram i"):
        assert page.locator(selector).first.evaluate("e => getComputedStyle(e).fontSize") == "12px"
    places = page.evaluate(
        """() => { const box = document.querySelector('.spectrogram');
          const all = [...box.querySelectorAll('i')];
          const image = box.querySelector('img').getBoundingClientRect();
          return all.map(e => { const own = e.getBoundingClientRect();
            return [e.textContent, own.right <= image.left,
                    ((own.top + own.bottom) / 2 - image.top) / image.height]; }); }"""
    )
    mel = {k: np.log1p(k / 0.7) / np.log1p(8 / 0.7) for k in (8, 4, 2, 1)}
    for (label, beside, share), khz in zip(places, mel, strict=True):
        assert label == f"{khz}{' kHz' if khz == 8 else ''}" and beside
        assert share == pytest.approx(1 - mel[khz], abs=0.03)


def test_a_baselines_contour_is_unlike_the_targets(pictured, open_page) -> None:
    for scheme in ("light", "dark"):
        page = open_page(pictured.folder / "index.html", color_scheme=scheme)
        lines = page.evaluate(
            """() => [...[...document.querySelectorAll('.players')[0].children].at(-1)
              .querySelectorAll('path[fill=none]')].map(e => [getComputedStyle(e).stroke,
              getComputedStyle(e).strokeDasharray])"""
        )
        (source, _), (target, plain), (own, dashes) = lines
        rgb = [[int(v) for v in c[4:-1].split(",")] for c in (source, target, own)]
        assert plain == "none" and dashes != "none"
        for other in rgb[:2]:
            assert max(abs(a - b) for a, b in zip(rgb[2], other, strict=True)) > 60


def test_the_leaderboard_fits_a_wide_screen_and_shows_its_cells(pictured, open_page) -> None:
    page = open_page(pictured.folder / "index.html")
    assert len(pictured.leaderboard.columns) == 6
    hidden = page.evaluate(
        """() => [...document.querySelectorAll('#leaderboard .scroll, #speed .scroll')]
          .map(e => e.scrollWidth - e.clientWidth)"""
    )
    assert hidden == [0, 0]
    page = open_page(pictured.folder / "index.html", width=390)
    box = page.locator(".board .cells").first.bounding_box()
    assert box["x"] + box["width"] <= 390, "how many cells ended stands beside the name"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_with_more_to_the_right_has_a_shaded_edge(scheme: str, pictured, open_page) -> None:
    page = open_page(pictured.folder / "index.html", width=390, color_scheme=scheme)
    scroll = page.locator("#leaderboard .scroll")
    page.locator(".board .group").last.scroll_into_view_if_needed()

    def edge() -> float:
        """How unlike the page the last pixels of a row without text are."""
        row = page.locator(".board .group").last.bounding_box()
        box = scroll.bounding_box()
        clip = {"x": box["x"] + box["width"] - 4, "y": row["y"] + 4, "width": 3, "height": 6}
        png = page.screenshot(clip=clip)
        image = np.asarray(matplotlib.image.imread(io.BytesIO(png), format="png"))[..., :3]
        paper = [0xFD, 0xFC, 0xFA] if scheme == "light" else [0x16, 0x18, 0x1B]
        return float(np.abs(255 * image - paper).mean())

    assert edge() > 20
    scroll.evaluate("e => { e.scrollLeft = e.scrollWidth; }")
    assert edge() < 2


def test_what_is_focused_is_not_under_the_names(pictured, open_page) -> None:
    page = open_page(pictured.folder / "index.html", width=390)
    buttons = page.locator(".board thead button")
    n = buttons.count()
    covered = """() => { const own = document.activeElement, names = own.closest('tr').cells[1];
      return !own.closest('.rank, .name') && own.getBoundingClientRect().left
        < names.getBoundingClientRect().right ? own.textContent : ''; }"""
    buttons.first.focus()
    for key in ["Tab"] * (n - 1) + ["Shift+Tab"] * (n - 1):
        page.keyboard.press(key)
        assert page.evaluate("() => document.activeElement.tagName") == "BUTTON"
        assert page.evaluate(covered) == ""


def test_what_lies_beyond_the_scale_is_marked(pictured, open_page) -> None:
    page = open_page(pictured.folder / "index.html")
    row = page.locator(".board tr[data-system]", has_text="resynthesis")
    track = row.locator(".metric[data-metric='0'] .track")
    assert track.locator(".beyond.left").count() == 1 and track.locator(".dot").count() == 0
    mark = track.locator(".beyond").bounding_box()
    assert mark["x"] == pytest.approx(track.bounding_box()["x"], abs=0.5) and mark["width"] >= 4
    assert "an arrowhead points to what lies beyond it" in page.inner_text("#leaderboard")
    # Every track holds a dot or an arrowhead.
    assert page.locator(".board .track:not(:has(.dot)):not(:has(.beyond))").count() == 0


def test_every_figure_has_a_name(pictured, open_page) -> None:
    page = open_page(pictured.folder / "index.html")
    page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    # The browser's own tree, which is what a screen reader is given.
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    figures = [n for n in nodes if n.get("role", {}).get("value") == "figure"]
    assert len(figures) == page.locator("figure").count() > 6
    assert all(n["name"]["value"] for n in figures)


def test_paper_is_light_whatever_the_screen_is(pictured, open_page) -> None:
    found = []
    for scheme in ("light", "dark"):
        page = open_page(pictured.folder / "index.html", color_scheme=scheme)
        on_screen = page.evaluate(COLOURS)
        page.emulate_media(media="print", color_scheme=scheme)
        found.append((on_screen, page.evaluate(COLOURS)))
    (light, printed), (dark, printed_from_dark) = found
    assert light != dark
    assert printed == printed_from_dark
    assert printed[3] == light[3] != dark[3]


def test_a_printed_page_is_not_made_smaller(pictured, open_page) -> None:
    page = open_page(pictured.folder / "index.html", width=PAPER_PX)
    page.emulate_media(media="print")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    # A browser shrinks everything on paper by what its widest part needs.
    assert page.evaluate(OVERFLOW) <= 0
    assert page.locator(".board .scored:visible, .board .measure:visible").count() == 0
    caption = page.locator(".board caption")
    assert "Scores under protocol vcbench-1." in caption.inner_text()
    assert caption.bounding_box()["height"] > 8
    assert "vcbench-1" not in page.locator(".board thead").inner_text()
    # A button in a repeated header is painted on the first page alone.
    shown = page.evaluate(
        "() => [...document.querySelectorAll('thead button')].map(e => getComputedStyle(e).display)"
    )
    assert set(shown) == {"contents"}
    for column in pictured.leaderboard.columns[:1]:
        assert f"{column.metric.upper()}\u00a0↓" in page.locator(".board thead").inner_text()
