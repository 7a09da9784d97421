"""The conformance kit: each broken plugin is caught by the check meant for it, and by no other."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from one_fresh_process import Ask, ask_once

from vcbench.errors import PluginError
from vcbench.plugins import Registry
from vcbench.testing import (
    Check,
    all_checks,
    architecture_checks,
    behaviour,
    citizenship,
    global_state,
)

GENERATOR = '''\
import random

import numpy as np
import torch
from torch import nn

from vcbench.plugins import register_generator

# AT IMPORT


class Network(nn.Module):
    takes_mask = True

    def __init__(self, n_mcep: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(n_mcep + 1, hidden, 5, stride=2, padding=2)
        self.norm = nn.InstanceNorm1d(hidden, affine=True)
        self.last = nn.Conv1d(hidden, 2 * n_mcep, 5, padding=2)
        # AT INIT

    def forward(self, mcep, mask=None):
        # AT ONCE
        frames = mcep.shape[-1]
        mask = torch.ones_like(mcep[:, :1]) if mask is None else mask
        x = torch.cat([mcep * mask, mask], dim=1)
        x = nn.functional.pad(x, (0, (-frames) % 2 + 2), mode="replicate")
        x = self.norm(self.first(x)).relu()
        even, odd = self.last(x).chunk(2, dim=1)
        x = torch.stack([even, odd], dim=-1).flatten(2)[..., :frames]
        # AT LAST
        return mcep * mask + x


@register_generator("under-test", parameters=11824)
def under_test(*, n_mcep: int, scale: float):
    """A generator."""
    hidden = max(2, round(32 * scale))
    # AT BUILD
    return Network(n_mcep, hidden)
'''

DISCRIMINATOR = '''\
import torch
from torch import nn

from vcbench.plugins import register_discriminator


class Network(nn.Module):
    def __init__(self, n_mcep: int, hidden: int, sigmoid: bool) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.first = nn.Conv1d(n_mcep, hidden, 4, stride=4)
        self.last = nn.Conv1d(hidden, 1, 4, stride=4)

    def forward(self, mcep):
        x = self.first(mcep)
        # AT ONCE
        x = self.last(nn.functional.leaky_relu(x, 0.2))
        # AT LAST
        return torch.sigmoid(x) if self.sigmoid else x


@register_discriminator("under-test")
def under_test(*, n_mcep: int, scale: float, sigmoid: bool = True, segment_frames: int):
    """A discriminator."""
    # AT BUILD
    return Network(n_mcep, max(2, round(32 * scale)), sigmoid)
'''

Change = tuple[str, str]

# What is put where, and the checks that must fail.
BROKEN_GENERATORS: dict[str, tuple[list[Change], set[str]]] = {
    "crops odd lengths": (
        [("# AT LAST", "return (mcep * mask + x)[..., : frames // 2 * 2]")],
        {"any-length"},
    ),
    "one frame is too few": ([("# AT ONCE", "assert mcep.shape[-1] > 1")], {"any-length"}),
    "returns two things": ([("# AT LAST", "if frames == 9: return x, x")], {"any-length"}),
    "NaN at one length": ([("# AT LAST", "x = x / (frames != 129)")], {"any-length"}),
    "refuses without a reason": ([("# AT BUILD", "assert n_mcep != 13")], {"coefficients"}),
    "an unused layer": (
        [("# AT INIT", "self.extra = nn.Conv1d(3, 3, 3)"), ("=11824", "=11854")],
        {"gradients"},
    ),
    "a layer times zero": (
        [
            ("# AT INIT", "self.extra = nn.Conv1d(hidden, 3, 1)"),
            (
                "# AT LAST",
                "x = x + 0 * self.extra(torch.ones_like(self.norm.weight)[:, None]).sum()",
            ),
            ("=11824", "=11923"),
        ],
        {"gradients"},
    ),
    "a layer detached": ([("# AT LAST", "x = x.detach()")], {"gradients"}),
    "the input detached": ([("# AT ONCE", "mcep = mcep.detach()")], {"gradients"}),
    "batch norm": (
        [("InstanceNorm1d(hidden, affine=True)", "BatchNorm1d(hidden)")],
        {"samples-apart"},
    ),
    "a mean over the batch": (
        [("# AT LAST", "x = x - 0.1 * x.mean(0, keepdim=True)")],
        {"samples-apart"},
    ),
    "division by a deviation": (
        [("# AT LAST", "x = x / (mcep * mask).std(dim=(1, 2), keepdim=True)")],
        {"finite"},
    ),
    "root of a variance": (
        [("# AT LAST", "x = x + (mcep * mask).var(dim=(1, 2), keepdim=True).sqrt()")],
        {"finite"},
    ),
    "weights without a seed": (
        [("# AT INIT", "self.last.bias.data += np.random.default_rng().normal()")],
        {"deterministic"},
    ),
    "the same weights for every seed": (
        [
            (
                "# AT INIT",
                "for p in self.parameters(): "
                "p.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))",
            )
        ],
        {"deterministic"},
    ),
    "changes its input": ([("# AT ONCE", "mcep = mcep.mul_(0.5)")], {"deterministic"}),
    "state outside of the state dict": (
        [
            (
                "# AT INIT",
                "self.register_buffer('offset', torch.randn(n_mcep, 1), persistent=False)",
            ),
            ("# AT LAST", "x = x + self.offset"),
        ],
        {"state-dict"},
    ),
    "seeds PyTorch when built": ([("# AT BUILD", "torch.manual_seed(0)")], {"no-global-state"}),
    "seeds PyTorch when run": ([("# AT ONCE", "torch.manual_seed(0)")], {"no-global-state"}),
    "seeds NumPy": ([("# AT BUILD", "np.random.seed(0)")], {"no-global-state"}),
    "draws from Python's generator": ([("# AT LAST", "random.random()")], {"no-global-state"}),
    "sets threads": (
        [("# AT BUILD", "torch.set_num_threads(torch.get_num_threads() % 2 + 1)")],
        {"no-global-state"},
    ),
    "sets a flag": (
        [("# AT LAST", "torch.backends.cudnn.benchmark = True")],
        {"no-global-state"},
    ),
    "a network at import": ([("# AT IMPORT", "SPARE = nn.Linear(3, 3)")], {"import-and-spawn"}),
    "a seed at import": ([("# AT IMPORT", "random.seed(0)")], {"import-and-spawn"}),
    "a dtype at import": (
        [("# AT IMPORT", "torch.set_default_dtype(torch.float64)")],
        {"import-and-spawn"},
    ),
    "weights by hash": (
        [("# AT INIT", "self.last.bias.data += hash('weights') % 9973 / 9973")],
        {"import-and-spawn"},
    ),
    "works in one process": (
        [("# AT BUILD", "assert 'pytest' in __import__('sys').modules")],
        {"import-and-spawn"},
    ),
    "ignores scale": ([("max(2, round(32 * scale))", "32")], {"scale"}),
    "nothing left at a small scale": (
        [("max(2, round(32 * scale))", "int(32 * scale) or int('no width')")],
        {"scale"},
    ),
    "another count": ([("=11824", "=11_825")], {"parameters"}),
    "none is not all": ([("torch.ones_like(mcep[:, :1])", "0.5 + 0 * mcep[:, :1]")], {"mask"}),
    "looks behind the mask": ([("[mcep * mask, mask]", "[mcep, mask]")], {"mask"}),
    "ignores the mask": ([("# AT ONCE", "mask = None")], {"mask"}),
}

BROKEN_DISCRIMINATORS: dict[str, tuple[list[Change], set[str]]] = {
    "some crops are too long": ([("# AT ONCE", "assert mcep.shape[-1] < 256")], {"any-length"}),
    "one score for all": (
        [("# AT LAST", "x = x if mcep.shape[-1] == 128 else x.mean()")],
        {"any-length"},
    ),
    "NaN for some crops": (
        [("# AT LAST", "x = x * [1, float('nan')][mcep.shape[-1] == 200]")],
        {"any-length"},
    ),
    "refuses without a reason": ([("# AT BUILD", "assert n_mcep != 13")], {"coefficients"}),
    "division by a norm": (
        [("# AT ONCE", "x = x / mcep.norm(dim=(1, 2), keepdim=True)")],
        {"finite"},
    ),
    "batch norm": (
        [("# AT ONCE", "x = nn.functional.batch_norm(x, None, None, training=True)")],
        {"samples-apart"},
    ),
    "says sigmoid and has none": ([("torch.sigmoid(x) if self.sigmoid else x", "x")], {"sigmoid"}),
    "has a sigmoid and says none": (
        [("self.sigmoid = sigmoid", "self.sigmoid = False"), ("if self.sigmoid else x", "")],
        {"sigmoid"},
    ),
    "has a sigmoid and is silent": (
        [("self.sigmoid = sigmoid", "pass"), ("if self.sigmoid else x", "")],
        {"sigmoid"},
    ),
    "sigmoid is a text": ([("self.sigmoid = sigmoid", "self.sigmoid = 'yes'")], {"sigmoid"}),
}

# Unusual, and none of it breaks the contract.
SOUND: dict[str, tuple[str, list[Change]]] = {
    "a generator": (GENERATOR, []),
    "a discriminator": (DISCRIMINATOR, []),
    "dropout": (GENERATOR, [("# AT LAST", "x = nn.functional.dropout(x, 0.3, self.training)")]),
    "zeros at first": (GENERATOR, [("# AT INIT", "nn.init.zeros_(self.last.weight)")]),
    "spectral norm": (
        DISCRIMINATOR,
        [("nn.Conv1d(hidden, 1, 4, stride=4)", "nn.utils.spectral_norm(nn.Conv1d(hidden, 1, 4))")],
    ),
    "refuses with reasons": (
        DISCRIMINATOR,
        [
            (
                "# AT BUILD",
                "if n_mcep < 20: raise ValueError(f'n_mcep ({n_mcep}) must be at least 20')\n"
                "    if segment_frames < 99: raise ValueError(f'segment_frames {segment_frames}')",
            )
        ],
    ),
}


def changed(source: str, changes: list[Change]) -> str:
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new, 1)
    return source


CASES: dict[str, tuple[str, set[str]]] = {
    **{f"generator: {n}": (changed(GENERATOR, c), e) for n, (c, e) in BROKEN_GENERATORS.items()},
    **{
        f"discriminator: {n}": (changed(DISCRIMINATOR, c), e)
        for n, (c, e) in BROKEN_DISCRIMINATORS.items()
    },
    **{f"sound: {n}": (changed(source, c), set()) for n, (source, c) in SOUND.items()},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each case in a file of its own."""
    folder = tmp_path_factory.mktemp("plugins")
    paths = {}
    for number, (name, (source, _)) in enumerate(CASES.items()):
        paths[name] = folder / f"case{number}.py"
        paths[name].write_text(source)
    return paths


@pytest.fixture(scope="module")
def ask(files: dict[str, Path]) -> Ask:
    """One fresh process looks at all of them."""
    return ask_once(checks_of(path)[0].subject for path in files.values())


def checks_of(path: Path) -> list[Check]:
    return architecture_checks("under-test", plugin_files=[path])


def reasons(checks: list[Check]) -> dict[str, str]:
    """{name of a check that fails: what it says}."""
    found = {}
    for check in checks:
        try:
            check()
        except AssertionError as error:
            found[check.name] = str(error)
    return found


@pytest.mark.parametrize("case", CASES)
def test_each_fault_is_caught_by_the_check_meant_for_it_alone(
    case: str, files: dict[str, Path], ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(citizenship, "ask_fresh_process", ask)
    before, seed = global_state.snapshot(), torch.get_rng_state()
    found = reasons(checks_of(files[case]))
    assert set(found) == CASES[case][1], found
    for name, said in found.items():
        assert f"'under-test' ({files[case]}:" in said
        assert f"fails '{name}': " in said
    assert global_state.changes(before, global_state.snapshot()) == []
    assert torch.equal(seed, torch.get_rng_state())


def test_a_seed_that_the_process_has_already_is_caught_too(
    files: dict[str, Path], ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(citizenship, "ask_fresh_process", ask)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # what the plugin sets
        found = reasons(checks_of(files["generator: seeds PyTorch when run"]))
    assert set(found) == {"no-global-state"}


def test_every_check_has_a_plugin_that_it_alone_catches() -> None:
    caught = {name for _, failing in CASES.values() for name in failing if len(failing) == 1}
    registry = Registry()
    names = [n for kind in ("generator", "discriminator") for n in registry.names(kind)]
    every = {check.name for name in names for check in all_checks(registry, name)}
    assert caught | {"device"} == every


def test_reasons_tell_values_and_what_to_do(files: dict[str, Path]) -> None:
    def said(case: str, name: str) -> str:
        (check,) = [c for c in checks_of(files[case]) if c.name == name]
        with pytest.raises(AssertionError) as caught:
            check()
        return str(caught.value)

    odd = said("generator: crops odd lengths", "any-length")
    assert "1 frames: (1, 24, 1) became (1, 24, 0)" in odd
    assert "pad the input" in odd
    threads = said("generator: sets threads", "no-global-state")
    assert "torch.get_num_threads() from" in threads
    assert "write parameters=11_824" in said("generator: another count", "parameters")
    assert "extra.weight, extra.bias" in said("generator: an unused layer", "gradients")
    assert "11,824 at scale 1" in said("generator: ignores scale", "scale")


@pytest.mark.slow
def test_a_real_fresh_process_catches_work_at_import(files: dict[str, Path]) -> None:
    (check,) = [
        c
        for c in checks_of(files["generator: a network at import"])
        if c.name == "import-and-spawn"
    ]
    with pytest.raises(AssertionError, match="importing it changes PyTorch's random state"):
        check()


def test_a_process_that_dies_says_so(tmp_path: Path) -> None:
    path = tmp_path / "dies.py"
    elsewhere = f"import os; os.getpid() == {os.getpid()} or os._exit(7)"
    path.write_text(changed(GENERATOR, [("# AT BUILD", elsewhere)]))
    failing = reasons(checks_of(path))
    assert set(failing) == {"import-and-spawn"}
    assert "ended with code 7: no output" in failing["import-and-spawn"]


def test_what_cannot_be_built_fails_with_the_reason_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(changed(GENERATOR, [("# AT BUILD", "raise ValueError('no such width')")]))
    found = reasons(checks_of(path))
    assert len(found) == len(checks_of(path))
    assert all("ValueError: no such width" in said for said in found.values())


def test_unknown_names_are_no_architecture() -> None:
    with pytest.raises(PluginError, match="did you mean 'cyclegan-vc-1d'"):
        architecture_checks("cyclegan-vc-1")


def test_options_reach_the_plugin_and_stand_in_the_reason(files: dict[str, Path]) -> None:
    path = files["discriminator: says sigmoid and has none"]
    checks = architecture_checks("under-test", plugin_files=[path], options={"sigmoid": False})
    (check,) = [c for c in checks if c.name == "sigmoid"]
    check()
    checks = architecture_checks("under-test", plugin_files=[path], options={"sigmoid": True})
    (check,) = [c for c in checks if c.name == "sigmoid"]
    with pytest.raises(AssertionError, match=r"\(sigmoid=True; .* reach from"):
        check()


def test_what_cannot_be_checked_is_left_out_with_the_reason(files: dict[str, Path]) -> None:
    path = files["sound: a discriminator"]
    found = {c.name: c.left_out for c in all_checks(Registry([path]), "under-test")}
    assert "declares no `parameters=`" in found["parameters"]
    assert bool(found["device"]) != torch.cuda.is_available()
    assert "mask" not in found
    named = [str(check) for check in checks_of(path)]
    assert named == [name for name, why in found.items() if not why]
    unmasked = architecture_checks("cyclegan-vc-1d")
    assert "mask" not in [str(check) for check in unmasked]


def test_settings_are_put_back() -> None:
    before = global_state.snapshot()
    with global_state.preserved():
        random.seed(1)
        np.random.seed(1)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
        torch.set_grad_enabled(False)
        torch.set_default_device("meta")
        during = global_state.changes(before, global_state.snapshot())
        assert len(during) == 9, during
    assert global_state.changes(before, global_state.snapshot()) == []


def test_another_result_on_another_device_is_caught(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, which stands in for the GPU: what moves may count how often it was moved."""
    monkeypatch.setattr(behaviour, "GPU", "cpu")

    def run(path: Path) -> None:
        found = all_checks(Registry([path]), "under-test")
        next(check for check in found if check.name == "device")()

    run(files["sound: a generator"])
    moved = "self._apply = lambda *a: (setattr(self, 'moved', 1), nn.Module._apply(self, *a))[1]"
    changes = [("# AT INIT", moved), ("# AT LAST", "x = x + 0.1 * getattr(self, 'moved', 0)")]
    path = tmp_path / "moves.py"
    path.write_text(changed(GENERATOR, changes))
    with pytest.raises(AssertionError, match=r"differs from the CPU's by 0\.0\d+ of the largest"):
        run(path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_tensor_on_the_wrong_device_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "cpu.py"
    path.write_text(changed(GENERATOR, [("# AT LAST", "x = x + torch.ones(x.shape[1], 1)")]))
    assert set(reasons(checks_of(path))) == {"device"}
