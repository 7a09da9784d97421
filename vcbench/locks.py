"""Who trains in a cell's folder: at any time one process, on whatever machine.

The lock of a folder is its file `lock.N` with the highest N. It names its owner, and who wants it
creates `lock.N+1` once that owner has released it or is known to be gone: creating a file that must
not exist is the one step that every file system gives to one process alone, so that no two take
over from the same owner. The file with the highest N is never deleted: who had looked earlier, and
creates a lower one late, sees the higher and gives way.

Whether an owner is gone is certain on its own machine, where a process id and the time since boot
at which it was started name a process. Of another machine only its heartbeat is seen, the time of
the file, which its owner sets anew every `HEARTBEAT_S`: if who waits sees no change for `STALE_S`
of its own time since boot, the owner counts as gone. No two clocks are compared, and none that can
be set. An owner that was only held up (a suspended machine, a store out of reach) finds out at its
next heartbeat that another has taken over, and ends without writing anything more.
"""

from __future__ import annotations

import json
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from vcbench import processes, sealed

HEARTBEAT_S = 10.0
STALE_S = 120.0
HARNESS = "VCBENCH_HARNESS"  # environment variable: the process that started a cell
_NAME = re.compile(r"lock\.(\d+)")


@dataclass(frozen=True)
class Owner:
    """A process that trains. since: UTC, for people. gpu: its CUDA_VISIBLE_DEVICES. harness: the
    run that started it, as `this_process` names it; "" if none did."""

    host: str
    machine: str
    pid: int
    started: int | None
    since: str
    gpu: str = ""
    harness: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine, so that its life is known for certain."""
        return bool(self.machine) and self.machine == processes.this_machine()

    @property
    def is_alive(self) -> bool:
        """Of an owner that is here."""
        return self.started is not None and processes.started(self.pid) == self.started

    @property
    def is_orphan(self) -> bool:
        """Whether it goes on here by itself: the run that started it was killed."""
        if not (self.is_here and self.is_alive and self.harness):
            return False
        pid, _, ticks = self.harness.partition(":")
        return pid.isdigit() and str(processes.started(int(pid))) != ticks

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host or 'a machine unknown'}, since {self.since}"


_UNREADABLE = Owner(host="", machine="", pid=0, started=None, since="a time unknown")


def this_process() -> str:
    """For `HARNESS`."""
    return f"{os.getpid()}:{processes.started(os.getpid())}"


def owner_of(folder: Path) -> Owner | None:
    """Who trains in `folder`, as far as one look tells: an owner on another machine may be gone."""
    return Watch(folder).owner()


def owners_here(folder: Path) -> list[Owner]:
    """Processes of this machine that train in folders of `folder`."""
    found = sorted({path.parent for path in folder.glob("*/lock.*")})
    owners = [owner_of(path) for path in found]
    return [owner for owner in owners if owner is not None and owner.is_here]


def is_lock(path: Path) -> bool:
    """Whether a file is called as a folder's lock is."""
    return _NAME.fullmatch(path.name) is not None


class Watch:
    """Looking at a folder's lock again and again, since one look does not tell whether the owner on
    another machine still lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0  # of the newest lock, 0 if there is none
        self.is_beating = False  # whether its heartbeat was seen
        self._beat: tuple[int, int] | None = None
        self._since = time.monotonic()

    def owner(self) -> Owner | None:
        """Who holds the lock; None if it can be had."""
        while True:
            self.number = _newest(self.folder)
            if self.number == 0:
                return None
            try:
                # Opened, and asked as an open file: a network file system then asks its server.
                with _path(self.folder, self.number).open(
                    encoding="utf-8", errors="replace"
                ) as file:
                    beat = (self.number, os.fstat(file.fileno()).st_mtime_ns)
                    owner = _parsed(file.read())
                break
            except FileNotFoundError:  # there is a newer one by now
                continue
        if beat != self._beat:
            self.is_beating = self._beat is not None and self._beat[0] == self.number
            self._beat, self._since = beat, time.monotonic()
        if owner is None:
            return None
        if owner.is_here:
            return owner if owner.is_alive else None
        return owner if time.monotonic() - self._since < STALE_S else None


class Lock:
    """The lock of a folder, held by this process until it is left; see `take`."""

    def __init__(self, folder: Path, number: int, on_lost: Callable[[], None]) -> None:
        self._folder, self._number, self._on_lost = folder, number, on_lost
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()
        with suppress(OSError):  # a full disk: the next sees that this process has ended
            if _newest(self._folder) == self._number:
                released = {"released": _now()}
                sealed.write_text(_path(self._folder, self._number), json.dumps(released) + "\n")

    def _beat(self) -> None:
        while not self._left.wait(HEARTBEAT_S):
            with suppress(OSError):  # out of reach: the next beat may tell more
                if _newest(self._folder) != self._number:
                    self._on_lost()
                    return
                os.utime(_path(self._folder, self._number))


def try_to_take(folder: Path) -> Lock | None:
    """The folder's lock, or None if another process holds it or may hold it; for a moment only,
    since nobody is told when another takes over. Raises `OSError` if nothing can be written."""
    return _taken(Watch(folder), lambda: None)


def take(
    folder: Path,
    *,
    on_lost: Callable[[], None],
    stop_requested: Callable[[], bool] = lambda: False,
) -> Lock | Owner | None:
    """The folder's lock, or who holds it; None if `stop_requested` before either was known.

    on_lost: called, in another thread, once another process has taken over: nothing may be written
    in the folder any more.

    Returns at once but for an owner on another machine: then as soon as its heartbeat was seen, or
    after `STALE_S` in which none was. Raises `OSError` if nothing can be written in the folder.
    """
    watch = Watch(folder)
    while not stop_requested():
        lock = _taken(watch, on_lost)
        if lock is not None:
            return lock
        owner = watch.owner()
        if owner is not None and (owner.is_here or watch.is_beating):
            return owner
        time.sleep(0.2)
    return None


def _taken(watch: Watch, on_lost: Callable[[], None]) -> Lock | None:
    if watch.owner() is not None:
        return None
    folder = watch.folder
    folder.mkdir(parents=True, exist_ok=True)
    number = watch.number + 1
    path = _path(folder, number)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(_this_owner()), indent=1) + "\n")
    except OSError:
        path.unlink(missing_ok=True)  # the one before still stands: it is the highest again
        raise
    if _newest(folder) != number:  # what was seen was no longer so
        path.unlink(missing_ok=True)
        return None
    for older, found in _locks(folder):
        if older < number:
            found.unlink(missing_ok=True)
    return Lock(folder, number, on_lost)


def _this_owner() -> Owner:
    return Owner(
        host=platform.node(),
        machine=processes.this_machine(),
        pid=os.getpid(),
        started=processes.started(os.getpid()),
        since=_now(),
        gpu=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        harness=os.environ.get(HARNESS, ""),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _parsed(text: str) -> Owner | None:
    """None if it was released. What cannot be read is being written, or its writer was killed."""
    try:
        stored = json.loads(text)
        return None if "released" in stored else Owner(**stored)
    except (ValueError, TypeError, RecursionError):
        return _UNREADABLE


def _path(folder: Path, number: int) -> Path:
    return folder / f"lock.{number}"


def _locks(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in folder.glob("lock.*"):
        if match := _NAME.fullmatch(path.name):
            yield int(match[1]), path


def _newest(folder: Path) -> int:
    return max((number for number, _ in _locks(folder)), default=0)
