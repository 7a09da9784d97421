"""Reports: tables, figures and the page, made from what a run stored and nothing else.

`render` needs no torch and trains nothing: a run's folder that was copied from another machine
renders as well as one that was just made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vcbench.reporting.leaderboard import build
from vcbench.reporting.machine import csv_text, json_text
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.page import page
from vcbench.reporting.run_files import read_run
from vcbench.reporting.tables import latex, markdown, terminal_table

__all__ = ["Leaderboard", "render", "terminal_table"]


def render(run_dir: Path) -> Leaderboard:
    """Write index.html and leaderboard.md, .csv, .json and .tex into `run_dir`.

    Nothing is replaced before everything has been computed and written beside it, so that an
    error (a disk that is full, say) leaves an earlier report as it was, and no file is ever seen
    half written.

    Raises:
        UsageError: `run_dir` is not a run's folder.
        DataError: a stored file cannot be understood, or a sample lies outside the folder.
    """
    run = read_run(run_dir)
    leaderboard = build(run)
    texts = {
        "leaderboard.md": markdown(leaderboard),
        "leaderboard.csv": csv_text(leaderboard),
        "leaderboard.json": json_text(leaderboard),
        "leaderboard.tex": latex(leaderboard),
        "index.html": page(run, leaderboard),
    }
    _replace_all(run_dir, texts)
    return leaderboard


def _replace_all(folder: Path, texts: Mapping[str, str]) -> None:
    """Write every text to a temporary file, then rename them all; on an error, remove them."""
    temporaries = {name: folder / f".{name}.{os.getpid()}.tmp" for name in texts}
    try:
        for name, text in texts.items():
            temporaries[name].write_text(text, encoding="utf-8")
        for name, temporary in temporaries.items():
            temporary.replace(folder / name)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
