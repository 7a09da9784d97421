"""What is cached is named by the code that made it: no module that matters may be forgotten."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import vcbench
from vcbench import batch_conversion
from vcbench.training import cell

ROOT = Path(vcbench.__file__).parents[1]

# Modules that cannot change a result, or whose results are named by themselves.
HARMLESS = {
    "vcbench",
    "vcbench.corpora",  # says which files there are; features are named by what the files hold
    "vcbench.discovery",  # finds plugins, whose own source is part of the key
    "vcbench.errors",
    "vcbench.exclusive",  # when a process may begin
    "vcbench.features",  # named by its own source
    "vcbench.fingerprint",  # makes the keys
    "vcbench.locks",  # which process trains
    "vcbench.parallel",
    "vcbench.plugin_modules",  # imports what was found
    "vcbench.paths",
    "vcbench.processes",
    "vcbench.regular_files",  # reads what there is, or nothing
    "vcbench.sealed",  # writes files whole, whatever they hold
    "vcbench.signatures",  # says which files a key is made of
    "vcbench.training",
    "vcbench.training.tensorboard",  # only looks
    "vcbench.typed",  # only looks
}


def imported(module: str) -> set[str]:
    """Modules of vcbench that this one imports, at whatever place, but for type checkers."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            of_module = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | {name for name in of_module if is_module(name)}
    return {name for name in found if name.split(".")[0] == "vcbench"}


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def closure(start: str, *, stop: set[str]) -> set[str]:
    """All that is imported from `start` on, not looking into what `stop` names."""
    seen, waiting = set(), {start}
    while waiting:
        module = waiting.pop()
        seen.add(module)
        if module not in stop:
            waiting |= imported(module) - seen
    return seen


def test_the_closure_finds_what_is_imported() -> None:
    found = closure("vcbench.cell", stop=HARMLESS)
    assert {"vcbench.training.step", "vcbench.training.crops", "vcbench.plugins"} <= found


@pytest.mark.parametrize(
    ("start", "listed", "apart"),
    [
        # WORLD makes features; training reads them.
        ("vcbench.cell", cell._TRAINING_SOURCES, {"vcbench.world"}),
        # A cell's folder, in which its speech lies, is named by the sources of its training.
        ("vcbench.conversion_tasks", batch_conversion._SOURCES, set(cell._TRAINING_SOURCES)),
    ],
)
def test_every_module_that_decides_a_result_is_part_of_its_key(
    start: str, listed: tuple[str, ...], apart: set[str]
) -> None:
    found = closure(start, stop=HARMLESS | (apart - set(listed)))
    assert found - HARMLESS - apart - set(listed) == set()
    assert set(listed) - apart <= found, "a module that nothing imports"
    assert HARMLESS.isdisjoint(listed)
