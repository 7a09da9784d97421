"""Fixtures of the training tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from one_thread import one_thread  # noqa: F401
from whole_trainings import PLUGINS


@pytest.fixture
def plugin_file(tmp_path: Path) -> str:
    """Path of a new file with `whole_trainings.PLUGINS`."""
    path = tmp_path / "loop_plugins.py"
    path.write_text(PLUGINS)
    return str(path)
