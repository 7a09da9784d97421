"""Where things lie, and what a result depends on: paths, git, the machine."""

from __future__ import annotations

import os
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
import torch

import vcbench
from vcbench import environment, paths


def test_a_flag_comes_before_the_variable_and_that_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for find, variable, default in (
        (paths.data_dir, "VCBENCH_DATA_DIR", "data"),
        (paths.reports_dir, "VCBENCH_REPORTS_DIR", "reports"),
    ):
        monkeypatch.setenv(variable, "named")
        assert find("given") == tmp_path / "given"
        assert find(None) == tmp_path / "named"
        monkeypatch.setenv(variable, "")
        assert find(None) == tmp_path / default
        monkeypatch.delenv(variable)
        assert find(None) == tmp_path / default


def test_the_cache_is_vcbenchs_own_or_below_xdgs_or_below_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("VCBENCH_CACHE_DIR", "~/own")
    assert paths.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("VCBENCH_CACHE_DIR")
    assert paths.cache_dir() == tmp_path / "xdg" / "vcbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert paths.cache_dir() == tmp_path / ".cache" / "vcbench"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, from which vcbench runs as far as git_state can see."""
    root = tmp_path / "checkout"
    package = root / "vcbench" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.touch()
    (root / ".gitignore").write_text("venv/\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "first")
    monkeypatch.setattr(vcbench, "__file__", str(package))
    monkeypatch.chdir(tmp_path)
    return root


def test_the_state_of_the_checkout(checkout: Path) -> None:
    state = environment.git_state()
    assert state == {"sha": git(checkout, "rev-parse", "HEAD"), "dirty": False}
    assert environment.revision(state) == state["sha"][:7]
    (checkout / "new.py").touch()
    state = environment.git_state()
    assert state is not None and state["dirty"]
    assert environment.revision(state) == f"{state['sha'][:7]}-dirty"


def test_a_virtual_environment_in_a_checkout_is_not_that_checkout(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / "venv" / "vcbench" / "__init__.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr(vcbench, "__file__", str(installed))
    assert environment.git_state() is None
    monkeypatch.chdir(checkout)  # where the user works says nothing about the code that ran
    assert environment.git_state() is None


@pytest.mark.parametrize("path", [None, "/nowhere"], ids=["no-repository", "no-git"])
def test_without_git_there_is_the_version(
    path: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path:
        monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(vcbench, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert environment.git_state() is None
    assert environment.revision(None) == f"v{vcbench.__version__}"


def test_the_machine_and_the_packages() -> None:
    machine = environment.machine("cpu")
    assert machine["gpu"] is None
    assert machine["cpu"]
    assert machine["isa"] == torch.backends.cpu.get_cpu_capability()
    assert 1 <= machine["cpu_count"] <= (os.cpu_count() or 1)
    assert machine["memory_gib"] > 0.1
    packages = environment.packages()
    assert packages["torch"] == metadata.version("torch")
    assert {"numpy", "torch", "pysptk"} < packages.keys()
    assert {"pyworld", "pyworld-prebuilt"} & packages.keys()
