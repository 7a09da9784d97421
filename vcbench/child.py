"""Starting a module of vcbench in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def command(module: str, *arguments: object) -> list[str]:
    """The command that runs `module` with this Python.

    With -P, since otherwise the working folder would come first on the child's path, and a file or
    a checkout that happens to lie there would be imported in place of what is running here.
    """
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """This process' environment, such that the child imports from where this process does."""
    found = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": found, **changes}
