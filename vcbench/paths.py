"""Where vcbench looks for corpora, keeps what it computed, and writes reports."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from vcbench.errors import IncompleteError, UsageError


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


def writable_reports_dir(explicit: str | None = None) -> Path:
    """`reports_dir`, not made yet; raises `UsageError` where it could not be: told before hours of
    training and not after."""
    folder = reports_dir(explicit)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return folder
    reason = "cannot be written" if there.is_dir() else "is a file"
    raise UsageError(
        f"{folder}: reports cannot be written there ({there} {reason}); "
        "name another folder with --reports or VCBENCH_REPORTS_DIR"
    )


def reports_dir(explicit: str | None = None) -> Path:
    """Folder that runs write to: `--reports`, then VCBENCH_REPORTS_DIR, then `./reports`."""
    named = explicit or os.environ.get("VCBENCH_REPORTS_DIR") or "reports"
    return Path(named).expanduser().resolve()


def unfinished(error: OSError, folders: Sequence[Path]) -> IncompleteError:
    """What to say where a disk, full most often, ended what writes into `folders`."""
    there = [next(p for p in (folder, *folder.parents) if p.exists()) for folder in folders]
    room = ", ".join(
        f"{shutil.disk_usage(path).free / 2**20:,.1f} MiB below {folder}"
        for folder, path in zip(folders, there, strict=True)
    )
    return IncompleteError(
        f"{error}; what was finished is kept, and the same command continues from there. Free: "
        f"{room}; if that is too little, make room, or name other folders with VCBENCH_CACHE_DIR "
        "or --reports"
    )
