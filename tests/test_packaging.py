"""What is installed: the wheel by itself, and a stranger's package beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import small_corpus

from suites import shipped
from vcbench.plugins import ENTRY_POINT_GROUPS, Registry

ROOT = Path(__file__).parents[1]

STRANGER = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "strangers-generator"
version = "1.0"
[project.entry-points."vcbench.architectures"]
anything = "strangers_generator"
[tool.setuptools]
py-modules = ["strangers_generator"]
"""

GENERATOR = '''\
"""A generator that somebody else published."""

import torch

from vcbench.plugins import register_generator


@register_generator("strangers-conv", paper="Stranger, 2026")
def strangers_conv(*, n_mcep: int, scale: float, kernel: int = 5) -> torch.nn.Module:
    """One convolution over time."""
    return torch.nn.Conv1d(n_mcep, n_mcep, kernel, padding="same")
'''


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd=environment.get("HOME"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_built_ins_come_through_the_entry_points_of_pyproject() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert sorted(declared) == sorted(ENTRY_POINT_GROUPS)
    modules = {module for group in declared.values() for module in group.values()}
    assert {d.module for d in Registry().declarations()} >= modules
    assert all(d.module in modules for d in Registry().declarations() if "vcbench" in d.origin)


def test_help_and_list_import_nothing_slow() -> None:
    for arguments in (["--help"], ["list"], ["list", "--json"]):
        code = (
            "import sys\nfrom vcbench.cli import main\n"
            f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
            "slow = {'torch', 'pandas', 'numpy', 'scipy', 'pydantic'} & set(sys.modules)\n"
            "sys.exit(f'imported {slow}' if slow else 0)"
        )
        run(sys.executable, "-c", code)


@pytest.mark.slow
def test_a_strangers_package_brings_a_generator(tmp_path: Path) -> None:
    package, site = tmp_path / "package", tmp_path / "site"
    package.mkdir()
    (package / "pyproject.toml").write_text(STRANGER)
    (package / "strangers_generator.py").write_text(GENERATOR)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--target", site, package)

    suite = small_corpus.SUITE.replace(
        "generator: cyclegan-vc-1d", "generator: {name: strangers-conv, kernel: 3}"
    )
    path = small_corpus.write(tmp_path, suite)
    vcbench = [sys.executable, "-m", "vcbench"]
    listed = json.loads(run(*vcbench, "list", "--json", PYTHONPATH=str(site)).stdout)
    assert "strangers-conv" in [entry["name"] for entry in listed["generators"]]
    run(*vcbench, "run", path, "--data", tmp_path, PYTHONPATH=str(site))
    rows = json.loads(
        (Path(os.environ["VCBENCH_REPORTS_DIR"]) / "small/latest/leaderboard.json").read_text()
    )["rows"]
    (row,) = [r for r in rows if r["system"] == "one-d"]
    assert row["generator_parameters"] == 24 * 24 * 3 + 24
    assert row["cells_ok"] == row["cells"] == 1


@pytest.mark.slow
def test_the_wheel_works_away_from_the_clone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    listed = run("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard").stdout.split("\n")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", tmp_path, source),
    )
    (wheel,) = tmp_path.glob("vcbench-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    # The dependencies come from this environment; its editable vcbench does not, since a .pth
    # file named in another .pth file is not read.
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    here = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{here}\n")

    home = tmp_path / "home"
    home.mkdir()
    vcbench = tmp_path / "venv" / "bin" / "vcbench"
    where = run(python, "-c", "import vcbench; print(vcbench.__file__)", HOME=str(home)).stdout
    assert str(tmp_path) in where
    names = run(vcbench, "list", HOME=str(home)).stdout
    for name in ("cyclegan-vc-1d", "residual-pixelshuffle-2d", "mcd", "vcc2016", "lsgan"):
        assert name in names
    suites = json.loads(run(vcbench, "list", "suites", "--json", HOME=str(home)).stdout)["suites"]
    assert [suite["name"] for suite in suites] == [name for name, _ in shipped()]
    short = ["--set", "training.iterations=2", "--set", "eval_utterances=2"]
    run(vcbench, "run", "demo", *short, HOME=str(home))
    assert (Path(os.environ["VCBENCH_REPORTS_DIR"]) / "demo/latest/index.html").exists()
