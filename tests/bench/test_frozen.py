"""The frozen copies: whole, apart from what they are copies of, and equal to it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import torch
from benchmark import freeze
from torch import nn

from vcbench import fingerprint
from vcbench.bench import clone, counts, generators
from vcbench.bench.counts import Counts, count, count_of, differences
from vcbench.discovery import NETWORKS, Kind
from vcbench.errors import UsageError, VcbenchError
from vcbench.plugins import Registry

NAMES = generators.built_in(Registry(), "generator")
TIMED = ("architectures", "vcbench.training")


def test_nobody_edited_the_snapshot() -> None:
    found = fingerprint.of_sources(freeze.FROZEN.rglob("*.py"))
    assert found == counts.recorded()["sha256"], "see tests/benchmark/freeze.py"


def test_the_snapshot_imports_nothing_that_is_timed_beside_it() -> None:
    sources = [path for path in freeze.FROZEN.rglob("*.py") if path.name != "__init__.py"]
    assert {path.stem for path in sources} >= {"cyclegan_vc", "layers", "step", "optimizers"}
    for path in sources:
        for name in freeze.imports(ast.parse(path.read_text(encoding="utf-8"))):
            timed = name.startswith(TIMED) and not name.startswith(tuple(freeze.SHARED))
            assert not timed, f"{path}: {name}"


def test_imports_are_turned_and_nothing_else() -> None:
    source = (
        "from architectures.layers import Glu\n"
        "from vcbench.plugins import register_generator\n"
        "import vcbench.training.step as step\n"
        "from vcbench.training.steps import x\n"
        "def f():\n    from vcbench.training import step\n"
        "    # from architectures.layers import Glu: a comment\n"
    )
    assert freeze.rewritten(source, {"architectures.layers", "vcbench.training.step"}) == (
        "from vcbench_frozen.architectures.layers import Glu\n"
        "from vcbench.plugins import register_generator\n"
        "import vcbench_frozen.training.step as step\n"
        "from vcbench.training.steps import x\n"
        "def f():\n    from vcbench_frozen.training import step\n"
        "    # from architectures.layers import Glu: a comment\n"
    )


def test_what_only_type_checkers_import_is_not_copied() -> None:
    tree = ast.parse("import a\nif TYPE_CHECKING:\n    import b\ndef f():\n    from c import d\n")
    assert list(freeze.imports(tree)) == ["a", "c", "c.d"]


@pytest.mark.parametrize("name", NAMES)
def test_the_copy_is_another_class_with_the_same_output(name: str) -> None:
    live, frozen = generators.generators(name, scale=0.03)
    assert type(live).__module__.startswith("architectures.")
    of_frozen = {type(module).__module__ for module in frozen.modules()}
    assert all(module.startswith(("vcbench_frozen.", "torch.")) for module in of_frozen)
    mcep = torch.randn(2, 24, 37)
    torch.testing.assert_close(live(mcep), frozen(mcep), rtol=1e-4, atol=1e-5)


def test_a_network_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = generators.forward

    def changed(generator: nn.Module, mcep: torch.Tensor) -> object:
        call = real(generator, mcep)
        off = 1.001 if type(generator).__module__.startswith("architectures.") else 1.0
        return lambda: [off * output for output in call()]

    monkeypatch.setattr(generators, "forward", changed)
    with pytest.raises(VcbenchError, match=r"another function now; if that is meant, run: python"):
        generators.prepared(NAMES[0], "forward", scale=0.03)


def test_what_was_never_frozen_is_named() -> None:
    with pytest.raises(VcbenchError, match="generator 'mine' has no frozen copy"):
        generators.FrozenRegistry().get("generator", "mine")


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_built_in_network_has_its_counts(kind: Kind) -> None:
    registry = Registry()
    recorded = counts.recorded()[kind]
    assert sorted(recorded) == generators.built_in(registry, kind)
    for name, known in recorded.items():
        declared = registry.declaration(kind, name).details["parameters"]
        assert known["parameters"] == int(declared)


def test_gates_are_those_of_what_is_registered_or_was(monkeypatch: pytest.MonkeyPatch) -> None:
    gates = generators.gates(Registry())
    assert {"cyclegan-vc-1d forward", "cyclegan-vc-1d step", "patchgan counts"} <= gates
    recorded = counts.recorded()
    recorded["generator"]["renamed-since"] = recorded["generator"].pop("cyclegan-vc-1d")
    monkeypatch.setattr(counts, "recorded", lambda: recorded)
    more = generators.gates(Registry()) - gates
    assert more == {f"renamed-since {what}" for what in ("forward", "backward", "step", "counts")}
    assert gates <= generators.gates(Registry())


class Doubled(nn.Module):
    def __init__(self, *, clone: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(128, 5, bias=False)
        self.clone = clone

    def forward(self, mcep: torch.Tensor) -> torch.Tensor:
        doubled = self.linear(mcep) * 2
        return doubled.clone() if self.clone else doubled


def test_counts_by_hand() -> None:
    plain, cloning = (count_of(lambda c=c: Doubled(clone=c)) for c in (False, True))
    assert plain.parameters == cloning.parameters == 5 * 128
    assert plain.macs == cloning.macs == 24 * 5 * 128
    assert cloning.operators == plain.operators + 1


def test_differences_are_said_in_words() -> None:
    version = counts.torch_version()
    recorded = {"parameters": 1000, "macs": 2000, "operators": {version: 3, "0.1": 99}}
    assert differences(recorded, Counts(1000, 2000, 3)) == []
    assert differences(recorded, Counts(1001, 2000, 4)) == [
        "parameters were 1,000 and are 1,001",
        "operators were 3 and are 4",
    ]
    recorded["operators"] = {"0.1": 99}
    assert differences(recorded, Counts(1000, 2000, 4)) == []


def test_counting_again_gives_the_same() -> None:
    registry = Registry()
    assert count(registry, "generator", NAMES[0]) == count(registry, "generator", NAMES[0])


def test_outside_a_clone_bench_says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "FOLDER", tmp_path)
    for name in ("vcbench_frozen", "vcbench_reference_step"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for wanted in (clone.frozen, clone.reference_step, counts.recorded):
        with pytest.raises(UsageError, match="in a clone of vcbench"):
            wanted()
