"""The report's tables and figures as files of their own: one content in every form that is used.

`tables/NAME.md`, `.tex` (booktabs), `.csv`, `.json` and `.parquet`: the first two for people, as
the page shows it, the last three for programs, unrounded and in long form. `figures/NAME.svg` and
`.pdf`.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vcbench.own_files import replace_files
from vcbench.reporting import format as fmt
from vcbench.reporting.against import verdict_of
from vcbench.reporting.explorer import against_column
from vcbench.reporting.figures import Panel
from vcbench.reporting.gallery import all_figure_files
from vcbench.reporting.grid import Grid, direction_grid, effects_grid, header, protocol_notes
from vcbench.reporting.machine import finite, records
from vcbench.reporting.method import throughput_table
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.run_files import RunFiles
from vcbench.reporting.tables import latex_table, markdown_grid, markdown_text
from vcbench.reporting.verdict import effect_notes
from vcbench.statistics import Difference, Estimate


@dataclass(frozen=True)
class Exported:
    """One table: for people `grids` with their titles and notes, for programs `rows`.

    `protocols` are the texts of what the scores stand under, which LaTeX holds as comments.
    `columns` gives every column's kind: text, number, whole or flag.
    """

    name: str
    grids: Sequence[tuple[str, Grid]]
    notes: Sequence[str]
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    protocols: Sequence[str] = ()

    def files(self) -> dict[str, bytes]:
        """All forms, by file name."""
        parts = [
            f"## {markdown_text(title)}\n\n{markdown_grid(grid)}" for title, grid in self.grids
        ]
        parts += ["\n".join(f"- {markdown_text(note)}" for note in [*self.protocols, *self.notes])]
        label = re.sub(r"[^A-Za-z0-9-]+", "-", self.name)
        tex = "\n".join(
            latex_table(
                grid,
                caption=title,
                label=label if i == 0 else f"{label}-{i + 1}",
                notes=self.notes,
                comments=self.protocols,
            )
            for i, (title, grid) in enumerate(self.grids)
        )
        frame = self.frame()
        document = [{name: row.get(name) for name in self.columns} for row in self.rows]
        return {
            f"{self.name}.md": ("\n\n".join(filter(None, parts)) + "\n").encode(),
            f"{self.name}.tex": tex.encode(),
            f"{self.name}.csv": spreadsheet(frame).encode(),
            f"{self.name}.json": _json(document).encode(),
            f"{self.name}.parquet": parquet(frame),
        }

    def frame(self) -> pd.DataFrame:
        """`rows` with one type per column, whether a column has values or not."""
        return typed(self.rows, self.columns)


def write_exports(run: RunFiles, leaderboard: Leaderboard, panels: Iterable[Panel]) -> None:
    """Write `tables/`, `figures/` and leaderboard.parquet into the run's folder."""
    board = records(leaderboard)
    files = {"leaderboard.parquet": parquet(typed(board, _kinds(board)))}
    for table in exported(run, leaderboard):
        files |= {f"tables/{name}": content for name, content in table.files().items()}
    for name, content in all_figure_files(panels).items():
        files[f"figures/{name}"] = content
    replace_files(run.folder, files)


def exported(run: RunFiles, leaderboard: Leaderboard) -> list[Exported]:
    """The tables beside the leaderboard; one that has no rows is left out."""
    tables = [
        _effects(leaderboard),
        _against(leaderboard),
        _directions(leaderboard),
        _throughput(run, leaderboard),
    ]
    return [table for table in tables if table.rows]


def typed(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """A table whose types do not depend on what is missing in it."""
    kinds = {"text": "str", "number": "float64", "whole": "Int64", "flag": "boolean"}
    found = {}
    for name, kind in columns.items():
        values = [row.get(name) for row in rows]
        values = ["" if v is None else str(v) for v in values] if kind == "text" else values
        found[name] = pd.Series(values, dtype=kinds[kind])
    return pd.DataFrame(found)


def spreadsheet(frame: pd.DataFrame) -> str:
    """A table as CSV in which no text is a spreadsheet's formula."""
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    safe = frame.assign(**{name: frame[name].map(fmt.spreadsheet_text) for name in texts})
    return safe.to_csv(index=False, lineterminator="\n")


def parquet(frame: pd.DataFrame) -> bytes:
    """A table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _kinds(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Kinds of the leaderboard's columns, by what they are called."""
    kinds = {}
    for name in rows[0] if rows else ("rank", "system"):
        if name == "rank" or name in ("cells", "cells_ok") or name.endswith(("_n", "_expected")):
            kinds[name] = "whole"
        elif name.startswith("beats_"):
            kinds[name] = "flag"
        elif name in ("system", "kind", "unranked_because", "health", "protocols") or name.endswith(
            ("_unit", "_protocol")
        ):
            kinds[name] = "text"
        else:
            kinds[name] = "number"
    return kinds


_ESTIMATE = {"mean": "number", "low": "number", "high": "number", "n": "whole", "expected": "whole"}
_JUDGEMENT = {"level": "number", "p": "number", "p_holm": "number", "claimable": "flag"}
_METRIC = {"metric": "text", "protocol": "text", "unit": "text", "better": "text"}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": finite(estimate.mean),
        "low": finite(estimate.low),
        "high": finite(estimate.high),
        "n": estimate.n,
        "expected": estimate.expected,
    }


def _directions(leaderboard: Leaderboard) -> Exported:
    rows = []
    for column in leaderboard.columns:
        about = {name: getattr(column, name) for name in _METRIC}
        for row in leaderboard.rows:
            means = leaderboard.per_direction[column.key][row.system]
            rows += [
                {
                    "system": row.system,
                    "direction": direction,
                    **about,
                    **_estimate(means[direction]),
                }
                for direction in leaderboard.directions
            ]
    return Exported(
        name="directions",
        grids=[
            (f"{header(column)} per direction", direction_grid(leaderboard, column))
            for column in leaderboard.columns
        ],
        notes=[],
        columns={"system": "text", "direction": "text", **_METRIC, **_ESTIMATE},
        rows=rows,
        protocols=protocol_notes(leaderboard),
    )


def _effects(leaderboard: Leaderboard) -> Exported:
    comparison = leaderboard.comparison
    kinds = {"system": "text", "baseline": "text", **_METRIC, **_ESTIMATE}
    kinds |= {**_JUDGEMENT, "decision": "text"}
    if comparison is None:
        return Exported("effects", [], [], kinds, [])
    columns = list(dict.fromkeys([comparison.column, *leaderboard.columns]))
    rows = []
    for effect in comparison.effects:
        for column in columns:
            found = effect.differences[column.key]
            rows.append(
                {
                    "system": effect.system,
                    "baseline": comparison.baseline,
                    **{name: getattr(column, name) for name in _METRIC},
                    **_estimate(found),
                    **_judgement(found),
                    # Nothing is claimed in the metrics that are only shown beside it.
                    "decision": effect.decision if column == comparison.column else "",
                }
            )
    return Exported(
        name="effects",
        grids=[
            (
                f"Differences to {fmt.one_line(comparison.baseline)}",
                effects_grid(leaderboard),
            )
        ],
        notes=effect_notes(leaderboard),
        columns=kinds,
        rows=rows,
        protocols=protocol_notes(leaderboard),
    )


def _against(leaderboard: Leaderboard) -> Exported:
    """Every trained system against each baseline that a reader may choose, in the first metric."""
    column = leaderboard.ranked_by
    kinds = {"system": "text", "baseline": "text", **_METRIC, **_ESTIMATE, **_JUDGEMENT}
    kinds |= {"verdict": "text"}
    if column is None:
        return Exported("against", [], [], kinds, [])
    rows = [
        {
            "system": row.system,
            "baseline": found.baseline,
            **{name: getattr(column, name) for name in _METRIC},
            **_estimate(difference),
            **_judgement(difference),
            "verdict": verdict_of(found, row.system, leaderboard)[0],
        }
        for found in leaderboard.against
        for row in leaderboard.trained
        if (difference := found.differences.get(row.system)) is not None
    ]
    return Exported(
        name="against",
        grids=[
            (
                f"Differences in {header(column)} to {of_baseline['name']}, {of_baseline['how']}",
                Grid(
                    ("system", "difference", "verdict"),
                    tuple(
                        (
                            fmt.one_line(row.system),
                            f"{cell['mean']} {cell['interval']}".strip(),
                            cell["note"],
                        )
                        for row, cell in zip(leaderboard.rows, of_baseline["rows"], strict=True)
                        if cell
                    ),
                    frozenset({0, 2}),
                ),
            )
            for of_baseline in (against_column(leaderboard, a) for a in leaderboard.against)
        ],
        notes=[],
        columns=kinds,
        rows=rows,
        protocols=protocol_notes(leaderboard),
    )


def _judgement(found: Difference) -> dict[str, Any]:
    return {
        "level": found.level,
        "p": finite(found.p),
        "p_holm": finite(found.p_holm),
        "claimable": found.claimable,
    }


def _throughput(run: RunFiles, leaderboard: Leaderboard) -> Exported:
    shown = throughput_table(leaderboard)
    headers = ["system", "device"]
    headers += [
        f"{h['label']} ({h['about']})" if h["about"] else h["label"] for h in shown["headers"]
    ]
    lines = tuple(
        (row["system"], row["device"], *(_with_spread(value) for value in row["values"]))
        for row in shown["rows"]
    )
    names = ["system", "device", "phase", "metric", "value", "unit"]
    rows = [
        {**dict(zip(names, row, strict=True)), "value": finite(float(row[names.index("value")]))}
        for row in run.throughput[names].itertuples(index=False, name=None)
    ]
    return Exported(
        name="throughput",
        grids=[("Speed and size", Grid(tuple(headers), lines, frozenset({0, 1})))],
        notes=[shown["conditions"]],
        columns={name: "number" if name == "value" else "text" for name in names},
        rows=rows,
    )


def _with_spread(value: Mapping[str, str]) -> str:
    return f"{value['value']} ({value['spread']})" if value["spread"] else value["value"]


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
