"""Systems whose parts do not go together: `run` and `plan` refuse them, naming the system."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_corpus
from rich.console import Console

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


@pytest.mark.parametrize("command", [["plan", "--trust-plugins"], ["run"]], ids=["plan", "run"])
def test_every_system_that_cannot_be_built_is_named(
    path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*command, str(path), "--data", str(path.parent)]
    other = "systems.one-d.objective={name: choosy, why: nor here}"
    assert main([*arguments, "--set", other]) == 2
    said = capsys.readouterr()
    first, second = [line for line in said.err.splitlines() if "choosy" in line]
    assert f"{path}:7:3: systems.one-d: objective 'choosy' (choosy.py" in first.replace(
        f"({path.parent}/", "("
    )
    assert first.endswith(
        "cannot be built with sigmoid=True, options {'why': 'nor here'}: ValueError: nor here"
    )
    assert f"{path}:11:3: systems.two-d: objective 'choosy'" in second
    # Of its options only those are shown that the suite gave.
    assert second.endswith("sigmoid=False, options {}: ValueError: it needs plain scores")
    assert "Traceback" not in said.err
    assert not (path.parent / "reports").exists()


def test_a_system_that_is_not_asked_for_is_not_built(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["plan", str(path), "--data", str(path.parent), "--trust-plugins"]
    assert main([*arguments, "--only", "one-d/*"]) == 0
    assert main([*arguments, "--only", "two-d/*"]) == 2
    assert "systems.two-d: objective 'choosy'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus; its suite file is written anew by each test."""
    return small_corpus.write(tmp_path_factory.mktemp("corpus")).parent


ONE_D = "  ^one-d:\n    generator: cyclegan-vc-1d"


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        (
            {ONE_D: "  ^one-d:\n    generator: {name: cyclegan-vc-1d, kernel: 4, width: wide}"},
            "one-d",
            "n_mcep=24, scale=0.03, options {'kernel': 4}: ValueError: kernel (4) must be",
        ),
        (
            {ONE_D: ONE_D, "objective: bce": "objective: hinge"},
            "one-d",
            "options {}: ValueError: hinge does not fit a discriminator with a sigmoid",
        ),
        (
            {ONE_D: ONE_D, "iterations: 6": "iterations: 6, mask_frames: 8"},
            "one-d",
            "takes no mask",
        ),
        (
            {
                ONE_D: ONE_D,
                "true}": "true, tail: scalar}",
                "iterations: 6": "iterations: 6, segment_frames: 16",
            },
            "one-d",
            "segment_frames=16, options {'tail': 'scalar'}: ValueError",
        ),
        (
            {"training:": "sweep: {base: two-d, grid: {generator.hidden: [8, ^0]}}\ntraining:"},
            "generator.hidden-0",
            "scale=0.03, options {'hidden': 0}: ValueError",
        ),
    ],
    ids=["kernel", "hinge", "mask", "tail", "sweep"],
)
def test_what_cannot_be_built_is_told_with_its_place(
    corpus: Path,
    changes: dict[str, str],
    name: str,
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = small_corpus.SUITE
    for old, new in changes.items():
        assert text.count(old.replace("^", "")) == 1
        text = text.replace(old.replace("^", ""), new)
    before, _, after = text.partition("^")
    path = corpus / "wrong.yaml"
    path.write_text(before + after, encoding="utf-8")
    line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    assert main(["plan", str(path), "--data", str(corpus)]) == 2
    said = capsys.readouterr().err.replace("vcbench plan: ", "").splitlines()
    [found] = [said_line for said_line in said if f"systems.{name}: " in said_line]
    assert found.startswith(f"{path}:{line}:{column}: systems.{name}: ")
    assert words in found


@pytest.mark.parametrize("columns", ["60", "140"])
def test_plan_cuts_no_id(
    corpus: Path, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is wider than the screen: cells that differ in the seed do not look alike."""
    monkeypatch.setattr("vcbench.terminal.console", lambda: Console(width=int(columns)))
    name = "a-name-of-a-system-that-fits-" + "x" * 40
    path = corpus / "long.yaml"
    path.write_text(small_corpus.SUITE.replace("two-d", name), encoding="utf-8")
    arguments = ["plan", str(path), "--data", str(corpus), "--seeds", "0,1"]
    assert main(arguments) == 0
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    ids = "".join(row[1].strip() for row in rows)
    for seed in "01":
        assert f"{name}/LOW-HIGH/{seed}" in ids
    assert "…" not in ids
    if columns == "140":
        assert f"{name}/LOW-HIGH/1" in {row[1].strip() for row in rows}
