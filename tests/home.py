"""A home in which the small suite of `small_corpus` was run once, for tests of what follows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


def on_one_processor() -> None:
    """For `preexec_fn`: then all but training happens in one process, which is quick to start.
    Tests that run side by side each take another processor."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[worker % len(processors)]})


@dataclass(frozen=True)
class Home:
    """A suite with its corpus, a cache and a reports folder, shared by many tests."""

    suite: Path
    data: Path
    environment: dict[str, str]

    def run(self, *arguments: str, suite: Path | None = None) -> subprocess.CompletedProcess[str]:
        """`vcbench run` in a process of its own."""
        return subprocess.run(self.command(*arguments, suite=suite), **self.options())

    def command(self, *arguments: str, suite: Path | None = None) -> list[str]:
        named = str(suite or self.suite)
        return [sys.executable, "-m", "vcbench", "run", named, "--data", str(self.data), *arguments]

    def options(self) -> dict:
        return {
            "preexec_fn": on_one_processor,
            "env": self.environment,
            "capture_output": True,
            "text": True,
        }

    @property
    def latest(self) -> Path:
        """The newest run of the suite `small`."""
        return Path(self.environment["VCBENCH_REPORTS_DIR"], "small", "latest").resolve()

    @property
    def checkpoint(self) -> Path:
        """Of the cell `two-d/LOW-HIGH/0` of the first run."""
        plan = json.loads((self.first_run / "plan.json").read_text(encoding="utf-8"))
        (key,) = [cell["key"] for cell in plan if cell["cell"] == "two-d/LOW-HIGH/0"]
        return Path(self.environment["VCBENCH_CACHE_DIR"], "cells", key, "checkpoint.pt")

    @property
    def first_run(self) -> Path:
        """The oldest run of the suite `small`."""
        folder = self.latest.parent
        return min(run for run in folder.iterdir() if run.is_dir() and run.name != "latest")
