"""`pytest --benchmark`: runs the speed benchmarks, and only them; a plain `pytest` never does."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vcbench")
    group.addoption("--benchmark", action="store_true", help="run the speed benchmarks, only them")


@pytest.hookimpl(tryfirst=True)  # pytest-benchmark reads its options in a later pytest_configure
def pytest_configure(config: pytest.Config) -> None:
    wanted = config.getoption("--benchmark")
    config.option.benchmark_enable = wanted
    config.option.benchmark_disable = not wanted


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--benchmark")
    folder = config.rootpath / "tests" / "benchmark"
    chosen = [item for item in items if item.path.is_relative_to(folder) == wanted]
    left_out = [item for item in items if item not in chosen]
    config.hook.pytest_deselected(items=left_out)
    items[:] = chosen
