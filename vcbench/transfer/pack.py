"""Writing results into one file; see `vcbench.transfer`."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import vcbench
from vcbench import sealed
from vcbench.errors import DataError, UsageError, some_of
from vcbench.failures import FAILURE, failure_of
from vcbench.plugins import Registry
from vcbench.stored_cells import CODE
from vcbench.training.cell import Cell
from vcbench.training.files import CELL, CHECKPOINT, has_result, read_status
from vcbench.transfer import ALLOWED, CELL_FILES, MANIFEST, OUTPUT, Manifest, cells
from vcbench.transfer.archive import Archive, Refused
from vcbench.transfer.contents import Contents

_CHUNK = 1 << 20
_OUTPUT_BYTES = 1 << 16  # of what a cell's process said, which a warning may repeat a million times
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same results, the same bytes
_TEXT = (".json", ".jsonl", ".log")  # the rest does not shrink


@dataclass
class Packed:
    """What was written. failed: ids of the cells of which the failure was. missing: those of the
    cells that were left out, and why."""

    done: int = 0
    to_train: int = 0
    files: int = 0
    n_bytes: int = 0
    failed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass
class _Parts:
    """What is to be written, by the names in the archive: cells, files, and texts of files that are
    not there as they are written."""

    cells: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)

    def add(self, key: str, cell: Cell, state: str) -> None:
        self.cells[key] = {"cell": cell.id, "state": state}
        self.texts[f"cells/{key}/{CELL}"] = json.dumps(cells.portable(cell), indent=1).encode()

    def add_output(self, key: str, folder: Path) -> None:
        """The end of what the cell's process said, which tells how it ended."""
        if (folder / OUTPUT).exists():
            with (folder / OUTPUT).open("rb") as file:
                file.seek(max(0, (folder / OUTPUT).stat().st_size - _OUTPUT_BYTES))
                self.texts[f"cells/{key}/{OUTPUT}"] = file.read(_OUTPUT_BYTES)


def pack(
    contents: Contents,
    destination: Path,
    *,
    cache_dir: Path,
    with_checkpoints: bool = False,
    to_train: bool = False,
) -> Packed:
    """Write an archive of results.

    with_checkpoints: so that speech can be converted where it is taken to. to_train: also cells
    that are not done, with the features that they are trained on; else of those that failed, how.

    Raises `DataError` if a result would be of no use where it is taken to, since it has neither its
    checkpoint nor all of its converted speech, or the file could not be taken over; and
    `UsageError` if it cannot be written.
    """
    packed = Packed()
    parts = _Parts(files={_name(path, cache_dir): path for path in contents.shared})
    useless: list[str] = []
    for folder, cell in contents.cells.items():
        code, failure = _code(folder), failure_of(folder)
        key = cell.key(Registry(), code=code) if code else folder.name
        # One that was taken over, although of other code, is known by what lies beside it.
        is_known = key == folder.name if code else not failure
        if not is_known and not _is_of(folder, cell):
            packed.missing.append(
                f"{cell.id}: {folder} holds another cell, or none of this version"
            )
        elif code:
            parts.add(key, cell, "done")
            parts.add_output(key, folder)
            wavs, lacking = _converted(folder, contents.wavs[folder])
            has_checkpoint = with_checkpoints and (folder / CHECKPOINT).exists()
            if not has_checkpoint and (lacking or not wavs):
                useless.append(f"{cell.id}: {lacking or 'all'} utterances are not converted")
            left_out = {CELL, OUTPUT} if has_checkpoint else {CELL, OUTPUT, CHECKPOINT}
            found = [
                path for n in CELL_FILES if n not in left_out and (path := folder / n).exists()
            ]
            parts.files |= {_name(path, folder, f"cells/{key}/"): path for path in (*found, *wavs)}
            packed.done += 1
        elif to_train:
            parts.add(folder.name, cell, "to train")
            parts.files |= {_name(path, cache_dir): path for path in _features(cell)}
            packed.to_train += 1
        elif failure:
            parts.add(folder.name, cell, "failed")
            parts.add_output(folder.name, folder)
            told = sealed.json_text(asdict(replace(failure, log=OUTPUT)))
            parts.texts[f"cells/{folder.name}/{FAILURE}"] = told.encode()
            if (folder / CODE).exists():
                parts.files[f"cells/{folder.name}/{CODE}"] = folder / CODE
            packed.failed.append(cell.id)
        else:
            packed.missing.append(f"{cell.id}: not done")
    if useless:
        raise DataError(
            "speech that is not converted here can be converted there only with its checkpoint: "
            "give --with-checkpoints, or convert it first (vcbench run):\n  " + some_of(useless)
        )
    if not parts.cells:
        raise DataError(
            "there is nothing to take: no cell is done (vcbench plan tells why); to have them "
            "trained elsewhere give --to-train"
        )
    packed.files = len(_write(destination, parts, contents))
    packed.n_bytes = destination.stat().st_size
    return packed


def _is_of(folder: Path, cell: Cell) -> bool:
    """Whether a folder is this cell's, whatever else says so: a run's may be anybody's."""
    try:
        return Cell.read(folder / CELL).identity() == cell.identity()
    except DataError:
        return False


def _code(folder: Path) -> str:
    """Of which code a cell's result is; "" if there is none."""
    status = read_status(folder) if has_result(folder) else None
    return str((status or {}).get("code", ""))


def _name(path: Path, root: Path, place: str = "") -> str:
    """What a file below `root` is called in the archive; raises `DataError` for what none can
    hold."""
    name = place + path.relative_to(root).as_posix()
    if not ALLOWED.fullmatch(name):
        raise DataError(
            f"{path}: cannot be taken anywhere under this name; speakers and sentences are called "
            "by at most 200 characters each, of which none is a backslash or a control character"
        )
    return name


def _write(destination: Path, parts: _Parts, contents: Contents) -> Mapping[str, Any]:
    described: dict[str, Any] = {}
    try:
        with sealed.replacing(destination, durable=True) as temporary:
            with zipfile.ZipFile(temporary, "w") as archive:
                for name, path in sorted(parts.files.items()):
                    described[name] = _add_file(archive, name, path)
                for name, content in sorted(parts.texts.items()):
                    archive.writestr(_info(name), content)
                    digest = hashlib.sha256(content).hexdigest()
                    described[name] = {"bytes": len(content), "sha256": digest}
                manifest = Manifest(
                    vcbench=vcbench.__version__,
                    suite=contents.suite,
                    budget=contents.budget,
                    protocol=contents.protocol,
                    data_fingerprint=contents.data_fingerprint,
                    cells=parts.cells,
                    files=described,
                )
                text = json.dumps(manifest.to_json(), indent=1, sort_keys=True)
                archive.writestr(_info(MANIFEST), text)
            with Archive(temporary):  # as whoever takes it over will look at it
                pass
    except OSError as error:
        where = error.filename or destination
        raise UsageError(f"{destination}: not written ({where}: {error.strerror})") from None
    except Refused as error:
        raise DataError(
            f"{destination}: not written, since nobody could take it over: {error.why}"
        ) from None
    return described


def _add_file(archive: zipfile.ZipFile, name: str, path: Path) -> dict[str, Any]:
    digest, n_bytes = hashlib.sha256(), 0
    info = _info(name)
    info.file_size = path.stat().st_size  # tells whether its sizes need 64 bits
    with path.open("rb") as source, archive.open(info, "w") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            n_bytes += len(chunk)
            target.write(chunk)
    return {"bytes": n_bytes, "sha256": digest.hexdigest()}


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED if Path(name).suffix in _TEXT else zipfile.ZIP_STORED
    info.external_attr = 0o644 << 16
    return info


def _converted(folder: Path, expected: list[Path] | None) -> tuple[list[Path], int]:
    """Whole wavs that were converted with a cell, and how many of the expected ones there are
    not."""
    wavs = sorted(folder.glob("converted/*/*/*.wav")) if expected is None else expected
    whole = [wav for wav in wavs if sealed.is_whole_wav(wav)]
    return whole, len(wavs) - len(whole)


def _features(cell: Cell) -> list[Path]:
    paths = [
        Path(path)
        for part in (cell.train_features, cell.validation_features)
        for named in part.values()
        for path in named
    ]
    lacking = [str(path) for path in paths if not sealed.is_whole_npz(path)]
    if lacking:
        raise DataError(
            f"{cell.id}: {len(lacking)} of {len(paths)} feature files it is trained on are not "
            "there yet; `vcbench data stats` or `vcbench run` on a machine with the speech makes "
            f"them:\n  {some_of(lacking, shown=3)}"
        )
    return paths
