"""A small suite and its plugins, for the tests of suite files."""

from __future__ import annotations

from pathlib import Path

import pytest

from vcbench import suite
from vcbench.errors import UsageError

PLUGINS = '''\
from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Optional

from vcbench.plugins import (
    register_corpus,
    register_discriminator,
    register_generator,
    register_metric,
    register_objective,
)


class Activation:
    pass


@register_generator("test-gen")
def gen(
    *,
    n_mcep: int,
    scale: float,
    width: Literal["wide", "narrow"] = "wide",
    layers: int = 3,
    rate: float = 0.5,
    causal: bool = False,
    kernels: tuple[int, ...] = (3, 5),
    names: list[str] | None = None,
    window: Optional[int] = None,
    size: int | str = 4,
    free=None,
    anything: Any = 1,
    activation: type[Activation] = Activation,
    home: Path = Path("a"),
    stacks: Literal[1, 2] = 1,
    edges: Literal["same", "or", 2] = "same",
):
    """A generator with options of every type."""


@register_generator("test-deep")
def deep(*, n_mcep: int, scale: float, depth: int):
    """A generator that must be told its depth."""


@register_generator("test-broken")
def broken(*, n_mcep: int, scale: float, depth: Unknown = 3):
    """A generator whose signature names something that does not exist."""


@register_discriminator("test-disc")
def disc(*, n_mcep: int, scale: float, sigmoid: bool = True):
    """A discriminator."""


@register_objective("test-loss")
def loss(*, sigmoid: bool):
    """An objective."""


@register_metric("test-score", unit="dB", better="lower")
def score(pair):
    """A metric."""


@register_metric("test-order", unit="dB", better="lower")
def order(pair, order: int):
    """A metric that no suite can use: nothing gives it its order."""


@register_corpus("test-voices")
def voices(*, data_dir: Path, root: str = "."):
    """A corpus."""
'''

SUITE = """\
suite: test
plugins: [plug.py]
corpus: test-voices
pairs: [F1-M1]
systems:
  one: {generator: test-gen, discriminator: test-disc, objective: test-loss}
training: {iterations: 60}
metrics: [test-score]
"""


class Files:
    """A folder with plug.py; `write` adds suite files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "plug.py").write_text(PLUGINS)

    def write(self, text: str, name: str = "s.yaml") -> str:
        """The path of the new file."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def load(self, text: str = SUITE, **overrides: object) -> suite.Suite:
        """The suite of that text, whose plugins may be executed."""
        return suite.load(self.write(text), **{"trust_plugins": True, **overrides})

    def errors(self, text: str = SUITE, **overrides: object) -> list[str]:
        """The lines of the error that the text gives, with the folder's path left out."""
        with pytest.raises(UsageError) as caught:
            self.load(text, **overrides)
        assert caught.value.exit_code == 2
        return [line.replace(f"{self.folder}/", "") for line in str(caught.value).splitlines()]
