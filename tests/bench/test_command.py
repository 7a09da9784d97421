"""`vcbench bench`, and how `pytest --benchmark` notices a gate that did not run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vcbench.bench import counts, generators
from vcbench.bench.paired import Paired
from vcbench.cli import main
from vcbench.plugins import Registry

CONFTEST = Path(__file__).parents[2] / "conftest.py"


def test_train_compares_both_stages(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--scale", "0.03", "--pairs", "3", "--device", "cpu", "--json"]
    assert main(["bench", "train", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["system"] == "cyclegan-vc-1d, gated-patchgan, lsgan"
    assert [stage["identity_loss"] for stage in found["stages"]] == [True, False]
    for stage in found["stages"]:
        # The median of three ratios, and of three times each: near enough to tell which is which.
        assert stage["ratio"] == pytest.approx(stage["reference_s"] / stage["engine_s"], rel=0.5)
        low, high = stage["ci95"]
        assert low <= stage["ratio"] <= high
    for key in ("reference_s", "engine_s", "ratio", "ci95"):
        assert found[key] == found["stages"][0][key]
    assert 0 < found["loss_difference"] < 1e-3


def test_train_takes_a_system_of_a_suite(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--suite", "vcc2016", "--system", "residual-2d", "--scale", "0.03", "--pairs", "2"]
    assert main(["bench", "train", *options, "--device", "cpu", "--precision", "bf16"]) == 0
    said = capsys.readouterr().out
    assert "residual-2d, scale 0.03, bf16 on cpu, 1 thread(s), processor time" in said
    assert "identity loss on" in said
    assert "identity loss off" in said


SUITE = """\
suite: mine
corpus: demo
pairs: [LOW-HIGH]
systems:
  plain: {generator: cyclegan-vc-1d, discriminator: gated-patchgan, objective: bce}
  hinged: {generator: cyclegan-vc-1d, discriminator: patchgan, objective: hinge}
  twice:
    generator: cyclegan-vc-1d
    discriminator: patchgan
    objective: lsgan
    training: {adversarial_steps: 2}
training: {iterations: 100}
seeds: [0]
metrics: [mcd]
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--pairs", "1"], "--pairs 1: must be at least 2"),
        (["--threads", "0"], "--threads 0: must be at least 1"),
        (["--scale", "0"], "--scale 0.0: must be more than 0"),
        (["--system", "plain"], "--system plain: of which suite?"),
        (["--suite", "SUITE"], "suite 'mine': give --system; valid: hinged, plain, twice"),
        (["--suite", "SUITE", "--system", "plan"], "no such system; did you mean 'plain'?"),
        (["--suite", "SUITE", "--system", "twice"], "trains with adversarial_steps: 2, which"),
        (["--suite", "SUITE", "--system", "hinged"], "the reference step has bce and lsgan"),
    ],
)
def test_what_train_cannot_compare_it_says(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(SUITE)
    named = [str(suite) if a == "SUITE" else a for a in arguments]
    scale = [] if "--scale" in arguments else ["--scale", "0.03"]
    assert main(["bench", "train", "--device", "cpu", *scale, *named]) == 2
    assert expected in capsys.readouterr().err


def measured(ratio: float) -> Paired:
    return Paired(ratio, 1.0, ratio, (ratio - 0.01, ratio + 0.01), 30, "processor time")


@pytest.mark.parametrize(
    ("ratio", "verdict", "code"), [(1.0, "ok", 0), (1.05, "unsure", 0), (1.25, "slower", 1)]
)
def test_generators_fail_where_one_is_slower(
    ratio: float,
    verdict: str,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generators, "prepared", lambda *_, **__: (print, print))
    monkeypatch.setattr(generators, "compare_prepared", lambda *_, **__: measured(ratio))
    name = "residual-pixelshuffle-2d"
    assert main(["bench", "generators", name, "--json"]) == code
    (found,) = json.loads(capsys.readouterr().out)["generators"]
    assert found["changed"] == []
    assert found["parameters"] == 2_167_393
    assert [phase["verdict"] for phase in found["phases"].values()] == 3 * [verdict]
    assert main(["bench", "generators", name]) == code
    assert capsys.readouterr().out.count(verdict) == 3


def test_generators_fail_where_counts_or_functions_changed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "residual-pixelshuffle-2d"
    recorded = counts.recorded()
    recorded["generator"][name]["macs"] += 1
    monkeypatch.setattr(counts, "recorded", lambda: recorded)
    monkeypatch.setattr(generators, "AGREEMENT", -1.0)  # no two functions are that equal
    assert main(["bench", "generators", name, "--device", "cpu"]) == 1
    said = capsys.readouterr().out
    assert f"{name}: macs were " in said
    assert said.count("it is another function now; if that is meant, run") == 3


def test_generators_knows_the_built_in_ones_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "generators", "cyclegan-vc-2d"]) == 2
    assert "did you mean 'cyclegan-vc-1d'?" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lacks", "options", "code"),
    [("", [], 0), ("patchgan counts", [], 1), ("patchgan counts", ["-k", "gate"], 0)],
)
def test_a_gate_that_did_not_run_fails_the_run(
    lacks: str, options: list[str], code: int, tmp_path: Path
) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    folder = tmp_path / "tests" / "benchmark"
    folder.mkdir(parents=True)
    ran = sorted(generators.gates(Registry()) - {lacks})
    (folder / "test_gates.py").write_text(
        f"import pytest\n@pytest.mark.parametrize('name', {ran})\n"
        "def test_gate(name, record_property):\n    record_property('gate', name)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--benchmark", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout
    named = "speed gates that did not run ==" in done.stdout and f"\n{lacks}\n" in done.stdout
    assert named == (code == 1)
    assert ("1 speed gates did not run: this was a selection" in done.stdout) == bool(options)
