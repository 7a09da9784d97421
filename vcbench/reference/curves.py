"""`python -m vcbench.reference curves SUITE --every N -o FILE`: scores against iterations.

Trains the cells of a suite as `vcbench run` does, and every N iterations converts a few evaluation
sentences and scores them under the suite's protocol, by its first metric. The cells are those of
`vcbench run`, to the bit: it finds them trained. A cell that was trained before has no points but
those that were kept then (also on another machine, see `vcbench.carry`).

The sentences are evaluation sentences because no others are spoken by both speakers: in the split
of the CycleGAN-VC paper what is held out for validation is disjoint as well. What is chosen by
these curves, one budget for all systems, has therefore seen them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench import audio, mapped
from vcbench.errors import DataError, UsageError, VcbenchError
from vcbench.parallel import map_processes, threads_per_job
from vcbench.sittings import keep_points, points_of, train_in_sittings
from vcbench.terminal import count_of, progress_bars, say
from vcbench.threads import torch_threads

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback
    from vcbench.planning import Plan, PlannedCell

COLUMNS = [
    *("system", "pair", "direction", "seed", "iteration", "utterance"),
    *("metric", "protocol", "value", "unit"),
]
SENTENCES = 6


@dataclass(frozen=True)
class _Work:
    """One cell to train, for a process of its own."""

    folder: Path
    every: int
    files: dict[str, list[Path]]
    threads: int


def train(plan: Plan, *, every: int, sentences: int, jobs: int) -> list[str]:
    """Train what is missing, keeping points; returns what failed, a line for each cell.

    Interrupted, a cell goes on from its last checkpoint when this is called again.
    """
    from vcbench.stored_cells import code_of, note_code
    from vcbench.training.files import CELL, write_json

    work, cells = [], []
    for planned in {p.key: p for p in plan.cells if not p.done}.values():
        planned.folder.mkdir(parents=True, exist_ok=True)
        write_json(planned.folder / CELL, planned.cell.to_json())
        note_code(planned.folder, code_of(planned.cell, plan.suite.registry))
        files = _curve_files(plan, planned, sentences)
        work.append(_Work(planned.folder, every, files, threads_per_job(jobs)))
        cells.append(planned.cell.id)
    with progress_bars() as progress:
        told = (lambda n: progress("training in sittings", n, len(work))) if work else None
        reasons = map_processes(_train_one, work, jobs=jobs, on_done=told, on_death=str)
    return [f"{cell}: {why}" for cell, why in zip(cells, reasons, strict=True) if why]


def _train_one(work: _Work) -> str:
    """Train one cell; returns what went wrong, or an empty string."""
    import torch

    from vcbench import exclusive, locks
    from vcbench.cell import give_way
    from vcbench.plugins import Registry
    from vcbench.training.cell import Cell
    from vcbench.training.files import CELL
    from vcbench.training.memory import keep_freed_memory

    keep_freed_memory()
    torch.set_flush_denormal(True)  # as `python -m vcbench.cell` does
    try:
        cell = Cell.read(work.folder / CELL)
        points = points_of(cell.recipe.iterations, work.every)
        keep = keep_points(work.folder, Registry(cell.plugin_files), work.files)
        lock = locks.take(work.folder, on_lost=give_way)
        if not isinstance(lock, locks.Lock):
            return f"{lock} trains it"
        beside = exclusive.training(work.folder.parent, stop_requested=lambda: False)
        with lock, beside, torch_threads(work.threads):
            train_in_sittings(cell, work.folder, points, keep)
    except VcbenchError as error:
        return " ".join(str(error).split("\n"))
    except Exception as error:  # of a plugin, or no memory: the other cells go on
        return " ".join(f"{type(error).__name__}: {error}".split("\n"))
    finally:
        torch.set_flush_denormal(False)  # with one job, scoring follows in this process
    return ""


def score(
    plan: Plan, *, sentences: int, jobs: int, progress: ProgressCallback | None = None
) -> list[dict[str, Any]]:
    """Rows (`COLUMNS`) of every point that the plan's cells have kept."""
    from vcbench import protocols
    from vcbench.scoring import ScoreItem, score_all

    metric = plan.suite.metrics[0]
    plugin = plan.suite.registry.get("metric", metric)
    protocol = protocols.get(plan.suite.protocol)
    with tempfile.TemporaryDirectory() as temporary:
        work = [
            (planned, path, Path(temporary) / planned.key / path.stem)
            for planned in plan.cells
            for path in sorted((planned.folder / mapped.POINTS).glob("*.npz"))
        ]
        items: list[ScoreItem] = []
        lacking: list[str] = []
        for number, (planned, path, folder) in enumerate(work, start=1):
            if progress:
                progress("converting points", number, len(work))
            for source, target in _directions(planned):
                direction = f"{source}>{target}"
                meant = {u.id: u.path for u in plan.speech.evaluation[target]}
                speak = mapped.speech_of(path, planned.cell, direction)
                for utterance in plan.speech.evaluation[source][:sentences]:
                    wav = folder / f"{source}_to_{target}-{utterance.id}.wav"
                    try:
                        waveform = speak(plan.features[utterance])
                    except DataError as error:  # not kept, or it has run away: the others count
                        lacking.append(f"{planned.cell.id}, iteration {int(path.stem)}: {error}")
                        continue
                    audio.write(wav, waveform, sample_rate=plan.parameters.sample_rate)
                    labels = (planned.cell, direction, int(path.stem), utterance.id)
                    items.append(ScoreItem(meant[utterance.id], wav, labels, target))
        if lacking:
            say(f"WARNING {count_of(len(lacking), 'answer')} cannot be scored: {lacking[0]}")
        results = score_all(
            items,
            protocol=plan.suite.protocol,
            metrics=[metric],
            registry=plan.suite.registry,
            jobs=jobs,
            speakers={s: [u.path for u in spoken] for s, spoken in plan.speech.train.items()},
            progress=progress,
        )
    unit = protocol.unit(metric, plugin.details["unit"])
    rows = []
    for result in results:
        cell, direction, iteration, utterance_id = result.item.labels
        where = (cell.system, cell.pair, direction, cell.seed, iteration, utterance_id)
        value = result.values.get(metric, float("nan"))
        scored = (metric, plan.suite.protocol, value, unit)
        rows.append(dict(zip(COLUMNS, (*where, *scored), strict=True)))
    return rows


def _directions(planned: PlannedCell) -> tuple[tuple[str, str], tuple[str, str]]:
    cell = planned.cell
    return (cell.source, cell.target), (cell.target, cell.source)


def _curve_files(plan: Plan, planned: PlannedCell, sentences: int) -> dict[str, list[Path]]:
    return {
        speaker: [plan.features[u] for u in plan.speech.evaluation[speaker][:sentences]]
        for speaker in (planned.cell.source, planned.cell.target)
    }


def made(plan: Plan, table: Path, *, every: int, sentences: int, jobs: int) -> int:
    """Train what is missing, score all points, and write them into `table`; returns the exit code.

    Raises `UsageError` if `every` or `sentences` is below 1.
    """
    import pandas as pd

    from vcbench import paths
    from vcbench.features import FeatureStore

    if every < 1 or sentences < 1:
        raise UsageError("--every and --sentences must be at least 1")
    with progress_bars() as progress:
        FeatureStore(paths.writable_cache_dir(), plan.parameters).extract(
            plan.speech.all(), jobs=jobs, progress=progress
        )
    problems = train(plan, every=every, sentences=sentences, jobs=jobs)
    for problem in problems:
        say(f"FAILED {problem}")
    without = [p.cell.id for p in plan.cells if not (p.folder / mapped.POINTS).is_dir()]
    if without:
        say(f"without points, since trained before: {len(without)} cells, such as {without[0]}")
    with progress_bars() as progress:
        rows = score(plan, sentences=sentences, jobs=jobs, progress=progress)
    found = pd.DataFrame(rows, columns=COLUMNS)
    table.parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(table, index=False, lineterminator="\n")
    print(f"{table}: {len(found)} scores of {len(plan.cells) - len(without)} cells")
    return 1 if problems else 0
