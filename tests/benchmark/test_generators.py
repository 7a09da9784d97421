"""The speed gates: `pytest --benchmark` fails where a built-in generator or the training step is
slower than its frozen copy (see `freeze.py`), or has other parameters, MACs or operators.

Each gate leaves its name as the property "gate" of its test, and what it measured as "figure"; the
conftest of the repository prints the figures, and fails the run if a gate is missing.
`--benchmark-json FILE` keeps the times of what is gated, by pytest-benchmark, with the ratio to the
frozen copy beside them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from vcbench.bench import counts
from vcbench.bench.generators import PHASES, WHAT, Phase, built_in, compare_prepared, prepared
from vcbench.bench.paired import TOLERANCE
from vcbench.discovery import NETWORKS, Kind
from vcbench.errors import VcbenchError
from vcbench.plugins import Registry
from vcbench.threads import torch_threads

Record = Callable[[str, object], None]
REGISTRY = Registry()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A second thread would make the figure depend on whatever else the machine does."""
    with torch_threads(1):
        yield


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", built_in(REGISTRY, "generator"))
@pytest.mark.usefixtures("one_thread")
def test_speed(
    name: str, phase: Phase, benchmark: BenchmarkFixture, record_property: Record
) -> None:
    """Batch 1, 24 x 128, one thread; in turns with the frozen copy."""
    record_property("gate", f"{name} {phase}")
    try:
        live, frozen = prepared(name, phase)
    except VcbenchError as error:
        pytest.fail(str(error), pytrace=False)
    found = compare_prepared(live, frozen)
    low, high = found.ci95
    said = (
        f"{name}, {WHAT[phase]}: {found.ratio:.3f} times the frozen copy's {found.clock} "
        f"(95 %: {low:.3f} to {high:.3f}, {found.pairs} pairs)"
    )
    benchmark.extra_info |= {"ratio": found.ratio, "ci95": found.ci95, "verdict": found.verdict}
    benchmark.pedantic(live, rounds=5)
    record_property("figure", f"{found.verdict:6} {said}")
    if found.verdict == "slower":
        pytest.fail(f"{said}: more than {1 + TOLERANCE}, slower", pytrace=False)
    if found.verdict == "unsure":
        warnings.warn(f"{said}: unsure whether more than {1 + TOLERANCE}", stacklevel=1)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in NETWORKS for name in built_in(REGISTRY, kind)]
)
def test_counts(kind: Kind, name: str, record_property: Record) -> None:
    record_property("gate", f"{name} counts")
    recorded = counts.recorded()[kind]
    if name not in recorded:
        pytest.fail(f"{kind} '{name}' has no frozen counts: run freeze.py", pytrace=False)
    found = counts.differences(recorded[name], counts.count(REGISTRY, kind, name))
    if found:
        pytest.fail(f"{kind} '{name}': {'; '.join(found)}; see freeze.py", pytrace=False)
    if counts.torch_version() not in recorded[name]["operators"]:
        known = ", ".join(recorded[name]["operators"])
        warnings.warn(
            f"{kind} '{name}': operators were counted with PyTorch {known}, not with "
            f"{counts.torch_version()}: not compared; freeze.py counts them",
            stacklevel=1,
        )
