"""Checks a suite, merged and with places, against the schema and against its plugins.

`check` finds all problems at once; what has none becomes typed values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from inspect import Parameter
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from vcbench.errors import PluginError, UntrustedPlugin, did_you_mean
from vcbench.plugins import Kind, Registry
from vcbench.signatures import options_of
from vcbench.suite.compare import Compare, comparison
from vcbench.suite.external import external_problems
from vcbench.suite.positions import KeyPath, Node, Place, Problem, merge, show
from vcbench.suite.recipe import recipe_problems
from vcbench.suite.schema import (
    BASELINES,
    INERT_IN_TRAINING,
    SYSTEM_PARTS,
    SuiteKeys,
    SystemKeys,
    Training,
)
from vcbench.suite.sweep import Made, made_systems
from vcbench.suite.wording import label, model_problems, option_value


@dataclass(frozen=True)
class Component:
    """A plugin and all of its options: plain JSON values, the defaults filled in.

    A default that JSON cannot hold (a class, a function) is left out: the plugin fills it in.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class System:
    """What is trained: `training` is the suite's recipe with this system's changes.

    `place` is where it was written: of one that a sweep made, the value that made it.
    """

    name: str
    place: Place
    generator: Component
    discriminator: Component
    objective: Component
    training: Training

    @property
    def content(self) -> str:
        """All that decides what is learnt: equal for systems that differ by chance alone."""
        parts = [asdict(getattr(self, part)) for part in SYSTEM_PARTS]
        recipe = self.training.model_dump(mode="json", exclude=self.inert)
        return json.dumps([*parts, recipe], sort_keys=True)

    @property
    def inert(self) -> set[str]:
        """Keys of `training` that change nothing that is learnt."""
        chosen = self.training.conversion_weights == "best"
        return {*INERT_IN_TRAINING} if chosen else {*INERT_IN_TRAINING, "validate_every"}


@dataclass(frozen=True)
class Checked:
    """A suite without problems; `systems` holds those that a sweep made too."""

    keys: SuiteKeys
    corpus: Component
    systems: Mapping[str, System]
    training: Training | None
    compare: Compare | None


def check(root: Node, registry: Registry) -> tuple[Checked | None, list[Problem]]:
    """(the suite or None, all of its problems) of a merged tree; `root` is a mapping."""
    keys, problems = model_problems(SuiteKeys, root)
    checker = _Checker(root, registry, problems)
    checker.check_lists()
    corpus = checker.component("corpus", root.find("corpus"), ("corpus",))
    for index, metric in enumerate(root.items("metrics")):
        named = Node({"name": metric}, metric.place)
        checker.component("metric", named, ("metrics", index))
    entries = root.entries("systems")
    systems = {name: checker.system(name, node) for name, node in entries.items()}
    whole = {name: system for name, system in systems.items() if system}
    made, unusable = made_systems(root)
    problems += unusable
    left_out = checker.add_made(whole, made)
    kept = [name for name in made if name not in left_out]
    base = next((one.base for one in made.values()), None)
    if made and not kept:
        text = f"sweep: makes nothing but '{base}' again; give other values"
        checker.add(root.value["sweep"], text)
    compare = None
    sweep = root.find("sweep")
    # What a sweep would have made is otherwise unknown.
    if made or sweep is None or sweep.value is None:
        compare, wrong = comparison(root, [*entries, *kept, *root.entries("external")], kept, base)
        problems += wrong
    problems += external_problems(root, [*entries, *kept])
    training = checker.training(root.find("training"))
    if keys and not (keys.systems or keys.baselines or keys.external):
        checker.add(root, "nothing to run: give at least one system, baseline or external system")
    if problems or keys is None or corpus is None:
        return None, problems
    return Checked(keys, corpus, whole, training, compare), problems


class _Checker:
    """Collects problems; each method returns None for what has any."""

    def __init__(self, root: Node, registry: Registry, problems: list[Problem]) -> None:
        self.root = root
        self.registry = registry
        self.problems = problems

    def add(self, node: Node, text: str, *, at_key: bool = False) -> None:
        self.problems.append(Problem((node.key if at_key else None) or node.place, text))

    def check_lists(self) -> None:
        """No entry of a list stands in it twice, and a pair has two speakers."""
        for key in ("pairs", "seeds", "metrics", "baselines"):
            seen: dict[Any, Any] = {}
            for index, node in enumerate(self.root.items(key)):
                value, where = node.value, label((key, index))
                if not isinstance(value, str | int):
                    continue
                same: Any = value
                if key == "pairs" and isinstance(value, str) and value.count("-") == 1:
                    # One CycleGAN converts both ways: A-B and B-A are one training.
                    same = frozenset(value.split("-"))
                    if len(same) == 1:
                        self.add(node, f"{where}needs two different speakers; got {show(value)}")
                        continue
                if same in seen:
                    why = "" if seen[same] == value else "; a pair is converted in both directions"
                    self.add(node, f"{where}{show(value)} repeats {show(seen[same])}{why}")
                seen.setdefault(same, value)

    def add_made(self, systems: dict[str, System], made: Mapping[str, Made]) -> set[str]:
        """Add to `systems` those that a sweep makes; the names of those that are left out.

        A combination of a grid that is the base itself is left out: the base stands for it.
        """
        names = {system.content: name for name, system in systems.items()}
        left_out = set()
        for name, one in made.items():
            system = self.made(name, one)
            if system is None:
                continue
            same = names.setdefault(system.content, name)
            if same == one.base and one.in_grid:
                left_out.add(name)
            elif same != name:
                old, new = (s.training.model_dump() for s in (systems[same], system))
                keys = ", ".join(key for key in new if new[key] != old[key])
                reason = "two equal systems differ by chance alone"
                why = f"what is learnt does not depend on {keys}" if keys else reason
                text = f"sweep: '{name}' is the same as '{same}': {why}; leave this value out"
                self.add(one.node, text)
            else:
                systems[name] = system
        return left_out

    def made(self, name: str, one: Made) -> System | None:
        """A system that a sweep made; what is wrong with it is reported in the sweep."""
        known, self.problems = self.problems, []
        self.problems += model_problems(SystemKeys, one.node, prefix=("systems", one.base))[1]
        system = self.system(name, one.node, path=("systems", one.base))
        own, self.problems = self.problems, known
        for problem in own:
            if problem.place in one.places:
                known.append(problem)
            elif problem not in known:  # which is the base's too
                known.append(Problem(one.node.place, problem.text))
        return None if own else system

    def system(self, name: str, node: Node, *, path: KeyPath = ()) -> System | None:
        """One system, its training merged over the suite's; messages name it by `path`."""
        path = path or ("systems", name)
        if node.value is None:
            others = (n for n, other in self.root.entries("systems").items() if other.value)
            text = "must be a mapping; got null, and no system of this name is inherited, to drop"
            self.add(node, f"{label(path)}{text}; {did_you_mean(name, others)}")
        if not isinstance(node.value, dict):
            return None
        if name in BASELINES:
            text = f"systems: '{name}' is the name of a baseline; give the system another one"
            self.add(node, text, at_key=True)
        generator, discriminator, objective = (
            self.component(kind, node.find(part), (*path, part))
            for part, kind in SYSTEM_PARTS.items()
        )
        base, own = self.root.find("training"), node.find("training")
        recipe = merge(base, own) if base and own else own or base
        if recipe is None or recipe.value is None:
            self.add(self.root, "missing key 'training', which systems need")
        training = self.training(recipe, base, path)
        if not (generator and discriminator and objective and training):
            return None
        return System(name, node.key or node.place, generator, discriminator, objective, training)

    def training(
        self, node: Node | None, base: Node | None = None, owner: KeyPath = ()
    ) -> Training | None:
        """The recipe at `node`; messages name its `owner` but for what is wrong in `base` too."""
        training, problems = _recipe(node)
        shared = _recipe(base)[1]
        of = f"{label(owner).removesuffix(': ')}." if owner else ""
        self.problems += [p if p in shared else replace(p, text=of + p.text) for p in problems]
        return None if problems else training

    def component(self, kind: Kind, node: Node | None, path: KeyPath) -> Component | None:
        """The plugin that `node` names, its options checked against the plugin's signature."""
        name = node.find("name") if node else None
        if node is None or name is None or not isinstance(name.value, str):
            return None
        try:
            found = options_of(self.registry, kind, name.value)
        except UntrustedPlugin:
            return Component(name.value, {k: v for k, v in node.plain().items() if k != "name"})
        except PluginError as error:
            self.add(name, f"{label(path)}{one_line(error)}")
            return None
        options = {option.name: option for option in found}
        given = {key: child for key, child in node.value.items() if key != "name"}
        owner = f"{kind} '{name.value}'"
        for key in given.keys() - options.keys():
            text = f"unknown option {show(key)} of {owner}; {did_you_mean(key, options)}"
            self.add(given[key], label(path) + text, at_key=True)
        values: dict[str, Any] = {}
        for key, option in options.items():
            if key in given:
                values[key], wrong = option_value(option.annotation, given[key], (*path, key))
                self.problems += wrong
            elif option.default is Parameter.empty:
                self.add(node, f"{label(path)}missing option '{key}' of {owner}")
            else:
                values |= _as_json(key, option.default)
        return Component(name.value, values)


def _recipe(node: Node | None) -> tuple[Training | None, list[Problem]]:
    """(the recipe with `decay_start` filled in or None, what is wrong with it)."""
    if node is None or not isinstance(node.value, dict):
        return None, []
    training: Training | None
    training, problems = model_problems(Training, node, prefix=("training",))
    if training is None:
        return None, problems
    problems = recipe_problems(training, node)
    if training.decay_start is None and training.learning_rate_decay == "linear":
        training = training.model_copy(update={"decay_start": training.iterations // 2})
    return training, problems


def one_line(message: object) -> str:
    """A message of another part of vcbench, or of Python, on one line."""
    return "; ".join(line.strip() for line in str(message).splitlines() if line.strip())


def _as_json(key: str, default: object) -> dict[str, Any]:
    """{key: default} as plain JSON values; empty where JSON cannot hold the default."""
    try:
        return {key: to_jsonable_python(default)}
    except PydanticSerializationError:
        return {}
