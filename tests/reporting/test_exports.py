"""Tables and figures as files: every form holds the same, and is what its ending says."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from synthetic_run import HOSTILE, PROTOCOL_TEXT, SyntheticRun
from test_tables import latex_tokens

from vcbench.cli import main
from vcbench.reporting import publish, render
from vcbench.reporting.exports import exported
from vcbench.reporting.figures import figure_files, loss_panels, styles
from vcbench.reporting.gallery import all_figure_files, gallery
from vcbench.reporting.grid import Grid
from vcbench.reporting.leaderboard import build
from vcbench.reporting.run_files import read_run
from vcbench.reporting.tables import latex_table

TABLES = ("effects", "against", "directions", "throughput")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a comparison, all of whose files were written."""
    folder = SyntheticRun(
        compare={"baseline": "paper-1d", "against": ["residual-2d", "residual-2d-bce"]},
        failures={"residual-2d-bce/SF1-TM3/1": ("failed", "loss became nan")},
        seeds=(0, 1, 2),
        pairs=("SF1-TM3",),
        samples=False,
    ).write(tmp_path_factory.mktemp("exports"))
    publish(folder)
    return folder


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Equal column by column, numbers to the last bit; what is missing in one is in the other."""
    assert list(one) == list(other) and len(one) == len(other)
    for name in one:
        a, b = one[name], other[name]
        gone = [x.isna() | (x.astype(str) == "") for x in (a, b)]
        assert (gone[0] == gone[1]).all(), name
        a, b = a[~gone[0]], b[~gone[0]]
        if pd.api.types.is_bool_dtype(b) or not pd.api.types.is_numeric_dtype(b):
            assert list(a.astype(str)) == list(b.astype(str)), name
        else:
            np.testing.assert_array_equal(a.astype(float), b.astype(float))


@pytest.mark.parametrize("name", TABLES)
def test_csv_json_and_parquet_hold_the_same(folder: Path, name: str) -> None:
    table = folder / "tables" / name
    parquet = pd.read_parquet(table.with_suffix(".parquet"))
    written = pd.read_csv(table.with_suffix(".csv"), keep_default_na=False, na_values={"low": ""})
    assert len(parquet)
    document = json.loads(table.with_suffix(".json").read_text())
    assert [list(row) for row in document] == [list(parquet)] * len(parquet)
    same(pd.DataFrame(document), parquet)
    same(written, parquet)


def test_the_leaderboards_parquet_equals_its_csv(folder: Path) -> None:
    parquet = pd.read_parquet(folder / "leaderboard.parquet")
    written = pd.read_csv(folder / "leaderboard.csv", keep_default_na=False)
    same(written, parquet)
    assert PROTOCOL_TEXT in parquet["protocols"][0]
    assert parquet["rank"].dtype == "Int64" and parquet["mcd_mean"].dtype == "float64"


def test_types_do_not_depend_on_what_is_missing(folder: Path, tmp_path: Path) -> None:
    poor = SyntheticRun(effects={"a": 0.0}, baselines={}, n_sentences=1, samples=False)
    run = read_run(poor.write(tmp_path))
    tables = exported(run, build(run))
    assert [table.name for table in tables] == ["directions", "throughput"], "nothing to compare"
    for table in tables:
        rich = pyarrow.parquet.read_schema(folder / "tables" / f"{table.name}.parquet")
        few = pyarrow.parquet.read_schema(io.BytesIO(table.files()[f"{table.name}.parquet"]))
        assert {f.name: f.type for f in few} == {f.name: f.type for f in rich}
        assert "null" not in {str(f.type) for f in few}


def test_a_direction_is_the_mean_of_its_scores(folder: Path) -> None:
    scores = pd.read_csv(folder / "results.csv")
    table = pd.read_parquet(folder / "tables" / "directions.parquet")
    row = table.set_index(["system", "direction", "metric"]).loc[("paper-1d", "TM3>SF1", "mcd")]
    of_cell = scores[
        (scores["system"] == "paper-1d")
        & (scores["direction"] == "TM3>SF1")
        & (scores["metric"] == "mcd")
    ]["value"]
    assert row["mean"] == pytest.approx(of_cell.mean())
    assert (row["n"], row["unit"], row["protocol"]) == (len(of_cell), "dB", "vcbench-1")
    assert row["low"] < row["mean"] < row["high"]


def test_an_effect_is_the_difference_of_the_means(folder: Path) -> None:
    scores = pd.read_csv(folder / "results.csv")
    means = scores[scores["metric"] == "mcd"].groupby("system")["value"].mean()
    table = pd.read_parquet(folder / "tables" / "effects.parquet").set_index(["system", "metric"])
    row = table.loc[("residual-2d", "mcd")]
    assert row["mean"] == pytest.approx(means["residual-2d"] - means["paper-1d"])
    assert row["baseline"] == "paper-1d"
    # A cell of the other failed: it is there, and not compared.
    gone = table.loc[("residual-2d-bce", "mcd")]
    assert np.isnan(gone["mean"]) and gone["decision"] == "missing" and not gone["claimable"]


def test_every_trained_system_stands_against_every_baseline(folder: Path) -> None:
    board = build(read_run(folder))
    table = pd.read_parquet(folder / "tables" / "against.parquet")
    assert list(dict.fromkeys(table["baseline"])) == [a.baseline for a in board.against]
    for found in board.against:
        rows = table[table["baseline"] == found.baseline].set_index("system")
        assert set(rows.index) == set(found.differences)
        for system, difference in found.differences.items():
            assert rows.loc[system, "mean"] == difference.mean
            assert rows.loc[system, "claimable"] == difference.claimable
    scores = pd.read_csv(folder / "results.csv")
    means = scores[scores["metric"] == "mcd"].groupby("system")["value"].mean()
    row = table.set_index(["system", "baseline"]).loc[("residual-2d", "source-copy")]
    assert row["mean"] == pytest.approx(means["residual-2d"] - means["source-copy"])
    latex = (folder / "tables" / "against.tex").read_text()
    assert latex.count(r"\begin{tabular}") == len(board.against)


def test_the_paired_differences_are_a_figure_of_every_utterance(folder: Path) -> None:
    run = read_run(folder)
    board = build(run)
    panel = gallery(run, board).paired
    assert panel is not None and panel.figure is not None
    # The suite's own baseline is the default one, and the first of the ranking is another.
    assert panel.title == "MCD of residual-2d less that of paper-1d"
    scores = pd.read_csv(folder / "results.csv", dtype={"utterance": str})
    wide = scores[scores["metric"] == "mcd"].pivot_table(
        index=["direction", "utterance"], columns="system", values="value"
    )
    expected = np.sort(wide["residual-2d"] - wide["paper-1d"])
    lines = [li for li in panel.figure.axes[0].get_lines() if li.get_marker() == "o"]
    drawn = np.sort(np.concatenate([np.asarray(li.get_ydata(), dtype=float) for li in lines]))
    np.testing.assert_allclose(drawn, expected)
    filled = [li for li in lines if li.get_markerfacecolor() == li.get_markeredgecolor()]
    assert (np.concatenate([li.get_ydata() for li in filled]) < 0).all()


@pytest.mark.parametrize("name", TABLES)
def test_markdown_and_latex_hold_what_the_page_shows(folder: Path, name: str) -> None:
    markdown = (folder / "tables" / f"{name}.md").read_text()
    latex = (folder / "tables" / f"{name}.tex").read_text()
    systems = set(pd.read_parquet(folder / "tables" / f"{name}.parquet")["system"])
    for system in systems:
        assert f"| {system} |" in markdown and f"\n{system} & " in latex
    widths = [
        {len(re.findall(r"(?<!\\)\|", line)) for line in block.split("\n")}
        for block in markdown.split("\n\n")
        if block.startswith("| ")
    ]
    assert widths and all(len(width) == 1 for width in widths)
    if name != "throughput":
        assert PROTOCOL_TEXT in markdown


@pytest.mark.parametrize("name", TABLES)
def test_latex_is_balanced_booktabs(folder: Path, name: str) -> None:
    text = (folder / "tables" / f"{name}.tex").read_text()
    tokens = latex_tokens(text)
    depth = 0
    for token in tokens:
        depth += (token == "{") - (token == "}")
        assert depth >= 0
    assert depth == 0 and tokens.count("$") % 2 == 0
    assert not {"#", "_", "~", "%"} & set(tokens)
    labels = re.findall(r"\\label\{([^}]*)\}", text)
    bodies = re.findall(r"\\begin\{tabular\}\{([lr]+)\}\s*\\toprule(.*?)\\bottomrule", text, re.S)
    assert len(bodies) == len(labels) == len(set(labels)) >= 1
    for alignment, body in bodies:
        rows = re.sub(r"\\midrule|(?<=\\\\)\[3pt\]", "", body).split(r"\\")
        rows = [row for row in rows if row.strip()]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(alignment) - 1}
        assert body.count(r"\midrule") == 1
    for environment in ("table*", "tabular"):
        opened, closed = (text.count(rf"\{w}{{{environment}}}") for w in ("begin", "end"))
        assert opened == closed == len(bodies)


def test_latex_escapes_every_place_that_takes_text() -> None:
    grid = Grid((HOSTILE, "a_b"), ((r"\input{x}", "5 % & $"),), frozenset({0}))
    text = latex_table(grid, caption="50 % of #1", label="a-b", notes=["x_y ^ ~"])
    assert r"\textless{}script\textgreater{}" in text and r"a\_b" in text
    assert r"\textbackslash{}input\{x\}" in text and r"\input" not in text
    assert r"5 \% \& \$" in text and r"50 \% of \#1" in text and r"x\_y" in text


def figures_of(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted((folder / "figures").iterdir()):
        found.setdefault(path.stem, []).append(path)
    return found


def test_every_figure_is_there_as_svg_and_pdf(folder: Path) -> None:
    found = figures_of(folder)
    assert {"effects", "differences", "loss-cycle", "loss-validation", "learning-rate"} <= set(
        found
    )
    assert {"direction-sf1-tm3", "direction-tm3-sf1", "quality-speed", "quality-size"} <= set(found)
    for paths in found.values():
        assert [path.suffix for path in paths] == [".pdf", ".svg"]
        pdf, svg = paths
        content = pdf.read_bytes()
        assert content.startswith(b"%PDF-1.") and content.rstrip().endswith(b"%%EOF")
        assert b"/FontFile2" in content, "text is text, in a face of its own"
        root = ET.fromstring(svg.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("width") and root.get("viewBox")
        # Outside the page there are no variables.
        assert "var(--" not in svg.read_text() and "currentColor" not in svg.read_text()


def test_a_pdf_is_as_large_as_its_svg_and_holds_one_page(folder: Path) -> None:
    for pdf, svg in figures_of(folder).values():
        content = pdf.read_bytes()
        assert len(re.findall(rb"/Type /Page\b", content)) == 1
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content)
        assert box
        view = [float(x) for x in ET.fromstring(svg.read_text()).get("viewBox", "").split()[2:]]
        assert [float(x) for x in box.groups()] == pytest.approx(view, abs=0.6)


def test_equal_runs_give_equal_files(example) -> None:
    look = styles(["paper-1d"])
    frame = example.run.training[example.run.training["name"] == "cycle"]
    (first,), (second,) = loss_panels(frame, look), loss_panels(frame, look)
    assert figure_files(first) == figure_files(second)
    one, two = (exported(example.run, example.leaderboard) for _ in range(2))
    assert [t.files() for t in one] == [t.files() for t in two]


def test_names_that_become_one_keep_their_files(example) -> None:
    frame = example.run.training
    frame = frame[frame["name"] == "cycle"]
    both = pd.concat([frame.assign(name=name) for name in ("cycle", "cycle!")])
    first, second = loss_panels(both, styles(["paper-1d"]))
    assert first.name == second.name == "loss-cycle"
    files = all_figure_files([first, second])
    assert set(files) == {f"loss-cycle{n}.{kind}" for n in ("", "-2") for kind in ("svg", "pdf")}
    assert files["loss-cycle.svg"] == first.alone.encode()
    assert files["loss-cycle-2.svg"] == second.alone.encode()


def test_hostile_names_stay_in_their_cells(hostile) -> None:
    tables = {table.name: table.files() for table in exported(hostile.run, hostile.leaderboard)}
    files = tables["directions"]
    rows = list(csv.DictReader(io.StringIO(files["directions.csv"].decode())))
    assert HOSTILE in {row["system"] for row in rows}
    assert "<script" not in re.sub(r"\\[\\<>]", "", files["directions.md"].decode())
    panels = gallery(hostile.run, hostile.leaderboard).panels
    assert panels and all(re.fullmatch(r"[a-z0-9-]+", panel.name) for panel in panels)


def test_the_report_command_writes_all_and_the_page_links_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SyntheticRun(pairs=("A-B",), n_sentences=3).write(tmp_path / "run")
    assert main(["report", str(folder)]) == 0
    assert "report: " in capsys.readouterr().out
    assert len(list((folder / "tables").iterdir())) == 3 * 5
    assert len(json.loads((folder / "samples" / "samples.json").read_text())) == 4
    # Drawn from the sounds in the folder, which is all there is.
    assert len(list(folder.rglob("pictures.npz"))) == 4
    html = (folder / "index.html").read_text()
    assert html.count("data:image/png") == 4 * 7
    for target in ("leaderboard.parquet", "tables/", "figures/"):
        assert f'href="{target}"' in html and (folder / target).exists()


def test_rendering_alone_leaves_other_files_alone(tmp_path: Path) -> None:
    folder = SyntheticRun(samples=False, effects={"a": 0.0}).write(tmp_path)
    render(folder)
    assert not (folder / "tables").exists() and not (folder / "figures").exists()


def test_speed_stands_with_machine_threads_and_conditions(folder: Path) -> None:
    text = (folder / "tables" / "throughput.md").read_text()
    for said in ("it/s ↑", "RTF ↓", "peak memory ↓", "MACs", "An Example CPU, 2 cores", "warm up"):
        assert said in text
    assert "45.2 (43.8 to 47.0)" in text
