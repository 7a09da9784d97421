"""A cell that raises, is killed, crashes, hangs or eats all memory costs its own row alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from place import Place, cells, scored, tables

# What its generator does, and what the run then says of the cell.
FAULTS = {
    "trained-raises": ("failed", "ValueError: a plugin of the test raises this"),
    "trained-is-killed": ("oom", "killed by SIGKILL"),
    "trained-crashes": ("failed", "killed by SIGSEGV"),
    "trained-hangs": ("timeout", "stopped at its time limit of 40 s"),
    "trained-eats-memory": ("oom", "over its limit of 1.00 GiB"),
    "converting-crashes": ("failed", "killed by SIGSEGV"),
}


@pytest.fixture(scope="module")
def disturbed(
    tmp_path_factory: pytest.TempPathFactory, speech: Path
) -> tuple[Place, subprocess.CompletedProcess[str], Path]:
    """A run in which each fault has a cell, beside one that is fine."""
    systems = {mood: {"mood": mood} for mood in ("fine", *FAULTS)}
    place = Place(tmp_path_factory.mktemp("cells"), speech, systems)
    place.tell(*FAULTS)
    done = place.run("--timeout", "40s", "--memory", "1GiB")
    return place, done, place.latest


@pytest.mark.slow
def test_the_exit_code_tells(disturbed: tuple) -> None:
    _, done, _ = disturbed
    assert done.returncode == 1, done.stderr
    assert f"cells that failed: {len(FAULTS)}" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("mood", FAULTS)
def test_each_fault_is_told_of_its_cell(disturbed: tuple, mood: str) -> None:
    _, done, run = disturbed
    status, reason = FAULTS[mood]
    found = cells(run)[mood]
    assert (found["status"], reason in found["reason"]) == (status, True), found
    assert f"FAILED {mood}/LOW-HIGH/0: " in done.stderr


@pytest.mark.slow
def test_the_others_are_all_there(disturbed: tuple) -> None:
    _, _, run = disturbed
    found = cells(run)
    assert {name for name, cell in found.items() if cell["status"] == "ok"} == {
        "fine",
        "source-copy",
    }
    # Two directions, two sentences, two metrics.
    assert {name: scored(run)[name] for name in ("fine", "source-copy")} == {
        "fine": 8,
        "source-copy": 8,
    }


@pytest.mark.slow
def test_running_again_ends_as_if_nothing_had_been(
    disturbed: tuple, undisturbed: Callable[[Place], Path]
) -> None:
    place, _, _ = disturbed
    place.tell()
    again = place.run()
    assert again.returncode == 0, again.stderr
    assert f"training: {sum(m.startswith('trained') for m in FAULTS)} cells trained" in again.stderr
    assert tables(place.latest) == tables(undisturbed(place))


def test_a_system_that_crashes_when_it_is_built_is_refused_before_anything_is_computed(
    place: Callable[..., Place], undisturbed: Callable[[Place], Path]
) -> None:
    """Else the run would die without a word, and again and again."""
    here = place({"checked-crashes": {"mood": "checked-crashes"}})
    here.tell("checked-crashes")
    done = here.run()
    assert done.returncode == 2
    assert "systems.checked-crashes: killed by SIGSEGV while its networks were built" in done.stderr
    assert not here.reports.exists()
