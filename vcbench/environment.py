"""What a result depends on beside the suite: versions, the machine, the state of the source."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import vcbench
from vcbench.parallel import default_jobs

PACKAGES = ("numpy", "scipy", "pandas", "torch", "pyworld", "pyworld-prebuilt", "pysptk")


def git_state() -> dict[str, Any] | None:
    """{"sha", "dirty"} of the checkout that vcbench runs from; None where it was installed."""
    folder = Path(vcbench.__file__).parent
    sha = _git(folder, "rev-parse", "HEAD")
    # An ignored folder, such as a virtual environment in another project, is no checkout of ours.
    if sha is None or _git(folder, "check-ignore", "-q", ".") is not None:
        return None
    return {"sha": sha, "dirty": bool(_git(folder, "status", "--porcelain"))}


def revision(state: dict[str, Any] | None) -> str:
    """`<gitsha7>[-dirty]`, or the version where there is no git."""
    if state is None:
        return f"v{vcbench.__version__}"
    return state["sha"][:7] + ("-dirty" if state["dirty"] else "")


def machine(device: str) -> dict[str, Any]:
    """Processor, memory, instruction set and GPU."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu": _cpu_name(),
        "cpu_count": default_jobs(),
        "memory_gib": round(memory, 1),
        "isa": torch.backends.cpu.get_cpu_capability(),
        # What was trained elsewhere may be converted where there is no GPU.
        "gpu": torch.cuda.get_device_name()
        if device == "cuda" and torch.cuda.is_available()
        else None,
    }


def packages() -> dict[str, str]:
    """Versions of the packages that decide numbers."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of git, or None if it failed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
