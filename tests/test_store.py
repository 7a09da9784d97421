"""What a run leaves on disk: names, columns, links, and nothing half written."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vcbench.errors import UsageError
from vcbench.store import RESULTS, THROUGHPUT, TRAINING, CellRecord, RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "reports", "small", "0123abc-dirty")


def row(**changes: object) -> dict[str, object]:
    """A row of results."""
    found = dict.fromkeys(RESULTS, "x")
    return {**found, "seed": 0, "value": 1.0, **changes}


def test_the_folder_is_named_by_time_and_revision(tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    path = RunFolder(tmp_path / "reports", "small", "0123abc-dirty").path
    assert path.is_dir()
    assert path.parent == tmp_path / "reports" / "small"
    found = re.fullmatch(r"(\d{8}T\d{6}Z)-0123abc-dirty", path.name)
    assert found
    begun = datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert before <= begun <= datetime.now(UTC)


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    paths = {RunFolder(tmp_path, "small", "v1").path for _ in range(5)}
    assert len(paths) == 5
    assert all(path.is_dir() for path in paths)


@pytest.mark.parametrize("blocked", ["reports", "reports/small"])
def test_where_nothing_can_be_written_the_user_is_told(blocked: str, tmp_path: Path) -> None:
    """A file lies where a folder is needed."""
    (tmp_path / blocked).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / blocked).touch()
    with pytest.raises(UsageError) as caught:
        RunFolder(tmp_path / "reports", "small", "v1")
    assert str(caught.value) == (
        f"{tmp_path}/reports/small: reports cannot be written there (Not a directory); "
        "name another folder with --reports or VCBENCH_REPORTS_DIR"
    )


def test_a_cell_is_a_line_of_cells_jsonl(folder: RunFolder) -> None:
    trained = CellRecord("a/A-B/0", "a", "A-B", 0, "trained", key="k", health=("saturated",))
    trained.fail("oom", "killed")
    trained.fail("failed", "no checkpoint")  # a consequence
    baseline = CellRecord("source-copy/A-B/-", "source-copy", "A-B", None, "baseline")
    folder.add_cell(trained)
    folder.add_cell(baseline)
    lines = (folder.path / "cells.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {
        "cell": "a/A-B/0",
        "system": "a",
        "pair": "A-B",
        "seed": 0,
        "kind": "trained",
        "status": "oom",
        "reason": "killed",
        "cached": False,
        "key": "k",
        "seconds": 0.0,
        "iterations": None,
        "health": ["saturated"],
        "crop_stream_sha256": None,
        "log": "",
    }
    second = json.loads(lines[1])
    assert (second["status"], second["seed"], len(lines)) == ("ok", None, 2)


def test_parquet_and_csv_hold_the_same_results(folder: RunFolder) -> None:
    values = [*np.random.default_rng(0).normal(size=50), 1 / 3, 1e-300, float("nan")]
    rows = [row(value=v, seed=None if i % 3 else i) for i, v in enumerate(values)]
    folder.write_results(rows)
    parquet = pd.read_parquet(folder.path / "results.parquet")
    # Seeds are whole numbers in the text too, and a baseline has none.
    text = pd.read_csv(folder.path / "results.csv", dtype=str, keep_default_na=False)
    assert list(text.columns) == list(parquet.columns) == RESULTS
    assert list(text["seed"][:4]) == ["0", "", "", "3"]
    csv = text.assign(
        seed=[int(v) if v else pd.NA for v in text["seed"]],
        value=[float(v) if v else np.nan for v in text["value"]],
    ).astype({"seed": "Int64"})
    pd.testing.assert_frame_equal(csv, parquet, check_exact=True, check_dtype=False)
    np.testing.assert_array_equal(parquet["value"], values)


def test_tables_without_rows_have_their_columns(folder: RunFolder) -> None:
    folder.write_results([])
    folder.write_training([])
    folder.write_throughput([])
    for name, columns in (
        ("results.csv", RESULTS),
        ("training.csv", TRAINING),
        ("throughput.csv", THROUGHPUT),
    ):
        assert (folder.path / name).read_text() == ",".join(columns) + "\n"
    assert list(pd.read_parquet(folder.path / "results.parquet").columns) == RESULTS


def test_latest_points_to_the_newest_run(tmp_path: Path) -> None:
    link = tmp_path / "small" / "latest"
    for revision in ("v1", "v2", "v3"):
        folder = RunFolder(tmp_path, "small", revision)
        folder.point_latest_here()
        assert link.resolve() == folder.path.resolve()
        assert link.readlink() == Path(folder.path.name)  # the reports can be moved as a whole
    assert sorted(p.name for p in link.parent.iterdir() if p.is_symlink()) == ["latest"]


def test_files_are_replaced_whole_and_no_temporary_stays(folder: RunFolder) -> None:
    folder.write_json("samples/samples.json", [{"name": "é"}])
    path = folder.path / "samples" / "samples.json"
    before = path.read_bytes()
    assert "é" in path.read_text(encoding="utf-8")
    with path.open("rb") as reader:
        folder.write_json("samples/samples.json", list(range(1000)))
        assert reader.read() == before
    folder.write_results([row()])
    found = {str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file()}
    assert found == {"results.csv", "results.parquet", "samples/samples.json"}


def test_what_cannot_be_written_leaves_the_old_file(folder: RunFolder) -> None:
    folder.write_json("manifest.json", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        folder.write_json("manifest.json", {"a": float("inf")})
    assert json.loads((folder.path / "manifest.json").read_text()) == {"a": 1}


def test_a_sample_is_copied_below_samples(folder: RunFolder, tmp_path: Path) -> None:
    wav = tmp_path / "a.wav"
    wav.write_bytes(b"RIFF")
    assert folder.add_sample(wav, "A_to_B/s1/source.wav") == "samples/A_to_B/s1/source.wav"
    assert (folder.path / "samples/A_to_B/s1/source.wav").read_bytes() == b"RIFF"
