"""What only a clone of vcbench has: the code in tests/benchmark that speed is compared with."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from vcbench.errors import UsageError

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "benchmark"


def reference_step() -> ModuleType:
    """`reference_step.py`; raises `UsageError` outside a clone."""
    return _load("vcbench_reference_step", "reference_step.py")


def frozen() -> ModuleType:
    """The package that `freeze.py` wrote, as `vcbench_frozen`; raises `UsageError` outside a
    clone."""
    return _load("vcbench_frozen", "frozen/__init__.py")


def path(name: str) -> Path:
    """A file of tests/benchmark; raises `UsageError` outside a clone."""
    found = FOLDER / name
    if not found.is_file():
        raise UsageError(
            f"bench compares with what lies beside vcbench's tests, and there is no {found}: this "
            "is an installed package; run bench in a clone of vcbench that was installed with "
            "pip install -e"
        )
    return found


def _load(name: str, file: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path(file))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that a package's own modules find it
    spec.loader.exec_module(module)
    return module
