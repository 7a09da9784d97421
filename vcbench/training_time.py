"""How long the training of a plan will take, from how long like trainings took on this machine."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vcbench.fingerprint import of_json
from vcbench.parallel import threads_per_job
from vcbench.stored_cells import StoredCells
from vcbench.training.cell import SCHEDULE

if TYPE_CHECKING:
    from vcbench.planning import Plan, PlannedCell

_DECIDES_NO_SPEED = ("source", "target", "seed", "train_features", "validation_features")
_NOR_IN_A_RECIPE = (
    *SCHEDULE,
    "learning_rate_generator",
    "learning_rate_discriminator",
    "adam_betas",
    "adam_epsilon",
    "average_decay",
    "log_every",
)


@dataclass(frozen=True)
class Estimate:
    """Of what has yet to be trained.

    seconds: with `jobs` cells at a time, of those of which something is known; None if of none.
    speeds: iterations per second by system. unknown: systems of which nothing is known.
    """

    jobs: int
    seconds: float | None
    speeds: Mapping[str, float]
    unknown: Sequence[str]


def ends_after(under_way: Sequence[float], waiting: Iterable[float], *, at_a_time: int) -> float:
    """Seconds until all have ended, given the seconds that each takes yet: each that waits begins,
    in the order given, where one ends first."""
    ends = [*under_way, *[0.0] * (at_a_time - len(under_way))]
    heapq.heapify(ends)
    for seconds in waiting:
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends, default=0.0)


def estimate(plan: Plan, stored: StoredCells, *, jobs: int) -> Estimate:
    """From finished trainings of the same networks, sizes, device and recipe but for the schedule
    and rates, whatever their speech; from those with as many threads, where there are any."""
    missing = {p.key: p for p in reversed(plan.cells) if not p.done}
    wanted = {system: _like(p.cell.identity()) for system, p in _first_of_each(missing).items()}
    threads = threads_per_job(jobs)
    done: dict[str, list[Mapping[str, Any]]] = {}
    for cell in stored.all if missing else ():
        if cell.status is not None and cell.status.get("seconds", 0) > 0:
            done.setdefault(_like(cell.identity), []).append(cell.status)
    speeds = {}
    for system, like in wanted.items():
        found = done.get(like, [])
        found = [s for s in found if s.get("threads") == threads] or found
        if found:
            seconds = sum(s["seconds"] for s in found)
            speeds[system] = sum(s["iterations"] for s in found) / seconds
    known = [p for p in reversed(missing.values()) if p.cell.system in speeds]
    work = [(p.cell.recipe.iterations - p.iterations) / speeds[p.cell.system] for p in known]
    return Estimate(
        jobs,
        ends_after([], work, at_a_time=jobs) if known else None,
        speeds,
        [system for system in plan.suite.systems if system in wanted.keys() - speeds.keys()],
    )


def clock(seconds: float) -> str:
    """`1:02:03`, and `3 d 1:02:03` from a day on."""
    days, rest = divmod(round(seconds), 86400)
    text = f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text


def _first_of_each(missing: Mapping[str, PlannedCell]) -> dict[str, PlannedCell]:
    return {planned.cell.system: planned for planned in missing.values()}


def _like(identity: Mapping[str, Any]) -> str:
    described = {k: v for k, v in identity.items() if k not in _DECIDES_NO_SPEED}
    recipe = identity["recipe"]
    described["recipe"] = {k: v for k, v in recipe.items() if k not in _NOR_IN_A_RECIPE}
    return of_json(described)
