"""What plugins a module declares, read from its source text: nothing is imported for it."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal

from vcbench import regular_files

Kind = Literal["generator", "discriminator", "objective", "metric", "corpus", "engine"]
KINDS: tuple[Kind, ...] = typing.get_args(Kind)
NETWORKS: tuple[Kind, ...] = ("generator", "discriminator")
MAX_SOURCE_CHARACTERS = 2**20


@dataclass(frozen=True)
class Declaration:
    """A plugin as its source text declares it, before anything is imported.

    `module` is an import path or, for a file that a suite names, a path ending in `.py`.
    `problem` tells why it cannot be used, or is empty.
    """

    kind: Kind
    name: str
    module: str
    origin: str
    summary: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def paper(self) -> str:
        """The citation that the plugin gives, or an empty string."""
        return self.details.get("paper", "")

    @property
    def parameters(self) -> int | None:
        """How many parameters the plugin says it has, or None."""
        text = self.details.get("parameters", "")
        return int(text) if text.isdigit() else None

    @property
    def is_named(self) -> bool:
        """False for the entry that stands for a whole module that cannot be read."""
        return not self.name.startswith("(")


def source_of(module: str) -> Path:
    """The file of an importable module; raises `ImportError` if there is none."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"no module named '{module}'")
    return Path(spec.origin)


def source_text(path: Path) -> str:
    """The text of a source file; raises `OSError` where it is no file, and `ValueError` where it is
    no text or too large to be one."""
    with io.TextIOWrapper(regular_files.opened(path), encoding="utf-8") as file:
        text = file.read(MAX_SOURCE_CHARACTERS + 1)
    if len(text) > MAX_SOURCE_CHARACTERS:
        raise ValueError(f"larger than {MAX_SOURCE_CHARACTERS} characters, which no plugin needs")
    return text


def syntax_tree(text: str, filename: str = "<source>") -> ast.Module:
    """What source text says; raises `SyntaxError` or `ValueError` where it is no Python, and where
    it is nested too deep for Python to read it."""
    try:
        return ast.parse(text, filename=filename)
    except (RecursionError, MemoryError):
        raise ValueError("nested too deep for Python to read it") from None


def decorated(tree: ast.Module) -> list[tuple[Kind, str, int, str, dict[str, str]]]:
    """(kind, name, line, summary, details) of each function under a `register_*` decorator."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def text(node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return str(constants.get(node.id, ""))
        return str(node.value) if isinstance(node, ast.Constant) else ""

    found = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for call in node.decorator_list:
            kind = _registered_kind(call)
            if kind and isinstance(call, ast.Call) and call.args and text(call.args[0]):
                details = {k.arg: text(k.value) for k in call.keywords if k.arg}
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                # The line that `inspect` gives too: one plugin has one origin.
                line = node.decorator_list[0].lineno
                found.append((kind, text(call.args[0]), line, summary, details))
    return found


def _registered_kind(node: ast.AST) -> Kind | None:
    """The kind that a call `register_KIND(...)` registers; None for anything else."""
    if not isinstance(node, ast.Call):
        return None
    called = getattr(node.func, "id", getattr(node.func, "attr", ""))
    return next((kind for kind in KINDS if called == f"register_{kind}"), None)


def registrations(tree: ast.Module) -> int:
    """How often the source calls a `register_*`, at whatever place."""
    return sum(_registered_kind(node) is not None for node in ast.walk(tree))


def missing_import(tree: ast.Module) -> str:
    """Names the first package that the module needs and that is not installed."""
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            package = name.partition(".")[0]
            if package not in sys.modules and importlib.util.find_spec(package) is None:
                return f"it needs the package '{package}', which is not installed{_extra(package)}"
    return ""


def _extra(package: str) -> str:
    """How to install a package with vcbench, if one of its extras has it."""
    try:
        requirements = metadata.requires("vcbench") or []
    except metadata.PackageNotFoundError:
        return ""
    for requirement in requirements:
        found = re.match(
            rf"{re.escape(package)}\b(?![-\[]).*; extra == ['\"](.+)['\"]", requirement
        )
        if found:
            return f"; install it with: pip install 'vcbench[{found[1]}]'"
    return ""
