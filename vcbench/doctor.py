"""What vcbench needs of this machine, whether it is there, and what to do where it is not."""

from __future__ import annotations

import importlib.util
import inspect
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import vcbench
from vcbench import environment, paths
from vcbench.corpora import Corpus
from vcbench.errors import UsageError, VcbenchError
from vcbench.plugins import Registry

Status = Literal["ok", "note", "broken"]

OLDEST_PYTHON = (3, 11)
# The last setuptools that has pkg_resources is below this one.
WITHOUT_PKG_RESOURCES = 82
# Imported where speech is analysed and scored; what to say if the import alone fails.
AUDIO = ("soundfile", "pyworld", "pysptk", "nnmnkwii", "soxr")
SPACE_NEEDED_GIB = 0.2
# Two checkpoints of the paper's system at full size, 24 bytes for each of its 120 million
# parameters (two generators of 38.1 and two discriminators of 21.8), and a third while one is
# written.
SPACE_OF_A_FULL_CELL_GIB = 4.3
_GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. broken: vcbench, or a part of it that is no extra, does not
    work without; note: it does. fix: what to do, "" where nothing needs to be done."""

    name: str
    status: Status
    found: str
    fix: str = ""


def checks(data_dir: Path, reports_dir: Path) -> Iterator[Check]:
    """All checks, as they are made; none of them raises."""
    yield _python()
    for look in (_packages, _pkg_resources, _audio, _extras, _gpu):
        yield from _guarded(look)
    yield from _guarded(lambda: [_folder("cache", paths.cache_dir(), "VCBENCH_CACHE_DIR")])
    named = "--reports or VCBENCH_REPORTS_DIR"
    yield from _guarded(lambda: [_folder("reports", reports_dir, named)])
    yield from _guarded(_plugins)
    yield from _guarded(lambda: _corpora(data_dir))
    yield from _guarded(_compiler)


def _guarded(look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """What is broken must not keep the rest from being looked at."""
    try:
        yield from look()
    except Exception as error:
        name = getattr(look, "__name__", "check").strip("_").replace("<lambda>", "check")
        yield Check(name, "broken", f"could not be looked at: {_one_line(error)}", "report this")


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info >= OLDEST_PYTHON:
        return Check("python", "ok", f"{version} ({sys.executable})")
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Check("python", "broken", f"{version}: {oldest} is needed", f"install Python {oldest}")


def _packages() -> Iterator[Check]:
    """Every requirement that vcbench was installed with, by its version."""
    from packaging.requirements import Requirement

    state = environment.git_state()
    yield Check("vcbench", "ok", f"{vcbench.__version__} ({environment.revision(state)})")
    for text in metadata.requires("vcbench") or ():
        need = Requirement(text)
        if need.name == "setuptools":
            continue  # for what it has, which `_pkg_resources` looks for
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        yield _requirement(need.name, str(need.specifier), need.specifier.contains)


def _requirement(name: str, wanted: str, fits: Callable[..., bool]) -> Check:
    fix = f"{sys.executable} -m pip install '{name}{wanted}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        # Builds of the same package under another name have the same module.
        other = f"{name}-prebuilt"
        try:
            return Check(name, "ok", f"{metadata.version(other)} ({other})")
        except metadata.PackageNotFoundError:
            return Check(name, "broken", f"not installed; {wanted} is needed", fix)
    if fits(version, prereleases=True):
        return Check(name, "ok", version)
    return Check(name, "broken", f"{version}; {wanted} is needed", fix)


def _pkg_resources() -> Iterator[Check]:
    """pyworld, pysptk and nnmnkwii import it; setuptools, which had it, has it no more."""
    name = "pkg_resources"
    if importlib.util.find_spec(name) is not None:
        yield Check(name, "ok", "there (pyworld, pysptk and nnmnkwii import it)")
        return
    try:
        version = f"setuptools {metadata.version('setuptools')}"
    except metadata.PackageNotFoundError:
        version = "no setuptools"
    yield Check(
        name,
        "broken",
        f"missing: there is {version}, and from {WITHOUT_PKG_RESOURCES} on it has none; pyworld, "
        "pysptk and nnmnkwii import it",
        f"{sys.executable} -m pip install 'setuptools>=77.0.3,<{WITHOUT_PKG_RESOURCES}'",
    )


def _audio() -> Iterator[Check]:
    """Each is imported: one that was built for another NumPy fails only then."""
    for module in AUDIO:
        error = _import_error(module)
        if not error:
            yield Check(f"import {module}", "ok", "works")
            continue
        fix = f"{sys.executable} -m pip install --force-reinstall --no-cache-dir {module}"
        if module == "soundfile" and "sndfile" in error:
            fix = "install libsndfile (Debian, Ubuntu: apt-get install libsndfile1)"
        elif "pkg_resources" in error:
            fix = "see pkg_resources above"
        yield Check(f"import {module}", "broken", error, fix)


def _import_error(module: str) -> str:
    """Why the module cannot be imported, in a process of its own: a library may end it."""
    code = f"import warnings; warnings.simplefilter('ignore'); import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"importing it ends Python (exit code {done.returncode})"


def _extras() -> Iterator[Check]:
    """What is installed on request only, by the extra that it belongs to."""
    from packaging.requirements import Requirement

    wanted: dict[str, list[Requirement]] = {}
    for text in metadata.requires("vcbench") or ():
        need = Requirement(text)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", str(need.marker or ""))
        if extra and extra[1] in ("demo", "tensorboard", "perceptual", "ray", "slurm"):
            wanted.setdefault(extra[1], []).append(need)
    for extra_name, needs in wanted.items():
        missing = [need.name for need in needs if not _is_installed(need.name)]
        name, names = f"extra {extra_name}", ", ".join(need.name for need in needs)
        if missing:
            install = f"{sys.executable} -m pip install 'vcbench[{extra_name}]'"
            found = f"without {', '.join(missing)}"
            yield Check(name, "note", found, f"where you want it: {install}")
        else:
            yield Check(name, "ok", names)


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _gpu() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            gib = torch.cuda.get_device_properties(index).total_memory / 2**30
            yield Check("gpu", "ok", f"{torch.cuda.get_device_name(index)}, {gib:.0f} GiB")
        return
    if any(Path(driver).exists() for driver in _GPU_DRIVERS):
        built = torch.version.cuda or torch.version.hip
        why = f"built for {built}" if built else "built without GPU support"
        yield Check(
            "gpu",
            "note",
            f"there is a driver, but PyTorch {torch.__version__}, {why}, finds no device",
            "install the build of PyTorch for your driver: https://pytorch.org/get-started/locally",
        )
        return
    yield Check("gpu", "note", "none: cells train on the CPU")


def _folder(name: str, folder: Path, variable: str) -> Check:
    """Whether it can be written, and how much fits."""
    there = next(p for p in (folder, *folder.parents) if p.exists())
    fix = f"name another folder with {variable}"
    if not there.is_dir():
        return Check(name, "broken", f"{folder}: {there} is a file", fix)
    if not os.access(there, os.W_OK | os.X_OK):
        return Check(name, "broken", f"{folder}: {there} cannot be written", fix)
    free_gib = shutil.disk_usage(there).free / 2**30
    found = f"{folder}: {free_gib:.1f} GiB free"
    if free_gib < SPACE_NEEDED_GIB:
        return Check(name, "broken", found, f"make room, or {fix}")
    if name == "cache" and free_gib < SPACE_OF_A_FULL_CELL_GIB:
        full = f"a full-size cell of the paper's system takes {SPACE_OF_A_FULL_CELL_GIB} GiB"
        return Check(name, "note", f"{found}; {full} while it is saved", f"make room, or {fix}")
    return Check(name, "ok", found)


def _plugins() -> Iterator[Check]:
    declared = Registry().declarations()
    for one in declared:
        if one.problem:
            fix = "repair or uninstall the package it comes from"
            yield Check(f"plugin {one.name}", "note", f"{one.origin}: {one.problem}", fix)
    usable = sum(not one.problem for one in declared)
    yield Check("plugins", "ok", f"{usable} of {len(declared)} can be used")


def _corpora(data_dir: Path) -> Iterator[Check]:
    """Those that need no option; an absent one is no fault."""
    registry = Registry()
    for name in registry.names("corpus"):
        if registry.declaration("corpus", name).problem:
            continue
        plugin = registry.get("corpus", name)
        corpus = None
        if any(option.default is inspect.Parameter.empty for option in plugin.options):
            continue
        try:
            corpus = plugin.factory(data_dir=data_dir)
            speakers = corpus.speakers()
        except UsageError:
            continue
        except VcbenchError as error:
            # Of a corpus that cannot be fetched everybody brings their own.
            if corpus is not None and type(corpus).fetch is not Corpus.fetch:
                fix = f"where you want it: vcbench data fetch {name} --data {data_dir}"
                yield Check(f"corpus {name}", "note", _one_line(error).partition(";")[0], fix)
            continue
        yield Check(f"corpus {name}", "ok", f"{len(speakers)} speakers")


def _compiler() -> Iterator[Check]:
    """Told lest somebody looks for one: plugins are plain Python."""
    found = shutil.which("cc") or "none"
    needed = "needed only to install packages that have no wheel, never to run"
    yield Check("C compiler", "ok", f"{found} ({needed})")


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
