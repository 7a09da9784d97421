"""Files that are whole or not there: renamed into place, with a checksum that tells damage.

A kill at any moment leaves the old file or the new one. A torn disk, a full one or a flipped bit
is found by a CRC-32 when the file is read, and the file then counts as not there: what made it
makes it again. Where that CRC-32 stands:

- JSON: in the value itself, under `crc32`, over all else that it says;
- WAV and `.npz`: in a comment at the end, as these formats have it (`LIST`, `INFO`, `ICMT`; the
  archive's comment), which every reader passes over, over all bytes before it. A zip archive's own
  checksums, one for each record, do not cover its directory: damaged, it may lack a record;
- checkpoints: those of the archive's records, which PyTorch writes and does not compare. What lacks
  a record cannot be read (`vcbench.training.checkpoint`).

CRC-32 finds all damage of up to 32 bits in a row and all but one in 2^32 of the rest. It protects
from accidents and not from people.

`durable` says that the file is on the disk when the call returns, so that a power cut does not take
it: for what costs hours, which is checkpoints and the status that says that they are complete. All
else costs seconds, and its checksum tells that a power cut took it.

Imports the standard library alone, since training does.
"""

from __future__ import annotations

import json
import os
import platform
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CHECKSUM = "crc32"
_COMMENT_BYTES = 16  # of "crc32=0123abcd", ended by zeros as INFO's texts are
_TRAILER_BYTES = 8 + 4 + 8 + _COMMENT_BYTES


def temporary_of(path: Path) -> Path:
    """What `path` is called while this process writes it: a name that no other takes, also on
    another machine that shares the folder, where one may have the same number."""
    return path.with_name(f"{path.stem}.{_machine()}-{os.getpid()}.tmp")


def is_temporary(path: Path) -> bool:
    """Whether a file is called as by `temporary_of`."""
    return path.name.endswith(".tmp")


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9_]", "-", platform.node()) or "unnamed"


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yields where to write; when that went well it becomes `path`, else it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        yield temporary
        if durable:
            _sync(temporary)
        temporary.replace(path)
        if durable:
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text file atomically."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any], *, durable: bool = False) -> None:
    """Write a JSON object atomically, with its checksum."""
    write_text(path, json_text(value), durable=durable)


def json_text(value: Mapping[str, Any]) -> str:
    """A JSON object as `write_json` writes it."""
    return json.dumps({**value, _CHECKSUM: _json_crc(value)}, indent=1)


def read_json(path: Path) -> dict[str, Any] | None:
    """What `write_json` was given; None if there is no such file, or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        checksum = found.pop(_CHECKSUM)
        return dict(found) if checksum == _json_crc(found) else None
    # Nested too deep for Python is damaged too.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def is_whole_zip(path: Path) -> bool:
    """Whether there is such an archive and every record has its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # damaged headers can make the reader raise anything
        return False


def unpacks_to_more(path: Path) -> bool:
    """Whether reading a zip archive may take more memory than its size: a record is compressed, or
    lies where another does. None of NumPy's and PyTorch's is. Raises anything for a damaged one."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    return packed or sum(entry.file_size for entry in entries) > path.stat().st_size


def is_whole(path: Path) -> bool:
    """Whether there is such a file, and it has the checksum that files called so have: `.npz`,
    `.pt`, `.wav` and, of `write_json`, `.json`."""
    by_suffix = {".npz": is_whole_npz, ".pt": is_whole_zip, ".wav": is_whole_wav}
    if path.suffix == ".json":
        return read_json(path) is not None
    return by_suffix[path.suffix](path)


def seal_npz(path: Path) -> None:
    """Give an archive without a comment its checksum, as that."""
    with path.open("r+b") as file:
        content = bytearray(file.read())
        content[-2:] = _COMMENT_BYTES.to_bytes(2, "little")  # the length of the comment
        file.seek(len(content) - 2)
        file.write(content[-2:] + _comment(bytes(content)))


def is_whole_npz(path: Path) -> bool:
    """Whether there is such a file, it ends with a checksum, and has it."""
    return _ends_with(path, _comment, _COMMENT_BYTES)


def seal_wav(path: Path) -> None:
    """Give a RIFF file its checksum, at its end."""
    with path.open("r+b") as file:
        content = bytearray(file.read())
        length = int.from_bytes(content[4:8], "little") + _TRAILER_BYTES
        content[4:8] = length.to_bytes(4, "little")
        file.seek(4)
        file.write(content[4:8])
        file.seek(len(content))
        file.write(_trailer(bytes(content)))


def is_whole_wav(path: Path) -> bool:
    """Whether there is such a file, it ends with a checksum, and has it."""
    return _ends_with(path, _trailer, _TRAILER_BYTES)


def _ends_with(path: Path, trailer: Callable[[bytes], bytes], n_bytes: int) -> bool:
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return len(content) > n_bytes and content[-n_bytes:] == trailer(content[:-n_bytes])


def _trailer(body: bytes) -> bytes:
    comment = _comment(body)
    size = (_TRAILER_BYTES - 8).to_bytes(4, "little")
    return b"LIST" + size + b"INFOICMT" + len(comment).to_bytes(4, "little") + comment


def _comment(body: bytes) -> bytes:
    return f"crc32={zlib.crc32(body):08x}".encode().ljust(_COMMENT_BYTES, b"\0")


def _json_crc(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
