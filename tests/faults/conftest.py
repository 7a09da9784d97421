"""What the tests of faults share: recordings, and tables of runs that nothing disturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_corpus
from place import Place

Make = Callable[..., Place]


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings that no test changes."""
    folder = tmp_path_factory.mktemp("corpus")
    small_corpus.write(folder)
    return folder / "speech"


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, speech: Path) -> Callable[[Place], Path]:
    """The folder of a run of a place's suite elsewhere, with nothing in the cache and no fault."""
    found: dict[str, Path] = {}

    def run(place: Place) -> Path:
        text = place.suite.read_text(encoding="utf-8")
        if text not in found:
            folder = tmp_path_factory.mktemp("undisturbed")
            other = Place(folder, place.speech, place.systems, place.training)
            done = other.run()
            assert done.returncode == 0, done.stderr
            found[text] = other.latest
        return found[text]

    return run


@pytest.fixture
def place(tmp_path: Path, speech: Path) -> Make:
    """Makes a place of the test's own."""

    def make(systems: dict[str, dict[str, Any]], **options: Any) -> Place:
        return Place(tmp_path / "place", speech, systems, **options)

    return make
