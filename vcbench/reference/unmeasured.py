"""What of a suite no published run has measured: budgets, and seeds of a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vcbench import suite
from vcbench.suite.merge import Sources

SMOKE = "smoke"  # shows that a suite runs; there is nothing to learn from it


def commands(name: str, summaries: Iterable[Mapping[str, Any]]) -> list[str]:
    """What to type for each budget of the shipped suite `name`, and last for the suite's own.

    summaries: of the published runs (`summary.json`). Of a budget that was run with some of its
    seeds, the others are asked for. Raises what loading a suite raises.
    """
    done: dict[str | None, set[int]] = {}
    for summary in summaries:
        if summary["suite"] == name:
            done.setdefault(summary["budget"], set()).update(summary["seeds"])
    found = []
    for budget in (*Sources(name).budgets, None):
        wanted = suite.load(name, budget=budget).seeds
        missing = [str(seed) for seed in wanted if seed not in done.get(budget, ())]
        if budget == SMOKE or not missing:
            continue
        seeds = f" --seeds {','.join(missing)}" if len(missing) < len(wanted) else ""
        found.append(f"vcbench run {name}{f' --budget {budget}' if budget else ''}{seeds}")
    return found
