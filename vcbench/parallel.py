"""One function over many items in fresh processes, in order, with progress."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from vcbench.errors import VcbenchError

T = TypeVar("T")
R = TypeVar("R")


def map_processes(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    jobs: int,
    on_done: Callable[[int], None] | None = None,
) -> list[R]:
    """`[function(item) for item in items]`, spread over `jobs` spawned processes.

    `function` and the items must be picklable. `on_done` is called with the number of finished
    items. The first exception is raised here, after the items under way have ended; an interrupt
    ends them at once. A process killed from outside (out of memory, say) raises `VcbenchError`.
    """
    if jobs <= 1 or len(items) <= 1:
        results = []
        for index, item in enumerate(items):
            results.append(function(item))
            if on_done:
                on_done(index + 1)
        return results
    # Spawned, not forked: the parent may hold torch's threads, which do not survive a fork.
    context = multiprocessing.get_context("spawn")
    workers = min(jobs, len(items))
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)
    try:
        with _deaf_to_ctrl_c():  # which starts the workers
            futures = [pool.submit(function, item) for item in items]
        for count, future in enumerate(as_completed(futures), start=1):
            future.result()
            if on_done:
                on_done(count)
        return [future.result() for future in futures]
    except BrokenProcessPool:
        raise VcbenchError(
            f"a worker process died while running {function.__name__} on {len(items)} items, "
            "perhaps for lack of memory; try again with a smaller --jobs"
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
