"""The harness itself killed with SIGKILL, at any moment; and two that run one suite at once."""

from __future__ import annotations

import random
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from place import Place, tables

SYSTEMS: dict[str, dict[str, int]] = {"a": {}, "b": {"width": 5}}
# What a run says when a part of it begins; the report is what follows the speeds.
PARTS = {
    "start": "",
    "features": r"extracting features \.\.\.",
    "training": r"training 1 of ",
    "trained": r"training: ",
    "conversion": r"converting speech \.\.\.",
    "scoring": r"scoring \.\.\.",
    "report": r"measuring throughput: ",
}
KILLS = 20


def killed_in(place: Place, part: str, delay_s: float) -> bool:
    """Start a run and kill it so long after that part has begun; False if it had ended by then."""
    with subprocess.Popen(
        place.command(),
        env=place.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        if PARTS[part]:
            for line in process.stderr:
                if re.match(PARTS[part], line):
                    break
        time.sleep(delay_s)
        was_running = process.poll() is None
        process.kill()
        # A cell that it trains goes on by itself, also beside the next run.
        assert "Traceback" not in process.stderr.read()
        return was_running


def wait_for_cells(place: Place) -> None:
    """Until none is trained any more, by whom ever."""
    deadline = time.monotonic() + 120
    while any(
        str(place.cache).encode() in command(folder) for folder in Path("/proc").glob("[0-9]*")
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def forget(place: Place, part: str) -> None:
    """Delete what a run would find done, so that the part has something to do."""
    doomed = {
        "features": ["features/*/*"],
        "training": ["cells/*/*"],
        "conversion": ["cells/*/converted/*/*/*", "scores/*/*"],
        "scoring": ["scores/*/*"],
    }
    if part == "training":
        wait_for_cells(place)
    for pattern in doomed.get(part, []):
        for path in place.cache.glob(pattern):
            if path.is_file():
                path.unlink()


@pytest.mark.slow
def test_killed_at_random_moments_and_run_again(
    place: Callable[..., Place], undisturbed: Callable[[Place], Path]
) -> None:
    here = place(SYSTEMS, training="checkpoint_every: 1")
    expected = tables(undisturbed(here))
    rng = random.Random(7)
    parts = [part for part in PARTS for _ in range(KILLS // len(PARTS) + 1)][:KILLS]
    rng.shuffle(parts)
    hits = dict.fromkeys(PARTS, 0)
    for number, part in enumerate(parts):
        forget(here, part)
        hits[part] += killed_in(here, part, rng.uniform(0, 1.5))
        if number % 5 == 4:
            done = here.run()
            assert done.returncode == 0, done.stderr
            assert tables(here.latest) == expected
    assert sum(hits.values()) >= 0.8 * KILLS, hits
    assert all(hits.values()), hits


@pytest.mark.slow
def test_two_runs_of_one_suite_at_once(
    place: Callable[..., Place], undisturbed: Callable[[Place], Path]
) -> None:
    """From nothing, in one cache: each cell is trained by one of them, and both have both. They are
    slow at it, so that both come to want the same cell at the same time."""
    here = place({name: {"mood": "any", **options} for name, options in SYSTEMS.items()})
    here.tell("trained-is-slow")
    expected = tables(undisturbed(here))
    options = {"env": here.environment(), "stdout": subprocess.DEVNULL}
    both = [
        subprocess.Popen(here.command(), **options, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=500)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert not any("Traceback" in text for text in said)
    assert here.trainings() == len(SYSTEMS)
    first, second = here.runs
    assert tables(first) == tables(second) == expected
