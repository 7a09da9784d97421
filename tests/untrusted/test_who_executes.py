"""Every command, pointed at what names a plugin file: which of them execute it.

The table in `docs/untrusted-input.md` says so; here each of its rows is tried.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tiny_cells
from reporting.synthetic_run import SyntheticRun
from workplace import PLUGIN, SUITE, Workplace

from vcbench import features, paths, planning, suite
from vcbench.cli import COMMANDS, main
from vcbench.plugins import Registry

DOCUMENT = Path(__file__).parents[2] / "docs" / "untrusted-input.md"
MARK = "import pathlib as _p; _p.Path({!r}).touch()\n"
# What it registers is known only once it is executed.
HIDING = """
from vcbench.plugins import register_generator

for name in ("hidden", "hidden-too"):
    register_generator(name)(lambda *, n_mcep, scale: None)
"""
METRIC = """
from vcbench.plugins import register_metric

@register_metric("own", unit="dB", better="lower")
def own(pair):
    return 0.0
"""
SOME_HIDDEN = SUITE.replace("{name: test-gen, kernel: 3, width: 4}", "hidden")
BENCH = "bench train --suite suite.yaml --system first --pairs 2 --device cpu"
# Those that may be given --trust-plugins, with the exit code that they have without it.
MAY_BE_TRUSTED = {
    "plan suite.yaml --device cpu": 0,
    "cache gc --yes --keep-suite suite.yaml": 2,
    "cache gc --dry-run --keep-suite suite.yaml": 2,
    "results export suite.yaml -o out.zip": 2,
    "results export suite.yaml --to-train -o out.zip": 2,
    "results import no.zip --suite suite.yaml": 2,
    BENCH: 2,
}
OTHERS = {
    "list": 0,
    "list generators": 0,
    "show cyclegan-vc-1d": 0,
    "show nosuch": 2,
    "check nosuch": 2,
    "new architecture mine -o new": 0,
    "data check folder --set root=speech": 1,  # its recordings are none
    "data stats folder --set root=speech": 2,
    "convert no.pt a.wav -o out": 2,
    "score --reference speech/F1 --converted speech/M1": 1,
    "compare run run": 0,
    "report run": 0,
    "cache ls": 0,
    "cache gc --dry-run": 0,
    "results export run -o out.zip": 2,
    "results import no.zip": 2,
    "doctor": 0,
    "completion bash": 0,
}


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def place(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A stranger's folder: a suite, its plugin file and a run that names it."""
    place = Workplace(tmp_path)
    place.plugin.write_text(MARK.format(str(mark)) + PLUGIN + HIDING)
    place.write(SOME_HIDDEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VCBENCH_DATA_DIR", str(tmp_path))
    return place


def with_run(place: Workplace) -> None:
    SyntheticRun(effects={"a": -0.5, "b": 0.2}, pairs=("F-M",), n_sentences=2).write(
        place.root / "run"
    )
    path = place.root / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["suite"]["plugins"] = [str(place.plugin)]
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("line", [*MAY_BE_TRUSTED, *OTHERS])
def test_nobody_executes_what_is_not_trusted(line: str, place: Workplace, mark: Path) -> None:
    if " run" in line:
        with_run(place)
    assert main(line.split()) == {**MAY_BE_TRUSTED, **OTHERS}[line]
    assert not mark.exists()


@pytest.mark.parametrize("line", MAY_BE_TRUSTED)
def test_who_is_trusted_is_executed(line: str, place: Workplace, mark: Path) -> None:
    """Or the test above would find nothing, whatever is done."""
    main([*line.split(), "--trust-plugins"])
    assert mark.exists()


def test_every_command_is_tried_and_in_the_table() -> None:
    tried = {line.split()[0] for line in (*MAY_BE_TRUSTED, *OTHERS)}
    assert tried | {"run"} == set(COMMANDS)
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    commands = " ".join(row.split("|")[1] for row in rows)
    named = set(re.findall(r"`(?:vcbench )?([a-z]+)[ `]", commands))
    assert named >= set(COMMANDS)


def test_what_cannot_be_known_is_not_removed(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = features_of(place)
    before = {path: path.stat().st_mtime_ns for path in stored}
    gc = ["cache", "gc", "--yes", "--older-than", "0m", "--keep-suite", "suite.yaml"]
    assert main(gc) == 2
    said = capsys.readouterr().err
    assert "suite.yaml: not known without executing its plugin files" in said
    assert str(place.plugin) in said
    assert "first/F1-M1/0" in said and "second/" not in said
    assert "--trust-plugins" in said
    assert {path: path.stat().st_mtime_ns for path in stored} == before
    place.write(SUITE)  # all of which its text tells, but for what else is registered
    place.plugin.write_text(PLUGIN)
    assert main(gc) == 0
    assert all(path.exists() for path in stored)
    assert main(gc[:-2]) == 0
    assert not any(path.exists() for path in stored)


def test_a_corpus_or_a_metric_of_a_plugin_file_is_not_asked(
    place: Workplace, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gc = ["cache", "gc", "--yes", "--keep-suite", "suite.yaml"]
    corpus = "{name: test-listed, train: s0 s1 s2, evaluation: s3}"
    place.write(SUITE.replace("{name: folder, root: speech, eval_fraction: 0.25}", corpus))
    assert main(gc) == 2
    said = capsys.readouterr().err
    assert "source-copy/F1-M1/-" in said and "--trust-plugins" in said
    place.plugin.write_text(MARK.format(str(mark)) + PLUGIN + METRIC)
    place.write(SUITE.replace("[mcd]", "[own]"))
    assert main(gc) == 2
    said = capsys.readouterr().err
    assert "metric 'own'" in said and "--trust-plugins" in said
    assert not mark.exists()


def features_of(place: Workplace) -> set[Path]:
    """Feature files of the suite's speech, where `vcbench` looks for them."""
    loaded = suite.load(str(place.root / "suite.yaml"))
    plan = planning.make_plan(
        loaded, data_dir=place.root, cache_dir=paths.cache_dir(), device="cpu"
    )
    for path in plan.features.values():
        features.save(path, tiny_cells.speech(40, seed=1))
    return set(plan.features.values())


def test_results_are_taken_to_where_no_plugin_is_executed(
    place: Workplace, mark: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As long as the plugin's text says what there is to know."""
    place.plugin.write_text(MARK.format(str(mark)) + PLUGIN)
    place.write(SUITE)
    features_of(place)
    of_suite = ["--device", "cpu", "--data", str(place.root)]
    assert main(["results", "export", "suite.yaml", "--to-train", "-o", "a.zip", *of_suite]) == 0
    assert main(["results", "import", "a.zip", "--suite", "suite.yaml", *of_suite]) == 3
    said = capsys.readouterr()
    assert said.out.count("--trust-plugins") == 4  # how its cells are trained
    assert "0 of 4 cells done" in said.err
    assert not mark.exists()
    assert main(["results", "import", "a.zip"]) == 2
    assert "give the plugin files of its suite" in capsys.readouterr().err
    assert main(["results", "import", "a.zip", "--plugin", str(place.plugin)]) == 0
    assert mark.exists()


def test_a_suite_is_loaded_without_its_plugins_unless_they_are_trusted(
    place: Workplace, mark: Path
) -> None:
    place.plugin.write_text(MARK.format(str(mark)) + PLUGIN)
    place.write(SUITE)
    assert not suite.load("suite.yaml").registry.trusted
    assert not mark.exists()
    assert suite.load("suite.yaml", trust_plugins=True).registry.trusted
    assert mark.exists()
    assert Registry([place.plugin]).trusted  # whoever names the file itself
