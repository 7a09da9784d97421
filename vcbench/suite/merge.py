"""Where a suite's values come from: its file, its base, a budget and the command line, merged.

Everything here works on trees with places (`vcbench.suite.positions.Node`), before any check, so
that what is wrong in one layer is reported where that layer was written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from suites import shipped_path, shipped_paths
from vcbench.errors import did_you_mean
from vcbench.suite.positions import (
    MAX_DEPTH,
    KeyPath,
    Node,
    Place,
    Problem,
    merge,
    parse,
    read,
    show,
    usage_error,
)
from vcbench.suite.schema import NOT_BY_SET, NOT_IN_A_BUDGET, SYSTEM_PARTS, SuiteKeys


class Sources:
    """A suite file with its base and its budgets, and what is wrong with them so far.

    `root` is the tree of the file merged over its base; `budgets` the trees of what each budget
    replaces. Raises `UsageError` where there is no such file, or one that cannot be read at all.
    """

    def __init__(self, name_or_path: str) -> None:
        path = locate(name_or_path, Path())
        if path is None:
            raise usage_error([_not_found(name_or_path, Place("suite"))])
        self.path = path
        self.problems: list[Problem] = []
        self.root = self._with_base(self._read(path))
        self.budgets = {
            name: self._budget(name, node)
            for name, node in self.root.entries("budgets").items()
            if isinstance(node.value, dict)
        }

    def merged(
        self, *, budget: str | None, sets: Sequence[str], seeds: Sequence[int] | None
    ) -> Node:
        """The tree with `budget`, then each of `sets` (`a.b=VALUE`), then `seeds` on top."""
        root = self.root
        if budget in self.budgets:
            root = merge_suite(root, self.budgets[budget])
        elif budget is not None:
            hint = did_you_mean(budget, self.budgets)
            place = Place(f"--budget {budget}")
            self.problems.append(Problem(place, f"{self.path} has no such budget; {hint}"))
        for text in sets:
            root = merge_suite(root, self._setting(text, root))
        if seeds is not None:
            place = Place(f"--seeds {','.join(map(str, seeds))}")
            values = Node([Node(seed, place) for seed in seeds], place, place)
            root = merge_suite(root, Node({"seeds": values}, place))
        return root

    def _read(self, path: Path) -> Node:
        root, problems = read(path)
        self.problems += problems
        if not isinstance(root.value, dict):
            found = "nothing" if root.value is None else show(root.plain())
            text = f"a suite is a mapping of keys to values; got {found}"
            raise usage_error([*self.problems, Problem(root.place, text)])
        return _prepared(root, path.parent)

    def _with_base(self, own: Node) -> Node:
        extends = own.find("extends")
        if extends is None or not isinstance(extends.value, str):
            return own
        folder, named = self.path.parent, extends.value
        base_path = locate(named, folder) or locate(f"{named}.yaml", folder)
        if base_path is None:
            raise usage_error([*self.problems, _not_found(extends.value, extends.place)])
        base = self._read(base_path)
        if further := base.find("extends"):
            text = f"extends: {self.path} extends this file, so it cannot extend another itself"
            # Without the other one, much would seem to be missing.
            raise usage_error([*self.problems, Problem(further.key or further.place, text)])
        # These tell what the base is, not what its extension is.
        keys = {k: v for k, v in base.value.items() if k not in ("suite", "question")}
        root = _without_dropped(merge_suite(replace(base, value=keys), own), base, own)
        if base.items("plugins") and own.items("plugins"):
            # The base's systems still need the base's plugins.
            both = replace(own.value["plugins"], value=base.items("plugins") + own.items("plugins"))
            root = replace(root, value=root.value | {"plugins": both})
        return replace(root, place=own.place)

    def _budget(self, name: str, node: Node) -> Node:
        for key, child in node.value.items():
            if key in NOT_IN_A_BUDGET:
                valid = ", ".join(k for k in SuiteKeys.model_fields if k not in NOT_IN_A_BUDGET)
                text = f"budgets.{name}: a budget cannot change '{key}' (valid: {valid})"
                self.problems.append(Problem(child.key or child.place, text))
        kept = {k: v for k, v in node.value.items() if k not in NOT_IN_A_BUDGET}
        return _prepared(replace(node, value=kept), self.path.parent)

    def _setting(self, text: str, root: Node) -> Node:
        """`a.b=VALUE` as a tree; `root` tells which dots are part of a key."""
        place = Place(f"--set {' '.join(text.split())}")
        dotted, equals, value = text.partition("=")
        keys = dotted.split(".")
        if not (equals and all(keys) and len(keys) <= MAX_DEPTH and text.isprintable()):
            self.problems.append(
                Problem(place, "must be KEY.KEY=VALUE, such as training.iterations=60")
            )
            return Node({}, place)
        path = _keys(dotted, root)
        top = path[0]
        valid = [key for key in SuiteKeys.model_fields if key not in NOT_BY_SET]
        if top in NOT_BY_SET:
            reason = f"--set cannot change '{top}'; valid: {', '.join(valid)}"
        elif top not in valid:
            reason = f"unknown key {show(top)}; {did_you_mean(top, valid)}"
        else:
            reason = ""
        if reason:
            self.problems.append(Problem(place, reason))
            return Node({}, place)
        parsed, problems = parse(value, source=str(place), inline=True)
        self.problems += problems
        tree = replace(parsed, key=place)
        for key in reversed(path):
            tree = Node({key: tree}, place, place)
        return _prepared(tree, Path())


def merge_suite(root: Node, over: Node) -> Node:
    """`over` merged over `root`; a plugin that is named anew does not keep earlier options.

    A system of `root` that is null in `over` is dropped.
    """

    def whole(path: KeyPath, node: Node) -> bool:
        return _is_component(path) and "name" in node.value

    return _without(merge(root, over, whole=whole), _dropped(root, over), "systems")


def _dropped(root: Node, over: Node) -> set[str]:
    named = {name for name, node in over.entries("systems").items() if node.value is None}
    return named & root.entries("systems").keys()


def _without_dropped(root: Node, base: Node, own: Node) -> Node:
    """`root` without what the budgets of `base` say of systems that `own` drops."""
    for budget in base.entries("budgets"):
        gone = _dropped(base, own) - own.entries("budgets", budget, "systems").keys()
        root = _without(root, gone, "budgets", budget, "systems")
    return root


def _without(root: Node, keys: Collection[str], *path: str) -> Node:
    """`root` without these keys of the mapping at `path`; as it is where there is none."""
    if not path:
        kept = {key: node for key, node in root.entries().items() if key not in keys}
        return replace(root, value=kept) if root.entries() else root
    child = root.find(path[0])
    if child is None or not root.entries():
        return root
    return replace(root, value=root.value | {path[0]: _without(child, keys, *path[1:])})


def locate(name_or_path: str, folder: Path) -> Path | None:
    """The file below `folder`, else the shipped suite of that name, else None."""
    try:
        if (folder / name_or_path).is_file():
            return folder / name_or_path
    except OSError:  # a name longer than the file system allows
        return None
    return shipped_path(name_or_path)


def _not_found(name_or_path: str, place: Place) -> Problem:
    beside = f"{name_or_path}.yaml"
    # Of another kind of name even the question whether there is such a file may fail.
    is_name = name_or_path.isprintable() and 0 < len(name_or_path) < 200
    here = is_name and Path(beside).is_file()
    hint = f"did you mean '{beside}'?" if here else did_you_mean(name_or_path, shipped_paths())
    if is_name and Path(name_or_path).is_dir():
        return Problem(place, f"{show(name_or_path)} is a folder; name a suite file; {hint}")
    return Problem(place, f"no file {show(name_or_path)}, nor a shipped suite of that name; {hint}")


def _is_component(path: KeyPath) -> bool:
    in_system = len(path) == 3 and path[0] == "systems" and path[2] in SYSTEM_PARTS
    return path == ("corpus",) or in_system


def _prepared(root: Node, folder: Path) -> Node:
    """`root` with each plugin as a mapping with its name, and all paths below `folder`."""

    def prepare(node: Node, path: KeyPath) -> Node:
        if isinstance(node.value, str) and _is_component(path):
            return replace(node, value={"name": replace(node, key=None)})
        is_file = path[:1] == ("plugins",) and len(path) == 2
        is_folder = path[:1] == ("external",) and path[2:] == ("directory",)
        if isinstance(node.value, str) and (is_file or is_folder):
            return replace(node, value=str(_absolute(folder / node.value)))
        if isinstance(node.value, dict):
            value = {k: prepare(child, (*path, k)) for k, child in node.value.items()}
            return replace(node, value=value)
        if isinstance(node.value, list):
            items = [prepare(child, (*path, i)) for i, child in enumerate(node.value)]
            return replace(node, value=items)
        return node

    return prepare(root, ())


def _absolute(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links: reported as a file that is not there
        return path.absolute()


def _keys(dotted: str, root: Node) -> list[str]:
    """The keys of a dotted path; a key of `root` that itself holds dots is found as one.

    What stands below a sweep's `one_at_a_time` or `grid` is one key, with dots.
    """
    parts = dotted.split(".")
    if parts[0] == "sweep" and len(parts) > 2:
        return [*parts[:2], ".".join(parts[2:])]
    keys: list[str] = []
    while parts:
        existing = root.entries(*keys)
        lengths = range(len(parts), 0, -1)
        n = next((n for n in lengths if ".".join(parts[:n]) in existing), 1)
        keys.append(".".join(parts[:n]))
        parts = parts[n:]
    return keys
