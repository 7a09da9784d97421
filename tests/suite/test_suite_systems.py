"""Systems whose parts do not go together: `run` and `plan` refuse them, naming the system."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_corpus

from vcbench.cli import main

PLUGIN = """\
from vcbench.plugins import register_objective


@register_objective("choosy")
def choosy(*, sigmoid: bool, why: str = "it needs plain scores"):
    "An objective that is not for every discriminator."
    raise ValueError(why)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "choosy.py").write_text(PLUGIN, encoding="utf-8")
    text = small_corpus.SUITE.replace("suite: small", "suite: small\nplugins: [choosy.py]")
    return small_corpus.write(tmp_path, text.replace("objective: lsgan", "objective: choosy"))


@pytest.mark.parametrize("command", ["plan", "run"])
def test_every_system_that_cannot_be_built_is_named(
    path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command, str(path), "--data", str(path.parent)]
    other = "systems.one-d.objective={name: choosy, why: nor here}"
    assert main([*arguments, "--set", other]) == 2
    said = capsys.readouterr()
    first, second = [line for line in said.err.splitlines() if "choosy" in line]
    assert f"{path}: systems.one-d: objective 'choosy' (choosy.py" in first.replace(
        f"({path.parent}/", "("
    )
    assert first.endswith("ValueError: nor here")
    assert f"{path}: systems.two-d: objective 'choosy'" in second
    assert second.endswith("ValueError: it needs plain scores")
    assert "Traceback" not in said.err
    assert not (path.parent / "reports").exists()


def test_a_system_that_is_not_asked_for_is_not_built(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["plan", str(path), "--data", str(path.parent)]
    assert main([*arguments, "--only", "one-d/*"]) == 0
    assert main([*arguments, "--only", "two-d/*"]) == 2
    assert "systems.two-d: objective 'choosy'" in capsys.readouterr().err
