"""`sweep:` makes systems from one: each is like the base but for the keys that the sweep changes.

This happens in the tree, before anything is checked, so that what is wrong with a system that was
made is reported at the sweep's value that made it so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product

from vcbench.errors import did_you_mean
from vcbench.suite.positions import Node, Place, Problem, show
from vcbench.suite.schema import NAME_PATTERN, SweepKeys
from vcbench.suite.wording import model_problems

MAX_SYSTEMS = 100


@dataclass(frozen=True)
class Made:
    """A system that a sweep made.

    `node` is its tree, whose place is that of the value that made it. `base` is the system that it
    was made from, `places` are those of the sweep's values and keys in it. `in_grid` tells whether
    it is one of a grid's combinations.
    """

    node: Node
    base: str
    places: frozenset[Place]
    in_grid: bool


def made_systems(root: Node) -> tuple[dict[str, Made], list[Problem]]:
    """(the systems that the suite's sweep makes, by name; what is wrong with the sweep itself).

    A sweep of which the schema already says that it is wrong makes nothing.
    """
    sweep, systems = root.find("sweep"), root.entries("systems")
    keys = model_problems(SweepKeys, sweep)[0] if sweep else None
    if sweep is None or keys is None:
        return {}, []
    if keys.base not in systems:
        text = f"sweep.base: unknown system {show(keys.base)}; {did_you_mean(keys.base, systems)}"
        return {}, [Problem(sweep.value["base"].place, text)]
    base = systems[keys.base]
    if not isinstance(base.value, dict):
        return {}, []
    one_at_a_time, grid = (_values(sweep.entries(key)) for key in ("one_at_a_time", "grid"))
    total = size(root)
    if not 1 <= total <= MAX_SYSTEMS:
        advice = "give fewer values" if total else "give values under one_at_a_time or grid"
        text = f"sweep: makes {total} systems; valid: 1 to {MAX_SYSTEMS}; {advice}"
        return {}, [Problem(sweep.place, text)]
    made: dict[str, Made] = {}
    problems: list[Problem] = []
    for number, (changes, in_grid) in enumerate(_combinations(one_at_a_time, grid), start=1):
        name, node = _name(changes, number), _changed(base, changes)
        if name in systems or name in made:
            text = f"sweep: this makes a system '{name}', and there is one of that name already"
            problems.append(Problem(node.place, text))
            continue
        places = frozenset().union(*(value.places() for value in changes.values()))
        made[name] = Made(node, keys.base, places, in_grid)
    return made, problems


def size(root: Node) -> int:
    """How many systems the suite's sweep makes, whatever else is wrong with it."""
    one_at_a_time, grid = (root.entries("sweep", key) for key in ("one_at_a_time", "grid"))
    alone = sum(len(values.items()) for values in one_at_a_time.values())
    return alone + (math.prod(len(values.items()) for values in grid.values()) if grid else 0)


def _values(keys: Mapping[str, Node]) -> dict[str, list[Node]]:
    """The values of each key, each with the place of the key."""
    return {
        key: [replace(value, key=node.key) for value in node.items()] for key, node in keys.items()
    }


def _combinations(
    one_at_a_time: Mapping[str, list[Node]], grid: Mapping[str, list[Node]]
) -> Iterator[tuple[dict[str, Node], bool]]:
    """(what is changed, whether that is a combination of the grid) of every system to make."""
    for key, values in one_at_a_time.items():
        yield from (({key: value}, False) for value in values)
    if grid:
        yield from ((dict(zip(grid, c, strict=True)), True) for c in product(*grid.values()))


def _changed(base: Node, changes: Mapping[str, Node]) -> Node:
    """The tree of a system that is `base` but for `changes`."""
    parts = dict(base.value)
    # A plugin is changed before its options are.
    for key, value in sorted(changes.items(), key=lambda change: "." in change[0]):
        part, _, option = key.partition(".")
        holder = parts.get(part) or Node({}, value.place)
        if not option and isinstance(value.value, str):
            parts[part] = replace(value, value={"name": replace(value, key=None)})
        elif not option:
            parts[part] = value
        elif isinstance(holder.value, dict):
            parts[part] = replace(holder, value=holder.value | {option: value})
    *_, last = changes.values()
    return Node(parts, last.place, last.place)


def _name(changes: Mapping[str, Node], number: int) -> str:
    """`lambda_cycle-5`, or `generator.width-narrow.lambda_cycle-5`.

    `sweep-3` for the sweep's third system where a value has no short text or the name
    would be too long.
    """
    texts = {key.removeprefix("training."): _text(value.plain()) for key, value in changes.items()}
    name = ".".join(f"{key}-{text}" for key, text in texts.items())
    return name if all(texts.values()) and re.fullmatch(NAME_PATTERN, name) else f"sweep-{number}"


def _text(value: object) -> str:
    """A value as a part of a name; empty where it has no short text."""
    if value is None or isinstance(value, bool):
        return show(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, str):
        return re.sub(r"[^A-Za-z0-9._-]", "_", value)
    if isinstance(value, list):
        texts = [_text(entry) for entry in value]
        return "_".join(texts) if all(texts) else ""
    if isinstance(value, dict) and "name" in value:
        words = {key: _text(entry) for key, entry in value.items()}
        options = (f"-{key}-{word}" for key, word in words.items() if key != "name")
        return words["name"] + "".join(options) if all(words.values()) else ""
    return ""


def _number(value: int | float) -> str:
    """As one would write it.

    >>> [_number(v) for v in (0.0004, 2.5e-05, 0.05, 10.0, 5, 1e20)]
    ['4e-4', '2.5e-5', '0.05', '10', '5', '1e20']
    """
    plain = repr(value).removesuffix(".0")
    if isinstance(value, int) or (abs(value) >= 1 and "e" not in plain):
        return plain
    scientific = f"{Decimal(plain).normalize():e}".replace("+", "")
    return min(plain, scientific, key=len)
