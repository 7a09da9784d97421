"""One machine, and who may use it now: many processes train at a time, one alone measures.

A file in the cache's folder `locks` for each machine, which training processes lock together and
who measures locks alone. The kernel frees it when its holder ends, however that ends. Nobody waits
for ever: after `LIMIT_S` a measurement is left out, and a training begins.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT_S = 600.0
_POLL_S = 0.2


@contextmanager
def training(cells_dir: Path, *, stop_requested: Callable[[], bool]) -> Iterator[None]:
    """While a cell below `cells_dir` trains; first waits until nobody measures."""
    with _file(cells_dir.parent) as handle:
        _locked(handle, fcntl.LOCK_SH, stop_requested)
        yield


@contextmanager
def measuring(cache_dir: Path, *, on_wait: Callable[[], None]) -> Iterator[bool]:
    """Yields whether this process has the machine for itself, as far as vcbench goes.

    on_wait: called once if it has to wait, so that it can be said for whom.
    """
    told = False

    def waits() -> bool:
        nonlocal told
        if not told:
            told = True
            on_wait()
        return False

    with _file(cache_dir) as handle:
        yield _locked(handle, fcntl.LOCK_EX, waits)


@contextmanager
def _file(cache_dir: Path) -> Iterator[int | None]:
    path = cache_dir / "locks" / f"{platform.node()}.machine"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # a full disk, say: as where the file system has no locks
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _locked(handle: int | None, how: int, stop_requested: Callable[[], bool]) -> bool:
    """Whether it could be had within the limit, before being told to stop."""
    if handle is None:
        return True
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if stop_requested() or time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        except OSError:  # this file system has no such locks: better measured beside others
            return True
