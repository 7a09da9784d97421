"""Runs that several tests only read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rendered_run import Rendered, rendered
from synthetic_run import HOSTILE, SyntheticRun

from vcbench.reporting import Leaderboard
from vcbench.reporting.leaderboard import build
from vcbench.reporting.run_files import read_run


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Three complete systems, one with a failed cell, one with a health flag, three baselines."""
    synthetic = SyntheticRun(
        question="Which generator is best?",
        failures={"residual-2d-bce/SF1-TM3/1": ("failed", "loss became NaN at iteration 660")},
        health={"paper-1d/SF1-TM3/0": ("discriminator saturated at iteration 1200",)},
    )
    return rendered(synthetic, tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A run in which every name and message tries to be something else than text."""
    speaker = "A<img src=x onerror=alert(1)>"
    pair = f"{speaker}-B&B"
    synthetic = SyntheticRun(
        effects={HOSTILE: -1.0, "a|b_c$d%&#{}~^\\": -0.5, '"><b>x': 0.5},
        baselines={"source-copy": 1.0, "mean-variance": 0.0},
        pairs=(pair,),
        seeds=(0, 1),
        failures={f'"><b>x/{pair}/1': ("failed", f"bad\n{HOSTILE} \x1b[31m $x_1$ & more")},
        health={f"{HOSTILE}/{pair}/0": (f"flag {HOSTILE}",)},
        samples=False,
        question=f"Is {HOSTILE} best?",
    )
    return rendered(synthetic, tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def leaderboard_of(tmp_path: Path) -> Callable[[SyntheticRun], Leaderboard]:
    """Builds the leaderboard of a synthetic run in this test's own folder."""

    def build_it(synthetic: SyntheticRun) -> Leaderboard:
        return build(read_run(synthetic.write(tmp_path / "run")))

    return build_it
