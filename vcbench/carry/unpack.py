"""Bringing what came back into the cache, where `vcbench run` finds it."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vcbench import locks, sealed
from vcbench.cache import CONVERTED
from vcbench.carry.pack_names import MACHINE
from vcbench.errors import DataError
from vcbench.failures import FAILURE
from vcbench.mapped import MAPPED, POINTS
from vcbench.planning import Plan, PlannedCell
from vcbench.stored_cells import note_code
from vcbench.training.files import (
    CELL,
    CHECKPOINT,
    ELSEWHERE,
    LOG,
    STATUS,
    has_result,
    previous_of,
    write_json,
)

# Nothing else is taken out of an archive, and it lands nowhere else.
_MEMBER = re.compile(
    r"([0-9a-f]+-[0-9a-f]+)/"
    r"((?:status|machine|throughput)\.json|log\.jsonl|mapped\.npz|output\.log|points/\d+\.npz)"
)
_Files = dict[str, Path]  # by name, the archive that a file of a cell is in


@dataclass
class Unpacked:
    """What was taken over, by the cells' names. there: cells that had a result here before."""

    done: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def unpack(index: Mapping[str, Any], plan: Plan, archives: Iterable[Path]) -> Unpacked:
    """Put the cells of `archives`, all of which are looked at before anything is written, into the
    cache; what of a cell is in several is taken from the last.

    index: of the pack. plan: of the same suite, as it is now. A cell whose key has changed since is
    of other code, and is left out: its results would stand under a name that is not theirs. So is
    one that has a result here: its speech was converted, or can be, with weights that are here.

    Raises `DataError` if an archive cannot be read.
    """
    planned = {p.key: p for p in plan.cells}
    entries = {entry["key"]: entry for entry in index["cells"]}
    found = Unpacked()
    for key, files in _merged(archives).items():
        if key not in entries:
            found.problems.append(f"cell {key[:16]} is none of this pack's")
        elif key not in planned:
            found.problems.append(
                f"{entries[key]['cell']}: the code, or the suite, has changed since it was "
                "packed; unpack with the version that packed it"
            )
        else:
            _take_over(planned[key], entries[key], files, found)
    return found


def _take_over(
    planned: PlannedCell, entry: Mapping[str, Any], files: _Files, found: Unpacked
) -> None:
    missing = sorted(_needed(planned, entry) - set(files))
    if missing and not has_result(planned.folder):
        found.problems.append(
            f"{entry['cell']}: what was named holds no {', '.join(missing)}; name all that "
            "`train.py` has left so far, and call that again while it exits with 3"
        )
        return
    lock = locks.try_to_take(planned.folder)
    if lock is None:
        owner = locks.owner_of(planned.folder) or "another process"
        found.problems.append(f"{entry['cell']}: {owner} trains it here; left as it is")
        return
    with lock:
        if has_result(planned.folder):
            found.there.append(entry["cell"])
        else:
            _put(planned, entry, files)
            found.done.append(entry["cell"])


def _needed(planned: PlannedCell, entry: Mapping[str, Any]) -> set[str]:
    """What `train.py` leaves of every cell."""
    from vcbench.sittings import points_of

    every, iterations = entry["every"], planned.cell.recipe.iterations
    points = points_of(iterations, every) if every else []
    return {STATUS, LOG, MAPPED, MACHINE, *(f"{POINTS}/{point:08d}.npz" for point in points)}


def _put(planned: PlannedCell, entry: Mapping[str, Any], files: _Files) -> None:
    folder, key = planned.folder, planned.key
    machine = _machine(files[MACHINE], key)
    # Of a training that has not ended here, or whose weights were lost.
    for begun in (folder / STATUS, folder / CHECKPOINT, previous_of(folder / CHECKPOINT)):
        begun.unlink(missing_ok=True)
    for made in (POINTS, CONVERTED):
        shutil.rmtree(folder / made, ignore_errors=True)
    write_json(folder / CELL, planned.cell.to_json())
    code = entry["code"]
    # Versions are those it was trained with, whatever the key, made here, was told of.
    packages = {**code["packages"], **{name: machine[name] for name in ("torch", "numpy")}}
    note_code(folder, {**code, "packages": packages})
    for name, archive in files.items():
        if name != STATUS:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(_content(archive, key, name))
    sealed.write_json(folder / ELSEWHERE, {"cell": planned.cell.id, "machine": machine})
    (folder / FAILURE).unlink(missing_ok=True)
    (folder / STATUS).write_bytes(_content(files[STATUS], key, STATUS))  # last: there is a result


def _machine(archive: Path, key: str) -> dict[str, Any]:
    """Where a cell was trained."""
    try:
        machine = dict(json.loads(_content(archive, key, MACHINE)))
        if all(isinstance(machine[name], str) for name in ("torch", "numpy")):
            return machine
    except (ValueError, TypeError, KeyError):
        pass
    raise DataError(f"{archive}: {key}/{MACHINE} is not what `train.py` writes; bring it again")


def _merged(archives: Iterable[Path]) -> dict[str, _Files]:
    """The files of each cell in all archives."""
    found: dict[str, _Files] = {}
    for archive in archives:
        try:
            with tarfile.open(archive) as opened:
                for member in opened:
                    match = _MEMBER.fullmatch(member.name)
                    if match is None or not member.isfile():
                        raise DataError(
                            f"{archive}: holds '{member.name}', which no `train.py` writes; "
                            "nothing was used"
                        )
                    found.setdefault(match[1], {})[match[2]] = archive
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(f"{archive}: cannot be read ({error}); bring it again") from None
    return found


def _content(archive: Path, key: str, name: str) -> bytes:
    try:
        with tarfile.open(archive) as opened:
            content = opened.extractfile(f"{key}/{name}")
            assert content is not None  # it is a file: see `_merged`
            return content.read()
    except (tarfile.TarError, OSError, EOFError, KeyError) as error:
        raise DataError(f"{archive}: cannot be read ({error}); bring it again") from None
