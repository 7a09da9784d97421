"""`vcbench data`: exit codes, what is printed where, and the figures."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyworld
import soundfile
from voices import voice

from vcbench import audio
from vcbench.cli import main
from vcbench.corpora import vcc2016


def run(*arguments: str | Path) -> int:
    return main(["data", *(str(argument) for argument in arguments)])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What is said on stderr when vcbench refuses: exit code 2 and nothing on stdout."""
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """ROOT/{low,high}/{a,b,c}.wav: buzzes around 110 and 220 Hz."""
    for speaker, f0_hz in (("low", 110.0), ("high", 220.0)):
        for seed, name in enumerate("abc"):
            waveform = voice(0.6, f0_hz=f0_hz, seed=seed)
            audio.write(tmp_path / "data" / speaker / f"{name}.wav", waveform, sample_rate=16000)
    return tmp_path / "data"


def test_stats_json(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("stats", "folder", "--data", recordings, "--json", "--jobs", "1") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["corpus"] == "folder"
    assert printed["features"]["f0"] == "harvest"
    assert set(printed["speakers"]) == {"low", "high"}
    for speaker, f0_hz in (("low", 110.0), ("high", 220.0)):
        values = printed["speakers"][speaker]
        assert (values["train"], values["eval"]) == (2, 1)
        assert values["train_minutes"] == pytest.approx(2 * 0.6 / 60)
        assert values["eval_minutes"] == pytest.approx(0.6 / 60)
        # The figures, from pyworld itself: c is held out, a and b are for training.
        tracks = [
            pyworld.harvest(soundfile.read(recordings / speaker / f"{name}.wav")[0], 16000)[0]
            for name in "ab"
        ]
        pooled = np.concatenate(tracks)
        log_f0 = np.log(pooled[pooled > 0])
        assert values["log_f0_mean"] == pytest.approx(log_f0.mean(), abs=1e-9)
        assert values["log_f0_std"] == pytest.approx(log_f0.std(), abs=1e-9)
        assert values["log_f0_mean"] == pytest.approx(np.log(f0_hz), abs=0.15)


def test_stats_table_and_cache(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("stats", "folder", "--data", recordings, "--jobs", "1") == 0
    first = capsys.readouterr()
    assert re.search(r"low\W+2\W+1\W+0\.0\W+0\.0\W+4\.\d{3}\W+0\.\d{3}\W+1\d\d\b", first.out)
    assert "extracting features: 4 of 4" in first.err
    assert run("stats", "folder", "--data", recordings, "--jobs", "1") == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "extracting" not in second.err
    assert len(list((tmp_path / "cache" / "features").rglob("*.npz"))) == 4


def test_options_of_the_corpus(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--data", recordings.parent, "--set", "root=data", "--set", "eval_fraction=0.6")
    assert run("stats", "folder", *arguments, "--json", "--jobs", "1") == 0
    assert json.loads(capsys.readouterr().out)["speakers"]["low"]["eval"] == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("eval_fractoin=0.2", "no option 'eval_fractoin': did you mean 'eval_fraction'"),
        ("eval_fraction=some", "--set eval_fraction=some: input should be a valid number"),
        ("eval_fraction", "expected OPTION=VALUE"),
        ("root=[", "not valid YAML"),
        ("eval_fraction=3", "0 < it < 1"),
    ],
)
def test_wrong_options(
    recordings: Path, given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, "check", "folder", "--data", recordings, "--set", given)
    assert message in said
    assert said.count("\n") == 1


def test_stats_names_files_that_cannot_be_used(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audio.write(recordings / "low" / "a.wav", voice(0.6, sample_rate=44100), sample_rate=44100)
    (recordings / "high" / "b.wav").write_bytes(b"")
    said = refusal(capsys, "stats", "folder", "--data", recordings, "--jobs", "1")
    assert "2 of 4 audio files cannot be used" in said
    assert "low/a.wav: sampled at 44100 Hz" in said
    assert "high/b.wav" in said


def test_check_without_problems(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "folder", "--data", recordings) == 0
    assert capsys.readouterr().out == "folder: no problems\n"
    assert run("check", "folder", "--data", recordings, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"corpus": "folder", "ok": True, "problems": []}


def test_check_with_problems(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recordings / "low" / "a.wav").write_bytes(b"")
    audio.write(recordings / "low" / "b.wav", voice(0.6, sample_rate=44100), sample_rate=44100)
    assert run("check", "folder", "--data", recordings) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"corrupt: {recordings}/low/a.wav: ")
    assert lines[1].startswith(f"wrong-rate: {recordings}/low/b.wav: sampled at 44100 Hz")
    assert lines[2] == "folder: 2 problems"
    assert run("check", "folder", "--data", recordings, "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["ok"] is False
    assert [p["kind"] for p in printed["problems"]] == ["corrupt", "wrong-rate"]


def test_check_at_another_rate(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "folder", "--data", recordings, "--sample-rate", "22050", "--json") == 1
    printed = json.loads(capsys.readouterr().out)
    assert [p["kind"] for p in printed["problems"]] == ["wrong-rate"] * 6


def test_missing_corpus_and_unknown_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for action in ("check", "stats"):
        said = refusal(capsys, action, "vcc2016", "--data", tmp_path)
        assert said.startswith("vcbench data: corpus 'vcc2016' not found; looked for ")
        assert said.count("\n") == 1
    said = refusal(capsys, "check", "vcc2061")
    assert "unknown corpus 'vcc2061': did you mean 'vcc2016'" in said


def test_fetch_refuses_what_it_cannot(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "fetch", "folder", "--data", recordings)
    assert "corpus 'folder' cannot be downloaded" in said
    said = refusal(capsys, "fetch", "vcc2016", "--variant", "offical")
    assert "no 'offical': did you mean 'official'" in said


def test_fetch_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (part,) = vcc2016.PARTS["npVCC2016"]
    nowhere = vcc2016.Archive("http://127.0.0.1:9/np.zip", "np.zip")
    away = vcc2016.Part(nowhere, part.folder, part.children, part.subsets)
    monkeypatch.setitem(vcc2016.PARTS, "npVCC2016", (away,))
    said = refusal(capsys, "fetch", "vcc2016", "--data", tmp_path)
    assert re.search(r"127\.0\.0\.1:9/np\.zip: .*refused.* By hand: ", said)
    assert said.count("\n") == 1


def test_real_corpus_is_there(vcc2016_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "vcc2016", "--data", vcc2016_dir) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "vcc2016: no problems"


@pytest.mark.slow
def test_real_log_f0(vcc2016_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Public CycleGAN-VC implementations report 5.39 for SF1 and 4.86 for TM3."""
    assert run("stats", "vcc2016", "--data", vcc2016_dir, "--json") == 0
    speakers = json.loads(capsys.readouterr().out)["speakers"]
    assert {s: (v["train"], v["eval"]) for s, v in speakers.items()} == dict.fromkeys(
        ("SF1", "SM1", "TF2", "TM3"), (81, 54)
    )
    assert speakers["SF1"]["log_f0_mean"] == pytest.approx(5.39, abs=0.01)
    assert speakers["TM3"]["log_f0_mean"] == pytest.approx(4.86, abs=0.01)
    # The table of seconds in the corpus's own documentation.
    for speaker, train_s, eval_s in (("SF1", 287.0, 169.9), ("TM3", 356.6, 222.6)):
        assert math.isclose(speakers[speaker]["train_minutes"] * 60, train_s, abs_tol=0.05)
        assert math.isclose(speakers[speaker]["eval_minutes"] * 60, eval_s, abs_tol=0.05)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, argparse, vcbench.cli.data as d; d.configure(argparse.ArgumentParser()); "
        "heavy = {'numpy', 'torch', 'pydantic', 'rich', 'requests', 'pooch', 'soundfile'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
