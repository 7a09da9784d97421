"""One function over many items in fresh processes: all at once, or as a stream."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from itertools import chain, islice
from typing import TypeVar

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
) -> list[R]:
    """`[function(item) for item in items]`, spread over `jobs` spawned processes.

    `on_done` is called with the number of finished items; for all else see `stream_processes`.
    """
    found: dict[int, R] = {}
    with closing(stream_processes(function, items, jobs=jobs)) as results:
        for index, result in results:
            found[index] = result
            if on_done:
                on_done(len(found))
    return [found[index] for index in range(len(items))]


def stream_processes(
    function: Callable[[T], R], items: Iterable[T], *, jobs: int
) -> Generator[tuple[int, R], None, None]:
    """(index of the item, `function(item)`) of each item as it ends, over `jobs` processes.

    Items are drawn from `items` only a few ahead of the work, and neither they nor their results
    are kept, so that any number of them needs the memory of a few. `function` and the items must be
    picklable. The first exception is raised here, after the items under way have ended; an
    interrupt ends them at once, as does closing the generator early. A process killed from outside
    (out of memory, say) raises `VcbenchError`.
    """
    waiting = iter(items)
    head = list(islice(waiting, 2))
    numbered = enumerate(chain(head, waiting))
    if jobs <= 1 or len(head) <= 1:
        for index, item in numbered:
            yield index, function(item)
        return
    # Spawned, not forked: the parent may hold torch's threads, which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare_worker)
    under_way: dict[Future[R], int] = {}
    try:
        while True:
            for index, item in islice(numbered, _AHEAD * jobs - len(under_way)):
                with _deaf_to_ctrl_c():  # which may start a worker
                    under_way[pool.submit(function, item)] = index
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                index = under_way.pop(future)
                yield index, future.result()
    except BrokenProcessPool:
        raise VcbenchError(
            f"a worker process died while running {function.__name__}, perhaps for lack of "
            "memory; try again with a smaller --jobs"
        ) from None
    except Exception:
        raise
    except BaseException:
        # Whatever they write, they write atomically.
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        raise
    finally:
        # Not `with`: leaving it shuts down again, and that one would take the cancelling back. A
        # second Ctrl-C in here would leave workers behind that nobody tells to end.
        with _deaf_to_ctrl_c():
            pool.shutdown(cancel_futures=True)


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
