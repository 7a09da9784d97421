"""One function over many items in fresh processes: all at once, or as a stream.

Not concurrent.futures: where one of its workers dies, all that the others were at is lost, and
nobody knows which item it was.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from vcbench.errors import VcbenchError

T = TypeVar("T")
R = TypeVar("R")

# Items drawn for each process: the one it works on and what it takes up next.
_AHEAD = 4


def map_processes(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    jobs: int,
    on_done: Callable[[int], None] | None = None,
    on_death: Callable[[str], R] | None = None,
) -> list[R]:
    """`[function(item) for item in items]`, spread over `jobs` spawned processes.

    `on_done` is called with the number of finished items; for all else see `stream_processes`.
    """
    found: dict[int, R] = {}
    with closing(stream_processes(function, items, jobs=jobs, on_death=on_death)) as results:
        for index, result in results:
            found[index] = result
            if on_done:
                on_done(len(found))
    return [found[index] for index in range(len(items))]


def stream_processes(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    jobs: int,
    on_death: Callable[[str], R] | None = None,
) -> Generator[tuple[int, R], None, None]:
    """(index of the item, `function(item)`) of each item as it ends, over `jobs` processes.

    Items are drawn from `items` only a few ahead of the work, and neither they nor their results
    are kept, so that any number of them needs the memory of a few. `function` and the items must be
    picklable. The first exception is raised here, after the items under way have ended; an
    interrupt ends them at once, as does closing the generator early.

    An item whose process dies (out of memory, or in the machine code of a plugin) gets what
    `on_death` makes of how it died, "killed by SIGSEGV" say, and the others go on; without
    `on_death` it raises `VcbenchError`. With it, no item is worked on in this process itself; else
    one job, or one item, needs no other.
    """
    waiting = iter(items)
    head = list(islice(waiting, 2))
    numbered = enumerate(chain(head, waiting))
    if on_death is None and (jobs <= 1 or len(head) <= 1):
        for index, item in numbered:
            yield index, function(item)
        return
    workers: list[_Worker] = []
    drawn: deque[tuple[int, T]] = deque()
    try:
        while True:
            drawn.extend(islice(numbered, 0 if drawn else 1))
            idle = [worker for worker in workers if worker.index is None]
            if drawn and not idle and len(workers) < max(1, jobs):
                idle = [_start()]
                workers += idle
            if drawn and idle:
                idle[0].begin(function, *drawn.popleft())
                continue
            busy = [worker for worker in workers if worker.index is not None]
            if not busy:
                return
            # While they work, so that none of them waits for the next one to be drawn.
            drawn.extend(islice(numbered, _AHEAD * max(1, jobs) - len(busy) - len(drawn)))
            for connection in wait([worker.connection for worker in busy]):
                worker = next(w for w in busy if w.connection is connection)
                done, worker.index = worker.index, None
                assert done is not None
                try:
                    is_well, found = worker.connection.recv()
                except (EOFError, OSError):  # also in the middle of its answer
                    workers.remove(worker)
                    is_well, found = _after_death(worker.death(), function, on_death)
                if not is_well:
                    raise found
                yield done, found
    except Exception:
        raise
    except BaseException:
        # Whatever they write, they write atomically.
        for worker in workers:
            worker.process.kill()
        raise
    finally:
        # A second Ctrl-C in here would leave workers behind that nobody tells to end.
        with _deaf_to_ctrl_c():
            for worker in workers:
                worker.end()


@dataclass
class _Worker:
    """A process, the pipe to it, and the index of the item that it works on."""

    process: SpawnProcess
    connection: Connection
    index: int | None = None

    def begin(self, function: Callable[..., Any], index: int, item: Any) -> None:
        """Give it an item; that it has died by now is seen where its result is read."""
        self.index = index
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send((function, item))

    def death(self) -> str:
        """How it ended, once its pipe is closed."""
        self.process.join()
        self.connection.close()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"its process ended itself with exit code {code}"
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:  # a real-time signal
            return f"killed by signal {-code}"

    def end(self) -> None:
        """Let it finish what it works on, if it lives."""
        with suppress(OSError):
            self.connection.send(None)
        if self.index is not None:
            with suppress(Exception):  # nobody wants the result, whatever it is
                self.connection.recv()
        self.process.join()
        self.connection.close()


def _start() -> _Worker:
    # Spawned, not forked: the parent may hold torch's threads, which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there,))
    resource_tracker.ensure_running()  # unblocks SIGINT: not between the next two lines
    with _deaf_to_ctrl_c():
        process.start()
    there.close()  # else its end would not be seen here
    return _Worker(process, here)


def _work(connection: Connection) -> None:
    """The life of a worker."""
    _prepare_worker()
    with suppress(EOFError):  # the parent was killed
        while (given := connection.recv()) is not None:
            function, item = given
            try:
                found = True, function(item)
            except VcbenchError as error:
                found = False, error
            except Exception as error:
                error.add_note(f"In a worker process:\n{traceback.format_exc()}")
                found = False, error
            connection.send(found)


def _after_death(
    how: str, function: Callable[[T], R], on_death: Callable[[str], R] | None
) -> tuple[bool, Any]:
    """As a worker's answer: whether it is a result, and that or an exception."""
    if on_death is not None:
        return True, on_death(how)
    return False, VcbenchError(
        f"a worker process died while running {function.__name__} ({how}), perhaps for lack of "
        "memory; try again with a smaller --jobs"
    )


def default_jobs() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_per_job(jobs: int) -> int:
    """Threads for each of `jobs` cells at a time. It depends on nothing else: sums over another
    number of threads would round differently, and a cell's numbers with them."""
    return max(1, default_jobs() // jobs)


def _prepare_worker() -> None:
    # Numerical libraries read these when they are first imported: each worker is one thread.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started inside never hear of SIGINT, which reaches all those of a terminal: their
    parent ends them in order. It hears itself what came meanwhile when this is left."""
    if not hasattr(signal, "pthread_sigmask"):  # not Unix
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
