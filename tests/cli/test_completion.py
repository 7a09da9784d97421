"""Tab: what a shell is offered, by argcomplete's own protocol, and without PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from workplace import Workplace

from suites import shipped_paths
from vcbench.cache import KINDS
from vcbench.cli import COMMANDS, main
from vcbench.plugins import Registry

# Exits as `argcomplete` does, but for saying what was imported.
PROGRAM = """\
import os, sys
exit = os._exit
def told(code):
    slow = {'torch', 'pandas', 'scipy'} & set(sys.modules)
    exit(9 if slow else code)
os._exit = told
from vcbench.cli import main
main()
"""


def offered(line: str, folder: Path) -> set[str]:
    """What Tab offers behind `line`."""
    answer = folder / "answer"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line.encode())),
        "COMP_TYPE": "9",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done
    return {entry.rstrip() for entry in answer.read_text().split("\n")}


def test_commands(tmp_path: Path) -> None:
    assert offered("vcbench ", tmp_path) >= set(COMMANDS)
    assert offered("vcbench pl", tmp_path) == {"plan"}


def test_suites_and_files(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "mine.txt").touch()
    found = offered("vcbench run ", tmp_path)
    assert found >= {*shipped_paths(), "mine.yaml"}
    assert "mine.txt" not in found


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        (
            "vcbench show ",
            ["generator", "discriminator", "objective", "metric", "corpus", "engine"],
        ),
        ("vcbench check ", ["generator", "discriminator"]),
        ("vcbench data fetch ", ["corpus"]),
        ("vcbench run demo --engine ", ["engine"]),
    ],
)
def test_plugins(line: str, kinds: list, tmp_path: Path) -> None:
    names = {name for kind in kinds for name in Registry().names(kind)}
    extra = {"protocol"} if "show" in line else set()
    assert {name for name in offered(line, tmp_path) if not name.startswith("-")} == names | extra


def test_systems_and_cells_of_the_suite_on_the_line(tmp_path: Path) -> None:
    Workplace(tmp_path)
    line = "vcbench plan suite.yaml --only "
    assert offered(line, tmp_path) == {
        *("first/", "second/", "source-copy/", "mean-variance/", "resynthesis/")
    }
    assert offered(line + "second/", tmp_path) == {"second/F1-M1/", "second/M1-F2/"}
    assert offered(line + "second/F", tmp_path) == {"second/F1-M1/"}
    assert offered(line + "second/F1-M1/", tmp_path) == {"second/F1-M1/0"}
    (tmp_path / "suite.yaml").write_text("suite: [")
    assert offered(line, tmp_path) == {""}


def test_budgets_and_protocols(tmp_path: Path) -> None:
    assert "smoke" in offered("vcbench run vcc2016 --budget ", tmp_path)
    assert offered("vcbench score --protocol vcb", tmp_path) == {"vcbench-1"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_code(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    code = capsys.readouterr().out
    assert "_ARGCOMPLETE" in code and "vcbench" in code
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=code, text=True, check=True)


def test_the_cache_and_results(tmp_path: Path) -> None:
    assert offered("vcbench cache ", tmp_path) >= {"ls", "gc"}
    assert offered("vcbench results ", tmp_path) >= {"export", "import"}
    kinds = {name for name in offered("vcbench cache gc --kind ", tmp_path) if name[0] != "-"}
    assert kinds == set(KINDS)
    for line in ("cache gc --keep-suite ", "results export ", "results import a.zip --suite "):
        assert offered(f"vcbench {line}", tmp_path) >= set(shipped_paths())
