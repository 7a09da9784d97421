"""What of a suite no published run has measured: budgets, and seeds of a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vcbench import suite
from vcbench.suite.merge import Sources

SMOKE = "smoke"  # shows that a suite runs; there is nothing to learn from it


def commands(name: str, summaries: Iterable[Mapping[str, Any]]) -> list[str]:
    """What to type for each budget of the shipped suite `name`, and last for the suite's own.

    summaries: of the published runs (`summary.json`). Where some seeds of a budget are measured,
    the command is still that of all of them: it trains none again, and what is published replaces
    the folder whole. Which seeds are missing stands behind it as a shell comment. Raises what
    loading a suite raises.
    """
    published = [summary for summary in summaries if summary["suite"] == name]
    found = []
    for budget in (*Sources(name).budgets, None):
        if budget == SMOKE:
            continue
        loaded = suite.load(name, budget=budget)
        whole = [s for s in published if s["budget"] == budget and _is_whole(s, loaded)]
        done = {seed for summary in whole for seed in summary["seeds"]}
        missing = [seed for seed in loaded.seeds if seed not in done]
        if missing:
            command = f"vcbench run {name}{f' --budget {budget}' if budget else ''}"
            some = len(missing) < len(loaded.seeds)
            found.append(f"{command}  # {_are_missing(missing)}" if some else command)
    return found


def _is_whole(summary: Mapping[str, Any], loaded: suite.Suite) -> bool:
    """Whether a run measured, of its seeds, all that the suite asks for.

    `--only`, `--set` and cells that failed may have made less of it, whose numbers do not stand
    for the suite's.
    """
    lengths = {system.training.iterations for system in loaded.systems.values()}
    return (
        summary["cells_ok"] == summary["cells"]
        and set(summary["pairs"]) >= {str(pair) for pair in loaded.pairs}
        and set(summary["systems"]) >= loaded.systems.keys()
        and set(summary["iterations"]) == lengths
        and summary["width"] == loaded.scale
    )


def _are_missing(seeds: list[int]) -> str:
    """`seeds 1, 2 are missing`."""
    named = ", ".join(map(str, seeds))
    return f"seeds {named} are missing" if len(seeds) > 1 else f"seed {named} is missing"
