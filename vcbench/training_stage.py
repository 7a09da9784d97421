"""Training what a plan lacks: by which process, and what became of each cell.

A cell that another process trains is waited for, and what it left is taken. What failed is noted in
the cell's folder.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from vcbench import failures, locks
from vcbench.engines import Engine, Outcome, TrainingTask
from vcbench.errors import DataError
from vcbench.other_lengths import take_over
from vcbench.planning import Plan, PlannedCell
from vcbench.shards import Shard, shard_of
from vcbench.store import CellRecord
from vcbench.stored_cells import code_of, note_code
from vcbench.terminal import count_of, say
from vcbench.training.cell import Cell
from vcbench.training.files import CELL, STATUS, has_result, write_json
from vcbench.units import Unit
from vcbench.watching import watcher

POLL_S = 0.5
_BEGUN = "fresh"  # stands in a cell's folder while training it anew is under way


def train_units(
    plan: Plan,
    units: Sequence[Unit],
    engine: Engine,
    *,
    shard: Shard | None = None,
    retry_failed: bool = False,
    tensorboard: bool = False,
) -> None:
    """Train what is missing; afterwards every record tells how its cell ended.

    shard: train this part only. retry_failed: train only what failed before. What is left out
    counts as skipped, unless by the end another process has trained it.
    """
    trained = [(u, u.planned) for u in units if u.planned]
    left_out = _left_out(plan, shard, retry_failed)
    before = {planned.key: _result_of(planned) for _, planned in trained if planned.fresh}
    # Systems that differ in name alone, or in nothing that this cell's training uses, share it.
    sharing: dict[TrainingTask, list[Unit]] = {}
    code: dict[str, dict[str, str]] = {}  # by system: its cells have the same plugins
    for unit, planned in trained:
        if planned.done or planned.key in left_out:
            continue
        task = TrainingTask(
            planned.cell.id,
            planned.folder,
            planned.cell.recipe.iterations,
            tensorboard=tensorboard,
        )
        same = next((t for t in sharing if t.folder == planned.folder), None)
        if same is None:
            name = planned.cell.system
            code[name] = code.get(name) or code_of(planned.cell, plan.suite.registry)
            try:
                _prepare(planned, code[name])
            except OSError as error:
                unit.record.fail("failed", f"cannot be written: {error}")
                say(f"FAILED {unit.record.cell}: {unit.record.reason}")
                continue
        sharing.setdefault(same or task, []).append(unit)
    started = time.monotonic()

    def note(outcome: Outcome) -> None:
        with suppress(OSError):  # a full disk: the run tells it anyway
            failures.note(outcome)
        if outcome.status != "ok":
            for unit in sharing[outcome.task]:
                unit.record.fail(outcome.status, outcome.reason)
                said = "STOPPED" if outcome.status == "skipped" else "FAILED"
                say(f"{said} {unit.record.cell}: {outcome.reason}")

    if sharing:
        with watcher(list(sharing)) as watch:

            def on_end(outcome: Outcome) -> None:
                note(outcome)
                watch.ended(outcome)

            _run(engine, list(sharing), on_tick=watch, on_end=on_end)
    for unit, planned in trained:
        has_new_result = _result_of(planned) not in (None, before.get(planned.key))
        if planned.key in left_out and not has_new_result:
            unit.record.fail("skipped", left_out[planned.key])
        if unit.record.status == "ok":
            _take_status(unit.record, planned)
            (planned.folder / _BEGUN).unlink(missing_ok=True)
    asked = [u for u, p in trained if not (p.done or p.key in left_out)]
    say(
        f"training: {count_of(sum(u.record.status == 'ok' for u in asked), 'cell')} trained, "
        f"{sum(p.done for _, p in trained)} cached ({time.monotonic() - started:.0f} s)"
    )


def _left_out(plan: Plan, shard: Shard | None, retry_failed: bool) -> dict[str, str]:
    """Why a cell that is not done is not to be trained now, by its key."""
    found: dict[str, str] = {}
    missing = [planned for planned in plan.cells if not planned.done]
    if retry_failed:
        for planned in missing:
            if failures.failure_of(planned.folder) is None:
                found[planned.key] = "not done, and has not failed: left out by --retry-failed"
    if shard is not None:
        dealt = shard_of([(p.cell.system, p.key) for p in plan.cells], shard.total)
        for planned in missing:
            number = dealt[planned.key]
            if number != shard.number:
                found[planned.key] = (
                    f"not done yet: shard {number}/{shard.total} trains it, this one was {shard}"
                )
    return found


def _result_of(planned: PlannedCell) -> tuple[int, int] | None:
    """Which result there is, None if there is none: another is another file."""
    if not has_result(planned.folder) or (planned.folder / _BEGUN).exists():
        return None
    found = (planned.folder / STATUS).stat()
    return found.st_mtime_ns, found.st_ino


def _run(
    engine: Engine,
    tasks: Sequence[TrainingTask],
    *,
    on_tick: Callable[[Sequence[TrainingTask]], None],
    on_end: Callable[[Outcome], None],
) -> None:
    """As `Engine.run`, but that no task ends busy: each is waited for, and run again if the process
    that trained it left no result."""
    left = list(tasks)
    while left:
        busy: list[Outcome] = []

        def end(outcome: Outcome, busy: list[Outcome] = busy) -> None:
            if outcome.status == "busy":
                say(f"{outcome.reason}: waiting for its result")  # it names cell and owner
                busy.append(outcome)
            else:
                on_end(outcome)

        engine.run(left, on_tick=on_tick, on_end=end)
        left = []
        watches = {outcome.task: locks.Watch(outcome.task.folder) for outcome in busy}
        while watches and not left:
            for task in [task for task, watch in watches.items() if watch.owner() is None]:
                del watches[task]
                if has_result(task.folder):
                    on_end(Outcome(task, "ok"))
                else:
                    left.append(task)
            on_tick(list(watches))
            if watches and not left:
                time.sleep(POLL_S)
        left += watches


def _prepare(planned: PlannedCell, code: dict[str, str]) -> None:
    """Lay out the folder in which the cell will be trained, unless another process trains there:
    that one has found it laid out, and its result is as good."""
    if planned.fresh:  # what is there has to go, so that it must be known who trains
        lock = locks.take(planned.folder, on_lost=lambda: None)
    else:
        lock = locks.try_to_take(planned.folder)
    if not isinstance(lock, locks.Lock):
        if not _is_laid_out(planned.folder):
            # Whoever was about to lay it out, on a machine that may be gone, would write the same.
            _lay_out(planned, code)
        return
    with lock:
        begun = planned.folder / _BEGUN
        if planned.fresh and not begun.exists():
            _forget(planned)
        if planned.fresh:
            begun.touch()
        _lay_out(planned, code)
        if planned.other is not None:
            say(f"{planned.cell.id}: {planned.other}")
            if not planned.other.obstacle:
                take_over(planned.other, planned.folder)


def _is_laid_out(folder: Path) -> bool:
    try:
        Cell.read(folder / CELL)
    except DataError:
        return False
    return True


def _lay_out(planned: PlannedCell, code: dict[str, str]) -> None:
    write_json(planned.folder / CELL, planned.cell.to_json())
    note_code(planned.folder, code)


def _forget(planned: PlannedCell) -> None:
    """Delete all that a cell left but its lock."""
    for path in planned.folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not path.name.startswith("lock."):
            path.unlink(missing_ok=True)


def _take_status(record: CellRecord, planned: PlannedCell) -> None:
    try:
        status = planned.status()
        record.seconds = status["seconds"]
        record.iterations = status["iterations"]
        record.health = (*status["health"], *filter(None, [planned.other_code]))
        record.crop_stream_sha256 = status["crop_stream_sha256"]
    except (OSError, ValueError, KeyError):
        record.fail("failed", f"its process ended without a result; see {record.log}")
        say(f"FAILED {record.cell}: {record.reason}")
