"""One function over many items in fresh processes, in order, with progress."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
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
    items. The first exception is raised here, after the items under way have ended. A process
    killed from outside (out of memory, say) raises `VcbenchError`.
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
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                future.result()
                if on_done:
                    on_done(count)
        except BrokenProcessPool:
            raise VcbenchError(
                f"a worker process died while running {function.__name__} on {len(items)} items, "
                "perhaps for lack of memory; try again with a smaller --jobs"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def default_jobs() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_per_job(jobs: int) -> int:
    """Threads for each of `jobs` cells at a time. It depends on nothing else: sums over another
    number of threads would round differently, and a cell's numbers with them."""
    return max(1, default_jobs() // jobs)


def _one_thread() -> None:
    """Each worker is one thread: numerical libraries read these when they are first imported."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
