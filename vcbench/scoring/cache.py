"""Scores kept by content: by what both files hold, the protocol, the metrics and their source.

A second call analyses nothing, a copy under another name is known, and an edited metric or a
changed protocol is computed anew.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from vcbench import fingerprint, paths, sealed, usage
from vcbench.plugins import Plugin
from vcbench.scoring.pair import Scores
from vcbench.world import pyworld_version

# Modules and packages that decide what a score is, beside the plugin files of the metrics.
_SOURCES = (
    "vcbench.alignment",
    "vcbench.audio",
    "vcbench.dtw",
    "vcbench.protocols",
    "vcbench.scoring.enrolment",
    "vcbench.scoring.pair",
    "vcbench.speakers",
    "vcbench.world",
)


# Packages that read, analyse and align, and may change with their versions, beside those that the
# metrics themselves import.
_PACKAGES = ("fastdtw", "numpy", "pysptk", "scipy", "soundfile", "soxr")


def version(protocol: str, metrics: Mapping[str, Plugin]) -> str:
    """Key of all that decides a score beside the two files."""
    plugin_files = {path for plugin in metrics.values() for path in plugin.source_files}
    sources = {path for module in _SOURCES for path in _files_of(module)}
    return fingerprint.of_json(
        {
            "protocol": protocol,
            "metrics": sorted(metrics),
            "source": fingerprint.of_sources(sources | plugin_files),
            "packages": fingerprint.packages_of(plugin_files)
            | {name: fingerprint.version_of(name) for name in _PACKAGES}
            | {"pyworld": pyworld_version()},
        }
    )


def entry(version: str, *parts: str) -> Path:
    """Where scores are or will be; `parts` tell which: what both files hold, and more."""
    key = fingerprint.of_json([version, *parts])
    return paths.cache_dir() / "scores" / key[:2] / f"{key}.json"


def load(entry: Path, metrics: Sequence[str]) -> Scores | None:
    """Cached scores in the order of `metrics`, or None where there are none or the file is torn.

    Where a metric failed its value is not there, so that it is tried again.
    """
    stored = sealed.read_json(entry)
    if stored is None:
        return None
    try:
        values = stored["values"]
        found = {m: math.nan if values[m] is None else float(values[m]) for m in metrics}
        usage.note([entry])
        return Scores(found, {}, tuple(map(str, stored["notes"])))
    except (ValueError, KeyError, TypeError):
        return None


def save(entry: Path, scores: Scores) -> None:
    """Write scores such that no reader sees half a file, and damage is seen."""
    values = {name: None if math.isnan(v) else v for name, v in scores.values.items()}
    sealed.write_json(entry, {"values": values, "notes": list(scores.notes)})


def _files_of(module: str) -> list[Path]:
    """The source file of a module, or all those of a package."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source for module '{module}'")
    origin = Path(spec.origin)
    return sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
