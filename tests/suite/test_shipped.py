"""Which suites come with vcbench, what each is called, and how one is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from suite_files import SUITE, Files

import suites
from suites import shipped, shipped_path, shipped_paths
from vcbench import suite
from vcbench.cli import main
from vcbench.errors import UsageError

FOLDER = Path(suites.__file__).parent


def test_every_suite_file_is_shipped_but_bases() -> None:
    files = {path for path in FOLDER.rglob("*.yaml") if not path.name.startswith("_")}
    assert set(shipped_paths().values()) == files
    assert [name for name, _ in shipped()] == list(shipped_paths())
    assert list(shipped_paths())[:3] == ["demo", "reference", "vcc2016"]
    for name, path in shipped_paths().items():
        assert path == FOLDER / f"{name}.yaml"
        assert shipped_path(name) == path


def test_questions_are_listed_with_their_question_and_others_with_their_first_comment() -> None:
    for name, summary in shipped():
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        if "/" in name:
            assert summary == yaml.safe_load(text)["question"]
        else:
            assert f"\n# {summary}\n" in text
            assert "yaml-language-server" not in summary


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped suites of the test's own; the working folder is another, empty one."""
    for name, text in {
        "top": "# At the top.\n",
        "asked/_base": SUITE.partition("\n")[2],
        "asked/why": "# A comment.\nsuite: why\nquestion: 'Why: is it?'\nextends: _base.yaml\n",
        "asked/who": "# Who.\nsuite: who\nextends: _base\n",
        "asked/top": "suite: top\n",
        "other/who": "suite: who\n",
    }.items():
        path = tmp_path / "shipped" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    Files(tmp_path / "shipped" / "asked")
    monkeypatch.setattr(suites, "__file__", str(tmp_path / "shipped" / "__init__.py"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "shipped"


def test_names_and_summaries(folder: Path) -> None:
    assert shipped() == [
        ("top", "At the top."),
        ("asked/top", ""),
        ("asked/who", "Who."),
        ("asked/why", "Why: is it?"),
        ("other/who", ""),
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("asked/why", "asked/why"),
        ("why", "asked/why"),
        ("top", "top"),
        ("asked/top", "asked/top"),
        ("other/who", "other/who"),
        ("who", None),  # there are two
        ("_base", None),
        ("asked/_base", None),
        ("asked", None),
        ("hy", None),
        ("", None),
    ],
)
def test_a_name_alone_is_enough_where_it_is_clear(
    folder: Path, name: str, found: str | None
) -> None:
    assert shipped_path(name) == (found and folder / f"{found}.yaml")


@pytest.mark.parametrize("name", ["asked/why", "why", "asked/who"])
def test_a_suite_in_a_sub_folder_is_loaded_with_the_base_beside_it(folder: Path, name: str) -> None:
    found = suite.load(name)
    assert found.name == name.rpartition("/")[2]
    assert found.path == folder / "asked" / f"{found.name}.yaml"
    assert list(found.systems) == ["one"]


def test_a_name_that_is_not_clear(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"nor a shipped suite of that name; did you mean 'asked/"):
        suite.load("asked/whoo")
    with pytest.raises(UsageError, match=r"\(valid: asked/top, asked/who, asked/why, other/who, t"):
        suite.load("who")


def test_a_base_beside_the_file_wins_unless_a_shipped_suite_has_the_name(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.write(SUITE.replace("suite: test", "suite: own\nscale: 0.5"), "own.yaml")
    assert files.load("suite: more\nextends: own\n").scale == 0.5
    # As a suite called demo.yaml may extend the shipped one.
    path = files.write("suite: demo\nextends: demo\nscale: 0.25\n", "demo.yaml")
    found = suite.load(path)
    assert (found.scale, found.corpus.name) == (0.25, "demo")


def test_list_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "suites", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["suites"]
    assert [(entry["name"], entry["summary"]) for entry in listed] == shipped()
