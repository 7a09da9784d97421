"""Content keys: what decides a result decides its name, so nothing stale is ever reused."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from vcbench import regular_files
from vcbench.discovery import source_text, syntax_tree

# The packages that vcbench consists of.
_VCBENCH = ("vcbench", "architectures", "metrics")


def of_json(value: Any) -> str:
    """SHA-256 of a JSON-able value; key order does not matter, list order does."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def of_bytes(content: bytes) -> str:
    """SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def of_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes; raises `OSError` for what is no file, or endless."""
    with regular_files.opened(Path(path)) as file:
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
    an installed package's: of those, its own package and vcbench count, the others are known by
    their versions (`packages_of`). What `vcbench.plugins` imports does not: it only finds plugins.
    Nothing is imported."""
    found: dict[str, Path] = {}
    waiting = [module]
    own = {module.partition(".")[0], *_VCBENCH}
    while waiting:
        name = waiting.pop()
        package, _, below = name.partition(".")
        if not name or name in found or name in ("vcbench", "vcbench.plugins"):
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
        waiting.append(name.rpartition(".")[0])  # importing a module imports what it is in
        is_package = spec.submodule_search_locations is not None
        inside = name if is_package else name.rpartition(".")[0]
        waiting += _imported_by(found[name], inside)
    return set(found.values())


def packages_of(files: Iterable[Path]) -> dict[str, str | None]:
    """{package: version} of the installed packages that source files import, by the name of their
    distribution; Python's own modules are left out, as is vcbench."""
    names = {name.partition(".")[0] for path in files for name in _imported_by(path, "")}
    names -= sys.stdlib_module_names | set(_VCBENCH)
    foreign = sorted(name for name in names if name and _is_foreign(_spec(name)))
    return {distribution: version_of(distribution) for distribution in _distributions(foreign)}


def version_of(*distributions: str) -> str | None:
    """Version of the first of these that is installed, None if none is."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _distributions(packages: Iterable[str]) -> list[str]:
    """Which installed distributions some packages belong to."""
    found = set()
    for package in packages:
        if version_of(package) is not None:  # most are called alike, and looking up takes longer
            found.add(package)
        else:
            found.update(_holders().get(package, [package]))
    return sorted(found)


@lru_cache(maxsize=1)
def _holders() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _spec(name: str) -> ModuleSpec | None:
    """Where a module lies; None if there is none, or it cannot be told. Nothing is imported, not
    even the package that it is in: it may be one that nobody has allowed to be executed."""
    try:
        if (loaded := sys.modules.get(name)) is not None:
            return loaded.__spec__
        package = name.rpartition(".")[0]
        if not package:
            return importlib.util.find_spec(name)
        holder = _spec(package)
        if holder is None or holder.submodule_search_locations is None:
            return None
        return PathFinder.find_spec(name, holder.submodule_search_locations)
    except (ImportError, AttributeError, ValueError, RecursionError):  # of thousands of dots
        return None


def _is_foreign(spec: ModuleSpec | None) -> bool:
    return spec is not None and spec.origin is not None and _is_installed(Path(spec.origin))


def _is_installed(path: Path) -> bool:
    """Whether a file belongs to Python itself or to a package that was installed."""
    # By the folder's name, not only by this environment's: another one may lie on the path too.
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def _imported_by(path: Path, package: str) -> tuple[str, ...]:
    """Modules that a source file in `package` ("" where it is in none) imports, and what it imports
    from them; nothing of one that is no text or too large, which counts by its bytes alone."""
    try:
        return _imported_names(source_text(path), package)
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=512)
def _imported_names(source: str, package: str) -> tuple[str, ...]:
    """Of source that cannot be read nothing: nobody can import it either."""
    try:
        tree = syntax_tree(source)
    except (SyntaxError, ValueError):
        return ()
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            try:
                parent = importlib.util.resolve_name(
                    "." * node.level + (node.module or ""), package
                )
            except ImportError:  # beyond the outermost package
                continue
            found += (parent, *(f"{parent}.{alias.name}" for alias in node.names))
    return tuple(found)


def _source_path(source: str | Path) -> Path:
    if isinstance(source, Path) or source.endswith(".py"):
        return Path(source)
    spec = importlib.util.find_spec(source)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source for module '{source}'")
    return Path(spec.origin)
