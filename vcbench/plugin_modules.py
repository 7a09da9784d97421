"""How a module of plugins is imported: one that is installed, or a file that a suite names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from vcbench import fingerprint
from vcbench.errors import PluginError


def import_plugin(module: str, *, label: str) -> ModuleType:
    """Import a module or a plugin file; any failure becomes a `PluginError` with its reason."""
    try:
        if not module.endswith(".py"):
            return importlib.import_module(module)
        path = Path(module)
        name = module_name(path)
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is not a Python file")
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded  # dataclasses and typing look the module up while it runs
        try:
            spec.loader.exec_module(loaded)
        except BaseException:
            del sys.modules[name]
            raise
        return loaded
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(f"{label} cannot be imported: {reason}") from error


def module_name(path: Path) -> str:
    """What the module of a plugin file is called; nothing is executed."""
    # A dot in the name would make it another package's.
    stem = path.stem if "." not in path.stem else fingerprint.of_bytes(path.name.encode())[:8]
    return f"{_package_of(path.parent)}.{stem}"


def _package_of(folder: Path) -> str:
    """A package that stands for a folder of plugin files, so that they can import what lies beside
    them: `from .my_layers import Block`.

    Its name depends on the whole path: two suites may each have their own my_arch.py.
    """
    name = f"vcbench_plugins_{fingerprint.of_bytes(str(folder).encode())[:8]}"
    if name not in sys.modules:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return name
