"""What goes into an archive: of a suite, of a run, or of the cells of an earlier archive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench import fingerprint, own_files, protocols, sealed
from vcbench.errors import DataError, UsageError
from vcbench.plugins import Registry
from vcbench.training.cell import Cell
from vcbench.transfer import KEY, cells

if TYPE_CHECKING:
    from vcbench.planning import Plan


@dataclass
class Contents:
    """Cells by the folders they lie in or will, and files of the cache.

    wavs: by a cell's folder, what was converted with it, or None where nobody knows what should
    be: then it is all that there is. shared: files of no cell.
    """

    suite: str
    budget: str | None
    protocol: dict[str, str] | None
    data_fingerprint: str | None
    cells: dict[Path, Cell] = field(default_factory=dict)
    wavs: dict[Path, list[Path] | None] = field(default_factory=dict)
    shared: list[Path] = field(default_factory=list)


def of_plan(plan: Plan, cache_dir: Path) -> Contents:
    """Of a suite: its cells, what was converted, and the scores of that."""
    from vcbench.suite_files import files_of

    files = files_of(plan, cache_dir)
    found = Contents(
        plan.suite.name, plan.suite.budget, _protocol(plan.suite.protocol), plan.data_fingerprint
    )
    baselines = cache_dir / "baselines"
    for planned in plan.cells:
        found.cells[planned.folder] = planned.cell
        found.wavs[planned.folder] = [
            wav for wav in files.converted if wav.is_relative_to(planned.folder)
        ]
    converted = [wav for wav in files.converted if wav.is_relative_to(baselines)]
    found.shared = [
        *(wav for wav in converted if sealed.is_whole_wav(wav)),
        *(path for path in files.scores if sealed.is_whole(path)),
    ]
    return found


def of_run(run: Path, cache_dir: Path) -> Contents:
    """Of a run's folder: the cells that it trained or found."""
    manifest, planned = _read(run, "manifest.json"), _read(run, "plan.json")
    try:
        found = Contents(
            str(manifest["suite_name"]),
            None if manifest["budget"] is None else str(manifest["budget"]),
            _protocol(str(manifest["suite"]["protocol"])),
            str(manifest["data"]["fingerprint"]),
        )
        for entry in planned:
            if not KEY.fullmatch(entry["key"]):
                raise ValueError(f"{entry['key']!a} is no key")
            folder = cache_dir / "cells" / entry["key"]
            found.cells[folder] = cells.in_cache(cells.from_stranger(entry["config"]), cache_dir)
            found.wavs[folder] = None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{run}: not a run of this version of vcbench ({type(error).__name__}: {error})"
        ) from None
    return found


def of_archive(path: Path, cache_dir: Path, plugin_files: Iterable[Path]) -> Contents:
    """Of the cells of an earlier archive, as they are in this cache."""
    from vcbench.transfer.archive import Archive

    with Archive(path) as archive:
        manifest = archive.manifest
        found = Contents(
            manifest.suite,
            manifest.budget,
            dict(manifest.protocol) if manifest.protocol else None,
            manifest.data_fingerprint,
        )
        registry = Registry(plugin_files)
        for key in manifest.cells:
            cell = cells.in_cache(archive.cell(key, registry), cache_dir)
            folder = cache_dir / "cells" / cell.key(registry)
            found.cells[folder] = cell
            found.wavs[folder] = None
    return found


def _protocol(name: str) -> dict[str, str]:
    """Its id, and the hash of the text that defines it."""
    protocol = protocols.get(name)
    return {"id": protocol.id, "sha256": fingerprint.of_bytes(protocol.text.encode())}


def _read(run: Path, name: str) -> Any:
    path = own_files.stored(run, name, maximum_bytes=own_files.MAXIMUM_JSON_BYTES)
    if path is None:
        raise UsageError(
            f"{run / name}: no such file; name a suite, a run's folder such as "
            "reports/demo/latest, or an archive of results (.zip)"
        )
    return own_files.read_json(path)
