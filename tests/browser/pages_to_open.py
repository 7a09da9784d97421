"""Reports to open in a browser, and what their names try."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reporting.made_pictures import add_pictures
from reporting.synthetic_run import SyntheticRun

from vcbench.reporting import Leaderboard, render

# What a page could do if one of its names were taken for markup or script.
ATTACKS = (
    "</script><script>window.hit=1;alert(1)</script>",
    '"\'><img src=x onerror="window.hit=1;alert(1)">',
    "a\u2028window.hit=1\u2029//<!--<script>",
    '{{ 7*7 }}${window.hit=1}\\");window.hit=1;//',
)


@dataclass(frozen=True)
class Rendered:
    """A run's folder with its report; tests must not write into it."""

    folder: Path
    leaderboard: Leaderboard


def example_in(folder: Path) -> Rendered:
    """Systems that are complete, failed in part, and flagged; two pairs, two seeds, samples."""
    SyntheticRun(
        question="Which generator is best?",
        failures={"residual-2d-bce/SF1-TM3/1": ("failed", "loss became NaN at iteration 660")},
        health={"paper-1d/SF1-TM3/0": ("discriminator saturated at iteration 1200",)},
    ).write(folder)
    return Rendered(folder, render(folder))


def lacking_in(folder: Path) -> Rendered:
    """Of 16 cells each, one system lacks one and another a seed of each of its pairs."""
    lost = ("failed", "loss became NaN at iteration 660")
    cells = ("paper-1d-lsgan/SF1-TM3/1", "residual-2d-bce/SF1-TM3/2", "residual-2d-bce/SM1-TF2/3")
    run = SyntheticRun(seeds=tuple(range(8)), failures=dict.fromkeys(cells, lost), samples=False)
    return Rendered(run.write(folder), render(folder))


def pictured_in(folder: Path) -> Rendered:
    """Spectrograms and contours under every player, and metrics enough for a wide table."""
    SyntheticRun(beside=True, n_sentences=3).write(folder)
    add_pictures(folder)
    return Rendered(folder, render(folder))


def hostile_in(folder: Path) -> Rendered:
    """Attacks in systems, speakers, error messages, health flags and the question."""
    pairs = (f"{ATTACKS[0]}-{ATTACKS[1]}", f"{ATTACKS[2]}-{'W' * 300}")
    SyntheticRun(
        effects={attack: -0.3 * i for i, attack in enumerate((*ATTACKS, "W" * 300))},
        baselines={"source-copy": 1.0, "mean-variance": 0.0},
        pairs=pairs,
        seeds=(0, 1),
        n_sentences=4,
        failures={f"{ATTACKS[1]}/{pairs[0]}/1": ("failed", f"bad {ATTACKS[0]} {ATTACKS[2]}")},
        health={f"{ATTACKS[0]}/{pairs[0]}/0": (f"flag {ATTACKS[1]}",)},
        samples=False,
        question=f"Is {' or '.join(ATTACKS)} best?",
    ).write(folder)
    return Rendered(folder, render(folder))
