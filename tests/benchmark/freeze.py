"""Takes the snapshot that the speed gates compare with: `python tests/benchmark/freeze.py`.

Copies the sources of `architectures`, of the training step and of what the step imports to
`frozen/`, as the package `vcbench_frozen`: literally, but for import lines, which name the copies.
Writes `counts.json`: the snapshot's SHA-256, and parameters, MACs and operators of every built-in
generator and discriminator.

The gates call slower what takes over 5 % more than the snapshot does, so that a slowdown in small
steps cannot hide. When to take a new one: after a deliberate speed-up, so that it cannot be lost
again; after a deliberate change of what a network or the step computes; with a new network; and,
for its operator counts, with a new version of PyTorch. Never because a gate says "slower". Nothing
in `frozen/` is edited by hand: a test holds its SHA-256.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from vcbench import fingerprint
from vcbench.bench import counts
from vcbench.bench.generators import built_in
from vcbench.discovery import NETWORKS
from vcbench.plugins import Registry

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FROZEN = HERE / "frozen"
COUNTS = HERE / "counts.json"
# What the copies share with the code as it is: what a plugin, an error and a cell are. None of it
# is run during a step.
SHARED = frozenset({"vcbench.errors", "vcbench.plugins", "vcbench.training.cell"})
INIT = '"""Written by tests/benchmark/freeze.py; see there. Never edited."""\n'


def main() -> None:
    """Write `frozen/` and `counts.json`."""
    shutil.rmtree(FROZEN, ignore_errors=True)
    modules = frozen_modules()
    for name, path in modules.items():
        copy = FROZEN / Path(*copied_name(name).split(".")[1:]).with_suffix(".py")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(rewritten(path.read_text(encoding="utf-8"), set(modules)), encoding="utf-8")
    for folder in {FROZEN, *(path.parent for path in FROZEN.rglob("*.py"))}:
        (folder / "__init__.py").write_text(INIT, encoding="utf-8")
    sha256 = fingerprint.of_sources(FROZEN.rglob("*.py"))
    COUNTS.write_text(json.dumps(recorded(sha256), indent=2) + "\n", encoding="utf-8")
    print(f"{FROZEN}: {len(modules)} modules; {COUNTS}")


def frozen_modules() -> dict[str, Path]:
    """Name and file of every module of `architectures`, of the step, and of what it imports."""
    waiting = [f"architectures.{path.stem}" for path in (ROOT / "architectures").glob("*.py")]
    waiting = [name for name in waiting if not name.endswith(".__init__")]
    waiting.append("vcbench.training.step")
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        path = ROOT / Path(*name.split(".")).with_suffix(".py")
        if name in found or name in SHARED or not path.is_file():
            continue
        found[name] = path
        waiting += imports(ast.parse(path.read_text(encoding="utf-8")))
    return dict(sorted(found.items()))


def imports(tree: ast.AST) -> Iterator[str]:
    """Names that are imported, but for those that only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node)


def copied_name(module: str) -> str:
    """`vcbench.training.step` -> `vcbench_frozen.training.step`; `architectures.layers` ->
    `vcbench_frozen.architectures.layers`."""
    return f"vcbench_frozen.{module.removeprefix('vcbench.')}"


def rewritten(source: str, modules: set[str]) -> str:
    """The source with its imports of `modules` turned to their copies."""
    statement = re.compile(
        r"^( *(?:from|import) )([\w.]+)(?= import |$| as )( import (\w+)$)?", re.M
    )

    def turned(match: re.Match[str]) -> str:
        start, module, tail, name = match.groups()
        if module in modules or f"{module}.{name}" in modules:
            module = copied_name(module) if module != "vcbench" else "vcbench_frozen"
        return f"{start}{module}{tail or ''}"

    return statement.sub(turned, source)


def recorded(sha256: str) -> dict[str, object]:
    """What `counts.json` is to hold. Operators that another version of PyTorch had are kept as long
    as the snapshot is the same."""
    before = json.loads(COUNTS.read_text(encoding="utf-8")) if COUNTS.is_file() else {}
    known = before if before.get("sha256") == sha256 else {}
    registry = Registry()
    document: dict[str, object] = {"sha256": sha256}
    for kind in NETWORKS:
        networks = {}
        for name in built_in(registry, kind):
            found = asdict(counts.count(registry, kind, name))
            of_versions = known.get(kind, {}).get(name, {}).get("operators", {})
            found["operators"] = {**of_versions, counts.torch_version(): found["operators"]}
            networks[name] = found
        document[kind] = networks
    return document


if __name__ == "__main__":
    main()
