"""Suite files that come with vcbench; `vcbench run NAME` finds them here.

A suite in a sub-folder is called `FOLDER/NAME`, as in `questions/glu`, or NAME alone where that is
clear. A file whose name begins with `_` is a base of others and no suite by itself.
"""

from __future__ import annotations

from pathlib import Path


def shipped_paths() -> dict[str, Path]:
    """The files of the suites that come with vcbench, by name; those in sub-folders last."""
    top = Path(__file__).parent
    return {
        path.relative_to(top).with_suffix("").as_posix(): path
        for pattern in ("*.yaml", "*/*.yaml")
        for path in sorted(top.glob(pattern))
        if not path.name.startswith("_")
    }


def shipped_path(name: str) -> Path | None:
    """The file of the suite `name` that comes with vcbench; None where there is none."""
    paths = shipped_paths()
    alone = [path for full, path in paths.items() if full.endswith(f"/{name}")]
    return paths.get(name) or (alone[0] if len(alone) == 1 else None)


def shipped() -> list[tuple[str, str]]:
    """(name, summary) of the suites that come with vcbench.

    The summary is the question of a suite in a sub-folder, and the first comment of any other.
    """
    return [
        (name, ("/" in name and _question(path)) or _first_comment(path))
        for name, path in shipped_paths().items()
    ]


def _question(path: Path) -> str:
    """The suite's question; empty where it asks none."""
    import yaml

    suite = yaml.safe_load(path.read_text(encoding="utf-8"))
    return str(suite.get("question") or "")


def _first_comment(path: Path) -> str:
    comments = (
        line.lstrip("# ").rstrip()
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("#") and "yaml-language-server" not in line
    )
    return next(comments, "")
