"""Where vcbench looks for corpora, keeps what it computed, and writes reports."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir(explicit: str | None = None) -> Path:
    """Folder of the corpora: `--data`, then VCBENCH_DATA_DIR, then `./data`."""
    return Path(explicit or os.environ.get("VCBENCH_DATA_DIR") or "data").expanduser().resolve()


def cache_dir() -> Path:
    """Folder of features and checkpoints: VCBENCH_CACHE_DIR, then the XDG cache's `vcbench`."""
    named = os.environ.get("VCBENCH_CACHE_DIR")
    if named:
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(base) / "vcbench").expanduser().resolve()


def reports_dir(explicit: str | None = None) -> Path:
    """Folder that runs write to: `--reports`, then VCBENCH_REPORTS_DIR, then `./reports`."""
    named = explicit or os.environ.get("VCBENCH_REPORTS_DIR") or "reports"
    return Path(named).expanduser().resolve()
