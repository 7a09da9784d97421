"""Suite files that come with vcbench; `vcbench run NAME` finds them here."""

from __future__ import annotations

from pathlib import Path


def shipped_path(name: str) -> Path:
    """Where the suite `name` that comes with vcbench would lie."""
    return Path(__file__).parent / f"{name}.yaml"


def shipped() -> list[tuple[str, str]]:
    """(name, summary) of the suites that come with vcbench; the summary is the first comment."""
    found = []
    for path in sorted(shipped_path("any").parent.glob("*.yaml")):
        comments = (
            line.lstrip("# ").rstrip()
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("#") and "yaml-language-server" not in line
        )
        found.append((path.stem, next(comments, "")))
    return found
