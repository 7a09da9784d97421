"""`pytest --benchmark`: runs the speed benchmarks, and only them; a plain `pytest` never does.

Its gates fail together if one of them did not run, renamed or forgotten. Who names tests, or some
with -k or -m, is told how many gates that leaves out.
"""

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
    if wanted:
        config.pluginmanager.register(Gates(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--benchmark")
    folder = config.rootpath / "tests" / "benchmark"
    chosen = [item for item in items if item.path.is_relative_to(folder) == wanted]
    left_out = [item for item in items if item not in chosen]
    config.hook.pytest_deselected(items=left_out)
    items[:] = chosen


class Gates:
    """Which of the speed gates ran, and what they measured: tests leave their gate's name as the
    property "gate", and a line with its figure as "figure"."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.ran: set[str] = set()
        self.figures: list[str] = []
        self.missing: list[str] = []

    @property
    def is_selection(self) -> bool:
        """Whether only some tests were asked for."""
        config = self.config
        named = config.args_source is pytest.Config.ArgsSource.ARGS
        return bool(named or config.option.keyword or config.option.markexpr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or report.skipped:
            return
        for name, value in report.user_properties:
            if name == "gate":
                self.ran.add(str(value))
            elif name == "figure":
                self.figures.append(str(value))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        from vcbench.bench.generators import gates
        from vcbench.plugins import Registry

        if self.config.option.collectonly:
            return
        self.missing = sorted(gates(Registry()) - self.ran)
        if self.missing and not self.is_selection and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.figures:
            terminalreporter.section("speed beside the frozen copies")
            for figure in self.figures:
                terminalreporter.write_line(figure)
        if not self.missing:
            return
        if self.is_selection:
            said = f"{len(self.missing)} speed gates did not run: this was a selection, no gate"
            terminalreporter.write_line(said, yellow=True)
            return
        terminalreporter.section("speed gates that did not run", red=True)
        for name in self.missing:
            terminalreporter.write_line(name)
        terminalreporter.write_line(
            "A gate belongs to each built-in generator and discriminator, and to what was one when "
            "tests/benchmark/freeze.py was run last."
        )
