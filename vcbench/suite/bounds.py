"""How much a suite may ask for: a file of a few lines must not describe a year's work by mistake,
nor one that a stranger wrote keep the machine busy before anything is run.

`vcbench.suite.positions` bounds the text; here what it multiplies to is counted, before any of it
is made. Systems that a sweep makes are bounded in `vcbench.suite.sweep`.
"""

from __future__ import annotations

from collections.abc import Sequence

from vcbench.suite.positions import Node, Problem, usage_error
from vcbench.suite.schema import DEFAULT_BASELINES
from vcbench.suite.sweep import MAX_SYSTEMS, size

MAX_CELLS = 10_000
# Of mappings and lists whose entries are checked one by one, each against all others.
MAX_ENTRIES = {
    "plugins": 32,
    "pairs": 1000,
    "systems": 200,
    "baselines": 16,
    "external": 200,
    "seeds": 1000,
    "metrics": 64,
    "budgets": 32,
}


def refuse_endless(root: Node, budgets: Sequence[Node]) -> None:
    """Raises `UsageError` if a merged suite, or one of its budgets, has more entries or cells than
    any suite needs; the trees may have any shape."""
    problems = [problem for tree in (root, *budgets) for problem in _too_long(tree)]
    if not problems:
        counts = {key: len(_entries(root, key)) for key in MAX_ENTRIES}
        made = min(size(root), MAX_SYSTEMS)  # more is refused where the sweep is read
        baselines = counts["baselines"] or len(DEFAULT_BASELINES)
        trained = (counts["systems"] + made) * max(1, counts["seeds"])
        cells = counts["pairs"] * (trained + baselines + counts["external"])
        if cells > MAX_CELLS:
            text = (
                f"{cells} cells ({counts['pairs']} pairs, {counts['systems'] + made} systems, "
                f"{max(1, counts['seeds'])} seeds, and what is not trained); valid: {MAX_CELLS} at "
                "most; divide the suite into several"
            )
            problems.append(Problem(root.place, text))
    if problems:
        raise usage_error(problems)


def _too_long(tree: Node) -> list[Problem]:
    found = []
    for key, most in MAX_ENTRIES.items():
        node, count = tree.find(key), len(_entries(tree, key))
        if node is not None and count > most:
            text = f"{key}: {count} entries; valid: {most} at most"
            found.append(Problem(node.key or node.place, text))
    return found


def _entries(tree: Node, key: str) -> list[Node] | dict[str, Node]:
    return tree.items(key) or tree.entries(key)
