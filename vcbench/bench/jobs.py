"""Cells beside each other or one after the other: `vcbench bench jobs`.

Two cells on one thread each, or one cell on two threads? On a GPU: one process, or several that
share it? Whatever trains most steps a second in all trains a suite soonest. `--jobs` decides; this
measures, with the training step of one system in processes that start together.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from vcbench import child
from vcbench.bench.train import PAPER_SYSTEM
from vcbench.errors import VcbenchError
from vcbench.parallel import default_jobs
from vcbench.training.cell import Cell

WARM_UP = 5  # steps: what is compiled, chosen or recorded once
SECONDS, ROUNDS = 10.0, 3  # of each arrangement, in turns
ITERATIONS = 10_000  # of the cells that are counted per hour


@dataclass(frozen=True)
class Jobs:
    """steps_per_second: of all processes together, over the time in which all were at it."""

    jobs: int
    threads: int
    steps_per_second: float

    def cells_per_hour(self, iterations: int) -> float:
        """Cells of so many iterations, the training step alone."""
        return 3600 * self.steps_per_second / iterations


def measure(*, scale: float, device: str, jobs: int | None = None) -> list[dict[str, Any]]:
    """Rows for people: one process with all the threads against `jobs` processes that share them.

    jobs: by default one process per processor. On a GPU threads hardly matter, and processes share
    the GPU as they can.
    """
    cell = replace(PAPER_SYSTEM, scale=scale, device=device)
    cores = default_jobs()
    jobs = jobs or cores
    found: dict[int, list[float]] = {1: [], jobs: []}
    for _ in range(ROUNDS):
        for number, rates in found.items():
            threads = max(1, cores // number)
            measured = train_beside(cell, jobs=number, threads=threads, seconds=SECONDS)
            rates.append(measured.steps_per_second)
    rows: list[dict[str, Any]] = []
    for number, rates in found.items():
        name, rate = f"{number}_jobs_{max(1, cores // number)}_threads", median(rates)
        rows.append({"metric": f"{name}_steps", "value": rate, "unit": "steps/s of all together"})
        per_hour = Jobs(number, 1, rate).cells_per_hour(ITERATIONS)
        unit = f"cells of {ITERATIONS} iterations per hour"
        rows.append({"metric": f"{name}_cells", "value": per_hour, "unit": unit})
    if len(found) > 1:
        ratios = [b / a for a, b in zip(*found.values(), strict=True)]
        unit = f"times as many, {min(ratios):.2f} to {max(ratios):.2f} in {ROUNDS} rounds"
        rows.append({"metric": "ratio", "value": median(ratios), "unit": unit})
    return rows


def train_beside(cell: Cell, *, jobs: int, threads: int, seconds: float) -> Jobs:
    """Train `cell` in `jobs` processes of `threads` threads each for so many seconds.

    Raises `VcbenchError` with the last line of a process that fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.json"
        path.write_text(json.dumps(cell.to_json()), encoding="utf-8")
        command = child.command("vcbench.bench.jobs", path, threads, seconds)
        environment = child.environment(OMP_NUM_THREADS=str(threads))
        pipe = subprocess.PIPE
        processes = [
            subprocess.Popen(
                command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
            )
            for _ in range(jobs)
        ]
        try:
            for process in processes:  # all have built their networks and are warm
                _line(process)
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            rates = [float(_line(process)) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.communicate()
    return Jobs(jobs, threads, sum(rates))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    if not line:
        reason = (process.stderr.read().strip().splitlines() or ["it printed nothing"])[-1]
        raise VcbenchError(f"a process of the benchmark ended early: {reason}")
    return line


def _train(path: Path, threads: int, seconds: float) -> None:
    import torch

    from vcbench.plugins import Registry
    from vcbench.training.memory import keep_freed_memory
    from vcbench.training.models import build_networks, build_objective, isolated_rng
    from vcbench.training.precision import float32_products
    from vcbench.training.step import CycleGan

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    cell = Cell.read(path)
    registry = Registry(cell.plugin_files)
    networks = build_networks(cell, registry).to(cell.device)
    gan = CycleGan(networks, build_objective(cell, registry, networks), cell)
    shape = (2, cell.recipe.batch_size, cell.n_mcep, cell.recipe.segment_frames)
    with isolated_rng("bench", "crops"):
        source, target = torch.randn(shape, device=cell.device)

    def steps(number: int) -> None:
        for _ in range(number):
            gan.step(source, target, 0)
        if source.is_cuda:  # as rarely as training reads its losses
            torch.cuda.synchronize(source.device)

    with float32_products(cell.recipe):
        steps(WARM_UP)
        print("ready", flush=True)
        sys.stdin.readline()
        at_once = cell.recipe.log_every if source.is_cuda else 1
        done, since = 0, time.perf_counter()
        while (passed := time.perf_counter() - since) < seconds:
            steps(at_once)
            done += at_once
    print(done / passed, flush=True)


if __name__ == "__main__":
    _train(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
