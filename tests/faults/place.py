"""A small suite whose systems misbehave when told to, run by the real command in a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

INSIDE = Path(__file__).parent / "inside"

# What it does is told by files, not by its options: a system that misbehaves and the same one that
# does not are one cell, with one key.
PLUGIN = '''\
import ctypes
import os
import signal
import time
from pathlib import Path

import torch

from vcbench.plugins import register_generator

CHECKED = (1, 128, 129)  # frames of what training gives, and the check before it


def misbehave(how):
    if how == "raises":
        raise ValueError("a plugin of the test raises this")
    if how == "is-killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "crashes":
        ctypes.string_at(0)
    if how == "hangs":
        while True:
            time.sleep(1)
    if how == "is-slow":
        time.sleep(1.5)
    if how == "eats-memory":
        eaten = []
        for _ in range(100):  # 6.4 GB: what does not stop it must not bring down the machine
            eaten.append(torch.ones(2**24))
        raise ValueError("nothing stopped the test from eating memory")
    if how == "edits-the-plugin":
        with Path(__file__).open("a") as file:
            file.write("# an afterthought\\n")
    if how == "changes-a-recording":
        folder = Path(os.environ["FAULTS"])
        if (folder / "new.wav").exists():
            os.replace(folder / "new.wav", (folder / "replaces").readlink())


class Moody(torch.nn.Module):
    def __init__(self, n_mcep, mood, width):
        super().__init__()
        self.mood, self.calls = mood, 0
        self.first = torch.nn.Conv1d(n_mcep, width, 3, padding=1)
        self.last = torch.nn.Conv1d(width, n_mcep, 3, padding=1)

    def forward(self, x):
        self.calls += self.training
        if self.training and self.calls == 1:
            with Path(os.environ["FAULTS"]).with_name("trainings").open("a") as file:
                print(os.getpid(), file=file)
        now = "converting" if x.shape[-1] not in CHECKED else "checked"
        if self.training:
            now = "trained" if self.calls > 9 else ""  # in the second iteration or later
        for mood in os.listdir(os.environ["FAULTS"]):
            when, _, how = mood.partition("-")
            if when == now and self.mood in (mood, "any"):
                misbehave(how)
        return x + self.last(torch.relu(self.first(x)))


@register_generator("moody")
def moody(*, n_mcep: int, scale: float, mood: str = "fine", width: int = 4):
    """Is good until told otherwise."""
    return Moody(n_mcep, mood, width)
'''

SUITE = """\
suite: faults
plugins: [moody.py]
corpus: {{name: folder, root: {speech}, eval_fraction: 0.25}}
pairs: [LOW-HIGH]
features: {{f0: dio}}
systems:
{systems}
training: {{iterations: 6, validation_utterances: 1, log_every: 2, validate_every: 3, {training}}}
scale: 0.03
baselines: [source-copy]
metrics: [mcd, f0-rmse]
samples_per_direction: 0
"""


@dataclass
class Place:
    """A suite with its plugin, a cache and a reports folder below `folder`.

    systems: by name, the generator's options. training: keys of `training`, as in the file.
    """

    folder: Path
    speech: Path
    systems: Mapping[str, Mapping[str, Any]]
    training: str = "checkpoint_every: 2"
    changes: dict[str, str] = field(default_factory=dict)  # of the environment

    def __post_init__(self) -> None:
        self.faults = self.folder / "faults"
        self.faults.mkdir(parents=True, exist_ok=True)
        (self.folder / "moody.py").write_text(PLUGIN, encoding="utf-8")
        lines = [
            f"  {name}: {{generator: {json.dumps({'name': 'moody', **options})}, "
            "discriminator: patchgan, objective: lsgan}"
            for name, options in self.systems.items()
        ]
        text = SUITE.format(
            speech=json.dumps(str(self.speech)), systems="\n".join(lines), training=self.training
        )
        self.suite.write_text(text, encoding="utf-8")

    @property
    def suite(self) -> Path:
        return self.folder / "faults.yaml"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def runs(self) -> list[Path]:
        """The runs' folders, the oldest first."""
        found = (self.reports / "faults").glob("2*")
        return sorted(found)

    @property
    def latest(self) -> Path:
        return (self.reports / "faults" / "latest").resolve()

    def command(self, *options: str) -> list[str]:
        start = [sys.executable, "-m", "vcbench", "run", str(self.suite), "--jobs", "2"]
        return [*start, "--data", str(self.folder), *options]

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, (str(INSIDE), os.environ.get("PYTHONPATH"))))
        return {
            **os.environ,
            "VCBENCH_CACHE_DIR": str(self.cache),
            "VCBENCH_REPORTS_DIR": str(self.reports),
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": "1",
            "FAULTS": str(self.faults),
            **self.changes,
        }

    def run(self, *options: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """`vcbench run` to its end."""
        given = {"env": self.environment(), "capture_output": True, "text": True, **how}
        done = subprocess.run(self.command(*options), **given, check=False)
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return done

    def trainings(self) -> int:
        """How many processes have trained here, in all runs."""
        return len(set((self.folder / "trainings").read_text(encoding="utf-8").split()))

    def tell(self, *moods: str) -> None:
        """These, and no others, misbehave from now on."""
        for old in self.faults.iterdir():
            old.unlink()
        for mood in moods:
            (self.faults / mood).touch()


def cells(run: Path) -> dict[str, dict[str, Any]]:
    """Lines of cells.jsonl by system; each system has one."""
    lines = (run / "cells.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    assert len({cell["system"] for cell in found}) == len(found)
    return {cell["system"]: cell for cell in found}


def tables(run: Path) -> tuple[bytes, bytes]:
    """results.csv, and leaderboard.csv: no speeds are in it, for none were measured."""
    return (run / "results.csv").read_bytes(), (run / "leaderboard.csv").read_bytes()


def scored(run: Path) -> dict[str, int]:
    """How many values there are of each system."""
    rows = pd.read_csv(run / "results.csv")
    return dict(rows.groupby("system")["value"].count())


def lost(run: Path, systems: Sequence[str]) -> dict[str, tuple[str, str]]:
    """(status, reason) of those cells."""
    found = cells(run)
    return {name: (found[name]["status"], found[name]["reason"]) for name in systems}
