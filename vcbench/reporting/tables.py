"""The leaderboard for people: Markdown, LaTeX and the terminal.

Every form carries the protocol beside its numbers. Names and messages are somebody else's text
and are escaped for the form they go into.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vcbench.reporting import format as fmt
from vcbench.reporting.answer import answer, doubts
from vcbench.reporting.grid import (
    NOT_BETTER,
    UNHEALTHY,
    Grid,
    direction_grid,
    effects_grid,
    header,
    leaderboard_grid,
    mark_words,
    marks,
    notes,
    protocol_notes,
)
from vcbench.reporting.model import REFERENCE, Column, Leaderboard, Row
from vcbench.reporting.verdict import effect_notes
from vcbench.reporting.wording import decimals_of
from vcbench.terminal import harmless

# A bracket matters only where a link's address or definition follows it.
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_<>|&]|~(?=~)|\](?=[(\[:]))")
# `8.68 [8.09, 9.01] (46/48)`, `19.0 k (18.3 k to 48.8 k)` and `training (it/s) ↑` in parts.
_NUMBER = r"[+−\d.]+(?: [kMGT])?"
_SCORE = re.compile(
    rf"({_NUMBER}|–)(?: (\[[^]]+\]|\({_NUMBER} to {_NUMBER}\)))?(?: \((\d+)/(\d+)\))?"
)
_HEADER = re.compile(r"(.+?) ?\(([^()]+)\)( [↑↓])?")
_HEADER_WIDTH = 10  # characters of a line in LaTeX: about what an interval takes
_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "^": r"\textasciicircum{}",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "%": r"\%",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    # What a dash, sign or arrow looks like must not depend on the paper's fonts.
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "→": r"$\rightarrow$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
}


def markdown(leaderboard: Leaderboard) -> str:
    """The leaderboard, its notes and the means per direction as a Markdown document."""
    board = leaderboard
    parts = [f"# {markdown_text(board.suite)}", f"**{markdown_text(answer(board))}**"]
    if board.question:
        parts.insert(1, f"*{markdown_text(board.question)}*")
    parts += [f"**Warning:** {markdown_text(doubt)}" for doubt in doubts(board)]
    if board.comparison:
        parts += ["## Effects", markdown_grid(effects_grid(board))]
        parts += [
            "\n".join(f"- {markdown_text(note)}" for note in effect_notes(board)),
            "## Leaderboard",
        ]
    parts += [markdown_grid(leaderboard_grid(board))]
    parts += [
        "\n".join(f"- {markdown_text(note)}" for note in [*protocol_notes(board), *notes(board)])
    ]
    for column in board.columns:
        parts += [
            f"## {markdown_text(header(column))} per direction",
            markdown_grid(direction_grid(board, column)),
        ]
    unfinished = [*board.failed, *board.skipped]
    if unfinished:
        lines = [
            f"- {markdown_text(c.cell)}: {markdown_text(c.status)}: {markdown_text(c.reason)}"
            for c in unfinished
        ]
        parts += ["## Cells that did not finish", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def latex(leaderboard: Leaderboard) -> str:
    """The leaderboard as LaTeX tables (which need the packages booktabs and graphicx).

    Scores and speed stand in one each: together they would be too wide to be read in print.
    """
    grid, n = leaderboard_grid(leaderboard), 2 + len(leaderboard.columns)
    label = re.sub(r"[^A-Za-z0-9-]+", "-", leaderboard.suite)
    scores = latex_table(
        _columns_of(grid, [*range(n), len(grid.headers) - 1]),
        caption=f"{leaderboard.suite}: {answer(leaderboard)}",
        label=label,
        notes=[*doubts(leaderboard), *notes(leaderboard)],
        rule_after=len(leaderboard.trained),
        comments=protocol_notes(leaderboard),
        protocols=tuple(leaderboard.protocols),
    )
    speed = _columns_of(grid, [1, *range(n, len(grid.headers) - 1)])
    measured = tuple(row for row in speed.rows if set(row[1:]) != {fmt.MISSING})
    if not measured:
        return scores
    speed = Grid(speed.headers, measured, speed.text_columns)
    caption = f"{leaderboard.suite}: speed and size"
    return f"{scores}\n{latex_table(speed, caption=caption, label=f'{label}-speed')}"


def _columns_of(grid: Grid, places: Sequence[int]) -> Grid:
    """Some columns of a grid."""
    return Grid(
        tuple(grid.headers[i] for i in places),
        tuple(tuple(row[i] for i in places) for row in grid.rows),
        frozenset(new for new, i in enumerate(places) if i in grid.text_columns),
    )


def latex_table(
    grid: Grid,
    *,
    caption: str,
    label: str,
    notes: Sequence[str] = (),
    rule_after: int = 0,
    comments: Sequence[str] = (),
    protocols: Sequence[str] = (),
) -> str:
    """A grid as a LaTeX table (booktabs) with its notes, a rule after so many rows if not 0.

    It is as wide as a page at most: intervals and units stand below what they belong to, counts
    only where scores are missing, and what is wider still is made smaller. Where there is one of
    `protocols`, the caption names it instead of every header. `comments` stand in the source only:
    the text of a protocol would fill the page. All text is escaped but `label`, which must hold
    letters, digits and dashes only.
    """
    alignment = "".join("l" if i in grid.text_columns else "r" for i in range(len(grid.headers)))
    inside = f", {fmt.one_line(protocols[0])})" if len(protocols) == 1 and protocols[0] else ""
    headers = [text.replace(inside, ")") if inside else text for text in grid.headers]
    if inside:
        caption = f"{caption.removesuffix('.')}. Scores under protocol {protocols[0]}."
    rows = [_latex_row(row, grid.text_columns) for row in grid.rows]
    if 0 < rule_after < len(rows):
        rows.insert(rule_after, r"\midrule")
    if any((m := _SCORE.fullmatch(text)) and m[3] for row in grid.rows for text in row):
        notes = [*notes, "Where no (n/N) stands, every expected utterance was scored."]
    lines = [
        r"% written by vcbench; needs \usepackage{booktabs} and \usepackage{graphicx}",
        *(f"% {fmt.one_line(comment)}" for comment in comments),
        r"\begin{table*}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{_tex(caption)}}}",
        rf"\label{{tab:vcbench-{label}}}",
        # Never made larger: \width is the table's own.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
        rf"{{\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        _latex_headers(headers),
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}}",
        "",
        r"\smallskip\footnotesize\raggedright",
        *(f"{_tex(note)}\\par" for note in notes),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _latex_headers(headers: Sequence[str]) -> str:
    """`GV distance ↓ (ln)` in lines as narrow as the numbers below: `GV`, `distance ↓`, `ln`."""
    names, units = [], []
    for text in headers:
        parts = _HEADER.fullmatch(text)
        name, unit = (f"{parts[1]}{parts[3] or ''}", parts[2]) if parts else (text, "")
        # An arrow stays with its word.
        glued = re.sub(r" (?=[↑↓])", "\u00a0", name)
        names.append([line.replace("\u00a0", " ") for line in _wrapped(glued)])
        units.append(_wrapped(unit))
    heights = [max(map(len, lines)) for lines in (names, units)]
    cells = [
        [*[""] * (heights[0] - len(name)), *map(_tex, name)]
        + [rf"\footnotesize {_tex(line)}" for line in unit]
        + [""] * (heights[1] - len(unit))
        for name, unit in zip(names, units, strict=True)
    ]
    return "\n".join(" & ".join(line) + r" \\" for line in zip(*cells, strict=True))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _HEADER_WIDTH, break_long_words=False, break_on_hyphens=False)


def _latex_row(row: Sequence[str], text_columns: Collection[int]) -> str:
    """A row of text; where it has scores, their intervals in a line below."""
    above, below = [], []
    for i, text in enumerate(row):
        score = None if i in text_columns else _SCORE.fullmatch(text)
        if score is None:
            above.append(text)
            below.append("")
            continue
        mean, interval, n, expected = score.groups()
        above.append(mean if n == expected else f"{mean} ({n}/{expected})")
        below.append(interval or "")
    line = " & ".join(map(_tex, above)) + r" \\"
    if any(below):
        line += "\n" + " & ".join(rf"\scriptsize {_tex(t)}" if t else "" for t in below)
        line += r" \\[3pt]"
    # A row that begins so would be taken for an argument of the row before.
    return f"{{}}{line}" if line.startswith(("[", "*")) else line


def print_answer(leaderboard: Leaderboard) -> None:
    """What the table says in a sentence, and what weakens it, on stdout.

    On a terminal lines end between words; elsewhere each is one line, for whoever searches them.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in [answer(leaderboard), *(f"Note: {doubt}" for doubt in doubts(leaderboard))]:
        line = harmless(line)
        print(line if width is None else textwrap.fill(line, width, break_on_hyphens=False))


def terminal_table(leaderboard: Leaderboard, width: int | None = None) -> Table:
    """The leaderboard as a rich table no wider than `width` (by default the terminal's).

    On a narrow terminal, intervals move below their means and the least needed columns are left
    out, which the caption says; the files hold them all.
    """
    width = width or shutil.get_terminal_size().columns
    measure = Console(width=10_000).measure
    everything = _terminal_columns(leaderboard)
    for kept in range(len(everything), 0, -1):
        least_needed = sorted(everything, key=lambda column: column.need)[:kept]
        columns = [column for column in everything if column in least_needed]
        for stacked in (False, True):
            table = _terminal_table(leaderboard, columns, stacked, len(everything) - kept)
            if measure(table).maximum <= width:
                break
        else:
            continue
        break
    return table


@dataclass(frozen=True)
class _TerminalColumn:
    """A column that may be left out: those with the largest `need` number go first.

    `cell` gives a value and, for scores, its interval.
    """

    need: int
    header: str
    cell: Callable[[Row], tuple[str, str]]


def _terminal_columns(leaderboard: Leaderboard) -> list[_TerminalColumn]:
    """All columns between the name and the cells, in the order in which they are shown."""
    columns = []
    for position, column in enumerate(leaderboard.columns):
        unit = f"{fmt.ARROWS.get(column.better, '')} {fmt.one_line(column.unit)}"
        title = f"{fmt.metric_label(column.metric)}\n{unit}"
        # The first two metrics are wanted most; the others give way to the speeds.
        need = position if position < 2 else 4 + position
        columns.append(_TerminalColumn(need, title, _score_cell(leaderboard, column)))
    return [
        *columns,
        _TerminalColumn(
            4, "train\n↑ it/s", lambda row: (fmt.measurement(row.iterations_per_second), "")
        ),
        _TerminalColumn(
            2, "convert\n↓ RTF", lambda row: (fmt.measurement(row.real_time_factor), "")
        ),
        _TerminalColumn(3, "params", lambda row: (fmt.quantity(row.parameters), "")),
        _TerminalColumn(10_000, "MACs", lambda row: (fmt.quantity(row.macs), "")),
    ]


def _score_cell(leaderboard: Leaderboard, column: Column) -> Callable[[Row], tuple[str, str]]:
    decimals = decimals_of(leaderboard, column)

    def cell(row: Row) -> tuple[str, str]:
        estimate = row.scores[column.key]
        mean = f"{fmt.number(estimate.mean, decimals)} {fmt.counted(estimate)}".strip()
        return mean, fmt.interval(estimate, decimals)

    return cell


def _terminal_table(
    leaderboard: Leaderboard, columns: list[_TerminalColumn], stacked: bool, n_hidden: int
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.title = Text(fmt.one_line(leaderboard.suite))
    table.caption = Text(_terminal_caption(leaderboard, n_hidden), style="dim")
    table.caption_justify = "left"
    table.add_column("", justify="right", style="bold")
    table.add_column("system", no_wrap=True)
    for column in columns:
        table.add_column(Text(column.header), justify="right", no_wrap=True)
    table.add_column("cells", justify="right")
    for position, row in enumerate(leaderboard.rows, start=1):
        complete = row.cells_ok == len(row.cells)
        table.add_row(
            fmt.MISSING if row.rank is None else str(row.rank),
            _terminal_name(row),
            *(_terminal_cell(*column.cell(row), stacked) for column in columns),
            Text(f"{row.cells_ok}/{len(row.cells)}", style="" if complete else "red"),
            end_section=position == len(leaderboard.trained) < len(leaderboard.rows),
        )
    return table


def _terminal_name(row: Row) -> Text:
    name = Text(fmt.one_line(row.system), style="" if row.trained else "dim")
    for sign in marks(row):
        name.append(f" {sign}", style="yellow")
    return name


def _terminal_cell(value: str, interval: str, stacked: bool) -> Text:
    if not interval:
        return Text(value)
    return Text.assemble(value, "\n" if stacked else " ", (interval, "dim"))


def _terminal_caption(leaderboard: Leaderboard, n_hidden: int) -> str:
    protocols = ", ".join(map(fmt.one_line, leaderboard.protocols)) or "none"
    signs = {sign for row in leaderboard.rows for sign in marks(row)}
    lines = [f"protocol {protocols}; mean [95 % interval]"]
    if NOT_BETTER in signs:
        marked = [row for row in leaderboard.rows if NOT_BETTER in marks(row)]
        lines.append(f"{NOT_BETTER} {mark_words(leaderboard, marked)} {REFERENCE}")
    if UNHEALTHY in signs:
        lines.append(f"{UNHEALTHY} trouble in training, see the page")
    if n_hidden:
        lines.append(f"{fmt.count_of(n_hidden, 'column')} left out to fit; all in leaderboard.md")
    return "\n".join(lines)


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", fmt.one_line(text))


def _tex(text: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    return "".join(_LATEX_SPECIAL.get(character, character) for character in fmt.one_line(text))


def markdown_grid(grid: Grid) -> str:
    """A grid as a Markdown table, escaped."""
    rules = [":---" if i in grid.text_columns else "---:" for i in range(len(grid.headers))]
    lines = [[markdown_text(text) for text in row] for row in (grid.headers, *grid.rows)]
    lines.insert(1, rules)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
