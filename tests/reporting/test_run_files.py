"""Reading a run's folder, and refusing what is not one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_run import SyntheticRun

from vcbench.errors import DataError, UsageError
from vcbench.own_files import inside
from vcbench.reporting.run_files import read_run

SMALL = {"effects": {"a": 0.0}, "pairs": ("NA-007",), "seeds": (0,), "n_sentences": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return SyntheticRun(**SMALL).write(tmp_path / "run")


def test_names_that_look_like_numbers_or_nothing_stay_names(folder: Path) -> None:
    run = read_run(folder)
    assert set(run.results["direction"]) == {"NA>007", "007>NA"}
    assert set(run.results.loc[run.results["system"] == "a", "seed"]) == {"0"}
    assert set(run.results.loc[run.results["system"] == "source-copy", "seed"]) == {""}
    assert run.results["value"].dtype == "float64"
    assert run.suite_name == "synthetic"


def test_files_that_a_run_need_not_write_are_empty_tables(folder: Path) -> None:
    for name in ("training.csv", "throughput.csv", "results.csv", "samples/samples.json"):
        (folder / name).unlink()
    run = read_run(folder)
    assert run.training.empty and list(run.training)[-1] == "value"
    assert run.throughput.empty and run.results.empty
    assert run.samples == ()


def test_the_last_line_of_a_cell_counts(folder: Path) -> None:
    line = json.loads((folder / "cells.jsonl").read_text().splitlines()[0])
    with (folder / "cells.jsonl").open("a") as file:
        file.write(json.dumps({**line, "status": "timeout", "unknown_later_field": 1}) + "\n")
    cells = {cell.cell: cell for cell in read_run(folder).cells}
    assert cells["a/NA-007/0"].status == "timeout"
    assert len(cells) == 4


def test_a_folder_that_is_no_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no manifest\.json: name the folder of one run"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("manifest.json", "{", r"manifest\.json: .*run the suite again"),
        ("manifest.json", "[]", "expected a JSON object"),
        ("cells.jsonl", '{"cell": "a"\n', r"cells\.jsonl:1: not a cell's status"),
        ("cells.jsonl", '{"cell": "a"}\n', r"cells\.jsonl:1: .*missing"),
        ("cells.jsonl", "3\n", r"cells\.jsonl:1"),
        ("results.csv", "system,value\na,1\n", "no column suite, pair"),
        ("samples/samples.json", '["x"]', "not a list of samples"),
        ("samples/samples.json", '[{"pair": "x"}]', "not a list of samples"),
    ],
)
def test_a_broken_file_is_named(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_run(folder)


def test_a_run_without_cells_file_cannot_be_reported(folder: Path) -> None:
    (folder / "cells.jsonl").unlink()
    with pytest.raises(DataError, match=r"cells\.jsonl: not found"):
        read_run(folder)


def test_a_score_that_stands_twice_is_refused(folder: Path) -> None:
    lines = (folder / "results.csv").read_text().splitlines()
    (folder / "results.csv").write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(DataError, match="1 scores stand twice, the first for system a, pair NA"):
        read_run(folder)


@pytest.mark.parametrize(
    "path", ["../secret.wav", "/etc/passwd", "samples/../../x.wav", "samples\\..\\x.wav", "link/x"]
)
def test_a_sample_outside_the_folder_is_refused(folder: Path, path: str) -> None:
    (folder / "link").symlink_to(folder.parent, target_is_directory=True)
    samples = json.loads((folder / "samples" / "samples.json").read_text())
    samples[0]["converted"]["a"] = path
    (folder / "samples" / "samples.json").write_text(json.dumps(samples))
    with pytest.raises(DataError, match="leads out of the run's folder"):
        read_run(folder)


def test_a_path_inside_the_folder_is_resolved(folder: Path) -> None:
    assert inside(folder, "samples/x.wav") == (folder / "samples" / "x.wav").resolve()
