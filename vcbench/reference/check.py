"""Training a cell again from what is stored of it, and comparing every row."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from vcbench.errors import UsageError
from vcbench.reference.publish import TRAININGS
from vcbench.reporting.run_files import SCORE_KEYS, RunFiles, read_run


@dataclass(frozen=True)
class Comparison:
    """Rows of a cell that was trained again, beside those that are stored."""

    rows: int
    equal: int
    furthest: Mapping[str, float]  # by metric, the largest difference
    notes: Sequence[str]

    def ok(self, tolerance: float) -> bool:
        """Whether there was something to compare, and no score is further off."""
        return self.rows > 0 and all(apart <= tolerance for apart in self.furthest.values())


def check(
    folder: Path, cell: str, *, data_dir: Path, cache_dir: Path, jobs: int | None = None
) -> Comparison:
    """Train `cell` again from the suite in `folder` and compare its rows with the stored ones.

    It is trained in a temporary cache, which sees the features of `cache_dir` and nothing else of
    it. Raises `UsageError` if `folder` holds no such cell, or it was trained on a GPU and there is
    none here.
    """
    from vcbench import environment, planning, runner, suite
    from vcbench.cli.suite_arguments import resolve_device
    from vcbench.engines import Resources
    from vcbench.parallel import threads_per_job
    from vcbench.terminal import progress_bars

    run = read_run(folder)
    system, _, rest = cell.partition("/")
    pair, _, seed = rest.partition("/")
    of_cell = (run.results["system"] == system) & (run.results["pair"] == pair)
    stored = run.results[of_cell & (run.results["seed"] == seed.strip("-"))]
    if stored.empty:
        known = ", ".join(c.cell for c in run.cells if c.ok)
        raise UsageError(f"{folder}: no scores of a cell '{cell}'; valid: {known}")
    training = read_trainings(folder).get(cell, {})
    jobs = jobs or _jobs_for(training)
    device = resolve_device(str(training.get("device") or "cpu"))
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        described = {**run.suite, "suite": run.suite_name}
        (here / "suite.yaml").write_text(json.dumps(described), encoding="utf-8")  # JSON is YAML
        cache = here / "cache"
        cache.mkdir()
        (cache_dir / "features").mkdir(parents=True, exist_ok=True)
        (cache / "features").symlink_to(cache_dir / "features")
        loaded = suite.load(str(here / "suite.yaml"))
        plan = planning.make_plan(
            loaded, data_dir=data_dir, cache_dir=cache, device=device, only=cell
        )
        notes = _notes(run, training, plan.data_fingerprint, environment.machine(device))
        engine = loaded.registry.get("engine", "local").factory(
            jobs=jobs, device=device, resources=Resources(threads_per_job(jobs)), options={}
        )
        with progress_bars() as progress:
            result = runner.run(
                plan,
                cache_dir=cache,
                reports_dir=here / "reports",
                jobs=jobs,
                engine=engine,
                command=["python", "-m", "vcbench.reference", "check"],
                measure_speed=False,
                progress=progress,
            )
        again = read_run(result.folder).results
    return compared(stored, again, notes=notes)


def compared(stored: pd.DataFrame, again: pd.DataFrame, *, notes: Sequence[str] = ()) -> Comparison:
    """Two tables of scores (`results.csv`), each with one row for each of `SCORE_KEYS`.

    Scores that are undefined in both are equal. A row that only one table has is equal to nothing,
    whatever its score: its difference is infinite, and so is that of a number from an undefined
    score.
    """
    both = stored.merge(
        again, on=SCORE_KEYS, how="outer", suffixes=("", "_again"), indicator="side"
    )
    value, value_again = both["value"], both["value_again"]
    # The score of a missing row is undefined too after the merge.
    same = (both["side"] == "both") & (value.eq(value_again) | (value.isna() & value_again.isna()))
    apart = (value - value_again).abs().fillna(math.inf).where(~same, 0.0)
    furthest = apart.groupby(both["metric"], sort=False).max()
    return Comparison(
        len(both), int(same.sum()), {str(m): float(d) for m, d in furthest.items()}, notes
    )


def read_trainings(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows of `trainings.csv` by their cell; empty where there is no such file."""
    path = folder / TRAININGS
    if not path.is_file():
        return {}
    table = pd.read_csv(path, dtype={"machine": "str", "torch": "str"}, keep_default_na=True)
    return {
        str(row["cell"]): {str(k): None if pd.isna(v) else v for k, v in row.items()}
        for row in table.to_dict("records")
    }


def _jobs_for(training: Mapping[str, Any]) -> int:
    """As many at a time as give the cell the threads that it had."""
    from vcbench.parallel import default_jobs

    threads = training.get("threads")
    return max(1, default_jobs() // int(threads)) if threads else 1


def _notes(
    run: RunFiles, training: Mapping[str, Any], data: str, here: Mapping[str, Any]
) -> list[str]:
    """What is not as it was."""
    found = []
    before = run.manifest.get("machine") or {}
    found += [
        f"{name} was {before.get(name)}, now {here.get(name)}"
        for name in ("cpu", "isa", "cpu_count", "gpu")
        if before.get(name) != here.get(name)
    ]
    if training.get("machine"):
        found.append(f"it was trained on {training['machine']}")
    if (run.manifest.get("data") or {}).get("fingerprint") not in (None, data):
        found.append("the speech, or how it is analysed, has changed since")
    from vcbench import environment

    packages = run.manifest.get("packages") or {}
    now = environment.packages()
    found += [
        f"{name} was {version}, now {now.get(name)}"
        for name, version in packages.items()
        if now.get(name) != version
    ]
    return found
