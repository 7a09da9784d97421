"""The page as an HTML tree; how it looks and behaves in a browser is not tested here."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from page_reader import Element, read
from synthetic_run import HOSTILE, PROTOCOL_TEXT, SyntheticRun

from vcbench.errors import DataError
from vcbench.reporting import render
from vcbench.reporting.answer import answer


@pytest.fixture(scope="module")
def page(example) -> Element:
    return read(example.text("index.html"))


def test_the_answer_comes_first(example, page: Element) -> None:
    header = page.one("header")
    assert header.one("p", class_="answer").text == answer(example.leaderboard)
    # Of the score and of the difference to the untrained conversion.
    assert len(header.all("span", class_="interval")) == 2
    assert header.one("p", class_="question").text == "Which generator is best?"
    assert "Incomplete: 1 of 22 cells did not finish." in header.text


def test_the_leaderboard_sets_baselines_and_incomplete_systems_apart(page: Element) -> None:
    table = page.one("table", class_="board")
    bodies = table.all("tbody")
    assert [b.all("th", scope="rowgroup")[0].text for b in bodies] == [
        "Trained systems",
        "Trained, incomplete: not ranked",
        "Baselines",
    ]
    names = [[e.text for e in b.all("span", class_="system")] for b in bodies]
    assert names == [
        ["residual-2d", "paper-1d", "paper-1d-lsgan"],
        ["residual-2d-bce"],
        ["source-copy", "mean-variance", "resynthesis"],
    ]
    columns = len(table.one("thead").all("th"))
    for row in table.all("tr"):
        width = sum(int(c.attributes.get("colspan", 1)) for c in row.children)
        assert width == columns


def test_every_score_shows_its_interval_and_sorts_by_its_value(example, page: Element) -> None:
    row = page.one("table", class_="board").all("tr", class_="first")[0]
    mcd = example.leaderboard.rows[0].scores["mcd"]
    cell = row.all("td", class_="metric")[0]
    assert cell.words.startswith(f"{mcd.mean:.2f} [{mcd.low:.2f}, {mcd.high:.2f}]")
    assert float(cell.attributes["data-sort"]) == mcd.mean


def test_headers_can_be_sorted_from_the_keyboard(page: Element) -> None:
    for table in page.all("table"):
        headers = table.one("thead").all("th")
        assert all(header.one("button").attributes["type"] == "button" for header in headers)
        assert "data-sortable" in table.attributes
    headers = page.one("table", class_="board").one("thead").all("th")
    assert [h.attributes.get("aria-sort") for h in headers][:2] == ["ascending", None]


def test_marks_are_explained_at_the_row_and_below_the_table(page: Element) -> None:
    section = page.one("section", id="leaderboard")
    remarks = [e.text for e in section.all("span", class_="remark")]
    assert not any(r.startswith("†") for r in remarks), "no complete system is behind it"
    assert "‡ 1 training flag, see below" in remarks
    assert "of 4 cells, 1 failed" in remarks
    assert "‡ noticed in training: paper-1d/SF1-TM3/0: discriminator saturated" in section.text


def test_failed_cells_are_named_with_reason_and_log(page: Element) -> None:
    text = page.one("section", id="unfinished").words
    assert "residual-2d-bce/SF1-TM3/1 failed" in text
    assert "loss became NaN at iteration 660" in text
    assert "logs/residual-2d-bce-SF1-TM3-1.log" in text


def test_sounds_are_files_of_the_run_and_load_only_when_played(example, page: Element) -> None:
    players = page.all("audio")
    # 4 directions x 2 sentences x (source, target, 4 systems, mean-variance).
    assert len(players) == 4 * 2 * 7
    for audio in players:
        assert audio.attributes["preload"] == "none"
        assert "controls" in audio.attributes
        assert (example.folder / unquote(audio.attributes["src"])).is_file()
        assert audio.attributes["aria-label"]


def test_scores_of_the_utterance_stand_below_its_sound(example, page: Element) -> None:
    scores = pd.read_csv(example.folder / "results.csv", dtype={"utterance": str})
    sample = json.loads((example.folder / "samples" / "samples.json").read_text())[0]
    for system, path in sample["converted"].items():
        audio = next(a for a in page.all("li") if a.all("audio", src=path))
        found = scores[
            (scores["system"] == system)
            & (scores["direction"] == sample["direction"])
            & (scores["utterance"] == sample["utterance"])
            & (scores["seed"].isna() | (scores["seed"] == sample["seed"]))
        ].set_index("metric")["value"]
        assert f"MCD {found['mcd']:.2f} dB" in audio.words
        assert f"F0 RMSE {found['f0-rmse']:.1f} Hz" in audio.words


def test_a_sound_that_is_gone_is_said_so(tmp_path: Path) -> None:
    folder = SyntheticRun().write(tmp_path / "run")
    gone = json.loads((folder / "samples" / "samples.json").read_text())[0]["target"]
    (folder / gone).unlink()
    render(folder)
    page = read((folder / "index.html").read_text())
    assert page.all("audio", src=gone) == []
    assert "the sound file is missing" in page.one("section", id="listen").text


def test_paths_are_quoted(tmp_path: Path) -> None:
    folder = SyntheticRun().write(tmp_path / "run")
    index = folder / "samples" / "samples.json"
    samples = json.loads(index.read_text())
    odd = "samples/a b#c?d%.wav"
    (folder / samples[0]["source"]).rename(folder / odd)
    samples[0]["source"] = odd
    index.write_text(json.dumps(samples))
    render(folder)
    page = read((folder / "index.html").read_text())
    assert page.all("audio", src="samples/a%20b%23c%3Fd%25.wav")


def test_a_sample_outside_the_folder_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    folder = SyntheticRun().write(tmp_path / "run")
    index = folder / "samples" / "samples.json"
    index.write_text(index.read_text().replace("samples/200001-SF1.wav", "../../secret.wav"))
    with pytest.raises(DataError, match="leads out"):
        render(folder)
    assert not (folder / "index.html").exists()


def test_how_it_was_done(example, page: Element) -> None:
    text = page.one("section", id="method").text
    assert PROTOCOL_TEXT in text
    assert "all systems saw the same crops of the same features in the same order" in text
    assert "torch 2.13.0" in text
    assert "An Example CPU, 2 cores, 8.00 GiB memory, AVX2, no GPU" in text
    assert "vcbench run suites/synthetic.yaml --set 'a.b=two words'" in text
    assert example.run.manifest["data"]["fingerprint"] in text
    assert "SF1 81/8" in text
    assert "iterations: 2000" in page.one("section", id="method").one("pre").text


def test_throughput_stands_with_its_spread(page: Element) -> None:
    section = page.one("section", id="speed")
    assert "45.2 43.8 to 47.0" in section.words
    assert "seconds of work per second of speech" in section.text


def test_curves_and_directions_are_inlined(page: Element) -> None:
    assert len(page.one("section", id="training").all("svg")) >= 5
    assert len(page.one("section", id="directions").all("figure")) == 4
    identifiers = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("name", ["example", "hostile"])
def test_the_page_asks_nothing_of_a_network(name: str, request) -> None:
    html = request.getfixturevalue(name).text("index.html")
    page = read(html)
    for element in page.all():
        for attribute in ("src", "href", "xlink:href", "action"):
            target = element.attributes.get(attribute, "")
            assert not re.match(r"(?i)\s*(?:[a-z]+:)?//|\s*javascript:", target)
    assert "@import" not in html
    assert "url(http" not in html


@pytest.mark.parametrize("name", ["example", "hostile"])
def test_only_the_pages_own_script_may_run(name: str, request) -> None:
    page = read(request.getfixturevalue(name).text("index.html"))
    scores, script = page.all("script")
    # A block of data is no script, and nothing in it can end it.
    assert scores.attributes["type"] == "application/json"
    assert not re.search("[<>&\u2028]", scores.nodes[0]) and json.loads(scores.nodes[0])
    digest = hashlib.sha256(script.nodes[0].encode()).digest()
    meta = next(e for e in page.all("meta") if "http-equiv" in e.attributes)
    policy = meta.attributes["content"]
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert "default-src 'none'" in policy
    assert not [a for e in page.all() for a in e.attributes if a.startswith("on")]


def test_hostile_names_are_shown_as_text(hostile) -> None:
    page = read(hostile.text("index.html"))
    systems = {e.text for e in page.all("span", class_="system")}
    assert {HOSTILE, '"><b>x', "a|b_c$d%&#{}~^\\"} <= systems
    assert f"bad {HOSTILE}" in page.one("section", id="unfinished").words
    assert HOSTILE in page.one("p", class_="question").text
    assert page.all("img") == []


def test_systems_that_saw_other_crops_raise_a_banner(tmp_path: Path) -> None:
    folder = SyntheticRun(other_crops=["paper-1d"]).write(tmp_path / "run")
    render(folder)
    page = read((folder / "index.html").read_text())
    doubts = [e.text for e in page.one("header").all("p", class_="doubt")]
    assert any(text.startswith("Systems did not see the same crops") for text in doubts)


@pytest.mark.parametrize(
    "run",
    [
        SyntheticRun(effects={}, seeds=(), samples=False),
        SyntheticRun(baselines={}, samples=False),
        SyntheticRun(n_sentences=1, seeds=(0,), pairs=("A-B",)),
        SyntheticRun(undefined=[(s, "mcd") for s in ("paper-1d", "residual-2d")]),
        SyntheticRun(
            effects={"a": 0.0},
            failures={
                f"a/{pair}/{seed}": ("failed", "") for pair in ("A-B", "C-D") for seed in (0, 1)
            },
            pairs=("A-B", "C-D"),
        ),
    ],
    ids=["no-trained", "no-baselines", "one-sentence", "undefined", "all-failed"],
)
def test_a_poor_run_has_a_page_too(run: SyntheticRun, tmp_path: Path) -> None:
    folder = run.write(tmp_path / "run")
    leaderboard = render(folder)
    page = read((folder / "index.html").read_text(encoding="utf-8"))
    text = page.one("p", class_="answer").text
    assert text and "nan" not in page.one("main").text.lower().split()
    assert len(page.all("span", class_="system")) >= len(leaderboard.rows)


def test_a_run_with_nothing_but_a_failed_cell_has_a_page(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    (folder / "cells.jsonl").write_text(
        json.dumps(
            {
                "cell": "a/A-B/0",
                "system": "a",
                "pair": "A-B",
                "seed": 0,
                "kind": "trained",
                "status": "skipped",
            }
        )
    )
    render(folder)
    page = read((folder / "index.html").read_text())
    assert "No system was scored: 1 of 1 cell was skipped." in page.text
    assert "0 of 0 cells ok" in page.one("header").text and "1 cell skipped" in page.text
    assert "no reason was stored" in page.one("section", id="unfinished").text


def test_cells_that_were_left_out_are_counted_but_not_listed_as_unfinished(tmp_path: Path) -> None:
    left = {f"paper-1d/SF1-TM3/{n}": ("skipped", "left out by --only") for n in (0, 1)}
    folder = SyntheticRun(failures=left, samples=False).write(tmp_path / "run")
    render(folder)
    page = read((folder / "index.html").read_text())
    assert "20 of 20 cells ok" in page.one("header").text
    assert "2 cells skipped" in page.one("header").text
    assert "of 4 cells, 2 skipped (left out by --only)" in page.text
    assert page.all("section", id="unfinished") == []
    assert "did not finish" not in page.text


def test_over_smoothing_is_named_beside_the_table_once(example, tmp_path: Path) -> None:
    missing = "MCD alone rewards over-smoothing: no measure of over-smoothing was in the suite."
    assert read(example.text("index.html")).text.count(missing) == 1
    folder = SyntheticRun(samples=False).write(tmp_path / "run")
    scores = (folder / "results.csv").read_text()
    (folder / "results.csv").write_text(scores.replace(",vuv-error,", ",gv-distance,"))
    render(folder)
    page = read((folder / "index.html").read_text())
    beside = "MCD alone rewards over-smoothing: it must be read beside GV distance."
    assert page.one("section", id="leaderboard").text.count(beside) == 1
    assert "no measure of over-smoothing" not in page.text
    (folder / "results.csv").write_text(scores.replace(",mcd,", ",other,"))
    render(folder)
    assert "over-smoothing" not in (folder / "index.html").read_text()


@pytest.mark.parametrize("action", ["open", "replace"])
def test_an_error_in_writing_leaves_the_earlier_report(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SyntheticRun(samples=False).write(tmp_path / "run")
    render(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"synthetic"', '"renamed"'))
    before[manifest.name] = manifest.read_bytes()
    real = getattr(Path, action)

    def full(path: Path, *args, **kwargs):
        # Writing fails at the last file, renaming at the first.
        if path.name.startswith(".index" if action == "open" else ".leaderboard"):
            raise OSError("no space left on device")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(Path, action, full)
    with pytest.raises(OSError, match="no space"):
        render(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_rendering_again_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = SyntheticRun(samples=False).write(tmp_path / "run")
    render(folder)
    names = ["index.html", *(f"leaderboard.{kind}" for kind in ("md", "csv", "json", "tex"))]
    before = {name: (folder / name).read_bytes() for name in names}
    render(folder)
    assert {name: (folder / name).read_bytes() for name in names} == before


def test_a_complete_system_that_is_behind_the_reference_is_marked(tmp_path: Path) -> None:
    run = SyntheticRun(effects={"ahead": -1.0, "level": 0.0, "behind": 0.5}, samples=False)
    folder = run.write(tmp_path / "run")
    render(folder)
    found = read((folder / "index.html").read_text(encoding="utf-8"))
    remarks = [e.text for e in found.one("section", id="leaderboard").all("span", class_="remark")]
    level, behind = remarks
    assert level.startswith("† not shown to beat mean-variance (+0.0")
    assert behind.startswith("† worse than mean-variance (+0.2") and "power" not in behind
