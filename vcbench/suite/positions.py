"""YAML with positions: a suite file becomes a tree in which every value knows where it was written.

The dialect is YAML 1.2's core schema, so that a file means what it says: only `true` and `false`
are booleans (`on`, `no` are text), `1e-4` is a number and `10:30` is text. A key is always text,
and it stands once in its mapping. Tags of other types, merge keys (`<<`) and numbers that JSON
cannot hold are refused. Size, depth and the expansion of aliases are bounded, so that no file can
hang or fill the machine. Nothing but `UsageError` is raised, and it names file:line:column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from vcbench.errors import UsageError

MAX_BYTES = 2**20
MAX_NODES = 10_000
MAX_DEPTH = 32
MAX_KEY_LENGTH = 200
MAX_PROBLEMS_SHOWN = 50

KeyPath = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_NULL, _BOOL, _INT, _FLOAT, _STR = (_TAG + t for t in ("null", "bool", "int", "float", "str"))
# YAML 1.2.2, section 10.3.2: tag resolution of the core schema.
_CORE_SCHEMA = (
    (_NULL, re.compile(r"null|Null|NULL|~|")),
    (_BOOL, re.compile(r"true|True|TRUE|false|False|FALSE")),
    (_INT, re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    (_FLOAT, re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")),
    (_FLOAT, re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")),
)


@dataclass(frozen=True, order=True)
class Place:
    """Where a value was written: a file with line and column from 1, or a flag (line 0)."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, and where."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True)
class Node:
    """A value and its place: `value` is a scalar, a `list[Node]` or a `dict[str, Node]`.

    `key` is the place of the key that the value stands under, where there is one.
    """

    value: Any
    place: Place
    key: Place | None = None

    def plain(self) -> Any:
        """The value without places: dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def items(self, *path: str | int) -> list[Node]:
        """The entries of the list at `path`; empty where there is no list."""
        node = self.find(*path)
        return node.value if node and isinstance(node.value, list) else []

    def entries(self, *path: str | int) -> dict[str, Node]:
        """The entries of the mapping at `path`; empty where there is no mapping."""
        node = self.find(*path)
        return node.value if node and isinstance(node.value, dict) else {}

    def places(self) -> set[Place]:
        """Where this value, everything in it and its keys were written."""
        own = {self.place} | ({self.key} if self.key else set())
        return own.union(*(n.places() for n in (*self.items(), *self.entries().values())))

    def find(self, *path: str | int) -> Node | None:
        """The node at `path` below this one, or None where the path does not lead anywhere."""
        node = self
        for step in path:
            children: dict[Any, Node] = node.entries() or dict(enumerate(node.items()))
            if step not in children:
                return None
            node = children[step]
        return node


def merge(
    base: Node, over: Node, *, whole: Callable[[KeyPath, Node], bool] = lambda *_: False
) -> Node:
    """`base` with the keys of `over` on top, mapping by mapping; anything else is replaced.

    `whole(path, node)` tells which mappings of `over` replace what was there instead of joining it.
    Every value keeps the place it was written at.
    """

    def join(old: Node, new: Node, path: KeyPath) -> Node:
        both = isinstance(old.value, dict) and isinstance(new.value, dict)
        if not both or whole(path, new):
            return new
        joined = dict(old.value)
        for key, node in new.value.items():
            joined[key] = join(joined[key], node, (*path, key)) if key in joined else node
        return replace(old, value=joined)

    return join(base, over, ())


def usage_error(problems: Iterable[Problem]) -> UsageError:
    """One error with a line for each problem, in the order of the file."""
    found = sorted(set(problems))
    lines = [str(problem) for problem in found[:MAX_PROBLEMS_SHOWN]]
    if len(found) > len(lines):
        lines.append(f"{found[0].place.source}: and {len(found) - len(lines)} more problems")
    return UsageError("\n".join(lines))


def show(value: object) -> str:
    """A value as an error message shows it: on one line, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read(path: Path) -> tuple[Node, list[Problem]]:
    """The tree of a file, and what is wrong in it that does not keep it from being read.

    Raises `UsageError` where the file cannot be read, is larger than `MAX_BYTES`, is not UTF-8 or
    is not YAML.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read: {reason}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES} bytes, which no suite file needs")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        place = _place_after(str(path), before)
        raise UsageError(f"{place}: not UTF-8: byte 0x{content[error.start]:02x}") from error
    return parse(text, source=str(path))


def parse(text: str, *, source: str, inline: bool = False) -> tuple[Node, list[Problem]]:
    """The tree of a YAML text, and its duplicate keys and other problems with single values.

    `inline` is for a text on the command line: `source` alone is then the place of everything.
    Raises `UsageError` where the text is not YAML or exceeds a bound.
    """

    def place(mark: yaml.Mark | None) -> Place:
        if inline or mark is None:
            return Place(source)
        return Place(source, mark.line + 1, mark.column + 1)

    try:
        composer = _Composer(text)
        try:
            document = composer.get_single_node()
        finally:
            composer.dispose()
    except ReaderError as error:
        where = Place(source) if inline else _place_after(source, text[: error.position])
        code = f"U+{ord(text[error.position]):04X}"
        raise UsageError(f"{where}: character {code} is not allowed in YAML") from error
    except yaml.MarkedYAMLError as error:
        where = place(error.problem_mark or error.context_mark)
        raise UsageError(f"{where}: not valid YAML: {_reason(error)}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # An escape beyond Unicode or a version number of thousands of digits.
        where = place(composer.get_mark())
        raise UsageError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    if document is None:
        return Node(None, Place(source) if inline else Place(source, 1, 1)), []
    builder = _Builder(place)
    return builder.build(document), builder.problems


def _reason(error: yaml.MarkedYAMLError) -> str:
    reason = " ".join((error.problem or "unreadable").split())
    if "'\\t'" in reason:
        reason += "; indent with spaces, not tabs"
    if error.context and error.context_mark:
        reason += f" ({error.context}, line {error.context_mark.line + 1})"
    return reason if len(reason) <= 200 else f"{reason[:197]}..."


def _place_after(source: str, text: str) -> Place:
    line = text.count("\n") + 1
    return Place(source, line, len(text) - (text.rfind("\n") + 1) + 1)


class _Composer(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML's composer with the core schema's types and with bounds; it constructs no objects."""

    def __init__(self, text: str) -> None:
        self.depth = 0
        self.nodes = 0
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        self.nodes += 1
        if self.depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise ComposerError(None, None, _BOUNDS, self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is not yaml.ScalarNode:
            return _TAG + ("map" if kind is yaml.MappingNode else "seq")
        plain = implicit[0]
        return next((t for t, form in _CORE_SCHEMA if plain and form.fullmatch(value)), _STR)


_BOUNDS = f"nested more than {MAX_DEPTH} deep, or more than {MAX_NODES} values"


class _Builder:
    """Turns PyYAML's nodes into `Node`s; aliases are copied, within the same bounds."""

    def __init__(self, place: Callable[[yaml.Mark | None], Place]) -> None:
        self.place = place
        self.problems: list[Problem] = []
        self.nodes = 0

    def build(self, node: yaml.Node, key: Place | None = None, depth: int = 1) -> Node:
        place = self.place(node.start_mark)
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise UsageError(f"{place}: {_BOUNDS}, once its aliases are written out")
        if isinstance(node, yaml.MappingNode):
            self._expect_tag(node, "map")
            return Node(self._mapping(node, depth), place, key)
        if isinstance(node, yaml.SequenceNode):
            self._expect_tag(node, "seq")
            return Node([self.build(item, None, depth + 1) for item in node.value], place, key)
        return Node(self._scalar(node, place), place, key)

    def _scalar(self, node: yaml.Node, place: Place) -> Any:
        try:
            return _scalar(node.tag, _text(node.value))
        except ValueError as error:
            self.problems.append(Problem(place, str(error)))
            return None

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(place, "a key is a word, not a list or a mapping"))
                continue
            key = key_node.value
            if len(key) > MAX_KEY_LENGTH or not key.isprintable():
                text = f"a key is at most {MAX_KEY_LENGTH} printable characters; got {show(key)}"
                self.problems.append(Problem(place, text))
            elif key == "<<" and key_node.style is None:
                text = "merge key '<<' is not supported; write the keys out or use 'extends:'"
                self.problems.append(Problem(place, text))
            elif key in mapping:
                first = mapping[key].key
                text = f"key {show(key)} stands twice in this mapping; the first is at {first}"
                self.problems.append(Problem(place, text))
            else:
                mapping[key] = self.build(value_node, place, depth + 1)
        return mapping

    def _expect_tag(self, node: yaml.Node, name: str) -> None:
        if node.tag != _TAG + name:
            text = f"tag {show(node.tag)} is not supported; leave it out"
            self.problems.append(Problem(self.place(node.start_mark), text))


def _text(text: str) -> str:
    """The text itself; raises `ValueError` where no file name and no JSON could hold it."""
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text):
        raise ValueError(f"text holds a NUL or half of a surrogate pair; got {show(text)}")
    return text


def _scalar(tag: str, text: str) -> str | int | float | bool | None:
    """The value of a scalar; raises `ValueError` where the tag or the value is refused."""
    if tag == _STR:
        return text
    if tag not in (_NULL, _BOOL, _INT, _FLOAT):
        raise ValueError(f"tag {show(tag)} is not supported; leave it out")
    if not any(t == tag and form.fullmatch(text) for t, form in _CORE_SCHEMA):
        raise ValueError(f"not a {tag.removeprefix(_TAG)}; got {show(text)}")
    if tag == _NULL:
        return None
    if tag == _BOOL:
        return text.lower() == "true"
    if tag == _FLOAT:
        number = math.inf if text[-1] in "fFnN" else float(text)  # .inf and .nan
        if not math.isfinite(number):
            raise ValueError(f"not a finite number; got {show(text)}")
        return number
    # 19 digits hold every 64-bit number; a longer one costs time that grows with its square.
    whole = int(text, 0 if text[:2] in ("0o", "0x") else 10) if len(text) <= 20 else 2**63
    if abs(whole) >= 2**63:
        raise ValueError(f"number is too large; got {show(text)}; valid: below 2**63")
    return whole
