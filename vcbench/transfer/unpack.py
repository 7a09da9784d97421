"""Taking results over into the cache; see `vcbench.transfer`.

Everything is unpacked and verified beside the cache's files first. What then is moved into its
place is whole, a cell's status last; whatever ends it half-way, the same command goes on.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from vcbench import fingerprint, locks, protocols, sealed
from vcbench.cache import UNPACKING
from vcbench.errors import DataError, PluginError, UsageError, some_of
from vcbench.failures import FAILURE, failure_of
from vcbench.other_code import other_packages
from vcbench.plugins import Registry
from vcbench.training.cell import Cell
from vcbench.training.files import (
    CELL,
    CHECKPOINT,
    ELSEWHERE,
    STATUS,
    has_result,
    previous_of,
    read_status,
    write_json,
)
from vcbench.transfer import CELL_FILES, FAILURE_FILES, OUTPUT, Manifest, cells, shapes
from vcbench.transfer.archive import Archive, Refused

Difference = Literal["code", "data", "protocol"]
_SHOWN = 12  # characters of a hash


@dataclass
class Unpacked:
    """What was taken over. there: cells that were done here before, or of those that failed, of
    which something is here. to_train: their folders."""

    suite: str
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    to_train: list[Path] = field(default_factory=list)
    files: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Arriving:
    """A cell of an archive: where it was unpacked, and where it belongs here."""

    cell: Cell
    state: str
    unpacked: Path
    folder: Path


def unpack(
    path: Path,
    *,
    cache_dir: Path,
    registry: Registry | None = None,
    accept: Collection[Difference] = (),
    data_fingerprint: str | None = None,
) -> Unpacked:
    """Take an archive over.

    registry: finds the plugins of the suite, as they lie here. accept: differences that are told,
    and are no reason to refuse. data_fingerprint: of the data here, to be compared.

    Raises `DataError` if the archive is damaged or could do harm, `UsageError` for differences that
    were not accepted, both values named: then nothing was changed.
    """
    registry = registry or Registry()
    with Archive(path) as archive:
        manifest = archive.manifest
        _refuse_too_large(archive, cache_dir)
        differences = _other_protocol(manifest) + _other_data(manifest, data_fingerprint)
        staging = _new_folder(cache_dir)
        try:
            for name in manifest.files:
                archive.extract(name, staging / name)
                if problem := shapes.problem(staging / name, name):
                    raise Refused(path, f"{name} {problem}")
            arriving = [
                _arriving(archive, key, registry, cache_dir, staging) for key in manifest.cells
            ]
            for one in arriving:
                differences += _other_code(one, registry, path)
            _refuse(differences, accept, path)
            return _place(arriving, staging, cache_dir, manifest)
        except OSError as error:
            raise UsageError(
                f"{cache_dir}: cannot be written ({error.strerror}); what was taken over is whole, "
                "and the same command goes on from there"
            ) from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _new_folder(cache_dir: Path) -> Path:
    """A folder for this process alone, where `vcbench cache gc` finds what a killed one left."""
    prefix, suffix = UNPACKING.split("*")
    try:
        return Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=cache_dir))
    except OSError as error:
        raise UsageError(f"{cache_dir}: cannot be written ({error.strerror})") from None


def _refuse_too_large(archive: Archive, cache_dir: Path) -> None:
    free = shutil.disk_usage(cache_dir).free
    if archive.n_bytes > 0.95 * free:
        raise DataError(
            f"{archive.path}: {archive.n_bytes} bytes would be unpacked into {cache_dir}, where "
            f"{free} are free; make room (vcbench cache gc) or name another folder with "
            "VCBENCH_CACHE_DIR"
        )


def _arriving(
    archive: Archive, key: str, registry: Registry, cache_dir: Path, staging: Path
) -> _Arriving:
    cell = cells.in_cache(archive.cell(key, registry), cache_dir)
    try:
        folder = cache_dir / "cells" / cell.key(registry)
    except PluginError as error:
        raise PluginError(
            f"{archive.path}: {cell.id}: {error}\n  give the plugin files of its suite, as they "
            "lie here, with --plugin FILE"
        ) from None
    return _Arriving(cell, archive.manifest.cells[key]["state"], staging / "cells" / key, folder)


def _other_protocol(manifest: Manifest) -> list[tuple[Difference, str]]:
    if manifest.protocol is None:
        return []
    name, there = manifest.protocol.get("id", ""), manifest.protocol.get("sha256", "")
    try:
        here = fingerprint.of_bytes(protocols.get(name).text.encode())
    except UsageError as error:
        return [("protocol", f"protocol: there '{name}', here {error}")]
    if here == there:
        return []
    return [("protocol", f"protocol '{name}': there {there[:_SHOWN]}, here {here[:_SHOWN]}")]


def _other_data(manifest: Manifest, here: str | None) -> list[tuple[Difference, str]]:
    there = manifest.data_fingerprint
    if here is None or there is None or here == there:
        return []
    return [("data", f"data fingerprint: there {there[:_SHOWN]}, here {here[:_SHOWN]}")]


def _other_code(one: _Arriving, registry: Registry, path: Path) -> list[tuple[Difference, str]]:
    """How the code that a cell was trained with differs from what would train it here."""
    if one.state == "to train":
        return []
    key = one.unpacked.name
    if one.state == "failed":
        if failure_of(one.unpacked) is None:
            raise Refused(path, f"{one.cell.id}: how it failed is not in it")
        if key == one.folder.name:
            return []
        return [("code", f"of {one.cell.id}, which failed: there {key}, here {one.folder.name}")]
    status = read_status(one.unpacked) or {}
    if status.get("iterations") != one.cell.recipe.iterations:
        raise Refused(
            path,
            f"{one.cell.id}: it has done {status.get('iterations')} iterations of "
            f"{one.cell.recipe.iterations}",
        )
    there, here = status["code"], one.cell.code(registry)
    if one.cell.key(registry, code=there) != key:
        raise Refused(path, f"{one.cell.id}: what lies under its key {key} is another cell's")
    if (one.unpacked / CHECKPOINT).exists():
        _refuse_other_checkpoint(one, path)
    if there == here:
        return []
    found: list[tuple[Difference, str]] = [
        ("code", f"{name}: there {before}, here {now}")
        for name, before, now in other_packages(status, one.cell.packages(registry))
    ]
    return found or [
        (
            "code",
            f"source of system '{one.cell.system}' or of vcbench's training: there "
            f"{there[:_SHOWN]}, here {here[:_SHOWN]}",
        )
    ]


def _refuse_other_checkpoint(one: _Arriving, path: Path) -> None:
    from vcbench.training.checkpoint import cell_of

    try:
        is_its_own = cell_of(one.unpacked / CHECKPOINT).identity() == one.cell.identity()
    except DataError as error:
        why = str(error).replace(str(one.unpacked), one.unpacked.name)
        raise Refused(path, f"{one.cell.id}: {why}") from None
    if not is_its_own:
        raise Refused(path, f"{one.cell.id}: its checkpoint is another cell's")


def _refuse(
    differences: Sequence[tuple[Difference, str]], accept: Collection[Difference], path: Path
) -> None:
    refused = [one for one in dict.fromkeys(differences) if one[0] not in accept]
    if refused:
        options = " ".join(f"--accept {kind}" for kind in dict.fromkeys(k for k, _ in refused))
        raise UsageError(
            f"{path}: not taken over: it was made with other things than are here (there and "
            f"here must be equal, or numbers are compared that are not comparable):\n  "
            f"{some_of([said for _, said in refused])}\n  to take it over all the same: {options}"
        )


def _place(
    arriving: Sequence[_Arriving], staging: Path, cache_dir: Path, manifest: Manifest
) -> Unpacked:
    found = Unpacked(manifest.suite)
    for name in sorted(manifest.files):
        if not name.startswith("cells/"):
            found.files += _moved(staging / name, cache_dir / name)
    for one in arriving:
        lock = locks.try_to_take(one.folder)
        if lock is None:
            owner = locks.owner_of(one.folder) or "another process"
            found.problems.append(f"{one.cell.id}: {owner} trains it here; left as it is")
            continue
        with lock:
            _place_cell(one, found)
    return found


def _place_cell(one: _Arriving, found: Unpacked) -> None:
    was_done = has_result(one.folder)
    if one.state == "to train":
        if was_done:
            found.there.append(one.cell.id)
            return
        write_json(one.folder / CELL, one.cell.to_json())
        found.to_train.append(one.folder)
        return
    if one.state == "failed":
        _place_failure(one, found)
        return
    for wav in sorted((one.unpacked / "converted").rglob("*.wav")):
        found.files += _moved(wav, one.folder / wav.relative_to(one.unpacked))
    has_checkpoint = (one.unpacked / CHECKPOINT).exists()
    if was_done and ((one.folder / CHECKPOINT).exists() or not has_checkpoint):
        found.there.append(one.cell.id)
        return
    if was_done:  # without its checkpoint, which has come now
        (one.folder / STATUS).unlink()
    for begun in (one.folder / CHECKPOINT, previous_of(one.folder / CHECKPOINT)):
        begun.unlink(missing_ok=True)  # of a training that has not ended here
    write_json(one.folder / CELL, one.cell.to_json())
    for name in CELL_FILES:
        if name == STATUS and not has_checkpoint:
            sealed.write_json(one.folder / ELSEWHERE, {"cell": one.cell.id})
        if name != CELL and (one.unpacked / name).exists():
            (one.unpacked / name).replace(one.folder / name)
            found.files += 1
    (one.folder / FAILURE).unlink(missing_ok=True)
    if has_checkpoint:
        (one.folder / ELSEWHERE).unlink(missing_ok=True)
    found.done.append(one.cell.id)


def _place_failure(one: _Arriving, found: Unpacked) -> None:
    """So that it is told here, and `--retry-failed` finds it: unless the cell has come further."""
    newest = one.folder / CHECKPOINT
    begun = (newest, previous_of(newest), one.folder / STATUS, one.folder / FAILURE)
    if any(path.exists() for path in begun):
        found.there.append(one.cell.id)
        return
    failure = failure_of(one.unpacked)
    assert failure is not None  # see `_other_code`
    write_json(one.folder / CELL, one.cell.to_json())
    for name in FAILURE_FILES:
        if name != FAILURE and (one.unpacked / name).exists():
            (one.unpacked / name).replace(one.folder / name)
            found.files += 1
    said = str(one.folder / OUTPUT)
    sealed.write_json(one.folder / FAILURE, asdict(replace(failure, log=said)))
    found.failed.append(one.cell.id)


def _moved(source: Path, destination: Path) -> int:
    """Move a file to its place, unless it is there: what is called alike has been made alike."""
    if sealed.is_whole(destination):
        return 0
    destination.parent.mkdir(parents=True, exist_ok=True)
    source.replace(destination)
    return 1
