"""A run from end to end: plan, features, training, conversion, scores, throughput, report.

Each stage takes up only what is missing, and whatever becomes of one cell, the others go on: the
run ends with every result that could be had and the reason for each that could not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench import environment, exclusive, features, locks, results, throughput, usage
from vcbench.batch_conversion import convert_units, outputs_of
from vcbench.changes import refuse_changed
from vcbench.engines import Engine
from vcbench.errors import DataError, VcbenchError, some_of
from vcbench.external_speech import check_external
from vcbench.features import FeatureStore
from vcbench.parallel import threads_per_job
from vcbench.pictures import add_pictures
from vcbench.planning import Plan, PlannedCell, check_systems
from vcbench.scoring_stage import score_units
from vcbench.shards import Shard
from vcbench.store import RunFolder
from vcbench.terminal import say
from vcbench.training.files import CHECKPOINT
from vcbench.training_stage import train_units
from vcbench.units import Unit, left_out, units_of

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback
    from vcbench.reporting.model import Leaderboard


@dataclass(frozen=True)
class RunResult:
    """Where the run's files are, its table, and how many cells failed, and how many are missing
    because they were left for later."""

    folder: Path
    leaderboard: Leaderboard
    failed: int
    missing: int


def run(
    plan: Plan,
    *,
    cache_dir: Path,
    reports_dir: Path,
    jobs: int,
    engine: Engine,
    command: Sequence[str],
    shard: Shard | None = None,
    retry_failed: bool = False,
    tensorboard: bool = False,
    inline_audio: bool = False,
    measure_speed: bool = True,
    progress: ProgressCallback | None = None,
) -> RunResult:
    """Do what `plan` says and write the report; see the module.

    shard, retry_failed: train only some of what is missing, see `train_units`; whatever is trained
    by the end, by whom ever, is converted, scored and reported.
    tensorboard: the cells that are trained write event files into their folders.
    inline_audio: the page holds its sounds. measure_speed: throughput too.

    Raises `DataError` if recordings cannot be used, before anything is trained.
    """
    from vcbench import reporting

    _note_what_is_needed(plan, cache_dir)
    check_systems(plan, cache_dir)
    check_external(plan)
    _extract_features(plan, cache_dir, jobs, progress)
    state = environment.git_state()
    folder = RunFolder(reports_dir, plan.suite.name, environment.revision(state))
    folder.write_json("plan.json", [_plan_entry(planned) for planned in plan.cells])
    units = units_of(plan)
    try:
        train_units(
            plan,
            units,
            engine,
            shard=shard,
            retry_failed=retry_failed,
            tensorboard=tensorboard,
        )
        outputs = convert_units(plan, units, cache_dir, jobs, progress)
        scores = score_units(plan, units, outputs, jobs, progress)
        # Before anything else can go wrong: these took the longest.
        rows = results.score_rows(plan, scores)
        folder.write_results(rows)
        folder.write_training(results.training_rows(units))
        speeds = []
        if measure_speed:
            speeds = _measure_throughput(plan, units, cache_dir, jobs, progress)
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
    missing = sum(u.record.status == "skipped" for u in units)
    failed = sum(u.record.status != "ok" for u in units) - missing
    return RunResult(folder.path, leaderboard, failed, missing)


def _note_what_is_needed(plan: Plan, cache_dir: Path) -> None:
    """So that `vcbench cache gc` leaves it, though it is looked at only when all is trained. Not
    the scores: their names are known when the speech is read, and they are made again soon."""
    units = [unit for unit in units_of(plan) if unit.record.kind != "external"]
    needed = {planned.folder / CHECKPOINT for planned in plan.cells}
    needed |= {planned.other.checkpoint for planned in plan.cells if planned.other}
    needed |= {*plan.features.values(), *(u.path for u in plan.speech.all())}
    for wavs in outputs_of(plan, units, cache_dir).values():
        needed.update(wavs.values())
    usage.note(path for path in needed if path.is_relative_to(cache_dir))


def _extract_features(
    plan: Plan, cache_dir: Path, jobs: int, progress: ProgressCallback | None
) -> None:
    store = FeatureStore(cache_dir, plan.parameters)
    done = store.extract(plan.speech.all(), jobs=jobs, progress=progress)
    refuse_changed(plan, done.paths)
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


def _measure_throughput(
    plan: Plan,
    units: Sequence[Unit],
    cache_dir: Path,
    jobs: int,
    progress: ProgressCallback | None,
) -> list[throughput.Row]:
    """One trained cell of each system, one after the other: all cells of a system are as large.

    While no cell of this cache trains on this machine, nor anybody else measures: if that does not
    come about, nothing is measured, since nothing could be compared.
    """

    def on_wait() -> None:
        others = [str(owner) for owner in locks.owners_here(cache_dir / "cells")]
        whom = f"what trains here: {some_of(others)}" if others else "another run, which measures"
        say(f"throughput: waits for {whom} (at most {exclusive.LIMIT_S / 60:.0f} min)")

    with exclusive.measuring(cache_dir, on_wait=on_wait) as is_alone:
        if is_alone:
            return _throughput_rows(plan, units, jobs, progress)
    say(
        "WARNING throughput is not measured: other runs use this machine; the same command "
        "measures it once they have ended"
    )
    return []


def _throughput_rows(
    plan: Plan, units: Sequence[Unit], jobs: int, progress: ProgressCallback | None
) -> list[throughput.Row]:
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
                unit.planned.folder,
                wav,
                seconds=1.0,
                threads=threads_per_job(jobs),
                plugin_files=unit.planned.cell.plugin_files,
            )
            # The cell may have been trained under the name of another system.
            rows += [{**row, "system": system} for row in measured]
        except VcbenchError as error:
            say(f"WARNING {system}: {error}")
    if progress and first:
        progress("measuring throughput", len(first), len(first))
    return rows
