"""What stands under a player: scores, a spectrogram, contours; and the order of the sentences."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_pictures import add_pictures
from page_reader import Element, read
from synthetic_run import HOSTILE, SyntheticRun

from vcbench import pictures
from vcbench.errors import DataError
from vcbench.reporting import drawings, listening, render
from vcbench.reporting.leaderboard import build
from vcbench.reporting.run_files import read_run


def decoded(address: str) -> np.ndarray:
    """Pixels (rows, columns, colours) of a PNG in the page, by another's decoder."""
    assert address.startswith("data:image/png;base64,")
    png = base64.b64decode(address.partition(",")[2], validate=True)
    return np.asarray(matplotlib.image.imread(io.BytesIO(png), format="png"))


def test_a_spectrogram_has_high_bands_above_and_loud_ones_bright() -> None:
    mel_db = np.full((5, 7), -200.0)
    mel_db[0, 2] = -10.0  # the lowest band, as loud as it gets
    mel_db[4, 6] = -10.0 - drawings.RANGE_DB / 2
    image = decoded(drawings.as_data(drawings.spectrogram_png(mel_db, loudest_db=-10.0)))
    light = image[..., :3].sum(axis=2)
    assert light.shape == (5, 7)
    assert np.unravel_index(light.argmax(), light.shape) == (4, 2)
    assert light[4, 2] > light[0, 6] > light[2, 2]
    assert (light == light.min()).sum() == 33


@given(st.integers(1, 40), st.integers(1, 9))
def test_every_level_has_its_colour(width: int, height: int) -> None:
    rng = np.random.default_rng(width)
    mel_db = rng.uniform(-drawings.RANGE_DB, 0, size=(height, width))
    image = decoded(drawings.as_data(drawings.spectrogram_png(mel_db, loudest_db=0.0)))
    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, drawings.RANGE_DB + 1))[:, :3]
    expected = colours[np.rint(mel_db + drawings.RANGE_DB).astype(int)][::-1]
    np.testing.assert_allclose(image[..., :3], expected, atol=1 / 255)


def strokes(svg: str) -> list[list[list[tuple[float, float]]]]:
    """Of each line that is no grid line: its runs, each a list of points."""
    found = []
    for path in ET.fromstring(svg).iter("path"):
        if path.get("fill") == "none":
            runs = [run for run in (path.get("d") or "").split("M") if run]
            found.append(
                [[(float(a), float(b)) for a, b in (p.split() for p in r.split("L"))] for r in runs]
            )
    return found


def contour(*lines: list[float], limits: tuple[float, float] = (50.0, 400.0)) -> str:
    drawn = [drawings.Line(np.array(f0_hz), "red", 1.0) for f0_hz in lines]
    return drawings.contour_svg(drawn, frame_period_ms=5.0, limits_hz=limits)


def test_a_contour_rises_with_f0_and_breaks_where_there_is_none() -> None:
    (line,) = strokes(contour([0, 100, 200, 400, 0, 0, 50, 0]))
    assert [len(run) for run in line] == [3, 2]  # one frame alone is a dot
    (a, b, c), (lone, same) = line
    assert a[0] < b[0] < c[0] < lone[0] and lone == same
    assert a[1] - b[1] == pytest.approx(b[1] - c[1], abs=0.11), "an octave is as high as another"
    assert c[1] < a[1] < lone[1]
    assert c[1] == pytest.approx(0) and lone[1] == pytest.approx(drawings.HEIGHT)


@given(st.floats(40, 600), st.floats(1.44, 18))
def test_the_axis_of_f0_is_labelled_in_hertz_without_collisions(low: float, ratio: float) -> None:
    limits = (low, low * ratio)
    texts = list(ET.fromstring(contour([low] * 300, limits=limits)).iter("text"))
    axis = [t for t in texts if t.get("text-anchor") == "end"]
    hertz = [float((t.text or "").split()[0]) for t in axis]
    places = [float(t.get("y", "")) - 4 for t in axis]
    assert hertz and hertz == sorted(hertz)
    assert [(t.text or "").endswith(" Hz") for t in axis] == [False] * (len(axis) - 1) + [True]
    for value, place in zip(hertz, places, strict=True):
        share = np.log(limits[1] / value) / np.log(ratio)
        assert place == pytest.approx(drawings.HEIGHT * share, abs=0.06)
    assert all(a - b >= 13.8 for a, b in itertools.pairwise(places))
    times = [t.text for t in texts if t not in axis]
    assert times[0] == "0 s" and 2 <= len(times) <= 6


def test_kilohertz_stand_at_the_bands_that_peak_there() -> None:
    ticks = drawings.mel_ticks(pictures.BANDS, pictures.TOP_HZ)
    assert [label for label, _ in ticks] == ["8 kHz", "4", "2", "1"]
    centres = pictures.band_centres_hz()
    for label, place in ticks[1:]:
        row = pictures.BANDS * (1 - float(place.removesuffix("%")) / 100) - 0.5
        at = np.interp(1000 * float(label.split()[0]), centres, np.arange(pictures.BANDS))
        assert row == pytest.approx(at, abs=0.15)
    assert ticks[0][1] == "0.0%"


@given(st.lists(st.floats(50, 400) | st.just(0.0), min_size=1, max_size=900))
def test_no_run_is_lost_however_long_the_line(f0_hz: list[float]) -> None:
    svg = contour(f0_hz)
    voiced = "".join("v" if f > 0 else " " for f in f0_hz).split()
    lines = strokes(svg)
    assert sum(map(len, lines)) == len(voiced)
    points = [p for line in lines for run in line for p in run]
    assert all(0 <= x <= drawings.WIDTH and 0 <= y <= drawings.HEIGHT for x, y in points)
    assert len(points) <= 2 * 150 + 2 * len(voiced)


def test_limits_hold_every_voiced_frame() -> None:
    assert drawings.limits_hz([np.zeros(3)]) is None and drawings.limits_hz([]) is None
    low, high = drawings.limits_hz([np.array([0.0, 100.0]), np.array([300.0])]) or (0, 0)
    assert 90 < low < 100 < 300 < high < 330
    low, high = drawings.limits_hz([np.array([200.0])]) or (0, 0)
    assert high > 1.4 * low


def with_pictures(folder: Path, **run: object) -> Path:
    """A synthetic run with made-up pictures."""
    SyntheticRun(**run).write(folder)
    add_pictures(folder)
    return folder


def section(folder: Path) -> Element:
    render(folder)
    return read((folder / "index.html").read_text(encoding="utf-8")).one("section", id="listen")


def test_every_player_has_its_spectrogram_and_every_conversion_its_contour(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path)
    for wav in folder.rglob("*.wav"):  # neither sound nor corpus is needed to draw them again
        wav.unlink()
    page = section(folder)
    players = page.all("ul", class_="players")[0].all("li")
    # source, target, four systems by rank, mean-variance
    assert len(players) == 7
    order = list(json.loads((folder / "samples" / "samples.json").read_text())[0]["converted"])
    for player in players:
        label = player.one("p", class_="label").text
        k = {"source, SF1": 0, "target, TM3": 1}.get(label)
        k = order.index(label) + 2 if k is None else k
        image = player.one("img")
        assert label in image.attributes["alt"]
        pixels = decoded(image.attributes["src"])
        assert pixels.shape[:2] == (pictures.BANDS, 50 + 10 * k)
        # On one scale of time and of level: the longest is as wide as the player, and voice k is
        # 10 k dB softer than the loudest.
        width = float(image.attributes["style"].removeprefix("width:").removesuffix("%"))
        assert width == pytest.approx(100 * (50 + 10 * k) / 110, abs=0.06)
        colours = matplotlib.colormaps["magma"](np.linspace(0, 1, drawings.RANGE_DB + 1))
        expected = colours[max(0, drawings.RANGE_DB - 10 * k)][:3]
        np.testing.assert_allclose(pixels[-1, 0, :3], expected, atol=1 / 255)
        assert len(player.all("svg", class_="contour")) == (k >= 2)
    assert "0 to 8 kHz on the mel scale" in page.text


def test_a_contour_has_source_target_and_the_conversion_in_its_colour(tmp_path: Path) -> None:
    page = section(with_pictures(tmp_path, n_sentences=3, pairs=("A-B",)))
    player = next(
        li
        for li in page.all("ul", class_="players")[0].all("li")
        if li.one("p", class_="label").text == "residual-2d"
    )
    lines = [p for p in player.all("path") if p.attributes.get("fill") == "none"]
    # The first of the leaderboard has the first colour.
    strokes_ = [p.attributes["stroke"] for p in lines]
    assert strokes_ == ["var(--muted)", "currentColor", "var(--series-0)"]
    assert [("stroke-dasharray" in p.attributes) for p in lines] == [True, False, False]
    untrained = page.all("ul", class_="players")[0].all("li")[-1]
    own = [p for p in untrained.all("path") if p.attributes.get("fill") == "none"][-1]
    # Neither the target's colour nor a trained system's, and another kind of line.
    assert own.attributes["stroke"] == "var(--baseline)" and "stroke-dasharray" in own.attributes
    assert "a baseline violet and dashed" in page.text


def test_a_page_without_pictures_says_nothing_of_them(example) -> None:
    page = read(example.text("index.html")).one("section", id="listen")
    assert page.all("img") == [] and "pectrogram" not in page.text


def test_pictures_stop_where_the_page_would_grow_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = with_pictures(tmp_path)
    run = read_run(folder)
    board = build(run)

    def players() -> list[dict]:
        groups = listening.listening(run, board)
        return [p for g in groups for item in g["samples"] for p in item["players"]]

    def size() -> int:
        drawn = [p for p in players() if p["spectrogram"]]
        return sum(len(p["spectrogram"]["src"]) + len(p["contour"]) for p in drawn)

    everything = size()
    monkeypatch.setattr(listening, "MAX_PICTURE_BYTES", everything // 2)
    assert 0.3 * everything < size() <= everything / 2
    assert len(players()) == 8 * 7
    page = section(folder)
    left_out = [p for p in page.all("p") if "were left out" in p.text]
    assert len(left_out) == 8 - len(page.all("img")) // 7 > 0


def test_broken_pictures_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, pairs=("A-B",))
    (folder / "samples" / "p0.npz").write_bytes(b"x")
    with pytest.raises(DataError, match=r"p0\.npz: .*; delete it"):
        render(folder)
    (folder / "samples" / "p0.npz").unlink()
    assert len(section(folder).all("img")) == 3 * 7


def test_pictures_outside_the_folder_are_refused(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path / "run", pairs=("A-B",))
    index = folder / "samples" / "samples.json"
    index.write_text(index.read_text().replace("samples/p0.npz", "../p0.npz"))
    with pytest.raises(DataError, match="leads out"):
        render(folder)


def test_hostile_names_beside_pictures_are_text(tmp_path: Path) -> None:
    folder = with_pictures(tmp_path, pairs=("A-B",), n_sentences=2)
    for name in ("results.csv", "cells.jsonl", "samples/samples.json"):
        path = folder / name
        path.write_text(path.read_text().replace("mean-variance", HOSTILE))
    for path in folder.glob("samples/p*.npz"):
        stored = pictures.load(path)
        systems = {s.replace("mean-variance", HOSTILE): v for s, v in stored.systems.items()}
        pictures.save(path, pictures.Pictures(stored.source, stored.target, systems, 5.0))
    page = section(folder)
    assert page.all("script") == []
    images = [i for i in page.all("img") if HOSTILE in i.attributes["alt"]]
    assert len(images) == 4


def test_worst_and_best_come_first_and_say_so(tmp_path: Path) -> None:
    folder = SyntheticRun(n_sentences=8).write(tmp_path)
    run = read_run(folder)
    groups = listening.listening(run, build(run))
    scores = pd.read_csv(folder / "results.csv", dtype={"utterance": str})
    trained = ["paper-1d", "paper-1d-lsgan", "residual-2d-bce", "residual-2d"]
    chosen = scores[
        (scores["metric"] == "mcd") & (scores["seed"] == 0) & scores["system"].isin(trained)
    ]
    for group in groups:
        direction = group["direction"].replace(" → ", ">")
        means = chosen[chosen["direction"] == direction].groupby("utterance")["value"].mean()
        ranks = means.rank()
        first, second = (item["utterance"] for item in group["samples"])
        assert means[first] > means[second]
        for item in group["samples"]:
            rank = int(ranks[item["utterance"]])
            place = {1: "best", 8: "worst"}.get(rank, f"rank {rank}")
            mean = f"MCD {means[item['utterance']]:.2f} dB"
            assert item["about"] == f"{place} of 8 ({mean}, mean of the trained systems)"


def test_mcd_and_f0_rmse_stand_under_a_player_wherever_they_are_in_the_suite(
    tmp_path: Path,
) -> None:
    folder = SyntheticRun(pairs=("A-B",)).write(tmp_path)
    manifest = folder / "manifest.json"
    document = json.loads(manifest.read_text())
    document["suite"]["metrics"] = ["vuv-error", "log-f0-rmse", "f0-rmse", "mcd"]
    manifest.write_text(json.dumps(document))
    run = read_run(folder)
    (player,) = (
        p
        for p in listening.listening(run, build(run))[0]["samples"][0]["players"]
        if p["label"] == "residual-2d"
    )
    assert [re.sub(r"[\d.]+", "N", f"{a} {b}") for a, b in player["scores"]] == [
        "MCD N dB",
        "FN RMSE N Hz",
    ]
