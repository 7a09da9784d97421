"""`external:`: what it becomes, and where a mistake in it is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from suite_files import SUITE, Files

from vcbench import suite

NOWHERE = "is not a folder ({} of 2 directions lack theirs); for a direction that was not"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Both directions of the suite's pair were converted elsewhere."""
    for folder in ("out/F1_to_M1", "out/M1_to_F1", "other/M1/from F1", "other/F1/from M1"):
        (tmp_path / folder).mkdir(parents=True)
    return Files(tmp_path)


def suite_with(directory: str, name: str = "theirs") -> str:
    return SUITE + f"external: {{{name}: {{directory: {json.dumps(directory)}}}}}\n"


@pytest.mark.parametrize(
    ("directory", "folder"),
    [
        ("out/{direction}", "out/F1_to_M1"),
        ("./out/{source}_to_{target}", "out/F1_to_M1"),
        ("other/{target}/from {source}", "other/M1/from F1"),
    ],
)
def test_placeholders_become_the_speakers(files: Files, directory: str, folder: str) -> None:
    found = files.load(suite_with(directory))
    assert found.external["theirs"].folder("F1", "M1") == files.folder / folder
    assert [cell.id for cell in found.external_cells()] == ["theirs/F1-M1/-"]
    assert {cell.system for cell in found.cells()} == {"one"}
    resolved = found.resolved()
    again = files.load(json.dumps(resolved))
    assert again.resolved() == resolved
    assert again.external == found.external


def test_an_absolute_folder_and_one_from_the_command_line(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    absolute = files.load(suite_with(f"{files.folder}/out/{{direction}}"))
    monkeypatch.chdir(files.folder / "out")  # the command line's paths are relative to where one is
    there = files.load(sets=["external.theirs.directory='{direction}'"])
    assert absolute.external == there.external
    assert there.external["theirs"].folder("M1", "F1") == files.folder / "out" / "M1_to_F1"


def test_a_budget_and_a_base_may_bring_it(files: Files) -> None:
    budget = SUITE + "budgets:\n  b: {external: {theirs: {directory: 'out/{direction}'}}}\n"
    assert files.load(budget).external == {}
    assert list(files.load(budget, budget="b").external) == ["theirs"]
    files.write(suite_with("out/{direction}"), "base.yaml")
    (files.folder / "below").mkdir()
    text = "suite: more\nextends: ../base.yaml\n"
    path = files.folder / "below" / "more.yaml"
    path.write_text(text)
    found = suite.load(str(path))
    assert found.external["theirs"].folder("F1", "M1") == files.folder / "out" / "F1_to_M1"


def test_it_may_be_all_that_there_is_and_may_be_compared(files: Files) -> None:
    alone = suite_with("out/{direction}").replace("systems:\n  one: ", "#")
    assert list(files.load(alone + "baselines: []\n").external) == ["theirs"]
    compared = files.load(suite_with("out/{direction}") + "compare: {baseline: one}\n").compare
    assert compared is not None and compared.against == ("theirs",)


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ("theirs: 3", 20, "external.theirs: must be a mapping; got 3"),
        ("theirs: {}", 20, "external.theirs: missing key 'directory'"),
        ("theirs: {dir: x}", 21, "external.theirs: unknown key 'dir'"),
        ("a/b: {directory: 'out/{direction}'}", 12, "external.a/b: must be letters"),
        ("resynthesis: {directory: 'out/{direction}'}", 12, "is the name of a baseline"),
        ("one: {directory: 'out/{direction}'}", 12, "'one' is the name of a system of this"),
        ("theirs: {directory: out}", 32, "would be one folder for all directions; it must hold"),
        ("theirs: {directory: 'out/{source}'}", 32, "would be one folder for all directions"),
        (
            "theirs: {directory: 'out/{dirction}'}",
            32,
            "directory: unknown placeholder {dirction}; did you mean '{direction}'? (valid:",
        ),
        ("theirs: {directory: 'out/{source!r}{target}'}", 32, "unknown placeholder {source}"),
        ("theirs: {directory: 'out/{direction'}", 32, "cannot be read (expected '}' before end"),
        ("theirs: {directory: 'nowhere/{direction}'}", 32, NOWHERE.format(2)),
        ("theirs: {directory: 'out/F1_to_{target}{source}'}", 32, NOWHERE.format(2)),
    ],
)
def test_a_mistake_is_reported_where_it_is(
    files: Files, line: str, column: int, message: str
) -> None:
    (found, *rest) = files.errors(SUITE + f"external: {{{line}}}\n")
    place = f"s.yaml:{SUITE.count(chr(10)) + 1}:{column}: "
    assert found.startswith(place) or any(one.startswith(place) for one in rest), (found, rest)
    assert any(message in one for one in (found, *rest))
