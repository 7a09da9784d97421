"""Plugin files are executed by `run` and where the user says so, and by nothing else.

Every plugin file here leaves a file behind where it is executed: what it leaves is what is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_cells import tiny_cell
from workplace import PLUGIN, SUITE, Workplace

from vcbench import fingerprint, suite, throughput
from vcbench.cli import main
from vcbench.errors import PluginError, UntrustedPlugin, UsageError
from vcbench.plugins import Registry
from vcbench.signatures import options_of, source_files_of
from vcbench.training.cell import ComponentSpec
from vcbench.training.files import CELL, CHECKPOINT
from vcbench.training.loop import train

MARK = "import pathlib as _p; _p.Path({!r}).touch()\n"
HIDING = """
from vcbench.plugins import register_generator

for name in ("hidden", "hidden-too"):
    register_generator(name)(lambda *, n_mcep, scale: None)
"""


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def place(tmp_path: Path, mark: Path) -> Workplace:
    place = Workplace(tmp_path)
    place.plugin.write_text(MARK.format(str(mark)) + PLUGIN)
    return place


def plan(place: Workplace, *arguments: str) -> int:
    suite_file = str(place.root / "suite.yaml")
    return main(["plan", suite_file, "--data", str(place.root), "--device", "cpu", *arguments])


def test_plan_shows_the_cells_and_executes_nothing(
    place: Workplace, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(place, "--json") == 0
    said = capsys.readouterr()
    assert not mark.exists()
    cells = json.loads(said.out)["cells"]
    # The plugin's text says all there is to know, so these have a key and a reason as ever.
    assert [cell["cell"] for cell in cells] == [
        f"{system}/{pair}/0" for system in ("first", "second") for pair in ("F1-M1", "M1-F2")
    ]
    assert {cell["reason"] for cell in cells} == {"never trained"}
    assert f"plugins not executed: {place.plugin}; " in said.err
    assert "--trust-plugins" in said.err


def test_the_keys_are_those_of_a_plan_that_executes(place: Workplace, mark: Path) -> None:
    """Also where the plugin imports what lies beside it, in a package of its own too."""
    (place.root / "parts").mkdir()
    touched = place.root / "package-executed"
    (place.root / "parts" / "__init__.py").write_text(MARK.format(str(touched)))
    (place.root / "parts" / "width.py").write_text("WIDTH = 3\n")
    place.plugin.write_text(place.plugin.read_text() + "from .parts.width import WIDTH\n")
    files = [place.plugin]
    untrusted = source_files_of(Registry(files, trusted=False), "generator", "test-gen")
    options = options_of(Registry(files, trusted=False), "generator", "test-gen")
    assert not mark.exists() and not touched.exists()
    assert untrusted == source_files_of(Registry(files), "generator", "test-gen")
    mine = {path.name for path in untrusted if path.is_relative_to(place.root)}
    assert mine >= {"plug.py", "width.py"}
    assert options == options_of(Registry(files), "generator", "test-gen")
    assert mark.exists() and touched.exists()


def test_what_a_plugins_text_does_not_tell_is_said_to_be_unknown(
    place: Workplace, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.plugin.write_text(MARK.format(str(mark)) + PLUGIN + HIDING)
    place.write(SUITE.replace("{name: test-gen, kernel: 3, width: 4}", "{name: hidden, any: 1}"))
    assert plan(place, "--json") == 0
    cells = {c["cell"]: c for c in json.loads(capsys.readouterr().out)["cells"]}
    assert not mark.exists()
    unknown = cells["first/F1-M1/0"]
    assert (unknown["done"], unknown["key"], unknown["iterations"]["total"]) == (None, None, 6)
    assert unknown["reason"] == "its plugin file is not executed without --trust-plugins"
    assert cells["second/F1-M1/0"]["done"] is False
    assert plan(place) == 0
    assert "0 of 4 cells done, 2 unknown" in capsys.readouterr().out


def test_a_corpus_of_a_plugin_file_is_not_asked(
    place: Workplace, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = "{name: test-listed, train: s0 s1 s2, evaluation: s3}"
    place.write(SUITE.replace("{name: folder, root: speech, eval_fraction: 0.25}", corpus))
    assert plan(place, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert not mark.exists()
    assert [cell["done"] for cell in document["cells"]] == [None] * 4
    assert len(document["baselines"]) == 6


def test_with_trust_plan_builds_the_systems(
    place: Workplace, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(place, "--trust-plugins") == 2
    assert mark.exists()
    assert "systems.first: generator 'test-gen'" in capsys.readouterr().err


def test_options_are_still_checked(place: Workplace, mark: Path) -> None:
    place.write(SUITE.replace("kernel: 3", "kernal: 3"))
    with pytest.raises(UsageError, match=r"suite\.yaml:7:33: .*did you mean 'kernel'\?"):
        suite.load(str(place.root / "suite.yaml"), trust_plugins=False)
    assert not mark.exists()


def test_pressing_tab_executes_nothing(place: Workplace, mark: Path) -> None:
    place.plugin.write_text(MARK.format(str(mark)) + PLUGIN + HIDING)
    line = "vcbench run suite.yaml --only "
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_STDOUT_FILENAME": str(place.root / "offered"),
    }
    subprocess.run([sys.executable, "-m", "vcbench"], env=environment, cwd=place.root, check=False)
    assert "first/" in (place.root / "offered").read_text()
    assert not mark.exists()


def test_an_untrusted_plugin_cannot_be_had(place: Workplace, mark: Path) -> None:
    registry = Registry([place.plugin], trusted=False)
    assert "test-gen" in registry.names("generator")
    with pytest.raises(UntrustedPlugin, match="--trust-plugins"):
        registry.get("generator", "test-gen")
    assert registry.get("generator", "cyclegan-vc-1d")
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "(" * 5000,
        "x = " + "-" * 100_000 + "1",
        "#" * 2_000_000,
        "\0",
        "from vcbench.plugins import register_generator\n"
        "@register_generator('deep')\ndef deep(*, n_mcep, scale, n=" + "-" * 900 + "1): ...\n",
    ],
    ids=["brackets", "signs", "large", "nul", "default"],
)
def test_a_text_that_python_cannot_read_is_a_problem_and_no_crash(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "p.py").write_text(text)
    registry = Registry([tmp_path / "p.py"], trusted=False)
    mine = [d for d in registry.declarations() if d.module.endswith("p.py")]
    assert mine[0].problem or mine[0].name == "deep"
    for declared in mine:
        if not declared.problem:
            with pytest.raises(UntrustedPlugin):
                registry.get("generator", declared.name)


@pytest.fixture
def stranger(tmp_path: Path, mark: Path) -> Path:
    """The folder of a cell whose checkpoint and `cell.json` name a plugin file."""
    good = tmp_path / "good.py"
    good.write_text(
        "import torch\nfrom vcbench.plugins import register_generator\n\n\n"
        '@register_generator("theirs")\ndef theirs(*, n_mcep, scale):\n'
        "    return torch.nn.Conv1d(n_mcep, n_mcep, 1)\n"
    )
    cell = tiny_cell(tmp_path, generator=ComponentSpec("theirs"), plugin_files=(str(good),))
    cell = replace(cell, recipe=replace(cell.recipe, iterations=1, validation_utterances=0))
    folder = tmp_path / "cell"
    assert train(cell, folder) is not None
    (folder / CELL).write_text(json.dumps(cell.to_json()))
    # As if it had done this from the start.
    good.write_text(MARK.format(str(mark)) + good.read_text())
    for name in [name for name in sys.modules if name.endswith(".good")]:
        del sys.modules[name]
    return folder


def test_a_checkpoint_is_not_asked_what_to_execute(
    stranger: Path, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["convert", str(stranger / CHECKPOINT), "a.wav", "-o", str(stranger / "out")]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "its generator 'theirs' comes from a plugin file" in said
    assert "--plugin FILE" in said
    assert not mark.exists()
    assert main([*arguments, "--plugin", str(stranger.parent / "good.py")]) == 1  # no a.wav
    assert mark.exists()


def test_a_stored_cell_is_not_asked_what_to_execute(stranger: Path, mark: Path) -> None:
    """`results import` may have brought it."""
    with pytest.raises(PluginError, match="unknown generator 'theirs'"):
        throughput.measure(stranger, stranger / "a.wav", seconds=0.01)
    assert not mark.exists()


def test_looking_for_sources_imports_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "somebodys_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('executed')\n")
    (package / "inner.py").write_text("import somebodys_package.other\n")
    (package / "other.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = fingerprint.sources_of("somebodys_package.inner")
    assert {path.name for path in found} >= {"inner.py", "other.py"}
