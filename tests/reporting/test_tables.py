"""The leaderboard as Markdown, LaTeX, CSV, JSON and on a terminal."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console
from synthetic_run import HOSTILE, METRICS, PROTOCOL_TEXT, SyntheticRun

from vcbench.reporting.answer import answer
from vcbench.reporting.grid import Grid, notes
from vcbench.reporting.leaderboard import build
from vcbench.reporting.machine import csv_text, json_text
from vcbench.reporting.model import Row
from vcbench.reporting.run_files import read_run
from vcbench.reporting.tables import latex, latex_table, markdown, terminal_table


def on_terminal(leaderboard, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(terminal_table(leaderboard, width))
    return console.file.getvalue()


@pytest.mark.parametrize("form", [markdown, latex, csv_text, json_text])
def test_numbers_never_stand_without_their_protocol(example, form) -> None:
    text = form(example.leaderboard)
    assert "vcbench-1" in text
    assert PROTOCOL_TEXT in text


def test_a_protocols_text_does_not_repeat_its_id(tmp_path) -> None:
    folder = SyntheticRun().write(tmp_path / "run")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(PROTOCOL_TEXT, f"vcbench-1: {PROTOCOL_TEXT}"))
    text = markdown(build(read_run(folder)))
    assert f"- Protocol vcbench-1: {PROTOCOL_TEXT}" in text


def test_written_files_are_what_the_functions_give(example) -> None:
    board = example.leaderboard
    assert example.text("leaderboard.md") == markdown(board)
    assert example.text("leaderboard.tex") == latex(board)
    assert example.text("leaderboard.csv") == csv_text(board)
    assert example.text("leaderboard.json") == json_text(board)


def test_markdown_holds_a_row_per_system_with_marks_and_their_meaning(example) -> None:
    text = markdown(example.leaderboard)
    table = [line for line in text.splitlines() if line.startswith("| ")]
    # Header, rule and 7 systems; then the same without rank for each of 4 metrics.
    assert len(table) == 9 + len(METRICS) * 9
    assert {line.count("|") for line in table[:9]} == {12}
    assert table[0].startswith("| rank | system | MCD ↓ (dB, vcbench-1) | F0 RMSE ↓ (Hz, vcb")
    mcd = example.leaderboard.row("residual-2d").scores["mcd"]
    first = f"| 1 | residual-2d | {mcd.mean:.2f} [{mcd.low:.2f}, {mcd.high:.2f}] (64/64) |"
    assert table[2].startswith(first)
    assert "| paper-1d ‡ |" in text
    assert "- ‡ noticed in training: paper-1d/SF1-TM3/0: discriminator saturated" in text
    assert "| – | residual-2d-bce |" in text
    assert re.search(
        r"- In this run, 3 of 4 trained systems beat the untrained mean-variance on MCD \(paired "
        r"over the same sentences, sign-flip test over sentences, Holm over 4 systems; intervals "
        r"at 98\.75 %; p = 0\.0\d+ at most\)\. Not tested, because incomplete: residual-2d-bce\.",
        text,
    )
    assert "Not ranked, because incomplete: residual-2d-bce: of 4 cells, 1 failed." in text
    assert "- residual-2d-bce/SF1-TM3/1: failed: loss became NaN at iteration 660" in text
    assert "| system | SF1 → TM3 | TM3 → SF1 | SM1 → TF2 | TF2 → SM1 |" in text.replace("\\>", ">")


def test_markdown_shows_hostile_text_as_text(hostile) -> None:
    text = markdown(hostile.leaderboard)
    unescaped = re.sub(r"\\[\\`*_<>|&~\]]", "", text)
    assert "<" not in unescaped
    table = [line for line in text.splitlines() if line.startswith("| ")][:6]
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
    assert cells == {12}
    assert "\x1b" not in text


def test_markdown_links_cannot_be_forged(leaderboard_of) -> None:
    run = SyntheticRun(
        effects={"a": 0.0}, question="[see](javascript:alert(1)) [x]: http://x [y][x]"
    )
    assert r"[see\](javascript" in markdown(leaderboard_of(run))


def latex_tokens(text: str) -> list[str]:
    """Commands, escaped characters and single characters of LaTeX source without comments."""
    return re.findall(r"\\[A-Za-z]+|\\.|[^\\]", re.sub(r"(?m)^%.*\n", "", text), re.DOTALL)


@pytest.mark.parametrize("name", ["example", "hostile"])
def test_latex_is_balanced_and_has_equally_long_rows(name: str, request) -> None:
    tokens = latex_tokens(latex(request.getfixturevalue(name).leaderboard))
    depth = 0
    for token in tokens:
        depth += (token == "{") - (token == "}")
        assert depth >= 0
    assert depth == 0
    assert not {"#", "_", "~", "%"} & set(tokens)
    assert tokens.count("$") % 2 == 0
    assert all(ord(t) < 0x250 for t in tokens if len(t) == 1)
    # rank, system, four metrics, cells; then system, training, conversion, parameters, MACs
    for part, n in zip("".join(tokens).split(r"\toprule")[1:], (7, 5), strict=True):
        body = part.split(r"\bottomrule")[0].replace(r"\midrule", "").replace("[3pt]", "")
        rows = [row for row in body.split(r"\\") if row.strip()]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {n - 1}


def test_latex_is_as_narrow_as_a_page_needs(example) -> None:
    text = latex(example.leaderboard)
    assert r"\begin{table*}" in text and r"\begin{table}" not in text
    for package in ("booktabs", "graphicx"):
        assert rf"\usepackage{{{package}}}" in text.splitlines()[0]
    scores, speed = text.split(r"\end{table*}")[:2]
    # The protocol's text is a comment; its name stands once, in the caption.
    assert f"% Protocol vcbench-1: {PROTOCOL_TEXT}" in text.splitlines()
    printed = re.sub(r"(?m)^%.*\n", "", scores)
    assert PROTOCOL_TEXT not in printed
    assert printed.count("vcbench-1") == 1
    assert "Scores under protocol vcbench-1.}" in printed
    # Counts only where scores are missing, and then what is missing.
    counts = re.findall(r"\((\d+)/(\d+)\)", printed)
    assert counts and all(n != expected for n, expected in counts)
    assert "Where no (n/N) stands, every expected utterance was scored." in printed
    # An interval stands below its mean, in the same column.
    mcd = example.leaderboard.rows[0].scores["mcd"]
    lines = printed.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("1 & "))
    assert lines[first].split(" & ")[2] == f"{mcd.mean:.2f}"
    below = lines[first + 1].split(" & ")
    assert below[:2] == ["", ""]
    assert below[2] == rf"\scriptsize [{mcd.low:.2f}, {mcd.high:.2f}]"
    assert "it/s" not in printed.split(r"\bottomrule")[0] and "it/s" in speed
    # No header is much wider than the numbers below it.
    header = printed.split(r"\toprule")[1].split(r"\midrule")[0]
    words = re.split(r" & | \\\\\n?", re.sub(r"\$\\\w+\$|\\footnotesize ", "", header))
    assert max(len(word.strip()) for word in words) <= 10


def test_a_row_in_latex_is_never_an_argument_of_the_one_before() -> None:
    grid = Grid(("system", "n"), (("a", "1"), ("[2cm]", "2"), ("*b", "3")), frozenset({0}))
    text = latex_table(grid, caption="c", label="l")
    assert not re.search(r"\\\\\s*[\[*]", text)
    assert "{}[2cm] & 2" in text and "{}*b & 3" in text


def test_latex_sets_hostile_names_as_text(hostile) -> None:
    text = latex(hostile.leaderboard)
    assert (
        r"a\textbar{}b\_c\$d\%\&\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in text
    )
    assert r"\textless{}script\textgreater{}alert(1)" in text


def test_csv_holds_unrounded_values(example) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(example.leaderboard))))
    assert [row["rank"] for row in rows] == ["1", "2", "3", "", "", "", ""]
    for row in rows:
        expected = example.leaderboard.row(row["system"])
        assert float(row["mcd_mean"]) == expected.scores["mcd"].mean
        assert float(row["mcd_ci95_low"]) == expected.scores["mcd"].low
        assert (row["mcd_unit"], row["mcd_protocol"]) == ("dB", "vcbench-1")
        assert int(row["mcd_expected"]) == expected.scores["mcd"].expected
    assert rows[0]["beats_mean-variance"] == "True"
    assert rows[3]["unranked_because"] == "of 4 cells, 1 failed"
    assert rows[6]["beats_mean-variance"] == ""


def test_json_is_strict_and_holds_everything(example) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(json_text(example.leaderboard), parse_constant=refuse)
    assert document["answer"] == answer(example.leaderboard)
    assert document["ranked_by"] == "mcd"
    assert document["metrics"]["mcd"]["better"] == "lower"
    best = document["rows"][0]
    mcd = example.leaderboard.rows[0].scores["mcd"]
    assert best["scores"]["mcd"] == {
        "mean": mcd.mean,
        "ci95": [mcd.low, mcd.high],
        "covers": ["sentences"],
        "n": 64,
        "expected": 64,
    }
    assert set(best["per_direction"]["mcd"]) == set(example.leaderboard.directions)
    assert document["same_crops"]["ok"] is True


def test_json_writes_undefined_values_as_null(leaderboard_of) -> None:
    board = leaderboard_of(SyntheticRun(n_sentences=1, undefined=[("paper-1d", "mcd")]))
    rows = {row["system"]: row for row in json.loads(json_text(board))["rows"]}
    assert rows["paper-1d"]["scores"]["mcd"] == {
        "mean": None,
        "ci95": None,
        "covers": ["sentences"],
        "n": 0,
        "expected": 8,
    }
    assert rows["paper-1d"]["beats_mean-variance"] is None


@pytest.mark.parametrize("width", [50, 60, 80, 100, 120, 160, 200])
@pytest.mark.parametrize("name", ["example", "hostile"])
def test_the_terminal_table_fits_and_keeps_names_and_the_first_metric(
    name: str, width: int, request
) -> None:
    board = request.getfixturevalue(name).leaderboard
    text = on_terminal(board, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for row in board.rows:
        assert row.system in text
        assert f"{row.scores['mcd'].mean:.2f}" in text
    assert "protocol vcbench-1" in text
    assert "†" not in text, "no complete system is behind the reference"


@pytest.mark.parametrize("width", [50, 120])
@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ({"level": 0.0}, "not shown to beat"),
        ({"behind": 0.5}, "worse than"),
        ({"level": 0.0, "behind": 0.5}, "worse than or not shown to beat"),
    ],
)
def test_the_terminal_table_says_what_its_mark_means(
    width: int, marked: dict[str, float], words: str, leaderboard_of
) -> None:
    board = leaderboard_of(SyntheticRun(effects={"ahead": -1.0, **marked}, samples=False))
    text = " ".join(on_terminal(board, width).split())
    assert all(f"{system} †" in text for system in marked) and "ahead †" not in text
    assert f"† {words} mean-variance" in text


def test_a_wide_terminal_shows_every_column_and_a_narrow_one_says_what_is_left_out(example) -> None:
    wide = on_terminal(example.leaderboard, 220)
    assert "log F0 RMSE" in wide and "MACs" in wide and "left out" not in wide
    assert "7.67 (64/64) [7.45, 7.86]" in wide
    narrow = on_terminal(example.leaderboard, 80)
    assert "MACs" not in narrow and "F0 RMSE" in narrow
    assert re.search(r"\d columns left out to fit; all in leaderboard\.md", narrow)


def test_a_terminal_cannot_be_driven_by_names(hostile) -> None:
    text = on_terminal(hostile.leaderboard, 200)
    assert HOSTILE in text
    assert "\x1b" not in text


def test_tables_of_a_run_without_trained_systems(leaderboard_of) -> None:
    board = leaderboard_of(SyntheticRun(effects={}, seeds=()))
    assert "holds baselines only" in markdown(board)
    assert r"\midrule" in latex(board)
    assert "source-copy" in on_terminal(board, 80)


def test_notes_tell_how_long_the_training_was(leaderboard_of) -> None:
    board = leaderboard_of(SyntheticRun(effects={"a": 0.0, "b": 1.0}, iterations=1500))
    assert "- Trained for 1,500 iterations.\n" in markdown(board)

    def shorter(row: Row) -> Row:
        cells = tuple(replace(cell, iterations=50) for cell in row.cells)
        return replace(row, cells=cells) if row.system == "b" else row

    mixed = replace(board, rows=tuple(map(shorter, board.rows)))
    assert "- Iterations of training: a 1,500; b 50.\n" in markdown(mixed)
    untrained = leaderboard_of(SyntheticRun(effects={}))
    assert "teration" not in "".join(notes(untrained))
