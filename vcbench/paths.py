"""Where vcbench looks for corpora, keeps what it computed, and writes reports."""

from __future__ import annotations

import os
from pathlib import Path

from vcbench.errors import UsageError


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


def writable_cache_dir() -> Path:
    """The cache's folder, made if need be; raises `UsageError` where nothing can be kept in it."""
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".probe.{os.getpid()}").touch()
        (folder / f".probe.{os.getpid()}").unlink()
    except OSError as error:
        raise UsageError(
            f"{folder}: the cache cannot be written there ({error.strerror}); "
            "name another folder with VCBENCH_CACHE_DIR"
        ) from None
    return folder


def reports_dir(explicit: str | None = None) -> Path:
    """Folder that runs write to: `--reports`, then VCBENCH_REPORTS_DIR, then `./reports`."""
    named = explicit or os.environ.get("VCBENCH_REPORTS_DIR") or "reports"
    return Path(named).expanduser().resolve()
