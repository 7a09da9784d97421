"""All that a suite may use of the cache, under whatever budget and on whatever device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vcbench import planning, suite
from vcbench.suite.merge import Sources
from vcbench.suite_files import files_of


@dataclass(frozen=True)
class Used:
    """A suite's name, and files and folders below the cache's."""

    name: str
    paths: set[Path]


def used_by(
    name_or_path: str, *, data_dir: Path, cache_dir: Path, trust_plugins: bool = False
) -> Used:
    """What a suite uses without a budget and with each of its own, on a CPU and on a GPU.

    What the command line set otherwise is not known here. Raises what planning does: for a corpus
    that is not there, say, and `UntrustedPlugin` where it takes the execution of a plugin file to
    know: what is not known cannot be kept.
    """
    found: set[Path] = set()
    name = ""
    for budget in (None, *Sources(name_or_path).budgets):
        loaded = suite.load(name_or_path, budget=budget, trust_plugins=trust_plugins)
        name = loaded.name
        for device in ("cpu", "cuda"):
            for deterministic in (False, True):
                plan = planning.make_plan(
                    loaded,
                    data_dir=data_dir,
                    cache_dir=cache_dir,
                    device=device,
                    deterministic=deterministic,
                )
                found |= files_of(plan, cache_dir).all()
    return Used(name, found)
