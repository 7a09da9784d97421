"""Spreading work over processes: order, progress, and every way in which it can end badly."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from vcbench.errors import DataError, VcbenchError
from vcbench.parallel import default_jobs, map_processes, stream_processes, threads_per_job

# The first items take longest, so that they end last.
DELAYS = [0.3, 0.2, 0.1, 0.0, 0.0, 0.0]

# A shell may have started the tests with SIGINT ignored, which processes inherit.
SCRIPT = """\
import json
import signal
import sys
import time
from pathlib import Path
from vcbench.parallel import map_processes

def slow(delay):
    Path("begun").open("a").write("x")
    time.sleep(delay)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        map_processes(slow, json.loads(sys.argv[1]), jobs=2)
    except KeyboardInterrupt:
        print("interrupted")
"""


def slept(item: tuple[int, float]) -> tuple[int, int, str | None]:
    """(the item's number, the process, its OMP_NUM_THREADS)."""
    number, delay = item
    time.sleep(delay)
    return number, os.getpid(), os.environ.get("OMP_NUM_THREADS")


def test_results_are_in_order_and_each_worker_is_one_thread() -> None:
    calls: list[int] = []
    found = map_processes(slept, list(enumerate(DELAYS)), jobs=2, on_done=calls.append)
    assert [number for number, *_ in found] == list(range(6))
    assert calls == [1, 2, 3, 4, 5, 6]
    processes = {process for _, process, _ in found}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    assert {threads for *_, threads in found} == {"1"}


@pytest.mark.parametrize(("items", "jobs"), [(4, 1), (1, 2), (0, 2)])
def test_one_job_or_one_item_needs_no_process(items: int, jobs: int) -> None:
    calls: list[int] = []
    work = [(number, 0.0) for number in range(items)]
    found = map_processes(slept, work, jobs=jobs, on_done=calls.append)
    assert [number for number, *_ in found] == list(range(items))
    assert {process for _, process, _ in found} <= {os.getpid()}
    assert calls == list(range(1, items + 1))


def fail_first(item: tuple[int, Path]) -> int:
    number, folder = item
    (folder / str(number)).touch()
    if number == 0:
        raise DataError("number 0 is bad")
    time.sleep(0.02)
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_comes_back_and_what_has_not_begun_never_does(
    jobs: int, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"^number 0 is bad$"):
        map_processes(fail_first, [(number, tmp_path) for number in range(200)], jobs=jobs)
    begun = len(list(tmp_path.iterdir()))
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) == begun < 100


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stream_is_drawn_a_little_ahead_and_gives_each_result_once(jobs: int) -> None:
    drawn, finished = 0, set()

    def items() -> Iterator[tuple[int, float]]:
        nonlocal drawn
        for number in range(300):
            drawn += 1
            yield number, 0.0

    for index, (number, *_) in stream_processes(slept, items(), jobs=jobs):
        assert index == number and index not in finished
        finished.add(index)
        assert drawn - len(finished) <= 4 * jobs
    assert finished == set(range(300))


def test_a_stream_that_nobody_reads_to_its_end_ends_its_processes(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    stream = stream_processes(fail_first, ((n, tmp_path) for n in range(1, 200)), jobs=2)
    next(stream)
    assert len(set(multiprocessing.active_children()) - before) == 2
    stream.close()
    assert set(multiprocessing.active_children()) <= before
    assert len(list(tmp_path.iterdir())) < 50


def killed(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_worker_is_told_in_words() -> None:
    with pytest.raises(VcbenchError) as caught:
        map_processes(killed, range(4), jobs=2)
    assert "worker process died while running killed" in str(caught.value)
    assert "smaller --jobs" in str(caught.value)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_item_whose_process_dies_costs_no_other(jobs: int) -> None:
    found = map_processes(killed, range(5), jobs=jobs, on_death=lambda how: how)
    assert found == [0, "killed by SIGKILL", 2, 3, 4]


def left(number: int) -> int:
    if number == 0:
        os._exit(3)
    return os.getpid()


def test_with_something_to_say_of_a_death_even_one_item_has_a_process_of_its_own() -> None:
    (how,) = map_processes(left, [0], jobs=1, on_death=lambda how: how)
    assert how == "its process ended itself with exit code 3"
    (process,) = map_processes(left, [1], jobs=1, on_death=lambda how: -1)
    assert process not in (-1, os.getpid())


def unknown(number: int) -> int:
    raise ZeroDivisionError(f"of {number}")


def test_an_unexpected_exception_says_where_in_the_worker_it_came_from() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        map_processes(unknown, range(2), jobs=2)
    (note,) = caught.value.__notes__
    assert note.startswith("In a worker process:\nTraceback") and "in unknown" in note


BUSY = [0.2] * 300
# One of the two workers waits for work that never comes.
IDLE = [0.0, 2.0]


@contextmanager
def running(folder: Path, delays: list[float]) -> Iterator[subprocess.Popen[str]]:
    """A process, in a group of its own, whose workers have all begun."""
    (folder / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py", json.dumps(delays)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while begun(folder) < min(4, len(delays)):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        with suppress(ProcessLookupError):  # all have ended, as they should
            os.killpg(process.pid, signal.SIGKILL)


def begun(folder: Path) -> int:
    """Items that a worker has taken up."""
    path = folder / "begun"
    return path.stat().st_size if path.exists() else 0


@pytest.mark.parametrize("delays", [BUSY, IDLE], ids=["busy", "idle"])
def test_ctrl_c_ends_all_processes_soon_and_without_tracebacks(
    delays: list[float], tmp_path: Path
) -> None:
    """As a terminal sends it: to every process of the group."""
    with running(tmp_path, delays) as process:
        os.killpg(process.pid, signal.SIGINT)
        # The pipes close when the last of the processes has ended.
        out, err = process.communicate(timeout=30)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
    assert begun(tmp_path) < 150


def test_every_worker_is_deaf_to_ctrl_c(tmp_path: Path) -> None:
    """In a new process, whose first worker brings multiprocessing's own helper with it."""
    (tmp_path / "script.py").write_text(
        "import signal\n"
        "from vcbench.parallel import map_processes\n"
        "def is_deaf(_):\n"
        "    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"
        "if __name__ == '__main__':\n"
        "    print(map_processes(is_deaf, range(2), jobs=2), is_deaf(0))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "script.py"]
    said = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE).stdout
    assert said.split() == [b"[True,", b"True]", b"False"]


def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, BUSY) as process:
        process.kill()
        process.communicate(timeout=30)
        before = begun(tmp_path)
        time.sleep(0.5)
    assert begun(tmp_path) == before < 150


def test_threads_are_divided_between_jobs() -> None:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    assert default_jobs() >= processors
    assert threads_per_job(1) == default_jobs()
    assert threads_per_job(default_jobs()) == 1
    assert threads_per_job(10 * default_jobs()) == 1
