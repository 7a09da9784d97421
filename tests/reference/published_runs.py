"""Runs to publish: as `vcbench run` leaves them, with scores that were drawn."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from reporting.synthetic_run import SyntheticRun

from vcbench import reporting
from vcbench.reporting import exports, levelling, machine, tables
from vcbench.reporting.leaderboard import build
from vcbench.reporting.run_files import read_run

SLOPES = {"paper-1d": 0.0, "residual-2d": -0.8}  # dB in 1000 iterations


def curves(path: Path, slopes: Mapping[str, float] = SLOPES) -> Path:
    """Learning curves up to iteration 2000: straight lines, of two pairs each."""
    rng = np.random.default_rng(3)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(levelling.CURVES)
        for system, slope in slopes.items():
            for pair in ("SF1-TM3", "SM1-TF2"):
                source, target = pair.split("-")
                for iteration in range(200, 2001, 200):
                    for utterance in ("200001", "200002"):
                        value = 8 + slope * iteration / 1000 + rng.normal(0, 0.002)
                        direction = f"{source}>{target}"
                        labels = [system, pair, direction, 0, iteration, utterance]
                        writer.writerow([*labels, "mcd", "vcbench-1", value, "dB"])
    return path


def made(folder: Path, run: SyntheticRun | None = None, *, figures: bool = True) -> Path:
    """A run's folder with a report, and paths of its machine where a real one has them.

    Without figures: the report's tables alone, which takes less time.
    """
    (run or SyntheticRun()).write(folder)
    (folder / "samples").exists() and shutil.rmtree(folder / "samples")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["command"] = ["/opt/bin/vcbench", "run", "synthetic", "--data", "/srv/corpora"]
    manifest["suite"]["scale"] = 0.25
    manifest["suite"]["plugins"] = [f"{folder}/plug.py"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    lines = (folder / "cells.jsonl").read_text().splitlines()
    cell = json.loads(lines[0])
    cell["log"] = "/home/someone/.cache/vcbench/cells/k/output.log"
    (folder / "cells.jsonl").write_text("\n".join([json.dumps(cell), *lines[1:]]) + "\n")
    if figures:
        reporting.publish(folder)
        return folder
    stored = read_run(folder)
    board = build(stored)
    texts = {"csv": machine.csv_text, "json": machine.json_text}
    texts |= {"md": tables.markdown, "tex": tables.latex}
    for ending, text in texts.items():
        (folder / f"leaderboard.{ending}").write_text(text(board))
    exports.write_exports(stored, board, [])
    return folder


def with_kind(folder: Path, system: str, kind: str) -> Path:
    """The run in `folder`, one system being of another kind."""
    path = folder / "cells.jsonl"
    cells = [json.loads(line) for line in path.read_text().splitlines()]
    for cell in cells:
        if cell["system"] == system:
            cell["kind"] = kind
    path.write_text("".join(json.dumps(cell) + "\n" for cell in cells))
    reporting.publish(folder)
    return folder
