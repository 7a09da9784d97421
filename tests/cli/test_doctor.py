"""`vcbench doctor`: what is broken is found, and told with what to do."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from vcbench import doctor
from vcbench.cli import main
from vcbench.doctor import Check, checks


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing the audio libraries costs seconds, and is tested by itself."""
    monkeypatch.setattr(doctor, "_import_error", lambda module: "")


def found(folder: Path) -> dict[str, Check]:
    return {check.name: check for check in checks(folder / "data", folder / "reports")}


def test_all_is_well_where_the_tests_run(works: None, tmp_path: Path) -> None:
    made = found(tmp_path)
    assert [check for check in made.values() if check.status == "broken"] == []
    assert made["torch"].found == metadata.version("torch")
    assert made["corpus demo"] == Check("corpus demo", "ok", "4 speakers")
    missing = made["corpus vcc2016"]
    assert (missing.status, missing.found) == ("note", "corpus 'vcc2016' not found")
    assert missing.fix == f"where you want it: vcbench data fetch vcc2016 --data {tmp_path}/data"
    assert "corpus folder" not in made  # everybody brings their own
    assert "never to run" in made["C compiler"].found
    assert all(check.fix for check in made.values() if check.status == "broken")


def test_imports_are_tried_in_a_process_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "soxr.py").write_text("import os; os.abort()")
    (tmp_path / "soundfile.py").write_text("raise OSError('cannot load library libsndfile.so')")
    (tmp_path / "pyworld.py").write_text("import warnings; warnings.warn('old')")
    (tmp_path / "pysptk.py").write_text("raise ModuleNotFoundError(\"No module 'pkg_resources'\")")
    monkeypatch.setattr(doctor, "AUDIO", ("soundfile", "pyworld", "pysptk", "soxr"))
    made = {check.name: check for check in doctor._audio()}
    assert made["import pyworld"].status == "ok"
    assert made["import soundfile"].found == "OSError: cannot load library libsndfile.so"
    assert "apt-get install libsndfile1" in made["import soundfile"].fix
    assert made["import pysptk"].fix == "see pkg_resources above"
    assert "ends Python (exit code -6)" in made["import soxr"].found
    assert "pip install --force-reinstall --no-cache-dir soxr" in made["import soxr"].fix
    assert [check.status for check in made.values()].count("broken") == 3


def test_the_pkg_resources_trap(
    works: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "pkg_resources" else real(n, *a)
    )
    check = found(tmp_path)["pkg_resources"]
    assert check.status == "broken"
    assert f"setuptools {metadata.version('setuptools')}" in check.found
    assert check.fix.endswith("-m pip install 'setuptools>=77.0.3,<82'")


def test_versions_are_held_against_the_requirements(
    works: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "numpy":
            return "1.20"
        if name in ("scipy", "pyworld"):
            raise metadata.PackageNotFoundError(name)
        return "0.3.5" if name == "pyworld-prebuilt" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    made = found(tmp_path)
    assert (made["numpy"].status, made["numpy"].found) == ("broken", "1.20; >=1.26 is needed")
    assert made["numpy"].fix.endswith("-m pip install 'numpy>=1.26'")
    assert made["scipy"].found == "not installed; >=1.11 is needed"
    assert made["pyworld"] == Check("pyworld", "ok", "0.3.5 (pyworld-prebuilt)")


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = "VCBENCH_CACHE_DIR"
    fix = "name another folder with VCBENCH_CACHE_DIR"
    (tmp_path / "file").touch()
    assert doctor._folder("cache", tmp_path / "file" / "a", named) == Check(
        "cache", "broken", f"{tmp_path}/file/a: {tmp_path}/file is a file", fix
    )
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert "cannot be written" in doctor._folder("cache", tmp_path / "a", named).found
    monkeypatch.undo()
    for free_gib, status in ((0.1, "broken"), (2.0, "note"), (50.0, "ok")):
        usage = SimpleNamespace(free=free_gib * 2**30)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        check = doctor._folder("cache", tmp_path / "not" / "there", named)
        assert (check.status, f"{free_gib:.1f} GiB free" in check.found) == (status, True)
        assert bool(check.fix) == (status != "ok")


def test_what_raises_keeps_nothing_else_from_being_looked_at(
    works: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def _gpu() -> Iterator[Check]:
        raise RuntimeError("a driver\nof another version")

    monkeypatch.setattr(doctor, "_gpu", _gpu)
    made = found(tmp_path)
    assert made["gpu"].found == "could not be looked at: a driver of another version"
    assert made["gpu"].status == "broken"
    assert "C compiler" in made


@pytest.mark.parametrize("status", ["ok", "note", "broken"])
def test_the_exit_code_and_json(
    status: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [Check("a [b]", status, "is so", "do this"), Check("c", "ok", "fine")]
    monkeypatch.setattr(doctor, "checks", lambda *_: iter(made))
    broken = status == "broken"
    assert main(["doctor", "--json"]) == broken
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is not broken
    assert told["checks"][0] == {
        "name": "a [b]",
        "status": status,
        "found": "is so",
        "fix": "do this",
    }
    assert main(["doctor"]) == broken
    assert capsys.readouterr().out.splitlines() == [
        f"{status:<6} a [b]: is so",
        "       -> do this",
        "ok     c: fine",
        "1 broken" if broken else "nothing that is needed is broken",
    ]
