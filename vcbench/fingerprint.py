"""Content keys: what decides a result decides its name, so nothing stale is ever reused."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any


def of_json(value: Any) -> str:
    """SHA-256 of a JSON-able value; key order does not matter, list order does."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def of_bytes(content: bytes) -> str:
    """SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def of_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_sources(sources: Iterable[str | Path]) -> str:
    """SHA-256 over source files, given as paths or as module names (which are not imported).

    Any edit changes it, a comment's too: recomputing is cheap, trusting a stale result is not. The
    folders they lie in do not, nor the order they are given in.
    """
    paths = {_source_path(source) for source in sources}
    return of_json(sorted([path.name, of_file(path)] for path in paths))


def sources_of(module: str) -> set[Path]:
    """Source files of a module and of all that it imports, directly or not, as far as it is not
    an installed package's: of those, its own package and vcbench's plugins count, the others are
    known by their versions. Nothing is imported but packages' own `__init__`."""
    found: dict[str, Path] = {}
    waiting = [module]
    own = {module.partition(".")[0], "architectures", "metrics"}
    while waiting:
        name = waiting.pop()
        package, _, below = name.partition(".")
        if name in found or package == "vcbench":
            continue
        # Looking for a submodule imports what it is in: an installed package may take seconds, and
        # what is in a module that is no package is a function, say.
        if below and package not in own and _is_foreign(_spec(package)):
            continue
        holder = _spec(name.rpartition(".")[0]) if below else None
        if below and (holder is None or holder.submodule_search_locations is None):
            continue
        spec = _spec(name)
        if not spec or not spec.origin or not spec.origin.endswith(".py"):
            continue
        if package not in own and _is_foreign(spec):
            continue
        found[name] = Path(spec.origin)
        is_package = spec.submodule_search_locations is not None
        inside = name if is_package else name.rpartition(".")[0]
        waiting += _imported_names(found[name].read_text(encoding="utf-8"), inside)
    return set(found.values())


def _spec(name: str) -> ModuleSpec | None:
    """Where a module lies; None if there is none, or it cannot be told."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None


def _is_foreign(spec: ModuleSpec | None) -> bool:
    return spec is not None and spec.origin is not None and _is_installed(Path(spec.origin))


def _is_installed(path: Path) -> bool:
    """Whether a file belongs to Python itself or to a package that was installed."""
    # By the folder's name, not only by this environment's: another one may lie on the path too.
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def _imported_names(source: str, package: str) -> Iterator[str]:
    """Modules that source code in `package` imports, and what it imports from them."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield parent
            yield from (f"{parent}.{alias.name}" for alias in node.names)


def _source_path(source: str | Path) -> Path:
    if isinstance(source, Path) or source.endswith(".py"):
        return Path(source)
    spec = importlib.util.find_spec(source)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source for module '{source}'")
    return Path(spec.origin)
