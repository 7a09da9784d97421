"""Fixtures of the training tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from whole_trainings import PLUGINS


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums over another number of threads round differently; tests compare bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def plugin_file(tmp_path: Path) -> str:
    """Path of a new file with `whole_trainings.PLUGINS`."""
    path = tmp_path / "loop_plugins.py"
    path.write_text(PLUGINS)
    return str(path)
