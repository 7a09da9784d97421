"""`compare:` names the comparison that answers the suite's question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vcbench.errors import did_you_mean
from vcbench.suite.positions import Node, Problem, show
from vcbench.suite.schema import DEFAULT_BASELINES, CompareKeys
from vcbench.suite.wording import label, model_problems


@dataclass(frozen=True)
class Compare:
    """Each of `against` is compared with `baseline` by `metric`; all three are the suite's."""

    baseline: str
    against: tuple[str, ...]
    metric: str


def comparison(
    root: Node, systems: Sequence[str], made: Sequence[str], base: str | None
) -> tuple[Compare | None, list[Problem]]:
    """(the comparison or None, what is wrong with it).

    systems: names of all systems, in the suite's order, the external ones last; made: those that a
    sweep made from `base`, which are compared with it where the suite does not say otherwise.
    """
    metrics = [node.value for node in root.items("metrics") if isinstance(node.value, str)]
    given = root.find("compare")
    if not metrics:
        return None, []
    if given is None or given.value is None:
        return (Compare(base, tuple(made), metrics[0]) if base and made else None), []
    keys, _ = model_problems(CompareKeys, given)
    if keys is None:
        return None, []

    problems: list[Problem] = []

    def add(text: str, *path: str | int) -> None:
        place = (given.find(*path) or given).place
        problems.append(Problem(place, f"{label(('compare', *path))}{text}"))

    baselines = [node.plain() for node in root.items("baselines")]
    valid = [*systems, *(baselines if root.find("baselines") else DEFAULT_BASELINES)]
    against = keys.against
    if against is None:
        against = tuple(name for name in systems if name != keys.baseline)
        if not against:
            add(f"there is no other system to compare {show(keys.baseline)} with")
    if keys.baseline not in valid:
        add(_unknown(keys.baseline, valid), "baseline")
    for index, name in enumerate(keys.against or ()):
        if name not in valid:
            add(_unknown(name, valid), "against", index)
        elif name == keys.baseline:
            text = f"{show(name)} is the baseline, which is not compared with itself"
            add(text, "against", index)
        elif name in against[:index]:
            add(f"{show(name)} repeats {show(name)}", "against", index)
    metric = metrics[0] if keys.metric is None else keys.metric
    if metric not in metrics:
        hint = did_you_mean(metric, metrics)
        add(f"unknown metric {show(metric)} in this suite; {hint}", "metric")
    return (None if problems else Compare(keys.baseline, against, metric)), problems


def _unknown(name: str, valid: Sequence[object]) -> str:
    return f"unknown system or baseline {show(name)}; {did_you_mean(name, map(str, valid))}"
