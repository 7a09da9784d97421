"""The README's example works as it is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from vcbench import suite
from vcbench.training.cell import ComponentSpec
from vcbench.training.models import build_module

README = Path(__file__).parents[1] / "README.md"


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    return found


def test_the_architecture_in_20_lines(tmp_path: Path) -> None:
    (tmp_path / "my_generator.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(block("yaml"), encoding="utf-8")
    loaded = suite.load(str(tmp_path / "mine.yaml"))
    assert list(loaded.systems)[-1] == "mine"
    assert len(loaded.systems) == 5
    component = loaded.systems["mine"].generator
    spec = ComponentSpec(component.name, component.options)
    generator = build_module(loaded.registry, "generator", spec, n_mcep=24, scale=0.125)
    assert generator(torch.zeros(2, 24, 37)).shape == (2, 24, 37)


def test_the_example_is_about_20_lines() -> None:
    assert sum(bool(line.strip()) for line in block("python").splitlines()) <= 20


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)]+)\)", README.read_text(encoding="utf-8")))
def test_links_lead_somewhere(path: str) -> None:
    assert (README.parent / path).exists()
