"""A run from end to end: plan, features, training, conversion, scores, throughput, report.

Each stage takes up only what is missing, and whatever becomes of one cell, the others go on: the
run ends with every result that could be had and the reason for each that could not.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench import environment, features, results, throughput
from vcbench.batch_conversion import convert_units
from vcbench.engines import Engine, Outcome, TrainingTask
from vcbench.errors import DataError, VcbenchError, some_of
from vcbench.external_speech import check_external
from vcbench.features import FeatureStore
from vcbench.other_lengths import take_over
from vcbench.parallel import threads_per_job
from vcbench.pictures import add_pictures
from vcbench.planning import Plan, PlannedCell, check_systems
from vcbench.scoring import ScoreItem, ScoreResult, score_all
from vcbench.store import CellRecord, RunFolder
from vcbench.stored_cells import code_of, note_code
from vcbench.terminal import say
from vcbench.training.files import CELL, write_json
from vcbench.units import Outputs, Unit, UtteranceLabels, left_out, units_of
from vcbench.watching import watcher

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback
    from vcbench.reporting.model import Leaderboard


@dataclass(frozen=True)
class RunResult:
    """Where the run's files are, its table, and how many cells did not end well."""

    folder: Path
    leaderboard: Leaderboard
    failed: int


def run(
    plan: Plan,
    *,
    cache_dir: Path,
    reports_dir: Path,
    jobs: int,
    engine: Engine,
    command: Sequence[str],
    tensorboard: bool = False,
    inline_audio: bool = False,
    progress: ProgressCallback | None = None,
) -> RunResult:
    """Do what `plan` says and write the report; see the module.

    tensorboard: the cells that are trained write event files into their folders.
    inline_audio: the page holds its sounds.

    Raises `DataError` if recordings cannot be used, before anything is trained.
    """
    from vcbench import reporting

    check_systems(plan, cache_dir)
    check_external(plan)
    _extract_features(plan, cache_dir, jobs, progress)
    state = environment.git_state()
    folder = RunFolder(reports_dir, plan.suite.name, environment.revision(state))
    folder.write_json("plan.json", [_plan_entry(planned) for planned in plan.cells])
    units = units_of(plan)
    try:
        _train(plan, units, engine, tensorboard=tensorboard)
        outputs = convert_units(plan, units, cache_dir, jobs, progress)
        scores = _score(plan, units, outputs, jobs, progress)
        # Before anything else can go wrong: these took the longest.
        rows = results.score_rows(plan, scores)
        folder.write_results(rows)
        folder.write_training(results.training_rows(units))
        speeds = _measure_throughput(plan, units, jobs, progress)
    except BaseException as error:
        for unit in units:
            unit.record.fail("skipped", f"the run ended early: {type(error).__name__}")
        raise
    finally:
        for unit in units:
            folder.add_cell(unit.record)
        for record in left_out(plan):
            folder.add_cell(record)
    folder.write_throughput(speeds)
    samples = results.copy_samples(plan, units, outputs, folder, rows)
    for line in add_pictures(folder.path, samples, protocol=plan.suite.protocol, jobs=jobs):
        say(f"WARNING {line}")
    folder.write_json("samples/samples.json", samples)
    folder.write_json("manifest.json", results.manifest(plan, units, state, command))
    leaderboard = reporting.publish(folder.path, inline_audio=inline_audio, jobs=jobs)
    folder.point_latest_here()
    return RunResult(folder.path, leaderboard, sum(u.record.status != "ok" for u in units))


def _extract_features(
    plan: Plan, cache_dir: Path, jobs: int, progress: ProgressCallback | None
) -> None:
    store = FeatureStore(cache_dir, plan.parameters)
    done = store.extract(plan.speech.all(), jobs=jobs, progress=progress)
    say(f"features: {done.extracted} extracted, {done.cached} cached")
    _refuse_short(plan)


def _refuse_short(plan: Plan) -> None:
    """A training utterance must hold a whole crop."""
    segment = max((p.cell.recipe.segment_frames for p in plan.cells), default=0)
    short = []
    for utterances in plan.speech.train.values():
        for utterance in utterances:
            frames = len(features.load(plan.features[utterance]).f0_hz)
            if frames < segment:
                short.append(f"{utterance.path}: {frames} frames")
    if short:
        listing = some_of(short)
        raise DataError(
            f"{len(short)} training utterances are shorter than segment_frames ({segment}); "
            f"remove them or lower training.segment_frames:\n  {listing}"
        )


def _plan_entry(planned: PlannedCell) -> dict[str, Any]:
    return {
        "cell": planned.cell.id,
        "key": planned.key,
        "done": planned.done,
        "reason": planned.reason,
        "config": planned.cell.to_json(),
    }


def _train(plan: Plan, units: Sequence[Unit], engine: Engine, *, tensorboard: bool) -> None:
    """Train what is missing; afterwards every record tells how its cell ended."""
    trained = [(u, u.planned) for u in units if u.planned]
    missing = [(u, p) for u, p in trained if not p.done]
    # Systems that differ in name alone, or in nothing that this cell's training uses, share it.
    sharing: dict[TrainingTask, list[Unit]] = {}
    code: dict[str, dict[str, str]] = {}  # by system: its cells have the same plugins
    for unit, planned in missing:
        task = TrainingTask(
            planned.cell.id,
            planned.folder,
            planned.cell.recipe.iterations,
            tensorboard=tensorboard,
        )
        same = next((t for t in sharing if t.folder == planned.folder), None)
        if same is None:
            _prepare(planned)
            name = planned.cell.system
            code[name] = code.get(name) or code_of(planned.cell, plan.suite.registry)
            note_code(planned.folder, code[name])
        sharing.setdefault(same or task, []).append(unit)
    started = time.monotonic()

    def note(outcome: Outcome) -> None:
        if outcome.status != "ok":
            for unit in sharing[outcome.task]:
                unit.record.fail(outcome.status, outcome.reason)
                say(f"FAILED {unit.record.cell}: {outcome.reason}")

    if sharing:
        with watcher(list(sharing)) as watch:

            def on_end(outcome: Outcome) -> None:
                note(outcome)
                watch.ended(outcome)

            engine.run(list(sharing), on_tick=watch, on_end=on_end)
    for unit, planned in trained:
        if unit.record.status == "ok":
            _take_status(unit.record, planned)
            (planned.folder / "fresh").unlink(missing_ok=True)
    say(
        f"training: {sum(u.record.status == 'ok' for u, _ in missing)} cells trained, "
        f"{len(trained) - len(missing)} cached ({time.monotonic() - started:.0f} s)"
    )


def _prepare(planned: PlannedCell) -> None:
    """Lay out the folder in which the cell will be trained."""
    begun = planned.folder / "fresh"  # stands while training anew is under way
    if planned.fresh and not begun.exists():
        _forget(planned.folder)
    planned.folder.mkdir(parents=True, exist_ok=True)
    if planned.fresh:
        begun.touch()
    write_json(planned.folder / CELL, planned.cell.to_json())
    if planned.other is not None:
        say(f"{planned.cell.id}: {planned.other}")
        if not planned.other.obstacle:
            take_over(planned.other, planned.folder)


def _forget(folder: Path) -> None:
    """Delete all that a cell left but its lock, which somebody may hold."""
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "lock":
            path.unlink(missing_ok=True)


def _take_status(record: CellRecord, planned: PlannedCell) -> None:
    try:
        status = planned.status()
    except (OSError, ValueError):
        record.fail("failed", f"its process ended without a result; see {record.log}")
        say(f"FAILED {record.cell}: {record.reason}")
        return
    record.seconds = status["seconds"]
    record.iterations = status["iterations"]
    record.health = tuple(status["health"])
    record.crop_stream_sha256 = status["crop_stream_sha256"]


def _score(
    plan: Plan,
    units: Sequence[Unit],
    outputs: Outputs,
    jobs: int,
    progress: ProgressCallback | None,
) -> list[ScoreResult]:
    items = []
    for unit in units:
        for direction in unit.directions:
            wavs = outputs.get((unit.record.cell, direction), {})
            references = {u.id: u.path for u in plan.speech.evaluation[direction.target]}
            items += [
                ScoreItem(
                    references[name],
                    wav,
                    UtteranceLabels(unit, direction, name),
                    direction.target,
                )
                for name, wav in wavs.items()
            ]
    scores = score_all(
        items,
        protocol=plan.suite.protocol,
        metrics=plan.suite.metrics,
        registry=plan.suite.registry,
        jobs=jobs,
        speakers={s: [u.path for u in spoken] for s, spoken in plan.speech.train.items()},
        progress=progress,
    )
    lost: dict[str, list[ScoreResult]] = {}
    for result in scores:
        if result.problems:
            lost.setdefault(result.item.labels.unit.record.cell, []).append(result)
    for unit in units:
        failures = lost.get(unit.record.cell, [])
        if failures:
            first = failures[0]
            unit.record.fail(
                "failed",
                f"{len(failures)} utterances could not be scored, the first being "
                f"{first.item.labels.direction} {first.item.labels.utterance}: {first.problems[0]}",
            )
            say(f"FAILED {unit.record.cell}: {unit.record.reason}")
    say(f"scores: {len(scores)} utterances under {plan.suite.protocol}")
    return scores


def _measure_throughput(
    plan: Plan, units: Sequence[Unit], jobs: int, progress: ProgressCallback | None
) -> list[throughput.Row]:
    """One trained cell of each system, one after the other: all cells of a system are as large."""
    first: dict[str, Unit] = {}
    for unit in units:
        if unit.planned and unit.record.status == "ok":
            first.setdefault(unit.record.system, unit)
    rows: list[throughput.Row] = []
    for number, (system, unit) in enumerate(first.items()):
        if progress:
            progress("measuring throughput", number, len(first))
        assert unit.planned is not None
        wav = plan.speech.evaluation[unit.source][0].path
        try:
            measured = throughput.measure_in_process(
                unit.planned.folder, wav, seconds=1.0, threads=threads_per_job(jobs)
            )
            # The cell may have been trained under the name of another system.
            rows += [{**row, "system": system} for row in measured]
        except VcbenchError as error:
            say(f"WARNING {system}: {error}")
    if progress and first:
        progress("measuring throughput", len(first), len(first))
    return rows
