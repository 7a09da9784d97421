"""The files that a new architecture begins with: plugin, test and suite."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path
from string import Template

from vcbench import suite
from vcbench.discovery import NETWORKS, Kind
from vcbench.errors import UsageError
from vcbench.plugins import Registry

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_LENGTH = 60
REFERENCE = "residual-2d"  # a system of the demo; the new one differs from it in one network

GENERATOR = '''\
"""$name: a generator of (batch, n_mcep, frames) that vcbench trains and compares."""

from __future__ import annotations

import torch
from torch import nn

from vcbench.plugins import register_generator


@register_generator("$name", paper="")
def $module(*, n_mcep: int, scale: float, kernel: int = 5) -> nn.Module:
    """A residual correction of each frame by its neighbours; `kernel` frames wide."""
    return Residual(n_mcep, hidden=max(1, round(256 * scale)), kernel=kernel)


class Residual(nn.Module):
    """(batch, n_mcep, frames) -> the same shape, any number of frames."""

    def __init__(self, n_mcep: int, *, hidden: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(n_mcep, hidden, kernel, padding="same"),  # (B, hidden, T)
            nn.GELU(),
            nn.Conv1d(hidden, n_mcep, kernel, padding="same"),  # (B, n_mcep, T)
        )

    def forward(self, mcep: torch.Tensor) -> torch.Tensor:
        return mcep + self.layers(mcep)
'''

DISCRIMINATOR = '''\
"""$name: a discriminator of (batch, n_mcep, frames) that vcbench trains and compares."""

from __future__ import annotations

import torch
from torch import nn

from vcbench.plugins import register_discriminator


@register_discriminator("$name", paper="")
def $module(*, n_mcep: int, scale: float, sigmoid: bool = False) -> nn.Module:
    """A score for each 4 frames; `sigmoid` makes probabilities of them."""
    return Scores(n_mcep, hidden=max(1, round(128 * scale)), sigmoid=sigmoid)


class Scores(nn.Module):
    """(batch, n_mcep, frames) -> (batch, 1, frames / 4) scores."""

    def __init__(self, n_mcep: int, *, hidden: int, sigmoid: bool) -> None:
        super().__init__()
        self.sigmoid = sigmoid  # objectives ask for it
        self.layers = nn.Sequential(
            nn.Conv1d(n_mcep, hidden, 4, stride=2, padding=1),  # (B, hidden, T/2)
            nn.LeakyReLU(0.2),
            nn.Conv1d(hidden, 1, 4, stride=2, padding=1),  # (B, 1, T/4)
        )

    def forward(self, mcep: torch.Tensor) -> torch.Tensor:
        scores = self.layers(mcep)
        return torch.sigmoid(scores) if self.sigmoid else scores
'''

TEST = '''\
"""$name keeps the contract of a $kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcbench.testing import Check, architecture_checks

PLUGIN = Path(__file__).parent / "$module.py"
CHECKS = architecture_checks("$name", plugin_files=[PLUGIN])


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_contract(check: Check) -> None:
    check()
'''

SUITE = """\
# $name beside the demo's systems, on its two synthesised voices.
#
#   vcbench run $name.yaml

suite: $name
question: Is $name better than the $kind of $reference?
extends: demo
plugins: [$module.py]
systems:
  $name:
    generator: $generator
    discriminator: $discriminator
    objective: lsgan
# Only the $kind differs between the two.
compare: {baseline: $reference, against: [$name]}
"""


def write(name: str, kind: Kind, folder: Path) -> dict[Path, str]:
    """Write plugin, test and suite; returns {path: what it is} in this order.

    kind: one of `NETWORKS`. Raises `UsageError` where the name cannot be used or a file exists;
    nothing is written then.
    """
    _check_name(name)
    module = name.replace("-", "_")
    reference = suite.load("demo").systems[REFERENCE]
    values: dict[str, str] = {part: getattr(reference, part).name for part in NETWORKS}
    values |= {"name": name, "module": module, "kind": kind, "reference": REFERENCE}
    values[kind] = name
    plugin = GENERATOR if kind == "generator" else DISCRIMINATOR
    contents = {
        folder / f"{module}.py": (plugin, f"the {kind}, yours to change"),
        folder / f"test_{module}.py": (TEST, "its test: the checks of `vcbench check`"),
        folder / f"{name}.yaml": (SUITE, "a suite that puts it into the demo's table"),
    }
    existing = [str(path) for path in contents if path.exists()]
    if existing:
        raise UsageError(
            f"{', '.join(existing)}: there already; nothing is overwritten. Take another name, "
            "another folder (-o DIR), or move what is there"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, (text, _) in contents.items():
        path.write_text(Template(text).substitute(values), encoding="utf-8")
    return {path: role for path, (_, role) in contents.items()}


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > MAX_LENGTH:
        raise UsageError(
            f"'{name}' cannot be the name of an architecture: use lower-case letters and digits, "
            f"joined by '-', beginning with a letter, at most {MAX_LENGTH}, such as my-generator"
        )
    for there in Registry().declarations():
        if there.name == name:
            raise UsageError(
                f"there is a {there.kind} '{name}' already ({there.origin}); take another name"
            )
    demo = suite.load("demo")
    if name in (*demo.systems, *demo.baselines):
        raise UsageError(f"the demo has a system '{name}' already; take another name")
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or _is_installed(module):
        raise UsageError(
            f"'{name}' cannot be the name of an architecture: its file {module}.py would hide "
            "Python's own or an installed package; take another name, such as my-generator"
        )


def _is_installed(module: str) -> bool:
    """Whether `import module` finds something that does not lie in the current folder."""
    spec = importlib.util.find_spec(module)
    origin = spec.origin if spec else None
    return spec is not None and not (origin and Path(origin).parent == Path.cwd())
