"""When what the cache holds was last used, for which suite, and by which run at this moment.

The time of a file's last reading is kept by vcbench itself, where that of its last change stays
what it is: file systems are often told not to note readings.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from vcbench import locks, sealed

SUITES = "suites.json"  # in a cell's folder: the names of the suites that it was trained for
_RUNS = "runs"


def note(paths: Iterable[Path]) -> None:
    """Note that these files, as far as they are there, are used now."""
    now = time.time_ns()
    for path in paths:
        with suppress(OSError):  # gone, or of somebody else: it is only a note
            os.utime(path, ns=(now, path.stat().st_mtime_ns))


def last_used(path: Path) -> float:
    """When a file was last used or changed, in seconds since 1970."""
    found = path.stat()
    return max(found.st_atime, found.st_mtime)


def note_suite(cell_folder: Path, suite: str) -> None:
    """Note that a cell belongs to a suite of that name."""
    before = suites_of(cell_folder)
    if suite not in before:
        with suppress(OSError):
            sealed.write_json(cell_folder / SUITES, {"suites": sorted({*before, suite})})


def suites_of(cell_folder: Path) -> list[str]:
    """Names of the suites that a cell belongs to, as far as they were noted."""
    noted = sealed.read_json(cell_folder / SUITES) or {}
    found = noted.get("suites", [])
    return [str(name) for name in found] if isinstance(found, list) else []


@contextmanager
def running(cache_dir: Path) -> Iterator[None]:
    """Inside, what is used of the cache from now on is known to be in use."""
    folder = cache_dir / _RUNS / f"{time.time_ns()}-{os.getpid()}"
    try:
        lock = locks.try_to_take(folder)
    except OSError:  # a full disk, say: the run tells that itself where it matters
        lock = None
    if lock is None:
        yield
        return
    try:
        with lock:
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def oldest_run(
    cache_dir: Path, *, on_wait: Callable[[Sequence[locks.Owner]], None]
) -> tuple[float, locks.Owner] | None:
    """The first of the runs that go on now: when it was begun, in seconds since 1970, and who it
    is; None if none is going on. What killed runs left is removed. on_wait: see `free`."""
    folders = sorted((cache_dir / _RUNS).glob("*-*"))
    free(folders, on_wait=on_wait)
    begun = []
    for folder in folders:
        since, owner = folder.name.partition("-")[0], locks.owner_of(folder)
        if owner is not None and since.isdigit():
            begun.append((int(since) / 1e9, owner))
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return min(begun, key=lambda run: run[0], default=None)


def free(folders: Iterable[Path], *, on_wait: Callable[[Sequence[locks.Owner]], None]) -> None:
    """Free the locks of these folders that are held by processes of other machines, or of this one
    before it was started again, and that are gone.

    It takes up to `locks.STALE_S` to know that, for a hundred together; `on_wait` is told of whom
    before, if there are any. Afterwards one look at a lock tells who lives.
    """
    far = {folder: owner for folder in folders if (owner := locks.owner_of(folder))}
    far = {folder: owner for folder, owner in far.items() if not owner.is_here}
    if not far:
        return
    on_wait(list(far.values()))
    stopped = threading.Event()

    def take(folder: Path) -> None:
        with suppress(OSError):  # a folder that cannot be written stays as it is
            lock = locks.take(folder, on_lost=lambda: None, stop_requested=stopped.is_set)
            if isinstance(lock, locks.Lock):
                with lock:
                    pass

    with ThreadPoolExecutor(min(len(far), 100)) as pool:
        try:
            list(pool.map(take, far))
        finally:
            stopped.set()
