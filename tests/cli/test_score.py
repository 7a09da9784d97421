"""`vcbench score`: the table, the JSON, the exit codes, and what is said about lost utterances."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from independent_scoring import eval_wav
from numpy.typing import NDArray
from voices import noise, voice

from vcbench import protocols
from vcbench.cli import main


def vcbench_score(*arguments: object) -> int:
    return main(["score", *map(str, arguments)])


def write(path: Path, waveform: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), waveform, 16000, subtype="PCM_16")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three sentences of a reference speaker and of a converted one."""
    for i in range(3):
        write(tmp_path / "reference" / f"s{i}.wav", voice(0.6 + 0.1 * i, f0_hz=200, seed=i))
        write(tmp_path / "converted" / f"s{i}.wav", voice(0.7, f0_hz=120 + 5 * i, seed=i))
    return tmp_path / "reference", tmp_path / "converted"


@pytest.fixture
def arguments(folders: tuple[Path, Path]) -> list[object]:
    return ["--reference", folders[0], "--converted", folders[1], "--jobs", 1]


def test_json_holds_every_value_and_their_means(
    arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert vcbench_score(*arguments, "--json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["protocol"] == "vcbench-1"
    assert document["protocol_text"] == protocols.get("vcbench-1").text
    units = {name: metric["unit"] for name, metric in document["metrics"].items()}
    assert units == {
        "mcd": "dB",
        "gv-distance": "ln",
        "f0-rmse": "Hz",
        "log-f0-rmse": "ln Hz",
        "vuv-error": "%",
    }
    assert [u["id"] for u in document["utterances"]] == ["s0", "s1", "s2"]
    assert {u["status"] for u in document["utterances"]} == {"scored"}
    for name, metric in document["metrics"].items():
        values = [u["values"][name] for u in document["utterances"]]
        assert metric["mean"] == pytest.approx(np.mean(values))
        assert metric["ci95"][0] <= metric["mean"] <= metric["ci95"][1]
        assert (metric["n"], metric["expected"]) == (3, 3)
    assert "scoring: 3 of 3" in err


def test_table_stands_with_the_protocol(
    arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert vcbench_score(*arguments, "--metrics", "f0-rmse, mcd") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if "3/3" in line]
    assert [row.split()[1] for row in rows] == ["f0-rmse", "mcd"]
    assert "Hz" in rows[0] and "dB" in rows[1] and "lower" in rows[1]
    printed = " ".join("\n".join(lines).split())
    assert protocols.get("vcbench-1").text in printed


def test_one_sided_files_are_named_counted_and_fail(
    folders: tuple[Path, Path], arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    (folders[1] / "s1.wav").rename(folders[1] / "s10.wav")
    assert vcbench_score(*arguments, "--json") == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    status = {u["id"]: (u["status"], u["reason"]) for u in document["utterances"]}
    assert status == {
        "s0": ("scored", ""),
        "s1": ("missing", "no converted file"),
        "s10": ("missing", "no reference file"),
        "s2": ("scored", ""),
    }
    assert (document["metrics"]["mcd"]["n"], document["metrics"]["mcd"]["expected"]) == (2, 4)
    assert "1 only in --reference, no converted: s1" in err
    assert "1 only in --converted, no reference: s10" in err


def test_a_failed_file_is_named_counted_and_fails(
    folders: tuple[Path, Path], arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    write(folders[1] / "s2.wav", np.zeros(16000))
    assert vcbench_score(*arguments) == 1
    out, err = capsys.readouterr()
    assert "2/3" in out
    assert f"not scored: {folders[1] / 's2.wav'}: silent" in err


def test_an_undefined_value_is_null_named_and_no_failure(
    folders: tuple[Path, Path], arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    write(folders[1] / "s2.wav", noise())
    assert vcbench_score(*arguments, "--json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    unvoiced = document["utterances"][2]
    assert unvoiced["status"] == "scored"
    assert unvoiced["values"]["f0-rmse"] is None
    assert unvoiced["values"]["mcd"] > 5
    assert (document["metrics"]["f0-rmse"]["n"], document["metrics"]["mcd"]["n"]) == (2, 3)
    assert "f0-rmse is undefined for 1 of 3: s2" in err


def test_one_sentence_has_a_mean_and_no_interval(
    folders: tuple[Path, Path], arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    for i in (1, 2):
        for folder in folders:
            (folder / f"s{i}.wav").unlink()
    assert vcbench_score(*arguments, "--json") == 0
    metric = json.loads(capsys.readouterr().out)["metrics"]["mcd"]
    assert metric["mean"] > 0
    assert metric["ci95"] is None


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--converted", "/nowhere"], "/nowhere: no such folder"),
        (["--protocol", "vcbench-l"], "did you mean 'vcbench-1'"),
        (["--metrics", "mcd,f0_rmse"], "unknown metric 'f0_rmse': did you mean 'f0-rmse'"),
        (["--metrics", " ,"], "--metrics ' ,' names no metric; valid: f0-rmse"),
        (["--jobs", "0"], "--jobs 0: at least 1"),
    ],
)
def test_unusable_arguments_end_with_2(
    arguments: list[object], extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vcbench_score(*arguments, *extra) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_help_needs_no_heavy_package() -> None:
    code = (
        "import sys, argparse, vcbench.cli.score as s; s.configure(argparse.ArgumentParser()); "
        "print([m for m in ('numpy', 'torch', 'pyworld', 'scipy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_real_speech_source_copy(
    vcc2016_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, speaker in (("reference", "TM3"), ("converted", "SF1")):
        (tmp_path / side).mkdir()
        for sentence in ("200001", "200002", "200003"):
            file = eval_wav(vcc2016_dir, speaker, sentence)
            (tmp_path / side / file.name).symlink_to(file)
    code = vcbench_score(
        "--reference", tmp_path / "reference", "--converted", tmp_path / "converted", "--json"
    )
    assert code == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert 8 < metrics["mcd"]["mean"] < 11
    assert 60 < metrics["f0-rmse"]["mean"] < 140
