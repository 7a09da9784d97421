"""What is read from a plugin's source text is what importing it gives, or nothing is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vcbench.plugins import Registry
from vcbench.signatures import options_of, source_files_of, written

HEAD = """\
from typing import Literal
from vcbench.plugins import register_generator

Order = Literal["a", "b"]
SIZE = 5

"""
PLAIN = '@register_generator("g")\ndef g(*, n_mcep, scale, %s): ...\n'
# The text of an option, and what Python makes of it.
OPTIONS = {
    "n: int": "n: int",
    "n: int = 3": "n: int = 3",
    "n=-0.5": "n=-0.5",
    "n: int | None = None": "n: int | None = None",
    "order: Order = 'b'": "order: Literal['a', 'b'] = 'b'",
    "size: int = SIZE": "size: int = 5",
    "one: Literal['x'] = 'x'": "one: Literal['x'] = 'x'",
    "many: tuple = (1, 2)": None,
    "size: int = SIZE + 1": None,
    "size: 'int' = 2": None,
    "size: int = len('abc')": None,
    "unknown: Somewhere = 1": None,
}
CHANGED = {
    "a second decorator": HEAD + "def twice(f): return f\n@twice\n" + PLAIN % "n: int = 1",
    "bound again": HEAD + PLAIN % "n: int = 1" + "g = g\n",
    "a constant bound again": HEAD + PLAIN % "n: int = SIZE" + "SIZE = 6\n",
    "a type of one's own": HEAD + "class int(float): ...\n" + PLAIN % "n: int = 1",
    "another Literal": HEAD.replace("typing", "typing_extensions") + PLAIN % "o: Order = 'a'",
    "any keywords": HEAD + PLAIN % "**others",
    "positional": HEAD + PLAIN.replace("*, ", "") % "n=1",
    "made by a call": HEAD + "g = register_generator('g')(lambda *, n_mcep, scale: None)\n",
}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "signature_written.py"


@pytest.mark.parametrize("text", OPTIONS)
def test_options_are_those_that_python_sees(text: str, module: Path) -> None:
    module.write_text(HEAD + PLAIN % text)
    found = written(module.stem, "generator", "g")
    expected = OPTIONS[text]
    if expected is None:
        assert found is None
        return
    imported = module.with_name("imported.py")
    imported.write_text(HEAD + PLAIN % expected)
    assert found == Registry([imported]).get("generator", "g").options
    assert found is not None
    assert len(found) == 1


@pytest.mark.parametrize("change", CHANGED)
def test_what_the_text_cannot_tell_is_left_to_an_import(change: str, module: Path) -> None:
    module.write_text(CHANGED[change])
    assert written(module.stem, "generator", "g") is None


def test_a_constant_of_another_module(module: Path) -> None:
    module.with_name("signature_others.py").write_text(HEAD)
    module.write_text(
        "from signature_others import SIZE as N, Order\n"
        "from vcbench.plugins import register_generator\n" + PLAIN % "o: Order = 'a', n: int = N"
    )
    found = written(module.stem, "generator", "g")
    assert found is not None
    assert [(option.name, option.default) for option in found] == [("o", "a"), ("n", 5)]


def test_of_every_built_in_both_ways_agree() -> None:
    registry = Registry()
    read = 0
    for declared in registry.declarations():
        plugin = registry.get(declared.kind, declared.name)
        assert options_of(registry, declared.kind, declared.name) == plugin.options
        assert source_files_of(registry, declared.kind, declared.name) == plugin.source_files
        options = written(declared.module, declared.kind, declared.name)
        if declared.kind in ("generator", "discriminator", "objective"):
            assert options == plugin.options, f"{declared.name} takes an import of PyTorch"
            read += 1
    assert read >= 11


def test_a_suite_is_loaded_and_its_code_found_without_importing_pytorch() -> None:
    code = (
        "import sys\n"
        "from vcbench import planning, suite\n"
        "from vcbench.cli.suite_arguments import resolve_device\n"
        "from vcbench.signatures import source_files_of\n"
        "loaded = suite.load('vcc2016')\n"
        "assert len(loaded.cells()) == 48\n"
        "for system in loaded.systems.values():\n"
        "    files = source_files_of(loaded.registry, 'generator', system.generator.name)\n"
        "    assert {'padding.py'} < {file.name for file in files}\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
