"""Of a run, what a reader needs, into a folder that is committed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from vcbench import sealed
from vcbench.errors import UsageError
from vcbench.reporting import levelling
from vcbench.reporting.expectations import checks
from vcbench.reporting.leaderboard import build
from vcbench.reporting.machine import csv_text
from vcbench.reporting.run_files import RunFiles, read_run, read_table
from vcbench.training.files import ELSEWHERE, read_status

if TYPE_CHECKING:
    from vcbench.reporting.model import Leaderboard

MAX_POINTS = 40  # of each loss curve
# Copied as they are, but for paths.
COPIED = ("leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.tex")
COPIED_FOLDERS = (("tables", (".md", ".csv", ".tex")), ("figures", (".svg",)))
UNKNOWN = "unknown machine"
# A path from the root, after a space, a quote or the like: not the slash of `it/s` or `SF1/0`.
_PATH = re.compile(
    r"(?:(?<=[\s\"'`=(\[|,;:])|^)(?:file://)?(?:/[\w.+@%~=-]+)+/?(?![\w/])", re.MULTILINE
)

SUMMARY, CHECKS, TRAININGS, SUITE = "summary.json", "checks.csv", "trainings.csv", "suite.json"
CURVES, LEVELS, CURVES_FIGURE = "learning_curves.csv", "levelling.csv", "learning_curves.svg"


def publish(
    run_dir: Path, folder: Path, *, cache_dir: Path, curves: Path | None = None, name: str = ""
) -> None:
    """Write `folder` from the run in `run_dir`; what is there of an earlier one is replaced.

    curves: what `python -m vcbench.reference curves` wrote.

    Raises `UsageError` if the run's tables are not those that its scores give now, and what
    reading a run raises.
    """
    run = read_run(run_dir)
    leaderboard = build(run)
    made = run_dir / "leaderboard.csv"
    if not made.is_file() or made.read_text(encoding="utf-8") != csv_text(leaderboard):
        raise UsageError(
            f"{run_dir}: its tables are not what its scores give with this version; "
            f"run `vcbench report {run_dir}` first"
        )
    trainings = _trainings(run, cache_dir)
    files: dict[str, bytes] = {}
    for file in COPIED:
        files[file] = _clean((run_dir / file).read_text(encoding="utf-8")).encode()
    for subfolder, endings in COPIED_FOLDERS:
        for path in sorted((run_dir / subfolder).glob("*")):
            if path.suffix in endings:
                text = path.read_text(encoding="utf-8")
                clean = text if path.suffix == ".svg" else _clean(text)
                files[f"{subfolder}/{path.name}"] = clean.encode()
    files["results.csv"] = (run_dir / "results.csv").read_bytes()
    files["throughput.csv"] = (run_dir / "throughput.csv").read_bytes()
    files["training.csv"] = _csv(thinned(run.training))
    files["cells.jsonl"] = _cells(run_dir)
    manifest = _without_paths(run.manifest)
    files["manifest.json"] = _json(manifest)
    files[SUITE] = _json(manifest["suite"])
    files[TRAININGS] = _csv(trainings)
    files[CHECKS] = _csv(pd.DataFrame([c.record() for c in checks(run, leaderboard)]))
    files[SUMMARY] = _json(summary(run, leaderboard, trainings, name or folder.name))
    if curves is not None:
        files |= _curves(curves, run, leaderboard)
    _refuse_paths(files, (run_dir, cache_dir, Path.home()))
    if folder.exists() and any(folder.iterdir()) and not (folder / SUMMARY).is_file():
        raise UsageError(f"{folder} holds something else than results; name another folder")
    for old in (folder, *(folder / name for name, _ in COPIED_FOLDERS)):
        for path in old.glob("*"):
            if path.is_file():
                path.unlink()
    for name_, content in files.items():
        (folder / name_).parent.mkdir(parents=True, exist_ok=True)
        (folder / name_).write_bytes(content)


def summary(
    run: RunFiles, leaderboard: Leaderboard, trainings: pd.DataFrame, name: str
) -> dict[str, Any]:
    """What must stand beside every table: the budget, by what it is."""
    manifest = run.manifest
    ended = trainings[trainings["seconds"].notna()]
    machines = ended["machine"].value_counts()
    learnt = [row for row in leaderboard.rows if row.kind == "trained"]
    return {
        "name": name,
        "suite": run.suite_name,
        "budget": manifest.get("budget"),
        "question": manifest.get("question") or "",
        "command": _command(manifest.get("command") or []),
        "created_utc": manifest.get("created_utc"),
        "git": (manifest.get("git") or {}).get("sha"),
        "vcbench": manifest.get("vcbench"),
        "iterations": sorted({c.iterations for c in run.cells if c.ok and c.iterations}),
        "width": run.suite.get("scale"),
        "seeds": list(run.suite.get("seeds") or []),
        "pairs": list(run.suite.get("pairs") or []),
        "systems": [row.system for row in learnt],
        "sentences": leaderboard.n_sentences,
        "cells": sum(len(row.cells) for row in learnt),
        "cells_ok": sum(row.cells_ok for row in learnt),
        "training_hours": round(float(ended["seconds"].sum()) / 3600, 2),
        "trained_elsewhere": int(ended["cells_at_once"].notna().sum()),
        "machines": {str(name): int(n) for name, n in machines.items()},
        "threads": sorted({int(t) for t in ended["threads"].dropna()}),
        "protocols": list(leaderboard.protocols),
    }


def thinned(training: pd.DataFrame, *, points: int = MAX_POINTS) -> pd.DataFrame:
    """Loss curves of at most `points` points each: means of equal blocks, at their last iteration.

    Speeds and learning rates are left out: other files tell them.
    """
    names = training["name"].astype(str)
    kept = training[~names.str.startswith(("learning_rate", "iterations_per_second"))]
    parts = []
    for _, series in kept.groupby(["system", "pair", "seed", "name"], sort=False):
        size = -(-len(series) // points)
        ordered = series.sort_values("iteration").reset_index(drop=True)
        block = ordered.groupby(ordered.index // size)
        parts.append(block.last().assign(value=block["value"].mean()))
    return pd.concat(parts, ignore_index=True) if parts else kept


def _trainings(run: RunFiles, cache_dir: Path) -> pd.DataFrame:
    """How each cell was trained: iterations, seconds, on what, with how many threads."""
    rows = []
    for line in (run.folder / "cells.jsonl").read_text(encoding="utf-8").splitlines():
        cell = json.loads(line)
        if cell["kind"] != "trained":
            continue
        folder = cache_dir / "cells" / str(cell.get("key"))
        status = read_status(folder) or {}
        elsewhere = (sealed.read_json(folder / ELSEWHERE) or {}).get("machine") or {}
        rows.append(
            {
                "cell": cell["cell"],
                "key": cell["key"],
                "status": cell["status"],
                "iterations": cell["iterations"],
                "seconds": cell["seconds"] if cell["status"] == "ok" else None,
                "device": status.get("device"),
                "threads": status.get("threads"),
                "machine": _machine(status, elsewhere or run.manifest.get("machine") or {}),
                "cells_at_once": elsewhere.get("cells_at_once"),
                "torch": elsewhere.get("torch") or "",
            }
        )
    columns = "cell key status iterations seconds device threads machine cells_at_once torch"
    return pd.DataFrame(rows, columns=columns.split())


def _machine(status: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """On what a cell was trained: what is no longer in the cache nobody knows of."""
    if not status:
        return UNKNOWN
    return str(machine.get("gpu" if status.get("device") == "cuda" else "cpu") or UNKNOWN)


def _cells(run_dir: Path) -> bytes:
    lines = []
    for line in (run_dir / "cells.jsonl").read_text(encoding="utf-8").splitlines():
        cell = json.loads(line)
        if cell.get("log"):
            cell["log"] = f"cells/{cell['key']}/{Path(cell['log']).name}"  # below the cache
        lines.append(json.dumps(_without_paths(cell), ensure_ascii=False))
    return ("\n".join(lines) + "\n").encode()


def _curves(path: Path, run: RunFiles, leaderboard: Leaderboard) -> dict[str, bytes]:
    table = read_table(path, levelling.CURVES)
    table["iteration"] = table["iteration"].astype("int64")
    if table.empty:
        raise UsageError(f"{path}: holds no point of a learning curve")
    _refuse_others_curves(path, table, leaderboard)
    found = levelling.levelling(table)
    baselines = levelling.references(run.results, table)
    return {
        CURVES: _csv(table),
        LEVELS: _csv(pd.DataFrame(levelling.table(found))),
        CURVES_FIGURE: levelling.drawing(table, baselines),
    }


def _refuse_others_curves(path: Path, table: pd.DataFrame, leaderboard: Leaderboard) -> None:
    """Curves of another run, or in another unit than the rule is stated in."""
    column = next(iter(leaderboard.columns), None)
    if column is None or (column.metric, column.unit) != (levelling.METRIC, levelling.UNIT):
        raise UsageError(
            f"{path}: curves are judged by {levelling.METRIC} in {levelling.UNIT}, which has to be "
            "the suite's first metric"
        )
    ends = {row.system: {c.iterations for c in row.cells if c.ok} for row in leaderboard.rows}
    for system, last in table.groupby("system")["iteration"].max().items():
        if last not in ends.get(str(system), ()):
            raise UsageError(
                f"{path}: '{system}' ends at iteration {last}, which no cell of this run does; "
                "name the curves of the same suite and budget"
            )
    said = set(zip(table["metric"], table["protocol"], strict=True))
    if said != {(column.metric, column.protocol)}:
        raise UsageError(f"{path}: scores are not {column.metric} under {column.protocol} alone")


def _command(command: Sequence[str]) -> str:
    """The command, without where this machine keeps its things."""
    said: list[str] = []
    hidden = {"--data": "DATA", "--reports": "REPORTS"}
    for word in command:
        option = word.partition("=")[0]
        if option in hidden and option != word:
            said.append(f"{option}={hidden[option]}")
        elif said and said[-1] in hidden:
            said.append(hidden[said[-1]])
        else:
            said.append(Path(word).name if word.startswith("/") else _clean(word))
    return shlex.join(said)


def _without_paths(value: Any) -> Any:
    """JSON values in whose strings no path begins at the root."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping):
        return {key: _without_paths(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(child) for child in value]
    return value


def _clean(text: str) -> str:
    """Paths from the root cut to their last name."""
    return _PATH.sub(lambda match: f"…/{Path(match[0]).name}", text)


def _refuse_paths(files: Mapping[str, bytes], folders: Sequence[Path]) -> None:
    for name, content in files.items():
        for folder in folders:
            if str(folder.resolve()) != "/" and str(folder.resolve()).encode() in content:
                raise UsageError(f"{name} names {folder}: tell who maintains vcbench")


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
