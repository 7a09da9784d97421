"""Published runs, read back from the folder in which they lie."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import suites
from vcbench.errors import DataError
from vcbench.reference.publish import LEVELS, SUMMARY
from vcbench.reporting.leaderboard import build
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.run_files import RunFiles, read_run


@dataclass(frozen=True)
class Stored:
    """One published run: its folder, that below the folder of all, what is in it, its table."""

    folder: Path
    place: str
    run: RunFiles
    leaderboard: Leaderboard
    summary: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the run is called: where it lies, since two budgets may answer one question."""
        return self.place

    @property
    def anchor(self) -> str:
        """Of its heading."""
        return "".join(c if c.isalnum() else "-" for c in self.name.lower())

    def suite_path(self) -> Path | None:
        """The shipped suite that it was made with, if it still is one."""
        return suites.shipped_path(str(self.summary["suite"]))


def stored_runs(folder: Path) -> list[Stored]:
    """All published runs below `folder`: whole studies first, then those that compare."""
    found = []
    for path in sorted(folder.rglob(SUMMARY)):
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: {error}; publish the run again") from None
        run = read_run(path.parent)
        place = path.parent.relative_to(folder).as_posix()
        found.append(Stored(path.parent, place, run, build(run), summary))
    return sorted(found, key=lambda one: (one.leaderboard.comparison is not None, one.name))


def levels(stored: Stored) -> list[dict[str, str]]:
    """Whether each system has levelled off (`levelling.csv`); none where no curve was made."""
    path = stored.folder / LEVELS
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
