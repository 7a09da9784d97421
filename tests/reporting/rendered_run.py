"""A synthetic run with its report, as tests read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthetic_run import SyntheticRun

from vcbench.reporting import Leaderboard, render
from vcbench.reporting.run_files import RunFiles, read_run


@dataclass(frozen=True)
class Rendered:
    """A run's folder with its report; tests must not write into it."""

    folder: Path
    run: RunFiles
    leaderboard: Leaderboard

    def text(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


def rendered(synthetic: SyntheticRun, folder: Path) -> Rendered:
    synthetic.write(folder)
    leaderboard = render(folder)
    return Rendered(folder, read_run(folder), leaderboard)
