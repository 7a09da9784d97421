"""A trained cell in a cache of its own, to be taken somewhere else, and archives to change."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tiny_cells import tiny_cell

from vcbench import audio, fingerprint, locks, protocols, sealed
from vcbench.plugins import Registry
from vcbench.training.cell import Cell
from vcbench.training.files import read_status, write_json, write_status
from vcbench.training.loop import train
from vcbench.transfer import MANIFEST
from vcbench.transfer.contents import Contents
from vcbench.transfer.pack import pack

WAV = "converted/0123456789abcdef/SF1_to_TM3/s 1.wav"
SCORE = f"scores/ab/ab{'0' * 62}.json"
IDENTITY = {"id": "vcbench-1"}


@dataclass(frozen=True)
class Sent:
    """A trained cell in a cache, with one converted sentence and one score; and its archives."""

    cache: Path
    cell: Cell
    contents: Contents

    @property
    def folder(self) -> Path:
        return next(iter(self.contents.cells))

    def pack(self, path: Path, **options: bool) -> Path:
        pack(self.contents, path, cache_dir=self.cache, **options)
        return path

    @property
    def code(self) -> str:
        return str(self.status_with()["code"])

    def status_with(self, **changes: object) -> dict[str, object]:
        return {**(read_status(self.folder) or {}), **changes}

    def of_other_code(self, cache: Path, code: str, packages: Mapping[str, str | None]) -> Sent:
        """The same in another cache, as it is where it was trained with other code."""
        shutil.copytree(self.cache, cache)
        folder = cache / "cells" / self.cell.key(Registry(), code=code)
        (cache / "cells" / self.folder.name).rename(folder)
        write_status(folder, self.status_with(code=code, packages=packages))
        contents = replace(
            self.contents, cells={folder: self.cell}, wavs={folder: None}, shared=[cache / SCORE]
        )
        return Sent(cache, self.cell, contents)


def send(root: Path) -> Sent:
    """Train the cell, in a cache below `root`."""
    cell = hashed(tiny_cell(root, recipe={"iterations": 2}), root)
    folder = root / "cells" / cell.key(Registry())
    write_json(folder / "cell.json", cell.to_json())
    assert train(cell, folder) is not None
    audio.write(folder / WAV, np.ones(800) / 2, sample_rate=16000)
    sealed.seal_wav(folder / WAV)
    sealed.write_json(root / SCORE, {"values": {"mcd": 1.0, "f0-rmse": None}, "notes": []})
    protocol = {
        **IDENTITY,
        "sha256": fingerprint.of_bytes(protocols.get("vcbench-1").text.encode()),
    }
    contents = Contents(
        "small", None, protocol, "f" * 64, {folder: cell}, {folder: None}, [root / SCORE]
    )
    return Sent(root, cell, contents)


def hashed(cell: Cell, root: Path) -> Cell:
    """The cell with its features where a cache has them, named by hashes."""

    def moved(part: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {s: tuple(move(Path(p)) for p in paths) for s, paths in part.items()}

    def move(path: Path) -> str:
        name = fingerprint.of_json([path.name])
        place = root / "features" / name[:2] / f"{name}.npz"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
        return str(place)

    return replace(
        cell,
        train_features=moved(cell.train_features),
        validation_features=moved(cell.validation_features),
    )


def tree(folder: Path) -> dict[str, bytes]:
    """All files but locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not locks.is_lock(path)
    }


def rewritten(path: Path, to: Path, changes: Mapping[str, bytes | None]) -> Path:
    """The archive with other files, and a manifest that fits them."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop(MANIFEST))
    for name, content in changes.items():
        files.pop(name, None)
        if content is not None:
            files[name] = content
    manifest["files"] = {
        name: {"bytes": len(content), "sha256": fingerprint.of_bytes(content)}
        for name, content in files.items()
    }
    return written(to, {**files, MANIFEST: json.dumps(manifest).encode()}.items())


def written(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    """An archive of these files, stored as they are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content)
    return path
