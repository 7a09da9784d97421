"""What tests of plugins share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vcbench.errors import PluginError
from vcbench.plugins import Declaration, Registry

GENERATOR = '''\
from __future__ import annotations

from typing import Literal

from vcbench.plugins import register_generator

PAPER = "Doe et al., 2026"


@register_generator("{name}", paper=PAPER)
def make(
    *,
    n_mcep: int,
    scale: float,
    width: Literal["wide", "narrow"] = "wide",
    depth: int | None = None,
):
    """What it is, in one line.

    And more.
    """
    return n_mcep * scale
'''


def only(registry: Registry, module: Path | str) -> list[Declaration]:
    """The declarations of one module among all."""
    return [d for d in registry.declarations() if d.module == str(module)]


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(PluginError) as caught:
        call()
    assert caught.value.exit_code == 2
    return str(caught.value)
