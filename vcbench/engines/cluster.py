"""What the engines for clusters share: their options, and how a command on a node ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vcbench.engines import Outcome, Resources, TrainingTask, outcome_of, over_memory, timed_out
from vcbench.engines.node import Ending
from vcbench.errors import UsageError, did_you_mean


def check_names(engine: str, options: Mapping[str, str], known: Sequence[str]) -> None:
    """Raises `UsageError` where an option is not among those that an engine knows."""
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"--engine-option {name}: not an option of {engine}; {hint}")


def at_least_one(options: Mapping[str, str], name: str) -> int | None:
    """A whole number from 1 on, None where it is not given; raises `UsageError` for another."""
    value = options.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value) >= 1):
        raise UsageError(f"--engine-option {name}={value}: must be a whole number from 1 on")
    return int(value)


def outcome_on_node(task: TrainingTask, resources: Resources, ending: Ending) -> Outcome:
    """How a task's command ended on a node that watched its limits."""
    code, limit, held_bytes = ending
    if limit == "memory" and resources.memory_bytes is not None:
        return over_memory(task, held_bytes, resources.memory_bytes)
    if limit == "time" and code != 0 and resources.time_s is not None:
        return timed_out(task, resources.time_s)
    return outcome_of(task, code)
