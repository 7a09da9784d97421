"""A fixture for the conftest of folders whose tests compute with PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vcbench.threads import torch_threads


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums over another number of threads round differently, and some tests compare bit by bit;
    for the small networks of tests, more threads only wait for each other."""
    with torch_threads(1):
        yield
