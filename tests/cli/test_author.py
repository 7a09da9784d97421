"""What an author of an architecture types: new, check, show, list."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vcbench import suite
from vcbench.cli import main
from vcbench.plugins import Kind, Registry

KINDS = pytest.mark.parametrize("flags", [[], ["--discriminator"]], ids=["generator", "judge"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    path = tmp_path / "author"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == code
    return capsys.readouterr().out


def checks(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    found = json.loads(output(capsys, "check", *arguments, "--json", code=code))
    return {check["name"]: check for check in found["checks"]}


@KINDS
def test_a_new_architecture_passes_its_checks_and_stands_in_a_suite(
    flags: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = output(capsys, "new", "architecture", "brand-new", *flags)
    written = sorted(path.name for path in folder.iterdir())
    assert written == ["brand-new.yaml", "brand_new.py", "test_brand_new.py"]
    assert all(name in said for name in written)
    assert "vcbench check brand-new " in said
    assert "cd " not in said
    found = checks(capsys, "brand-new")
    assert {name for name, c in found.items() if c["passed"] is False} == set()
    assert sum(c["passed"] is True for c in found.values()) >= 10
    loaded = suite.load("brand-new.yaml", trust_plugins=True)
    assert list(loaded.systems)[-1] == "brand-new"
    assert len(loaded.systems) == 5
    mine = loaded.systems["brand-new"]
    assert "brand-new" in (mine.generator.name, mine.discriminator.name)
    assert loaded.compare is not None
    assert (loaded.compare.baseline, list(loaded.compare.against)) == ("residual-2d", ["brand-new"])
    assert "brand-new" in loaded.question and "residual-2d" in loaded.question
    assert not re.search(r"[0-9]{2}", loaded.question), "training.iterations may be set"


@KINDS
def test_a_new_architecture_differs_from_what_it_is_compared_with_in_one_network(
    flags: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output(capsys, "new", "architecture", "brand-new", *flags)
    loaded = suite.load("brand-new.yaml", trust_plugins=True)
    mine, other = (loaded.systems[name] for name in ("brand-new", "residual-2d"))
    changed = "discriminator" if flags else "generator"

    def whole(system: suite.System, part: Kind) -> tuple[str, dict[str, Any]]:
        component = getattr(system, part)
        plugin = loaded.registry.get(part, component.name)
        return component.name, {o.name: o.default for o in plugin.options} | component.options

    parts: tuple[Kind, ...] = ("generator", "discriminator", "objective")
    for part in parts:
        assert (whole(mine, part) == whole(other, part)) == (part != changed), part


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_a_new_generator_takes_even_kernels(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output(capsys, "new", "architecture", "brand-new")
    found = checks(capsys, "brand-new", "--option", "kernel=4")
    assert [name for name, check in found.items() if check["passed"] is False] == []


@pytest.mark.parametrize("file", [[], ["--plugin", "brand_new.py"]], ids=["here", "named"])
@pytest.mark.parametrize("command", ["show", "check"])
@pytest.mark.parametrize(
    ("broken", "problem"), [(b"def :", "SyntaxError"), (b"# \xff", "UnicodeDecodeError")]
)
def test_why_a_plugin_file_cannot_be_read_is_told(
    broken: bytes,
    problem: str,
    command: str,
    file: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output(capsys, "new", "architecture", "brand-new")
    path = folder / "brand_new.py"
    path.write_bytes(path.read_bytes() + broken)
    (folder / "somebody_elses.py").write_text("def :")
    assert main([command, "brand-new", *file]) == 2
    said = capsys.readouterr().err
    assert f"unusable plugin at plugin file {path}: {problem}: " in said
    assert "somebody_elses.py" not in said


def test_what_a_plugin_prints_is_not_among_the_results(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output(capsys, "new", "architecture", "brand-new")
    path = folder / "brand_new.py"
    source = path.read_text().replace("super().__init__()", "super().__init__(); print('built')")
    source = source.replace("return mcep", "print('called'); return mcep")
    path.write_text(source + "\nprint('imported')\n")
    for command, key in (("show", "layers"), ("check", "checks")):
        assert main([command, "brand-new", "--json"]) == 0
        out, err = capsys.readouterr()
        assert json.loads(out)[key]
        assert "built" in err and "called" in err


@pytest.mark.slow
def test_a_new_architectures_test_runs(folder: Path) -> None:
    assert main(["new", "architecture", "brand-new", "-o", "elsewhere"]) == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "elsewhere/test_brand_new.py"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout or "11 passed" in done.stdout  # one more with a GPU


@pytest.mark.slow
@KINDS
def test_a_new_architecture_trains_in_its_suite(
    flags: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output(capsys, "new", "architecture", "brand-new", *flags)
    short = ["--set", "training.iterations=2", "--set", "eval_utterances=2"]
    only = ["--set", "scale=0.03", "--only", "brand-new/*"]
    output(capsys, "run", "brand-new.yaml", *short, *only, "--device", "cpu")
    page = Path(os.environ["VCBENCH_REPORTS_DIR"]) / "brand-new" / "latest"
    rows = json.loads((page / "leaderboard.json").read_text())["rows"]
    (row,) = [row for row in rows if row["system"] == "brand-new"]
    assert row["cells_ok"] == row["cells"] == 1


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "test_brand_new.py").write_text("mine")
    assert main(["new", "architecture", "brand-new"]) == 2
    said = capsys.readouterr().err
    assert "test_brand_new.py: there already; nothing is overwritten" in said
    assert [path.name for path in folder.iterdir()] == ["test_brand_new.py"]
    assert (folder / "test_brand_new.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("My-Generator", "use lower-case letters"),
        ("2d", "use lower-case letters"),
        ("a_b", "use lower-case letters"),
        ("../up", "use lower-case letters"),
        ("a" * 61, "at most 60"),
        ("torch", "would hide"),
        ("random", "would hide"),
        ("class", "would hide"),
        ("cyclegan-vc-1d", "there is a generator 'cyclegan-vc-1d' already"),
        ("patchgan", "there is a discriminator 'patchgan' already"),
        ("mcd", "there is a metric 'mcd' already"),
        ("demo", "there is a corpus 'demo' already"),
        ("residual-2d", "the demo has a system 'residual-2d' already"),
        ("mean-variance", "the demo has a system 'mean-variance' already"),
    ],
)
def test_names_that_cannot_be(
    name: str, reason: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "architecture", name]) == 2
    assert reason in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_failed_check_is_told_with_its_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output(capsys, "new", "architecture", "brand-new")
    path = folder / "brand_new.py"
    source = path.read_text().replace("mcep + self.layers(mcep)", "self.layers(mcep)[..., 1:]")
    path.write_text(source)
    found = checks(capsys, "brand-new", code=1)
    assert found["any-length"]["passed"] is False
    assert "1 frames: (1, 24, 1) became (1, 24, 0)" in found["any-length"]["reason"]
    assert "return the shape that it is given" in found["any-length"]["reason"]
    assert found["scale"] == {**found["scale"], "passed": True, "reason": ""}
    assert found["mask"]["passed"] is None


def test_what_cannot_be_built_is_told_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output(capsys, "new", "architecture", "brand-new")
    arguments = ["check", "brand-new", "--option", "kernel=-3"]
    text = " ".join(output(capsys, *arguments, code=1).split())
    assert "any-length FAIL Any number of frames" in text
    assert "any-length, gradients, samples-apart, finite, " in text
    assert "options {'kernel': -3}: RuntimeError" in text
    assert text.count("RuntimeError") < 5  # of ten checks that fail for it
    assert "10 of 10 checks failed" in text or "11 of 11 checks failed" in text
    assert "Traceback" not in text


def test_the_plugin_file_may_be_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys, "new", "architecture", "brand-new", "-o", "elsewhere")
    assert main(["show", "brand-new"]) == 2
    assert "no plugin 'brand-new'" in capsys.readouterr().err
    assert main(["check", "brand-new"]) == 2
    assert "no generator or discriminator 'brand-new'" in capsys.readouterr().err
    file = ["--plugin", "elsewhere/brand_new.py"]
    shown = json.loads(output(capsys, "show", "brand-new", *file, "--json"))
    assert shown["parameters"] == sum(layer["parameters"] for layer in shown["layers"])
    assert main(["show", "brand-new", "--plugin", "nowhere.py"]) == 2
    assert "--plugin nowhere.py: no such file" in capsys.readouterr().err


def test_only_files_that_register_the_name_are_imported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output(capsys, "new", "architecture", "brand-new")
    (folder / "other.py").write_text("raise SystemExit('imported')")
    (folder / "broken.py").write_text("def :")
    assert json.loads(output(capsys, "show", "brand-new", "--json"))["kind"] == "generator"


def test_show_lays_the_paper_s_generator_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figure 4 of arXiv:1711.11293 in its wide reading, for 24 x 128."""
    shown = json.loads(output(capsys, "show", "cyclegan-vc-1d", "--json"))
    rows = [
        (
            r["kernel"],
            r["stride"],
            bool(r["shuffle"]),
            bool(r["norm"]),
            r["activation"],
            r["output"],
        )
        for r in shown["layers"]
    ]
    block = [
        ("3", "1", False, True, "GLU", "1024x32"),
        ("3", "1", False, True, "", "512x32"),
    ]
    assert rows == [
        ("15", "1", False, False, "GLU", "128x128"),
        ("5", "2", False, True, "GLU", "256x64"),
        ("5", "2", False, True, "GLU", "512x32"),
        *block * 6,
        ("5", "1", True, True, "GLU", "512x64"),
        ("5", "1", True, True, "GLU", "256x128"),
        ("15", "1", False, False, "", "24x128"),
    ]
    assert shown["parameters"] == sum(r["parameters"] for r in shown["layers"]) == 38_055_704
    assert shown["macs"] == sum(r["macs"] for r in shown["layers"])
    monkeypatch.setenv("COLUMNS", "120")
    text = output(capsys, "show", "cyclegan-vc-1d")
    assert "option width, default 'wide', of 'wide' | 'narrow'" in text
    assert all(column in text for column in ("shuffle", "norm", "activation"))


@pytest.mark.parametrize("width", [80, 100, 120, None])
@pytest.mark.parametrize("name", ["cyclegan-vc3", "cyclegan-vc-1d", "gated-patchgan"])
def test_show_keeps_numbers_and_headings_whole(
    name: str,
    width: int | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers = json.loads(output(capsys, "show", name, "--json"))["layers"]
    monkeypatch.delenv("COLUMNS", raising=False)
    if width:
        monkeypatch.setenv("COLUMNS", str(width))
    lines = output(capsys, "show", name).splitlines()
    assert width is None or max(map(len, lines)) <= width
    (top,) = [i for i, line in enumerate(lines) if line.startswith("layer ")]
    headings = ["layer", "kernel", "stride", "channels", "output", "parameters", "MACs"]
    assert [word for word in lines[top].split() if word in headings] == headings
    texts = iter(line.split() for line in lines[top + 1 :])
    for layer in layers:
        numbers = [layer[c] for c in ("kernel", "stride", "channels", "output") if layer[c]]
        numbers += [f"{layer['parameters']:,}", f"{layer['macs']:,}"]
        assert any(set(numbers) <= set(text) for text in texts), f"{layer['name']}: {numbers}"
    if width is None:
        assert len(lines) == top + 1 + len(layers) + 1
        assert all(
            line.startswith(r["name"]) for line, r in zip(lines[top + 1 :], layers, strict=False)
        )


def test_show_tells_what_options_mean_and_which_are_chosen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["show", "gated-patchgan", "--option", "tail=scalar"]
    shown = json.loads(output(capsys, *arguments, "--json"))
    assert shown["options"]["tail"] == "scalar"
    assert shown["options"]["sigmoid"] is True, "a default where nothing else was chosen"
    text = output(capsys, *arguments)
    assert "option tail, default 'patch', here 'scalar', of 'patch' | 'scalar'" in text
    assert "option sigmoid, default True, of False | True" in text
    plugin = Registry().get("discriminator", "gated-patchgan")
    documented = (plugin.factory.__doc__ or "").split("\n", 1)[1]
    assert "tail: scalar" in documented
    assert " ".join(documented.split()) in " ".join(text.split())
    assert " ".join(shown["description"].split()) == " ".join(documented.split())


@pytest.mark.parametrize("name", ["lsgan", "mcd", "vcc2016", "local"])
def test_show_tells_of_what_is_no_network(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(output(capsys, "show", name, "--json"))
    (declared,) = [d for d in Registry().declarations() if d.name == name]
    assert (shown["kind"], shown["paper"]) == (declared.kind, declared.paper)
    assert shown["summary"] == declared.summary
    assert "layers" not in shown
    assert declared.summary.split()[0] in output(capsys, "show", name)


def test_options_are_checked_as_a_suites_are(capsys: pytest.CaptureFixture[str]) -> None:
    def error(setting: str) -> str:
        assert main(["show", "patchgan", "--option", setting]) == 2
        return capsys.readouterr().err

    assert "sigmoid" in error("sigmoyd=true")
    assert "no value; write --option sigmoid=VALUE" in error("sigmoid")
    assert "--option sigmoid=yes: " in error("sigmoid=yes")
    shown = json.loads(output(capsys, "show", "patchgan", "--option", "sigmoid=true", "--json"))
    assert shown["parameters"] == 660_929


def test_list_tells_papers_and_parameters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = json.loads(output(capsys, "list", "--json"))
    networks = listed["generators"] + listed["discriminators"]
    assert all(isinstance(entry["parameters"], int) and entry["paper"] for entry in networks)
    (patchgan,) = [e for e in networks if e["name"] == "patchgan"]
    assert patchgan["parameters"] == 660_929
    assert "parameters" not in listed["metrics"][0]
    assert "660,929" in output(capsys, "list", "discriminators")


def test_list_tells_null_where_no_count_is_declared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vcbench.discovery import Declaration

    found = (Declaration("generator", "uncounted", "m", "m.py:1", "One.", {"parameters": ""}),)
    monkeypatch.setattr(Registry, "declarations", lambda self, kind=None: found)
    listed = json.loads(output(capsys, "list", "generators", "--json"))
    assert [entry["parameters"] for entry in listed["generators"]] == [None]
    assert "uncounted" in output(capsys, "list", "generators")
