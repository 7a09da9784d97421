"""The suite file: what is compared with what, on which speech, and how it is scored.

`load` reads one, checks all of it at once against the schema and against the signatures of the
plugins it names, and returns a `Suite`, which expands into cells. The ways to change a suite
without editing it (`extends`, budgets, `--set`, `--seeds`) are merged over it before it is checked.
Every value keeps the place where it was written, and an error names that place.

`python -m vcbench.suite > suites/suite.schema.json` writes the JSON Schema that editors use.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vcbench.errors import UsageError, did_you_mean
from vcbench.plugins import Registry
from vcbench.suite.bounds import refuse_endless
from vcbench.suite.check import Component, System, check, one_line
from vcbench.suite.compare import Compare
from vcbench.suite.external import External
from vcbench.suite.merge import Sources, merge_suite
from vcbench.suite.positions import Node, Problem, show, usage_error
from vcbench.suite.schema import SYSTEM_PARTS, Features, Training
from vcbench.suite.wording import label

__all__ = [
    "Cell",
    "Compare",
    "Component",
    "External",
    "Features",
    "Pair",
    "Suite",
    "System",
    "Training",
    "load",
    "select",
]


@dataclass(frozen=True, order=True)
class Pair:
    """Two speakers; one training converts in both directions."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Cell:
    """The unit of work: a system on a pair; what is not trained has no seed."""

    system: str
    pair: Pair
    seed: int | None

    @property
    def id(self) -> str:
        """`paper-1d/SF1-TM3/0`, or `source-copy/SF1-TM3/-` for a baseline."""
        return f"{self.system}/{self.pair}/{'-' if self.seed is None else self.seed}"


@dataclass(frozen=True)
class Suite:
    """A suite that has been checked.

    `path` is the file it was read from, `registry` finds the plugins it names, `budget` is the one
    that was asked for. `systems` holds those that a sweep made, behind the suite's own. `training`
    is None only where no system is trained. All other fields are described in
    `vcbench.suite.schema`.
    """

    name: str
    path: Path
    registry: Registry
    question: str | None
    corpus: Component
    pairs: tuple[Pair, ...]
    features: Features
    systems: Mapping[str, System]
    compare: Compare | None
    baselines: tuple[str, ...]
    external: Mapping[str, External]
    training: Training | None
    scale: float
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    eval_utterances: int | None
    protocol: str
    samples_per_direction: int
    budget: str | None

    def resolved(self) -> dict[str, Any]:
        """The suite as plain JSON values with every default filled in.

        It is a suite itself: read again, it resolves to the same. Budgets and the base are merged
        in and gone, and a sweep has become its systems. Each system has its whole training.
        """
        folder = self.path.resolve().parent
        return {
            "suite": self.name,
            "question": self.question,
            "plugins": [Path(os.path.relpath(f, folder)).as_posix() for f in self.registry.files],
            "corpus": _plain(self.corpus),
            "pairs": [str(pair) for pair in self.pairs],
            "features": self.features.model_dump(mode="json"),
            "systems": {
                name: {
                    **{part: _plain(getattr(system, part)) for part in SYSTEM_PARTS},
                    "training": system.training.model_dump(mode="json"),
                }
                for name, system in self.systems.items()
            },
            "compare": self.compare
            and {
                "baseline": self.compare.baseline,
                "against": list(self.compare.against),
                "metric": self.compare.metric,
            },
            "baselines": list(self.baselines),
            "external": {
                name: {"directory": Path(os.path.relpath(one.directory, folder)).as_posix()}
                for name, one in self.external.items()
            },
            "training": self.training and self.training.model_dump(mode="json"),
            "scale": self.scale,
            "seeds": list(self.seeds),
            "metrics": list(self.metrics),
            "eval_utterances": self.eval_utterances,
            "protocol": self.protocol,
            "samples_per_direction": self.samples_per_direction,
        }

    def cells(self) -> tuple[Cell, ...]:
        """What is trained: every system on every pair with every seed, in the suite's order."""
        return tuple(
            Cell(system, pair, seed)
            for system in self.systems
            for pair in self.pairs
            for seed in self.seeds
        )

    def baseline_cells(self) -> tuple[Cell, ...]:
        """What needs no training: every baseline on every pair."""
        return tuple(Cell(name, pair, None) for name in self.baselines for pair in self.pairs)

    def external_cells(self) -> tuple[Cell, ...]:
        """What was converted elsewhere: every external system on every pair."""
        return tuple(Cell(name, pair, None) for name in self.external for pair in self.pairs)


def _plain(component: Component) -> dict[str, Any]:
    return {"name": component.name, **component.options}


def select(cells: Iterable[Cell], glob: str) -> tuple[Cell, ...]:
    """The cells whose id matches `glob`, where `*` also matches `/`.

    Raises `UsageError` with the ids if there are none.

    >>> [cell.id for cell in select([Cell("a", Pair("F", "M"), 0)], "a/*")]
    ['a/F-M/0']
    """
    among = tuple(cells)
    found = tuple(cell for cell in among if fnmatch.fnmatchcase(cell.id, glob))
    if not found:
        hint = did_you_mean(glob, [cell.id for cell in among])
        raise UsageError(f"--only {show(glob)} matches no cell; {hint}")
    return found


def load(
    name_or_path: str,
    *,
    budget: str | None = None,
    sets: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    trust_plugins: bool = False,
) -> Suite:
    """Read and check a suite file, or the shipped suite of that name.

    Over the file come, in this order, `budget`, each of `sets` (`a.b=VALUE`) and `seeds`. Raises
    `UsageError` with one line for each problem, `file:line:column: what is wrong`. Budgets that
    were not asked for are checked too.

    trust_plugins: whether the files under `plugins:` may be executed. Where they may not, what
    their text tells is checked, options of which it tells nothing are taken as they are, and asking
    the suite's registry for one of their plugins raises `UntrustedPlugin`.
    """
    sources = Sources(name_or_path)
    problems = sources.problems
    root = sources.merged(budget=budget, sets=sets, seeds=seeds)
    refuse_endless(root, [*sources.budgets.values()])
    registry = _registry(root, problems, trusted=trust_plugins)
    checked, found = check(root, registry)
    problems += found
    if budget is not None and not sets:
        problems += check(sources.root, registry)[1]
    for over in sources.budgets.values():
        # What the file leaves to `--set` may be missing here: only the budget's own is judged.
        own = set(over.places())
        merged = merge_suite(sources.root, over)
        problems += [p for p in check(merged, registry)[1] if p.place in own]
    if problems or checked is None:
        raise usage_error(problems)
    keys = checked.keys
    return Suite(
        name=keys.suite,
        path=sources.path,
        registry=registry,
        question=keys.question,
        corpus=checked.corpus,
        pairs=tuple(Pair(*pair.split("-")) for pair in keys.pairs),
        features=keys.features,
        systems=checked.systems,
        compare=checked.compare,
        baselines=keys.baselines,
        external={name: External(one.directory) for name, one in keys.external.items()},
        training=checked.training,
        scale=keys.scale,
        seeds=keys.seeds,
        metrics=keys.metrics,
        eval_utterances=keys.eval_utterances,
        protocol=keys.protocol,
        samples_per_direction=keys.samples_per_direction,
        budget=budget,
    )


def _registry(root: Node, problems: list[Problem], *, trusted: bool) -> Registry:
    """The plugins that `root` can name; a plugin file that cannot be used is a problem."""
    files: dict[Path, tuple[str, Node]] = {}
    for index, node in enumerate(root.items("plugins")):
        if not isinstance(node.value, str):
            continue
        path, where = Path(node.value), f"{label(('plugins', index))}'{node.value}'"
        if path.suffix != ".py":
            problems.append(Problem(node.place, f"{where} must be a .py file"))
        elif not path.is_file():
            problems.append(Problem(node.place, f"{where} is not a file"))
        else:
            files[path] = (where, node)
    registry = Registry(files, trusted=trusted)
    for path, (where, node) in files.items():
        declared = [d for d in registry.declarations() if d.module == str(path)]
        reasons = {d.problem for d in declared if d.problem and path not in registry.hidden}
        for reason in reasons if declared else {"it registers no plugin"}:
            text = f"{where} cannot be used: {one_line(reason)}"
            problems.append(Problem(node.place, text))
    return registry
