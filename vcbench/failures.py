"""Trainings that failed: `failure.json` in the cell's folder, until one goes well.

A failure never counts as done: the next run tries again, and `--retry-failed` tries only these.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from vcbench import sealed
from vcbench.engines import Outcome
from vcbench.typed import is_typed

FAILURE = "failure.json"


@dataclass(frozen=True)
class Failure:
    """How the last of `attempts` in a row failed. when: UTC. log: what the process said."""

    status: str
    reason: str
    log: str
    when: str
    attempts: int

    def __str__(self) -> str:
        times = "" if self.attempts == 1 else f"{self.attempts} times, the last "
        return f"failed {times}{self.when} ({self.status}): {self.reason}; log: {self.log}"


def failure_of(folder: Path) -> Failure | None:
    """What stands in a cell's folder; None if it has not failed, or the file is damaged."""
    try:
        failure = Failure(**(sealed.read_json(folder / FAILURE) or {}))
    except TypeError:
        return None
    return failure if is_typed(failure, Failure) else None


def note(outcome: Outcome) -> None:
    """Keep how a task failed, or forget earlier failures of one that is ok.

    One that was stopped, or that another process trains, has not failed. Raises `OSError`.
    """
    folder = outcome.task.folder
    if outcome.status == "ok":
        (folder / FAILURE).unlink(missing_ok=True)
    elif outcome.status not in ("skipped", "busy"):
        before = failure_of(folder)
        failure = Failure(
            outcome.status,
            outcome.reason,
            str(outcome.task.output),
            datetime.now(UTC).isoformat(timespec="seconds"),
            1 + (before.attempts if before else 0),
        )
        sealed.write_json(folder / FAILURE, asdict(failure))
