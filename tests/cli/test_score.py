"""`vcbench score`: the table, the JSON, the exit codes, and what is said about lost utterances."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from independent_scoring import eval_wav
from numpy.typing import NDArray
from voices import noise, voice

from vcbench import protocols
from vcbench.cli import main

UNITS = {"f0-rmse": "Hz", "gv-distance": "ln", "mcd": "dB", "vuv-error": "%"}


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
    named = ["--reference", folders[0], "--converted", folders[1], "--jobs", 1]
    return [*named, "--metrics", ",".join(UNITS)]


def test_json_holds_every_value_and_their_means(
    arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert vcbench_score(*arguments, "--json") == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["protocol"] == "vcbench-1"
    assert document["protocol_text"] == protocols.get("vcbench-1").text
    units = {name: metric["unit"] for name, metric in document["metrics"].items()}
    assert units == UNITS
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
    assert "vcbench show protocol vcbench-1" in " ".join("\n".join(lines).split())


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
        (["--converted", "converted=/tmp"], "there is a set 'converted' already"),
        (["--dtw", "exact", "--protocol", "vcbench-1@fastdtw"], "names a path already"),
        (["--csv", "/nowhere/x.csv"], "--csv /nowhere/x.csv: no such folder"),
        (["--protocol", "vcbench-l"], "did you mean 'vcbench-1'"),
        (["--metrics", "mcd,f0_rmse"], "unknown metric 'f0_rmse': did you mean 'f0-rmse'"),
        (["--metrics", " ,"], "--metrics ' ,' names no metric; valid: duration"),
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


def test_ids_in_common_there_must_be(
    folders: tuple[Path, Path], arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        (folders[1] / f"s{i}.wav").rename(folders[1] / f"s{i}0.wav")
    assert vcbench_score(*arguments) == 2
    expected = "converted: none of its 3 ids (s00, ...) is among the 3 of the references (s0, ...)"
    assert expected in capsys.readouterr().err


def test_every_kind_of_bad_file_is_named_counted_and_costs_only_itself(
    folders: tuple[Path, Path], arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Other lengths are no fault; other rates, channels and no speech are."""
    reference, converted = folders
    bad = {
        "rate": (voice(0.7, sample_rate=22050), 22050, "sample-rate mismatch: 22050 Hz"),
        "stereo": (np.stack([voice(), voice()], axis=1), 16000, "2 channels; mono is needed"),
        "silent": (np.zeros(16000), 16000, "silent: all 16000 samples are zero"),
        "short": (voice()[:300], 16000, "300 samples (0.019 s) are too few"),
        "bytes": (b"", 0, "not a readable audio file"),
        "text": (b"this is a text", 0, "not a readable audio file"),
        "corrupt": (b"RIFF\x00\x01\x02\x03WAVEfmt ", 0, "not a readable audio file"),
        "cut": (b"", 0, "truncated: the header promises more samples"),
    }
    for name, (content, rate, _) in bad.items():
        write(reference / f"{name}.wav", voice(0.7))
        file = converted / f"{name}.wav"
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            soundfile.write(str(file), content, rate, subtype="PCM_16")
    whole = (converted / "s0.wav").read_bytes()
    (converted / "cut.wav").write_bytes(whole[:-500])
    write(reference / "gone.wav", voice(0.7))
    (converted / "gone.wav").symlink_to("nowhere.wav")
    write(reference / "long.wav", voice(0.5))
    write(converted / "long.wav", voice(2.0))  # of another length: DTW is for that
    assert vcbench_score(*arguments, "--json") == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert "Traceback" not in err
    found = {u["id"]: u for u in document["utterances"]}
    for name, (*_, reason) in bad.items():
        assert (found[name]["status"], found[name]["values"]) == ("failed", {})
        assert reason in found[name]["reason"]
        assert f"not scored: {converted / name}.wav: " in err
    assert "cannot be read (No such file or directory)" in found["gone"]["reason"]
    assert {n for n, u in found.items() if u["status"] == "scored"} == {"s0", "s1", "s2", "long"}
    counted = document["metrics"]["mcd"]
    assert (counted["n"], counted["expected"]) == (4, 4 + len(bad) + 1)


def test_a_metric_that_fails_is_named_and_the_others_stand(
    arguments: list[object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(reference: object, converted: object) -> float:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("metrics.global_variance.global_variance_distance", broken)
    assert vcbench_score(*arguments, "--json") == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["metrics"]["gv-distance"]["n"] == 0
    assert document["metrics"]["f0-rmse"]["n"] == 3
    assert {u["status"] for u in document["utterances"]} == {"failed"}
    assert all("vuv-error" in u["values"] for u in document["utterances"])
    assert err.count("metric 'gv-distance'") == 3


def test_lists_and_a_csv_of_every_value(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids of lists need not be the files' names, and a missing one has a row without a value."""
    reference, converted = folders
    lines = [f"sentence-{i} {reference / f's{i}.wav'}\n" for i in range(3)]
    (tmp_path / "reference.scp").write_text("".join(lines))
    rows = [f"sentence-{i},{converted / f's{i}.wav'}\n" for i in range(2)]
    (tmp_path / "converted.csv").write_text("id,path\n" + "".join(rows))
    sides = ["--reference", tmp_path / "reference.scp", "--converted", tmp_path / "converted.csv"]
    file = tmp_path / "out.csv"
    code = vcbench_score(*sides, "--metrics", "mcd,f0-rmse", "--jobs", 1, "--csv", file, "--json")
    assert code == 1
    values = {u["id"]: u["values"] for u in json.loads(capsys.readouterr().out)["utterances"]}
    table = pd.read_csv(file)
    assert list(table.columns) == ["system", "utterance", "metric", "protocol", "value", "unit"]
    assert list(table["utterance"].unique()) == [f"sentence-{i}" for i in range(3)]
    assert len(table) == 3 * 2
    for _, row in table.iterrows():
        assert (row["system"], row["protocol"]) == ("converted", "vcbench-1")
        assert row["unit"] == UNITS[row["metric"]]
        expected = values[row["utterance"]].get(row["metric"])
        assert expected == row["value"] if expected else np.isnan(row["value"])


@pytest.fixture
def two_systems(tmp_path: Path) -> list[object]:
    """Eight sentences, converted by `near` and, with a far higher pitch, by `far`."""
    for i in range(8):
        write(tmp_path / "reference" / f"s{i}.wav", voice(0.5, f0_hz=150, seed=i))
        write(tmp_path / "near" / f"s{i}.wav", voice(0.5, f0_hz=140 + i, seed=i + 9))
        write(tmp_path / "far" / f"s{i}.wav", voice(0.5, f0_hz=240 + i, seed=i))
    near, far = tmp_path / "near", tmp_path / "far"
    sides = ["--reference", tmp_path / "reference", "--converted", near, "--converted"]
    return [*sides, f"second={far}", "--jobs", 1, "--metrics", "f0-rmse"]


def test_several_sets_are_compared_sentence_by_sentence(
    two_systems: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert vcbench_score(*two_systems, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["systems"]) == ["near", "second"]
    scores = [
        [u["values"]["f0-rmse"] for u in document["systems"][name]["utterances"]]
        for name in ("near", "second")
    ]
    (found,) = document["comparisons"]
    assert (found["metric"], found["a"], found["b"]) == ("f0-rmse", "near", "second")
    difference = found["a_minus_b"]
    assert difference["mean"] == pytest.approx(np.mean(np.subtract(*scores)))
    assert difference["mean"] < -60
    low, high = difference["interval"]
    assert low <= difference["mean"] <= high < 0
    assert difference["p_holm"] == pytest.approx(2 / 2**8)  # all 8 signs are equal
    assert difference["decided"] is True
    assert (difference["n"], difference["expected"]) == (8, 8)


def test_the_table_of_several_sets(
    two_systems: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "far" / "s0.wav").unlink()
    assert vcbench_score(*two_systems) == 1
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines() if "f0-rmse" in line]
    assert [(row[3], row[-2]) for row in rows[:2]] == [("near", "8/8"), ("second", "7/8")]
    assert rows[2][3:7] == ["near", "-", "second", "*"]
    assert "second: 1 only in --reference, no converted: s0" in err


def test_few_sentences_claim_nothing(
    two_systems: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3, 8):
        for folder in ("reference", "near", "far"):
            (tmp_path / folder / f"s{i}.wav").unlink()
    assert vcbench_score(*two_systems) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "near - second" in line]
    assert "too few" in row and "*" not in row


def test_many_ids_are_not_all_printed(
    folders: tuple[Path, Path], arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(30):
        (folders[0] / f"t{i:02}.wav").touch()
    assert vcbench_score(*arguments) == 1
    assert "30 only in --reference, no converted: t00, t01" in (err := capsys.readouterr().err)
    assert "t19, and 10 more\n" in err


def test_another_path_is_another_protocol(
    arguments: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fastdtw", reason="the approximate path needs the package fastdtw")
    documents = []
    for extra in ([], ["--dtw", "exact"], ["--dtw", "fastdtw"]):
        assert vcbench_score(*arguments, *extra, "--json") == 0
        documents.append(json.loads(capsys.readouterr().out))
    ids = ["vcbench-1", "vcbench-1", "vcbench-1@fastdtw"]
    assert [document["protocol"] for document in documents] == ids
    assert documents[0] == documents[1]


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
