"""Content keys: what decides a result decides its name, so nothing stale is ever reused."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def of_json(value: Any) -> str:
    """SHA-256 of a JSON-able value; key order does not matter, list order does."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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


def _source_path(source: str | Path) -> Path:
    if isinstance(source, Path) or source.endswith(".py"):
        return Path(source)
    spec = importlib.util.find_spec(source)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source for module '{source}'")
    return Path(spec.origin)
