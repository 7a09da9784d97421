"""The leaderboard for people: Markdown, LaTeX and the terminal.

Every form carries the protocol beside its numbers. Names and messages are somebody else's text
and are escaped for the form they go into.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
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
    marks,
    notes,
    protocol_notes,
)
from vcbench.reporting.model import REFERENCE, Column, Leaderboard, Row
from vcbench.reporting.verdict import effect_notes
from vcbench.reporting.wording import decimals_of

# A bracket matters only where a link's address or definition follows it.
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_<>|&]|~(?=~)|\](?=[(\[:]))")
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
    parts = [f"# {_md(board.suite)}", f"**{_md(answer(board))}**"]
    if board.question:
        parts.insert(1, f"*{_md(board.question)}*")
    parts += [f"**Warning:** {_md(doubt)}" for doubt in doubts(board)]
    if board.comparison:
        parts += ["## Effects", _md_table(effects_grid(board))]
        parts += ["\n".join(f"- {_md(note)}" for note in effect_notes(board)), "## Leaderboard"]
    parts += [_md_table(leaderboard_grid(board))]
    parts += ["\n".join(f"- {_md(note)}" for note in [*protocol_notes(board), *notes(board)])]
    for column in board.columns:
        parts += [
            f"## {_md(header(column))} per direction",
            _md_table(direction_grid(board, column)),
        ]
    unfinished = [*board.failed, *board.skipped]
    if unfinished:
        lines = [f"- {_md(c.cell)}: {_md(c.status)}: {_md(c.reason)}" for c in unfinished]
        parts += ["## Cells that did not finish", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def latex(leaderboard: Leaderboard) -> str:
    """The leaderboard as a LaTeX table (needs the package booktabs)."""
    grid = leaderboard_grid(leaderboard)
    alignment = "".join("l" if i in grid.text_columns else "r" for i in range(len(grid.headers)))
    label = re.sub(r"[^A-Za-z0-9-]+", "-", leaderboard.suite)
    rows = [" & ".join(_tex(text) for text in row) + r" \\" for row in grid.rows]
    n_ranked = len(leaderboard.trained)
    if 0 < n_ranked < len(rows):
        rows.insert(n_ranked, r"\midrule")
    remarks = [*doubts(leaderboard), *protocol_notes(leaderboard), *notes(leaderboard)]
    lines = [
        "% written by vcbench; needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{_tex(leaderboard.suite)}: {_tex(answer(leaderboard))}}}",
        rf"\label{{tab:vcbench-{label}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        " & ".join(_tex(text) for text in grid.headers) + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"\smallskip\footnotesize\raggedright",
        *(f"{_tex(note)}\\par" for note in remarks),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def print_answer(leaderboard: Leaderboard) -> None:
    """What the table says in a sentence, and what weakens it, on stdout."""
    print(answer(leaderboard))
    for doubt in doubts(leaderboard):
        print(f"Note: {doubt}")


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
        lines.append(f"{NOT_BETTER} does not beat the untrained {REFERENCE}")
    if UNHEALTHY in signs:
        lines.append(f"{UNHEALTHY} trouble in training, see the page")
    if n_hidden:
        lines.append(f"{fmt.count_of(n_hidden, 'column')} left out to fit; all in leaderboard.md")
    return "\n".join(lines)


def _md(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", fmt.one_line(text))


def _tex(text: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    return "".join(_LATEX_SPECIAL.get(character, character) for character in fmt.one_line(text))


def _md_table(grid: Grid) -> str:
    rules = [":---" if i in grid.text_columns else "---:" for i in range(len(grid.headers))]
    lines = [[_md(text) for text in row] for row in (grid.headers, *grid.rows)]
    lines.insert(1, rules)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
