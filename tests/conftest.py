"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_corpus
from home import Home
from hypothesis import settings

from vcbench import locks

# A busy machine is no failure; and continuous integration tries the same examples every time, so
# that it fails because of a change and not of a draw.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session")
def vcc2016_dir() -> Path:
    """The data directory that holds VCC2016; the test is skipped, saying so, where it is absent."""
    named = os.environ.get("VCBENCH_DATA_DIR", "")
    folder = Path(named).resolve() if named else None
    layouts = ("npVCC2016/evals", "vcc2016_training")
    if folder is None or not any((folder / layout).is_dir() for layout in layouts):
        pytest.skip("needs VCC2016: set VCBENCH_DATA_DIR to a folder that holds it")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a cache and a reports folder of its own, never the user's."""
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("VCBENCH_REPORTS_DIR", str(tmp_path / "reports"))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home in which the small suite has been run once, from nothing."""
    folder = tmp_path_factory.mktemp("home")
    suite = small_corpus.write(folder)
    environment = {
        **os.environ,
        "VCBENCH_CACHE_DIR": str(folder / "cache"),
        "VCBENCH_REPORTS_DIR": str(folder / "reports"),
    }
    home = Home(suite, folder, environment)
    done = home.run()
    assert done.returncode == 0, done.stderr
    yield home
    # A test that failed may have left a cell that trains on by itself.
    for owner in locks.owners_here(folder / "cache" / "cells"):
        os.kill(owner.pid, signal.SIGKILL)
