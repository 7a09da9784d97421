"""Reports: tables, figures and the page, made from what a run stored and nothing else.

`render` needs no torch and trains nothing: a run's folder that was copied from another machine
renders as well as one that was just made.
"""

from __future__ import annotations

from pathlib import Path

from vcbench.own_files import replace_files
from vcbench.reporting.gallery import Gallery, gallery
from vcbench.reporting.leaderboard import build
from vcbench.reporting.machine import csv_text, json_text
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.page import page
from vcbench.reporting.run_files import RunFiles, read_run
from vcbench.reporting.tables import latex, markdown, terminal_table

__all__ = ["Leaderboard", "publish", "render", "terminal_table"]


def render(run_dir: Path, *, inline_audio: bool = False) -> Leaderboard:
    """Write index.html and leaderboard.md, .csv, .json and .tex into `run_dir`.

    Nothing is replaced before everything has been computed and written beside it, so that an
    error (a disk that is full, say) leaves an earlier report as it was, and no file is ever seen
    half written.

    inline_audio: the page holds its sounds, so that it can be sent as one file.

    Raises:
        UsageError: `run_dir` is not a run's folder.
        DataError: a stored file cannot be understood, or a sample lies outside the folder.
    """
    run = read_run(run_dir)
    leaderboard = build(run)
    _write(run, leaderboard, gallery(run, leaderboard), inline_audio=inline_audio)
    return leaderboard


def _write(
    run: RunFiles, leaderboard: Leaderboard, figures: Gallery, *, inline_audio: bool
) -> None:
    texts = {
        "leaderboard.md": markdown(leaderboard),
        "leaderboard.csv": csv_text(leaderboard),
        "leaderboard.json": json_text(leaderboard),
        "leaderboard.tex": latex(leaderboard),
        "index.html": page(run, leaderboard, figures, inline_audio=inline_audio),
    }
    replace_files(run.folder, {name: text.encode() for name, text in texts.items()})


def publish(run_dir: Path, *, inline_audio: bool = False, jobs: int = 1) -> Leaderboard:
    """All of a report: what `render` writes, and the tables and figures as files of their own.

    Pictures that the samples lack are drawn first, by `jobs` processes, from the sounds in the
    run's folder; what cannot be drawn is told on stderr. Raises what `render` raises.
    """
    from vcbench.pictures import complete
    from vcbench.reporting.exports import write_exports
    from vcbench.terminal import say

    read_run(run_dir)  # whatever is wrong with it is said before anything is drawn
    for line in complete(run_dir, jobs=jobs):
        say(f"WARNING {line}")
    run = read_run(run_dir)
    leaderboard = build(run)
    figures = gallery(run, leaderboard)
    _write(run, leaderboard, figures, inline_audio=inline_audio)
    write_exports(run, leaderboard, figures.panels)
    return leaderboard
