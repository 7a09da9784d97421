"""Run folders of strangers: `report` and `compare` read and write nothing outside, and whatever
the files hold, the answer is a report or one line that names the file."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reporting.synthetic_run import SyntheticRun

from vcbench import pictures, reporting
from vcbench.cli import main
from vcbench.errors import DataError, VcbenchError
from vcbench.reporting.leaderboard import build
from vcbench.reporting.machine import csv_text, json_text
from vcbench.reporting.run_files import read_run
from vcbench.reporting.tables import latex, markdown
from vcbench.reporting.two_results import compare_results, read_results

JSON = ("manifest.json", "samples/samples.json")
TABLES = ("results.csv", "throughput.csv", "training.csv")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = SyntheticRun(
        effects={"a": -0.5, "b": 0.2},
        pairs=("F-M",),
        seeds=(0, 1),
        n_sentences=2,
        baselines={"mean-variance": 0.0},
        iterations=100,
        compare={"baseline": "a", "against": ["b"], "metric": "mcd"},
    )
    return run.write(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "diary").write_text("precious")
    return folder


def untouched(elsewhere: Path) -> bool:
    return [(p.name, p.read_text()) for p in elsewhere.iterdir()] == [("diary", "precious")]


@pytest.mark.parametrize("name", [*JSON, *TABLES, "cells.jsonl"])
def test_a_link_in_the_place_of_a_file_is_not_read(
    name: str, folder: Path, elsewhere: Path
) -> None:
    shutil.move(folder / name, elsewhere / "stolen")
    (folder / name).symlink_to(elsewhere / "stolen")
    with pytest.raises(DataError, match="leads out of the run's folder"):
        reporting.publish(folder)


def test_a_link_in_the_place_of_a_folder_is_not_written_to(folder: Path, elsewhere: Path) -> None:
    (folder / "figures").symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(DataError, match="leads out of the run's folder"):
        reporting.publish(folder)
    assert untouched(elsewhere)


def test_links_in_the_place_of_what_is_written_are_replaced(folder: Path, elsewhere: Path) -> None:
    """Those of temporary names too: whoever made the folder can guess them."""
    names = ["index.html", "leaderboard.csv", "tables/directions.csv", "samples/samples.json"]
    (folder / "tables").mkdir()
    kept = (folder / "samples" / "samples.json").read_text()
    for name in names:
        path = folder / name
        hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        hidden.symlink_to(elsewhere / "diary")
        if name != "samples/samples.json":
            path.symlink_to(elsewhere / "diary")
    place = pictures._folder_name(json.loads(kept)[0])
    (folder / "samples" / place).mkdir(parents=True)
    (folder / "samples" / place / ".pictures.npz.tmp").symlink_to(elsewhere / "diary")
    reporting.publish(folder)
    assert untouched(elsewhere)
    assert not any((folder / name).is_symlink() for name in names)
    assert json.loads((folder / "samples" / "samples.json").read_text())[0]["pictures"]


def test_pictures_are_not_drawn_into_a_link(folder: Path, elsewhere: Path) -> None:
    samples = json.loads((folder / "samples" / "samples.json").read_text())
    place = folder / "samples" / pictures._folder_name(samples[0])
    place.parent.mkdir()
    place.symlink_to(elsewhere, target_is_directory=True)
    said = pictures.complete(folder, jobs=1)
    assert any("leads out of the run's folder" in line for line in said)
    assert untouched(elsewhere)


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    samples = json.loads((folder / "samples" / "samples.json").read_text())
    (folder / samples[0]["source"]).unlink()
    os.mkfifo(folder / samples[0]["source"])
    (folder / "training.csv").unlink()
    os.mkfifo(folder / "training.csv")
    begin = time.monotonic()
    assert reporting.publish(folder, inline_audio=True).rows
    assert time.monotonic() - begin < 60


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"systems": np.array(["x" * 10] * 2)}, "KeyError|not what vcbench writes|is not a file"),
        ({"mel_0": np.zeros((64, 0), np.uint8)}, "not what vcbench writes"),
        ({"mel_0": np.zeros(8, np.uint8)}, "not what vcbench writes"),
        ({"mel_1": np.zeros((2, 2))}, "not what vcbench writes"),
        ({"f0_0": np.array([{}], dtype=object)}, "allow_pickle=False"),
        ({"frame_period_ms": np.nan}, "not what vcbench writes"),
        ({"mel_0": np.zeros((64, 2**21), np.uint8)}, "unpacks to more than 67108864 bytes"),
    ],
    ids=["systems", "empty", "flat", "floats", "pickle", "period", "bomb"],
)
def test_pictures_that_are_none(change: dict[str, Any], words: str, folder: Path) -> None:
    pictures.complete(folder, jobs=1)
    sample = json.loads((folder / "samples" / "samples.json").read_text())[0]
    path = folder / sample["pictures"]
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez_compressed(path, **{**arrays, **change})
    assert path.stat().st_size < 2_000_000
    with pytest.raises(DataError, match=words):
        pictures.load(path)


@pytest.mark.parametrize("name", [*JSON, "cells.jsonl"])
def test_json_that_is_nested_without_end(name: str, folder: Path) -> None:
    (folder / name).write_text("[" * 200_000)
    with pytest.raises(DataError, match=name):
        reporting.render(folder)


def test_more_systems_than_any_suite_has(folder: Path) -> None:
    line = json.loads((folder / "cells.jsonl").read_text().splitlines()[0])
    lines = [json.dumps({**line, "cell": f"c{i}", "system": f"s{i}"}) for i in range(1001)]
    (folder / "cells.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"1001 systems; at most 1000"):
        reporting.render(folder)


def test_a_table_that_is_larger_than_any(folder: Path) -> None:
    with (folder / "results.csv").open("ab") as file:
        file.truncate(2**30 + 1)  # without taking the room
    with pytest.raises(DataError, match=r"results\.csv: larger than 1073741824 bytes"):
        reporting.render(folder)


VALUES = [None, True, 0, -5, 1e308, float("nan"), float("inf"), 2**70, "", "x", "</script>"]
VALUES += ["$x_{", "\x1b[31m", "\u202eabc", [], {}, [[]], {"a": 1}, ["a"], "../../x", "/etc/passwd"]
VALUES += ["a" * 3000, {"name": {}}, [1, 2], "=1+1", "\x00", 2**63, "1e400", r"$\frac{$", "<b>"]
REMOVED = object()


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*above, key))
    elif isinstance(value, list):
        for i, entry in enumerate(value[:4]):
            yield from places(entry, (*above, i))


def changed(value: Any, draw: random.Random) -> Any:
    """The JSON value with one place replaced by something else, or taken away."""
    at = draw.choice(list(places(value)))
    new = draw.choice([*VALUES, REMOVED])
    if not at:
        return None if new is REMOVED else new
    holder = value
    for step in at[:-1]:
        holder = holder[step]
    if new is REMOVED:
        del holder[at[-1]]
    else:
        holder[at[-1]] = new
    return value


def damage(folder: Path, seed: int) -> None:
    """Change one place of one file, or one column of a table."""
    draw = random.Random(seed)
    name = draw.choice([*JSON, *TABLES, "cells.jsonl"])
    path = folder / name
    if name in JSON:
        path.write_text(json.dumps(changed(json.loads(path.read_text()), draw)))
    elif name == "cells.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        at = draw.randrange(len(lines))
        lines[at] = changed(lines[at], draw)
        path.write_text("\n".join(map(json.dumps, lines)))
    else:
        rows = list(csv.reader(io.StringIO(path.read_text())))
        column = draw.randrange(len(rows[0]))
        new = draw.choice([v for v in VALUES if not isinstance(v, list | dict)])
        which = range(1, len(rows)) if draw.random() < 0.3 else [draw.randrange(len(rows))]
        for row in which:
            rows[row][column] = "" if new is None else str(new)
        out = io.StringIO()
        csv.writer(out).writerows(rows)
        path.write_text(out.getvalue())


def check_damaged(whole: Path, folder: Path, seed: int, *, with_figures: bool) -> None:
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    damage(folder, seed)
    begin = time.monotonic()
    try:
        if with_figures:
            reporting.render(folder)
            compare_results(read_results(whole), read_results(folder))
        else:
            board = build(read_run(folder))
            for text in (markdown(board), latex(board), csv_text(board), json_text(board)):
                assert "\x1b" not in text.replace("\\u001b", "")
            read_results(folder)
    except VcbenchError as error:
        assert str(folder) in str(error)
    assert time.monotonic() - begin < 60


FEW = settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(seed=st.integers(0, 2**32))
def test_damaged_runs(whole: Path, tmp_path: Path, seed: int) -> None:
    check_damaged(whole, tmp_path / "run", seed, with_figures=False)


@pytest.mark.slow
@settings(FEW, max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_many_damaged_runs_are_reported_or_refused(whole: Path, tmp_path: Path, seed: int) -> None:
    check_damaged(whole, tmp_path / "run", seed, with_figures=True)


@given(text=st.text(max_size=60) | st.sampled_from(["[" * 100_000, '{"systems": 3}', "{}", "[]"]))
def test_what_is_no_result_of_score(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    for name in ("x.json", "x.csv"):
        (folder / name).write_text(text, encoding="utf-8", errors="replace")
        with pytest.raises(DataError, match=r"x\.(json|csv): "):
            read_results(folder / name)


def test_scores_that_are_no_numbers(tmp_path: Path) -> None:
    document = {
        "protocol": "vcbench-1",
        "metrics": {"mcd": {"unit": "dB"}},
        "utterances": [{"id": "1", "values": {"mcd": {}}}],
    }
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="is no number"):
        read_results(tmp_path / "x.json")


def test_report_says_it_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = json.loads((folder / "samples" / "samples.json").read_text())
    samples[0]["source"] = "/etc/\x1b]0;owned\x07passwd"
    (folder / "samples" / "samples.json").write_text(json.dumps(samples))
    assert main(["report", str(folder)]) == 2
    said = capsys.readouterr().err
    assert r"path '/etc/\x1b]0;owned\x07passwd' leads out" in said
    assert "\x1b" not in said and said.count("\n") == 1
