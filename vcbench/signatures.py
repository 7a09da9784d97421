"""What options a plugin takes and which files define it, without importing it where that is clear.

Importing a generator imports PyTorch, which takes longer than all else that a plan does. Most
plugins say in their source text what there is to know: a function with one decorator, whose
options have plain types and plain defaults, or names for such that a module binds once. Any other
is imported, as are plugin files; where those may not be executed (`Registry.trusted`), their text
has to do, and what it does not tell raises `UntrustedPlugin`.
"""

from __future__ import annotations

import ast
import inspect
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from vcbench import fingerprint
from vcbench.discovery import Kind, decorated, source_of, source_text, syntax_tree
from vcbench.plugin_modules import module_name
from vcbench.plugins import HARNESS_ARGUMENTS, Option, Registry

_TYPES = {"bool": bool, "int": int, "float": float, "str": str}


def options_of(registry: Registry, kind: Kind, name: str) -> tuple[Option, ...]:
    """`Plugin.options` of the plugin `name`; raises what `Registry.get` does, but for what only an
    import can tell of a plugin that needs none here."""
    found = _without_import(registry, kind, name)
    return registry.get(kind, name).options if found is None else found[1]


def source_files_of(registry: Registry, kind: Kind, name: str) -> set[Path]:
    """`Plugin.source_files` of the plugin `name`; raises what `options_of` does."""
    found = _without_import(registry, kind, name)
    if found is None:
        return registry.get(kind, name).source_files
    module = found[0]
    if module.endswith(".py"):
        module = module_name(Path(module))
    return fingerprint.sources_of(module)


def _without_import(
    registry: Registry, kind: Kind, name: str
) -> tuple[str, tuple[Option, ...]] | None:
    """The module, or the plugin file, and the options; None where it takes an import to know."""
    declaration = registry.declaration(kind, name)
    is_file = declaration.module.endswith(".py")
    if declaration.problem or (is_file and registry.trusted):
        return None
    options = written(declaration.module, kind, name)
    return None if options is None else (declaration.module, options)


def written(module: str, kind: Kind, name: str) -> tuple[Option, ...] | None:
    """The options that the source text of a module, or of a plugin file, declares; None where it
    takes an import to know."""
    is_file = module.endswith(".py")
    try:
        found = _Source(source_text(Path(module) if is_file else source_of(module)), alone=is_file)
    except ValueError:  # too large, or nested too deep
        return None
    function = found.plugin(kind, name)
    if function is None:
        return None
    given = function.args
    if given.posonlyargs or given.args or given.vararg or given.kwarg:
        return None
    options = []
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        if argument.arg in HARNESS_ARGUMENTS[kind]:
            continue
        try:
            annotation = Any if argument.annotation is None else found.type_of(argument.annotation)
            value = inspect.Parameter.empty if default is None else found.value_of(default)
        except (ValueError, TypeError, ImportError, OSError, SyntaxError, RecursionError):
            return None
        options.append(Option(argument.arg, annotation, value))
    return tuple(options)


class _Source:
    """A module's source text, and what its annotations and constants mean.

    alone: other modules are not looked at, since looking for one may execute the package it is in.
    """

    def __init__(self, text: str, *, alone: bool = False) -> None:
        self.alone = alone
        self.tree = syntax_tree(text)
        self._bound: dict[str, list[ast.AST]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                self._bound.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self._bound.setdefault(node.id, []).append(node)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    self._bound.setdefault(alias.asname or alias.name, []).append(node)

    def plugin(self, kind: Kind, name: str) -> ast.FunctionDef | None:
        """The function, if nothing can have changed it after it was written."""
        constants = [node for node in self.tree.body if isinstance(node, ast.Assign)]
        for node in self.tree.body:
            if not isinstance(node, ast.FunctionDef) or len(node.decorator_list) != 1:
                continue
            declared = decorated(ast.Module([*constants, node], []))
            if [one[:2] for one in declared] == [(kind, name)]:
                return node if self._bound[node.name] == [node] else None
        return None

    def type_of(self, node: ast.expr) -> Any:
        """The type that an annotation of plain types means; raises `ValueError` for any other."""
        if isinstance(node, ast.Constant) and node.value is None:
            return None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self.type_of(node.left) | self.type_of(node.right)
        if isinstance(node, ast.Subscript) and self._is_literal(node.value):
            return Literal[ast.literal_eval(node.slice)]
        if isinstance(node, ast.Name):
            if node.id in _TYPES and node.id not in self._bound:
                return _TYPES[node.id]
            source, value = self._meant(node.id)
            return source.type_of(value)
        raise ValueError(ast.unparse(node))

    def value_of(self, node: ast.expr) -> Any:
        """A default; raises `ValueError` where it is not plain."""
        if isinstance(node, ast.Name):
            source, value = self._meant(node.id)
            return source.value_of(value)
        return ast.literal_eval(node)

    def _is_literal(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Name) or node.id != "Literal":
            return False
        return [ast.unparse(b).split(" import ")[0] for b in self._bound.get("Literal", [])] == [
            "from typing"
        ]

    def _meant(self, name: str) -> tuple[_Source, ast.expr]:
        """What a module binds the name to, once and for all, and that module."""
        for node in self.tree.body:
            from_other = isinstance(node, ast.ImportFrom) and node.module and not node.level
            if isinstance(node, ast.ImportFrom) and node.module and from_other and not self.alone:
                for alias in node.names:
                    if (alias.asname or alias.name) == name and self._bound[name] == [node]:
                        path = source_of(node.module)
                        return _source_at(path, path.stat().st_mtime_ns)._meant(alias.name)
            if isinstance(node, ast.Assign) and self._bound.get(name) == node.targets:
                return self, node.value
        raise ValueError(name)


@lru_cache(maxsize=32)
def _source_at(path: Path, _: int) -> _Source:
    return _Source(source_text(path))
