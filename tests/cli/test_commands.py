"""The subcommands that look at things: list, show, plan, report; and the command itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from home import Home

from vcbench.cli import COMMANDS, main
from vcbench.plugins import PLURALS, Registry


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"usage: vcbench {command}" in capsys.readouterr().out


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["runn"])
    assert stopped.value.code == 2
    assert "invalid choice: 'runn': did you mean 'run'? (valid: bench, " in capsys.readouterr().err


def test_list_names_every_plugin_and_suite(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(output(capsys, "list", "--json"))
    assert sorted(listed) == sorted([*PLURALS, "suites"])
    for plural, kind in PLURALS.items():
        assert [entry["name"] for entry in listed[plural]] == Registry().names(kind)
    assert {entry["name"] for entry in listed["suites"]} >= {"demo", "vcc2016"}
    (paper,) = [e["paper"] for e in listed["generators"] if e["name"] == "cyclegan-vc-1d"]
    assert "1711.11293" in paper
    text = output(capsys, "list", "metrics")
    assert "f0-rmse" in text
    assert "cyclegan-vc-1d" not in text


def test_show_prints_the_layers_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(output(capsys, "show", "cyclegan-vc-1d", "--json"))
    assert shown["parameters"] == 38_055_704
    assert shown["macs"] == sum(layer["macs"] for layer in shown["layers"])
    assert shown["layers"][-1]["output"] == "24x128"
    narrow = output(capsys, "show", "cyclegan-vc-1d", "--option", "width=narrow")
    assert "18,296,728 parameters" in narrow


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["show", "cyclegan-vc-1"], "did you mean 'cyclegan-vc-1d'?"),
        (["show", "cyclegan-vc-1d", "--option", "widht=narrow"], "did you mean 'width'?"),
        (
            ["show", "cyclegan-vc-1d", "--option", "width=big"],
            "unknown value 'big'; valid: narrow, wide",
        ),
        (["show", "patchgan", "--n-mcep", "8"], "n_mcep (8) must be at least 16"),
        (["report", "nowhere"], "nowhere holds no manifest.json"),
        (["plan", "vcc2017"], "did you mean 'vcc2016'?"),
        (["plan", "."], "suite: '.' is a folder; name a suite file; valid: demo, "),
        (["run", "demo", "--jobs", "0"], "--jobs 0: must be at least 1"),
        (["plan", "demo", "--jobs", "-1"], "--jobs -1: must be at least 1"),
        (["data", "stats", "demo", "--jobs", "0"], "--jobs 0: must be at least 1"),
        (["run", "demo", "--reports", f"{__file__}/x"], f"({__file__} is a file); name another"),
        (["run", "demo", "--only", "dem/*"], "--only 'dem/*' matches no cell; valid: "),
        (["run", "vcc2016", "--budget", "smok"], "did you mean 'smoke'?"),
        (["run", "demo", "--set", "metrics=[mdc]"], "unknown metric 'mdc': did you mean"),
        (["run", "demo", "--set", "training.iterations"], "must be KEY.KEY=VALUE"),
        (["convert", "no.pt", "a.wav", "-o", "out"], "no such checkpoint; `vcbench plan SUITE"),
        (["data", "fetch", "vcc"], "did you mean 'vcc2016'?"),
        (["run", "demo", "--engine", "lokal"], "did you mean 'local'?"),
        (["run", "demo", "--set", "protocol=vcbench-2"], "did you mean 'vcbench-1'?"),
        (["run", "demo", "--set", "pairs=[DF1-DM9]"], "did you mean"),
    ],
)
def test_mistakes_get_one_line_and_exit_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert "Traceback" not in said


def test_plan_tells_what_is_done_and_runs_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VCBENCH_CACHE_DIR", home.environment["VCBENCH_CACHE_DIR"])
    monkeypatch.delenv("COLUMNS", raising=False)  # no cell of a table is broken
    arguments = ["plan", home.suite, "--data", home.data, "--json"]
    planned = json.loads(output(capsys, *arguments))
    assert [(c["cell"], c["done"]) for c in planned["cells"]] == [
        ("one-d/LOW-HIGH/0", True),
        ("two-d/LOW-HIGH/0", True),
    ]
    assert planned["features"] == {"total": 16, "missing": 0}
    more = json.loads(output(capsys, *arguments, "--seeds", "0,1", "--only", "two-d/*"))
    assert [(c["cell"], c["done"], c["reason"]) for c in more["cells"]] == [
        ("two-d/LOW-HIGH/0", True, "trained before"),
        ("two-d/LOW-HIGH/1", False, "never trained"),
    ]
    assert more["cells"][0]["iterations"] == {"done": 6, "total": 6}
    time = more["training_time"]
    assert (time["unknown"], list(time["speeds"])) == ([], ["two-d"])
    assert time["seconds"] == pytest.approx(6 / time["speeds"]["two-d"])
    longer = [*arguments[:-1], "--set", "training.iterations=60", "--only", "one-d/*"]
    text = " ".join(output(capsys, *longer).split())
    assert "trained before, but training.iterations was 6, now 60" in text
    assert (
        re.search(r"training: about \d+:\d\d", text) and "like cells in the cache (one-d " in text
    )
    wider = [*longer, "--set", "systems.one-d.generator.width=narrow"]
    text = " ".join(output(capsys, *wider).split())
    assert "generator.width was wide, now narrow" in text
    assert "training time unknown: one-d: no like cell in the cache has been trained" in text
    other = json.loads(output(capsys, *arguments, "--deterministic"))
    assert not any(c["done"] for c in other["cells"])
    assert other["cells"][0]["reason"] == "trained before, but deterministic was False, now True"


def test_report_renders_a_run_again(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["manifest.json", "cells.jsonl", "results.csv", "training.csv", "throughput.csv"]
    for name in names:
        (tmp_path / name).write_bytes((home.first_run / name).read_bytes())
    text = output(capsys, "report", tmp_path)
    assert "two-d" in text
    before = (home.first_run / "leaderboard.csv").read_bytes()
    assert (tmp_path / "leaderboard.csv").read_bytes() == before
    assert (tmp_path / "index.html").exists()


def test_output_to_a_closed_pipe_ends_quietly() -> None:
    command = f"'{sys.executable}' -m vcbench list --json | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
