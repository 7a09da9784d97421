"""Names of strangers in what people open: the page, the terminal, spreadsheets, LaTeX, Markdown."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporting.synthetic_run import SyntheticRun

from vcbench import reporting
from vcbench.cli import main
from vcbench.reporting import format as fmt
from vcbench.reporting.exports import spreadsheet
from vcbench.reporting.grid import Grid
from vcbench.reporting.tables import latex_table
from vcbench.terminal import harmless, say

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '=HYPERLINK("https://example.org";"click")',
    "\x1b]0;owned\x07\x1b[2Jsystem",
    "a\u202egnp.exe",
    "[5cm] * \\input{/etc/passwd}",
    "| pipe | [link](https://example.org) `code`",
    "$\\frac{$ %s {0} {{ 7 * 7 }}",
)


class Tags(HTMLParser):
    """Counts elements, and gathers attributes that run or load something."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attributes:
            loads = name in ("src", "href", "xlink:href") and value
            if name.startswith("on") or (loads and not re.match(r"#|data:|samples/", str(value))):
                self.active.append(f"{tag} {name}={value}")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a run with names as suites have them, the same with hostile ones), both reported."""
    found = []
    for names in ([f"system-{i}" for i in range(len(HOSTILE))], list(HOSTILE)):
        run = SyntheticRun(
            effects={name: 0.1 * i for i, name in enumerate(names)},
            baselines={"source-copy": 1.5},
            pairs=("F-M",),
            seeds=(0,),
            n_sentences=3,
            iterations=100,
            samples=False,
            question=f"Is {names[0]} better?",
            compare={"baseline": names[0], "against": names[1:], "metric": "mcd"},
            health={f"{names[1]}/F-M/0": (names[3],)},
        )
        found.append(run.write(tmp_path_factory.mktemp("runs") / "run"))
    reporting.render(found[0])
    reporting.publish(found[1])
    return found[0], found[1]


def test_no_name_adds_a_tag_to_the_page(folders: tuple[Path, Path]) -> None:
    tame, hostile = (Tags() for _ in range(2))
    for parser, folder in zip((tame, hostile), folders, strict=True):
        parser.feed((folder / "index.html").read_text(encoding="utf-8"))
    assert hostile.scripts == tame.scripts > 0
    # Links to the run's own files, and nothing that a name made.
    assert hostile.active == tame.active
    assert not any(":" in active for active in tame.active)


@pytest.mark.parametrize("name", ["leaderboard.csv", "tables/directions.csv", "tables/effects.csv"])
def test_no_cell_of_a_spreadsheet_is_a_formula(name: str, folders: tuple[Path, Path]) -> None:
    text = (folders[1] / name).read_text(encoding="utf-8")
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    number = re.compile(r"-?[\d.]+(e[-+]?\d+)?")
    formulas = [c for c in cells if c[:1] in tuple("=+-@") and not number.fullmatch(c)]
    assert formulas == []
    assert any(c.startswith("'=HYPERLINK") for c in cells)


def test_numbers_and_their_types_stay_as_they_are_in_a_spreadsheet() -> None:
    frame = pd.DataFrame(
        {"a": ["=1", "x"], "b": [-1.5, 2.0], "c": pd.Series([3, None], dtype="Int64")}
    )
    assert spreadsheet(frame) == "a,b,c\n'=1,-1.5,3\nx,2.0,\n"


def test_the_tables_for_people_hold_no_control_characters(folders: tuple[Path, Path]) -> None:
    for path in [*folders[1].glob("leaderboard.*"), *(folders[1] / "tables").iterdir()]:
        if path.suffix in (".md", ".tex"):
            text = path.read_text(encoding="utf-8")
            assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", text), path


def test_latex_takes_no_name_for_an_argument_or_a_command(folders: tuple[Path, Path]) -> None:
    text = (folders[1] / "tables" / "directions.tex").read_text(encoding="utf-8")
    assert "\\input" not in text and "\\textbackslash{}input\\{" in text
    # Behind the end of a row, LaTeX takes a bracket or a star for an argument.
    assert not re.search(r"\\\\\s*[\[*]", text.replace("\\\\[3pt]\n", ""))
    table = latex_table(Grid(("x",), (("[5cm]",), ("*",)), frozenset({0})), caption="", label="x")
    assert "{}[5cm] \\\\" in table and "{}* \\\\" in table


def test_markdown_has_no_more_columns_than_its_header(folders: tuple[Path, Path]) -> None:
    lines = (folders[1] / "leaderboard.md").read_text(encoding="utf-8").splitlines()
    tables = "\n".join(line if line.startswith("|") else "" for line in lines).split("\n\n")
    for table in filter(None, (t.strip() for t in tables)):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(bars) == 1


@given(st.text())
def test_a_terminal_is_told_nothing_by_a_text(text: str) -> None:
    shown = harmless(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode()  # no half of a surrogate pair either
    plain = "".join(c for c in text if c.isprintable() or c in "\n\t")
    assert harmless(plain) == plain


def test_what_is_said_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    say("FAILED \x1b[2J\u202e/\x9b31m: ü → 音")
    assert capsys.readouterr().err == "FAILED \\x1b[2J\\u202e/\\x9b31m: ü → 音\n"


def test_report_and_compare_print_no_escape_sequences(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(folders[1])]) == 0
    assert main(["compare", str(folders[1]), str(folders[1])]) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\u202e" not in said.out + said.err
    assert "system" in said.out


def test_one_line_is_harmless_too() -> None:
    for text in HOSTILE:
        assert harmless(fmt.one_line(text)) == fmt.one_line(text)
