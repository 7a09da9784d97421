"""Reading an archive of results that may come from anybody.

Whatever it holds: nothing is read or written but what `ALLOWED` names, no file is larger than the
archive says, and all of them together fit on the disk. Nothing in it is executed.
"""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from vcbench.errors import DataError
from vcbench.plugins import Registry
from vcbench.training.cell import Cell
from vcbench.training.files import CELL, LOG
from vcbench.transfer import ALLOWED, MANIFEST, Manifest, cells

MAX_FILES = 500_000
# Parsed, JSON may take twenty times its size. The manifest says 250 bytes of each file: hundreds of
# cells, each with a hundred sentences, come to 25 MB.
MAX_MANIFEST_BYTES = 1 << 26
MANIFEST_BYTES_PER_FILE = 1 << 10
MAX_LOG_BYTES = 1 << 26  # read line by line; of hundreds of thousands
MAX_CELL_BYTES = 1 << 22  # names 75 bytes of each sentence of its two speakers
MAX_TEXT_BYTES = 1 << 20  # of any other: they say some kB
MAX_RATIO = 50  # of all files' sizes to the archive's
_CHUNK = 1 << 20


class Refused(DataError):
    """An archive that is not taken over, and why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: not taken over: {why}")
        self.why = why


class Archive:
    """An archive that was looked at: `manifest`, and its files by the names given there.

    Raises `DataError` if it is none of ours, or could do harm.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except Exception as error:  # damaged headers can make the reader raise anything
            raise self._refused(f"not a zip archive, or damaged ({type(error).__name__})") from None
        try:
            self._infos = self._checked()
            self.manifest = self._manifest()
            self._compare()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    @property
    def n_bytes(self) -> int:
        """Of all files when they are unpacked."""
        return sum(int(described["bytes"]) for described in self.manifest.files.values())

    def extract(self, name: str, to: Path) -> None:
        """Unpack one file of the manifest; raises `DataError` if it is not what that says."""
        described = self.manifest.files[name]
        digest, left = hashlib.sha256(), int(described["bytes"])
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._zip.open(self._infos[name]) as source, to.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        break
                    digest.update(chunk)
                    target.write(chunk)
        except OSError:
            raise  # of the disk that is written to
        except Exception as error:
            raise self._refused(f"{name} is damaged ({type(error).__name__})") from None
        if left or digest.hexdigest() != described["sha256"]:
            raise self._refused(f"{name} is damaged: its SHA-256 is not the one that was noted")

    def cell(self, key: str, registry: Registry) -> Cell:
        """The cell of that key, with the registry's plugin files in place of those it names."""
        name = f"cells/{key}/cell.json"
        if name not in self._infos:
            raise self._refused(f"{name} is missing")
        try:
            cell = cells.from_stranger(json.loads(self._text(name, MAX_CELL_BYTES)))
        except DataError:
            raise
        except (ValueError, RecursionError) as error:
            raise self._refused(f"{name} is {error}") from None
        return replace(cell, plugin_files=tuple(str(file) for file in registry.files))

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        infos = self._zip.infolist()
        if len(infos) > MAX_FILES:
            raise self._refused(f"it holds {len(infos)} files; at most {MAX_FILES} are unpacked")
        found: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            # As it stands there: zipfile changes what it takes for a separator.
            name = info.orig_filename
            if name != MANIFEST and not ALLOWED.fullmatch(name):
                raise self._refused(f"'{ascii(name)[1:-1]}' has no place in the cache")
            if name in found:
                raise self._refused(f"'{name}' is there twice")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise self._refused(f"'{name}' is not a plain file")
            if info.flag_bits & 1:
                raise self._refused(f"'{name}' is encrypted")
            is_text = name.endswith((".json", ".jsonl", ".log"))
            if info.compress_type != zipfile.ZIP_STORED and not is_text:
                raise self._refused(f"'{name}' is compressed; such files are stored as they are")
            most = _maximum_bytes(name, len(infos))
            if is_text and info.file_size > most:
                raise self._refused(f"'{name}' has {info.file_size} bytes, at most {most} are read")
            found[name] = info
        total, size = sum(info.file_size for info in infos), self.path.stat().st_size
        if total > MAX_RATIO * size + (1 << 20):
            raise self._refused(f"its {size} bytes would become {total}")
        return found

    def _manifest(self) -> Manifest:
        if MANIFEST not in self._infos:
            raise self._refused(f"{MANIFEST} is missing: not an archive of results, or cut short")
        try:
            return Manifest.from_json(json.loads(self._text(MANIFEST, MAX_MANIFEST_BYTES)))
        except DataError:
            raise
        except Exception as error:  # whatever JSON can be
            raise self._refused(f"{MANIFEST} cannot be used: {error}") from None

    def _compare(self) -> None:
        """What is there is what the manifest says is there."""
        named, held = set(self.manifest.files), set(self._infos) - {MANIFEST}
        for name in sorted(named ^ held)[:1]:
            where = "not in it" if name in named else f"not in its {MANIFEST}"
            raise self._refused(f"'{name}' is {where}")
        for name, described in self.manifest.files.items():
            if self._infos[name].file_size != described["bytes"]:
                raise self._refused(f"'{name}' has another size than its {MANIFEST} says")

    def _text(self, name: str, most: int) -> str:
        try:
            with self._zip.open(self._infos[name]) as file:
                content = file.read(most + 1)
        except Exception as error:
            raise self._refused(f"{name} is damaged ({type(error).__name__})") from None
        if len(content) > most:
            raise self._refused(f"{name} is larger than {most} bytes")
        return content.decode("utf-8")

    def _refused(self, why: str) -> Refused:
        return Refused(self.path, why)


def _maximum_bytes(name: str, n_files: int) -> int:
    """Of a text in an archive of so many files."""
    if name == MANIFEST:
        return min(MAX_MANIFEST_BYTES, MAX_TEXT_BYTES + n_files * MANIFEST_BYTES_PER_FILE)
    by_name = {LOG: MAX_LOG_BYTES, CELL: MAX_CELL_BYTES}
    return by_name.get(name.rpartition("/")[2], MAX_TEXT_BYTES)
