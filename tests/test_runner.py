"""Whole runs: from a suite file to the report, through the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import small_corpus
import soundfile
from home import Home

from vcbench.cli import main

CONTRACT = [
    "cells.jsonl",
    "figures",
    "index.html",
    "leaderboard.csv",
    "leaderboard.json",
    "leaderboard.md",
    "leaderboard.parquet",
    "leaderboard.tex",
    "manifest.json",
    "plan.json",
    "results.csv",
    "results.parquet",
    "samples",
    "tables",
    "throughput.csv",
    "training.csv",
    "training.parquet",
]


def suite_with(folder: Path, name: str) -> Path:
    """The small suite under `name`, its 1D generator being `name` from the plugin `name`.py."""
    text = small_corpus.SUITE.replace("suite: small", f"suite: {name}\nplugins: [{name}.py]")
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("generator: cyclegan-vc-1d", f"generator: {name}"), "utf-8")
    return path


def cells(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "cells.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_the_contract_names(home: Home) -> None:
    assert sorted(p.name for p in home.first_run.iterdir()) == CONTRACT
    assert [(c["cell"], c["status"]) for c in cells(home.first_run)] == [
        ("one-d/LOW-HIGH/0", "ok"),
        ("two-d/LOW-HIGH/0", "ok"),
        ("source-copy/LOW-HIGH/-", "ok"),
        ("mean-variance/LOW-HIGH/-", "ok"),
        ("resynthesis/LOW-HIGH/-", "ok"),
    ]


def test_every_system_is_scored_in_both_directions(home: Home) -> None:
    results = pd.read_csv(home.first_run / "results.csv")
    rows = results.groupby(["system", "direction", "metric"])["value"]
    # 5 systems x 2 directions x 2 metrics, each on the 2 evaluation sentences.
    assert list(rows.size()) == [2] * 20
    # An untrained network may leave too little voiced speech to speak of F0; the rest may not.
    defined = results[(results.metric == "mcd") | ~results.system.isin(["one-d", "two-d"])]
    assert defined["value"].notna().all()


def test_baselines_bracket_as_they_must(home: Home) -> None:
    results = pd.read_csv(home.first_run / "results.csv")
    mcd_db = results[results.metric == "mcd"].groupby("system")["value"].mean()
    assert mcd_db["resynthesis"] < mcd_db["mean-variance"] < mcd_db["source-copy"]


def test_all_systems_saw_the_same_crops(home: Home) -> None:
    streams = {c["crop_stream_sha256"] for c in cells(home.first_run) if c["kind"] == "trained"}
    assert len(streams) == 1
    assert None not in streams


def test_throughput_is_measured_for_every_trained_system(home: Home) -> None:
    rows = pd.read_csv(home.first_run / "throughput.csv")
    assert set(rows.system) == {"one-d", "two-d"}
    for phase, metric in (
        ("training", "iterations_per_second"),
        ("training", "peak_memory"),
        ("generator", "frames_per_second"),
        ("generator", "real_time_factor"),
        ("conversion", "real_time_factor"),
        ("model", "macs"),
    ):
        found = rows[(rows.phase == phase) & (rows.metric == metric)]
        assert len(found) == 2, (phase, metric)
        assert (found.value > 0).all()


def test_running_again_computes_nothing_and_says_so(home: Home) -> None:
    before = (home.first_run / "results.csv").read_bytes()
    again = home.run()
    assert again.returncode == 0, again.stderr
    assert "features: 0 extracted" in again.stderr
    assert "training: 0 cells trained, 2 cached" in again.stderr
    assert "conversion: 0 utterances converted" in again.stderr
    assert (home.latest / "results.csv").read_bytes() == before


def test_changing_one_system_trains_only_that_one(home: Home, tmp_path: Path) -> None:
    changed = tmp_path / "changed.yaml"
    text = small_corpus.SUITE.replace(
        "generator: cyclegan-vc-1d", "generator: {name: cyclegan-vc-1d, width: narrow}"
    )
    changed.write_text(text, encoding="utf-8")
    done = home.run(suite=changed)
    assert done.returncode == 0, done.stderr
    assert "training: 1 cell trained, 1 cached" in done.stderr


@pytest.mark.slow
def test_two_systems_that_differ_in_name_alone_are_one_training(home: Home, tmp_path: Path) -> None:
    """An A/A comparison comes out even, to the last digit: nothing depends on a name."""
    one_d = small_corpus.SUITE.partition("  one-d:\n")[2].partition("  two-d:")[0]
    twins = small_corpus.SUITE.partition("  one-d:\n")[0] + f"  a:\n{one_d}  b:\n{one_d}"
    rest = "training:" + small_corpus.SUITE.partition("training:")[2].replace("ons: 6", "ons: 4")
    suite = tmp_path / "twins.yaml"
    suite.write_text(twins.replace("suite: small", "suite: twins") + rest, encoding="utf-8")
    done = home.run("--fresh", suite=suite)
    assert done.returncode == 0, done.stderr
    assert "training: 2 cells trained, 0 cached" in done.stderr
    run = home.latest.parents[1] / "twins" / "latest"
    trained = [c for c in cells(run) if c["kind"] == "trained"]
    assert [c["status"] for c in trained] == ["ok", "ok"]
    assert len({c["key"] for c in trained}) == 1
    assert len({c["seconds"] for c in trained}) == 1
    results = pd.read_csv(run / "results.csv").set_index(["direction", "utterance", "metric"])
    a, b = (results.loc[results.system == name, "value"] for name in ("a", "b"))
    assert a.equals(b)
    assert a.notna().any()
    assert set(pd.read_csv(run / "throughput.csv").system) == {"a", "b"}


def test_what_was_converted_elsewhere_stands_beside_what_was_trained(
    home: Home, tmp_path: Path
) -> None:
    """`perfect` says what the targets said; `partial` lacks a sentence and has a silent one."""
    for source, target in (("LOW", "HIGH"), ("HIGH", "LOW")):
        for folder in (f"perfect/{source}_to_{target}", f"partial/{target}/{source}"):
            (tmp_path / folder).mkdir(parents=True)
            for sentence in ("s6", "s7", "s0"):  # s0 is no evaluation sentence
                wav = home.data / "speech" / target / f"{sentence}.wav"
                shutil.copy(wav, tmp_path / folder)
    (tmp_path / "partial/HIGH/LOW/s6.wav").unlink()
    silent = tmp_path / "partial/LOW/HIGH/s7.wav"
    soundfile.write(str(silent), [0.0] * 16000, 16000)
    suite = tmp_path / "external.yaml"
    external = (
        "external:\n  perfect: {directory: 'perfect/{direction}'}\n"
        "  partial: {directory: 'partial/{target}/{source}'}\n"
    )
    one_system = small_corpus.SUITE.partition("  two-d:")[0].replace("small", "external")
    rest = "training:" + small_corpus.SUITE.partition("training:")[2]
    suite.write_text(one_system + rest + "baselines: [source-copy]\n" + external)
    done = home.run(suite=suite)
    assert done.returncode == 1, done.stderr
    assert "training: 0 cells trained, 1 cached" in done.stderr
    missing = tmp_path / "partial/HIGH/LOW/s6.wav"
    before = done.stderr.partition("training:")[0]
    for direction, problem in (
        ("LOW>HIGH", f"{missing}: no such file"),
        ("HIGH>LOW", f"{silent}: silent"),
    ):
        said = f"WARNING partial/LOW-HIGH/-: {direction}: 1 of 2 utterances cannot be scored:"
        assert f"{said}\n  {problem}" in before

    run = home.latest.parents[1] / "external" / "latest"
    status = {c["cell"]: c for c in cells(run)}
    perfect, partial = status["perfect/LOW-HIGH/-"], status["partial/LOW-HIGH/-"]
    assert (perfect["kind"], perfect["status"], perfect["seed"]) == ("external", "ok", None)
    assert (partial["kind"], partial["status"]) == ("external", "failed")
    assert partial["reason"].startswith("2 utterances could not be scored, the first being LOW>HI")
    results = pd.read_csv(run / "results.csv")
    mcd = results[results.metric == "mcd"].set_index(["system", "direction", "utterance"])["value"]
    assert list(mcd["perfect"]) == [0.0] * 4
    assert mcd["partial"].isna().sum() == 2
    assert mcd["partial", "LOW>HIGH", "s7"] == mcd["partial", "HIGH>LOW", "s6"] == 0.0
    rows = {r["system"]: r for r in json.loads((run / "leaderboard.json").read_text())["rows"]}
    assert rows["perfect"]["kind"] == rows["partial"]["kind"] == "external"
    assert rows["partial"]["rank"] is None
    samples = json.loads((run / "samples" / "samples.json").read_text())
    assert {s["direction"] for s in samples} == {"LOW>HIGH", "HIGH>LOW"}
    for sample in samples:
        source, target = sample["direction"].split(">")
        wav_name = f"{sample['utterance']}.wav"
        for name, wav in (
            ("perfect", tmp_path / f"perfect/{source}_to_{target}" / wav_name),
            ("partial", tmp_path / f"partial/{target}/{source}" / wav_name),
        ):
            assert (name in sample["converted"]) == wav.is_file()
            if wav.is_file():
                assert (run / sample["converted"][name]).read_bytes() == wav.read_bytes()
    manifest = json.loads((run / "manifest.json").read_text())
    counts = {c: (e["utterances"], e["expected"]) for c, e in manifest["external"].items()}
    assert counts == {"perfect/LOW-HIGH/-": (4, 4), "partial/LOW-HIGH/-": (3, 4)}


def test_a_folder_of_other_sentences_is_refused_before_training(home: Home, tmp_path: Path) -> None:
    for direction in ("LOW_to_HIGH", "HIGH_to_LOW"):
        (tmp_path / "theirs" / direction).mkdir(parents=True)
        wav = home.data / "speech" / "LOW" / "s0.wav"
        shutil.copy(wav, tmp_path / "theirs" / direction / "s60.wav")
    suite = tmp_path / "wrong.yaml"
    text = small_corpus.SUITE.replace("suite: small", "suite: wrong")
    suite.write_text(text + "external: {theirs: {directory: 'theirs/{direction}'}}\n")
    done = home.run(suite=suite)
    assert done.returncode == 2
    assert "theirs/LOW-HIGH/-: no evaluation sentence can be used of" in done.stderr
    assert "such as s6.wav" in done.stderr
    assert not (home.latest.parents[1] / "wrong").exists()


def test_a_cell_that_fails_costs_only_its_own_row(home: Home, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import torch\n"
        "from vcbench.plugins import register_generator\n"
        "class Broken(torch.nn.Conv1d):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x) * float('nan')\n"
        "@register_generator('broken')\n"
        "def broken(*, n_mcep: int, scale: float):\n"
        "    '''Says nothing but NaN.'''\n"
        "    return Broken(n_mcep, n_mcep, 1)\n",
        encoding="utf-8",
    )
    suite = suite_with(tmp_path, "broken")
    done = home.run(suite=suite)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    run = home.latest.parents[1] / "broken" / "latest"
    status = {c["system"]: c for c in cells(run)}
    assert status["one-d"]["status"] == "failed"
    assert "at iteration 1 the generator_adversarial loss became nan" in status["one-d"]["reason"]
    assert all(c["status"] == "ok" for name, c in status.items() if name != "one-d")
    rows = {r["system"]: r for r in json.loads((run / "leaderboard.json").read_text())["rows"]}
    assert rows["one-d"]["rank"] is None
    assert rows["two-d"]["rank"] == 1


@pytest.mark.slow
def test_a_longer_training_goes_on_from_a_shorter_one(home: Home, tmp_path: Path) -> None:
    suite = tmp_path / "longer.yaml"
    system_2d = small_corpus.SUITE[small_corpus.SUITE.index("  two-d:") :]
    text = small_corpus.SUITE.replace(system_2d[: system_2d.index("training:")], "")
    suite.write_text(text.replace("suite: small", "suite: longer"), encoding="utf-8")
    run = home.latest.parents[1] / "longer" / "latest"
    same = ["--set", "training.learning_rate_decay=none"]
    found = []
    for options in (["--set", "training.iterations=4"], [], ["--fresh"]):
        done = home.run(*same, *options, suite=suite)
        assert done.returncode == 0, done.stderr
        (trained, *_) = cells(run)
        found.append((trained["iterations"], (run / "results.csv").read_bytes(), done.stderr))
    on = "one-d/LOW-HIGH/0: goes on from one with another schedule, after its 4 iterations"
    assert [on in said for _, _, said in found] == [False, True, False]
    assert [iterations for iterations, _, _ in found] == [4, 6, 6]
    assert found[1][1] == found[2][1]
    assert found[0][1] != found[1][1]


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(home: Home) -> None:
    longer = ["--set", "training.iterations=300", "--set", "systems.one-d.training={}"]
    command = home.command(*longer, "--jobs", "1")
    # The same processor as below: another number of threads would round differently.
    options = {k: v for k, v in home.options().items() if k != "capture_output"}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **options, **streams) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.match(r"  one-d/LOW-HIGH/0: \d+/300 ", line):  # it has come to a quarter
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait(60) == 130
    assert "the same command continues" in rest
    assert "Traceback" not in rest
    newest = max(home.latest.parent.glob("2*"))
    assert {c["status"] for c in cells(newest)} == {"skipped"}
    plan = subprocess.run(
        [sys.executable, "-m", "vcbench", "plan", *command[4:-2], "--json"], **home.options()
    )
    reasons = {c["cell"]: c["reason"] for c in json.loads(plan.stdout)["cells"]}
    assert "training unfinished at iteration" in reasons["one-d/LOW-HIGH/0"]
    done = subprocess.run(command, **home.options())
    assert done.returncode == 0, done.stderr
    interrupted = (home.latest / "results.csv").read_bytes()
    time.sleep(1)
    fresh = subprocess.run([*command, "--fresh"], **home.options())
    assert fresh.returncode == 0, fresh.stderr
    assert (home.latest / "results.csv").read_bytes() == interrupted


def test_a_suite_error_is_one_line_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = small_corpus.write(tmp_path)
    suite.write_text(small_corpus.SUITE.replace("objective: bce", "objectiv: bce"))
    assert main(["run", str(suite), "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{suite}:" in said
    assert "objectiv" in said
    assert "objective" in said
    assert not Path(os.environ["VCBENCH_REPORTS_DIR"]).exists()


def test_a_missing_corpus_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "vcc2016", "--budget", "smoke", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "vcbench data fetch vcc2016" in said
    assert str(tmp_path) in said


def test_a_plugin_may_print_and_a_damaged_conversion_is_made_again(
    home: Home, tmp_path: Path
) -> None:
    (tmp_path / "loud.py").write_text(
        "import torch\n"
        "from vcbench.plugins import register_generator\n"
        "class Loud(torch.nn.Conv1d):\n"
        "    def forward(self, x):\n"
        "        print('hello')\n"
        "        return super().forward(x)\n"
        "@register_generator('loud')\n"
        "def loud(*, n_mcep: int, scale: float):\n"
        "    '''Says hello.'''\n"
        "    return Loud(n_mcep, n_mcep, 1)\n",
        encoding="utf-8",
    )
    suite = suite_with(tmp_path, "loud")
    done = home.run("--only", "one-d/*", suite=suite)
    assert done.returncode == 0, done.stderr
    run = home.latest.parents[1] / "loud" / "latest"
    assert "one-d" in set(pd.read_csv(run / "throughput.csv").system)
    left_out = [c for c in cells(run) if c["status"] == "skipped"]
    assert len(left_out) == 4
    assert {c["reason"] for c in left_out} == {"left out by --only"}

    before = (run / "results.csv").read_bytes()
    key = next(c["key"] for c in cells(run) if c["system"] == "one-d")
    folder = Path(home.environment["VCBENCH_CACHE_DIR"], "cells", key)
    wav = next(folder.glob("converted/*/*/*.wav"))
    wav.write_bytes(wav.read_bytes()[:-1000])
    again = home.run("--only", "one-d/*", suite=suite)
    assert again.returncode == 0, again.stderr
    assert "conversion: 1 utterance converted, 3 cached" in again.stderr
    assert (run.parent / "latest" / "results.csv").read_bytes() == before


def test_a_generator_that_drops_frames_is_refused_before_anything_is_computed(
    home: Home, tmp_path: Path
) -> None:
    (tmp_path / "short.py").write_text(
        "import torch\n"
        "from vcbench.plugins import register_generator\n"
        "@register_generator('short')\n"
        "def short(*, n_mcep: int, scale: float):\n"
        "    '''Loses two frames.'''\n"
        "    return torch.nn.Conv1d(n_mcep, n_mcep, 3)\n",
        encoding="utf-8",
    )
    suite = suite_with(tmp_path, "short")
    done = home.run(suite=suite)
    assert done.returncode == 2
    assert "turned (1, 24, 128) (batch, n_mcep, frames) into (1, 24, 126)" in done.stderr
    assert "short.py:3" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (home.latest.parents[1] / "short").exists()
