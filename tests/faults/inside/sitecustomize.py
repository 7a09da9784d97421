"""In every Python process of a run under test: Python imports this file by its name.

Speeds are not measured: that takes seconds for each system, and no fault needs them.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

_run = subprocess.run


def _without_speeds(command: Any, *args: Any, **kwargs: Any) -> subprocess.CompletedProcess:
    if "vcbench.throughput" in list(command):
        return subprocess.CompletedProcess(command, 0, "[]\n", "")
    return _run(command, *args, **kwargs)


subprocess.run = _without_speeds

if "FAULTS_CLOCK" in os.environ:
    import jumping_clock

    jumping_clock.install()
