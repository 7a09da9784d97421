"""Download, verify, unpack: how a corpus comes from its publisher to the disk.

pooch fetches and compares checksums; `ResumingDownloader` is what it downloads with, because a
quarter of a gigabyte over a bad line should not start again from nothing. Archives are unpacked
beside their destination and renamed into place, so a corpus folder is whole or absent.
"""

from __future__ import annotations

import logging
import shutil
import stat
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vcbench.errors import DataError

if TYPE_CHECKING:
    import requests

    from vcbench.corpora import ProgressCallback

MIB = 2**20
# Others (LZMA) take memory that a header asks for.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MAXIMUM_FILES = 10_000
MAXIMUM_BYTES = 2**30  # unpacked
MAXIMUM_DOWNLOAD_BYTES = 2**31


@dataclass(frozen=True)
class Archive:
    """A zip file to download. `sha256` is None where its publisher gives no sum."""

    url: str
    file_name: str
    sha256: str | None = None


def download(
    archive: Archive,
    folder: Path,
    progress: ProgressCallback | None = None,
    *,
    pause_s: float = 1.0,
) -> Path:
    """Bring the archive to `folder`, going on where an earlier attempt stopped.

    Raises `DataError` if the server cannot be reached, refuses, keeps cutting the connection, or
    sends something of another checksum. What arrived before a cut is kept for the next attempt.
    """
    import pooch

    downloader = ResumingDownloader(
        folder / f"{archive.file_name}.part", progress=progress, pause_s=pause_s
    )
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)  # vcbench draws the progress itself
    try:
        path = pooch.retrieve(
            archive.url,
            known_hash=archive.sha256 and f"sha256:{archive.sha256}",
            fname=archive.file_name,
            path=folder,
            downloader=downloader,
        )
    except ValueError as error:
        raise DataError(f"{archive.url}: not the expected file ({error})") from None
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot write the download to {folder}: {reason}") from None
    finally:
        logger.setLevel(level)
    return Path(path)


class ResumingDownloader:
    """A pooch downloader that keeps what arrived in `part` and asks only for the rest.

    A cut connection is taken up again up to `resumes` times, after a pause that doubles from
    `pause_s` seconds; so is the rest of an earlier process's download. The server's ETag or date is
    kept beside it: a file that changed in between starts from its beginning (If-Range, RFC 9110).
    """

    def __init__(
        self,
        part: Path,
        *,
        progress: ProgressCallback | None = None,
        resumes: int = 5,
        pause_s: float = 1.0,
        timeout_s: float = 30.0,
        maximum_bytes: int = MAXIMUM_DOWNLOAD_BYTES,
    ) -> None:
        self.part = part
        self.progress = progress
        self.resumes = resumes
        self.pause_s = pause_s
        self.timeout_s = timeout_s
        self.maximum_bytes = maximum_bytes
        self._validator = part.with_name(f"{part.name}.validator")

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        """Download `url` to `output_file`; raises `DataError`, saying what is kept, if it fails."""
        import requests

        for attempt in range(self.resumes + 1):
            try:
                whole = self._transfer(url)
            except requests.RequestException as error:
                raise DataError(
                    f"cannot download {url}: {_root_cause(error)}{self._what_is_kept()}"
                ) from None
            if whole:
                self._validator.unlink(missing_ok=True)
                self.part.replace(output_file)
                return
            if attempt < self.resumes:
                time.sleep(self.pause_s * 2**attempt)
        raise DataError(
            f"cannot download {url}: the connection was cut {self.resumes + 1} times"
            f"{self._what_is_kept()}"
        )

    def _transfer(self, url: str) -> bool:
        """One request; returns whether the file is whole now. The server may cut it short."""
        import requests

        kept = self._kept()
        headers = {"Accept-Encoding": "identity"}
        if kept:
            headers["Range"] = f"bytes={kept}-"
            if self._validator.is_file():
                headers["If-Range"] = self._validator.read_text()
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout_s) as response:
            if (
                response.status_code == 416
            ):  # nothing after what is kept: all of it, or another file
                if response.headers.get("Content-Range") == f"bytes */{kept}":
                    return True
                self.part.unlink()
                return False
            response.raise_for_status()
            resumed = response.status_code == 206
            if resumed and not _starts_at(response, kept):
                self.part.unlink()
                return False
            offset = kept if resumed else 0
            self._remember(response)
            length = response.headers.get("Content-Length")
            total = offset + int(length) if length else None
            try:
                self._write(response, offset, total)
            except (requests.exceptions.ChunkedEncodingError, requests.ConnectionError):
                return False
        return total is None or self._kept() == total

    def _write(self, response: requests.Response, offset: int, total: int | None) -> None:
        """Append the body to the part file, or begin it anew if `offset` is 0."""
        done = offset
        with self.part.open("ab" if offset else "wb") as file:
            for block in response.iter_content(1 << 14):
                done += len(block)
                if done > self.maximum_bytes:
                    self.part.unlink()
                    raise DataError(
                        f"cannot download {response.url}: it sends more than "
                        f"{self.maximum_bytes} bytes, which no corpus here needs; nothing is kept"
                    )
                file.write(block)
                if self.progress:
                    # Rounded down, but whole at the end: a callback's last call completes the bar.
                    total_mib = None if total is None else -(-total // MIB)
                    done_mib = total_mib if total and done >= total else done // MIB
                    name = self.part.name.removesuffix(".part")
                    self.progress(f"downloading {name} (MiB)", done_mib or 0, total_mib)

    def _remember(self, response: requests.Response) -> None:
        """Keep what tells this edition of the file from another; weak ETags cannot (RFC 9110)."""
        etag = response.headers.get("ETag", "")
        validator = "" if etag.startswith("W/") else etag
        validator = validator or response.headers.get("Last-Modified", "")
        if validator:
            self._validator.write_text(validator)
        else:
            self._validator.unlink(missing_ok=True)

    def _kept(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _what_is_kept(self) -> str:
        kept = self._kept()
        return f" ({kept} bytes are kept; the same command goes on from there)" if kept else ""


def _starts_at(response: requests.Response, offset: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _root_cause(error: BaseException) -> str:
    """The innermost reason: requests wraps 'Connection refused' in three layers of its own."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server does not answer in time"
    while error.__context__ is not None:
        error = error.__context__
    return str(error).replace("\n", " ")


@contextmanager
def unpacked(
    archive: Path, beside: Path, progress: ProgressCallback | None = None
) -> Iterator[Path]:
    """Unpack a zip into a temporary folder on the file system of `beside`; removed at the end.

    Take out of it what you want to keep by `Path.rename`, the folder itself included. Raises
    `DataError` as `extract` does.
    """
    beside.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{beside.name}-", dir=beside.parent))
    # One level down: what mkdtemp makes is closed to other users, a corpus should not be.
    contents = temporary / "contents"
    try:
        contents.mkdir()
        extract(archive, contents, progress=progress)
        yield contents
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def extract(
    archive: Path,
    destination: Path,
    *,
    maximum_files: int = MAXIMUM_FILES,
    maximum_bytes: int = MAXIMUM_BYTES,
    progress: ProgressCallback | None = None,
) -> None:
    """Unpack a zip file that is not trusted.

    Nothing is written outside of `destination`, no link or device is made, and no more than
    `maximum_files` and `maximum_bytes` come out, whatever the archive's directory claims. Raises
    `DataError` before anything is written if its directory breaks a rule, and afterwards if its
    contents do, or are damaged.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            _inspect(archive, members, maximum_files, maximum_bytes)
            budget = maximum_bytes
            for done, member in enumerate(members, start=1):
                target = destination.joinpath(*PurePosixPath(member.filename).parts)
                if member.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    budget -= _write_member(file, member, target, budget)
                if progress:
                    progress(f"unpacking {archive.name}", done, len(members))
    except NotImplementedError as error:
        raise DataError(f"{archive}: damaged, or not a zip file ({error})") from None
    except RuntimeError as error:  # zipfile's word for encrypted members
        raise DataError(f"{archive}: cannot be unpacked ({error})") from None
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{archive}: cannot be unpacked to {destination}: {reason}") from None
    except DataError:
        raise
    except Exception as error:  # damaged headers and streams can make zipfile raise anything
        raise DataError(f"{archive}: damaged, or not a zip file ({error})") from None


def _inspect(
    archive: Path, members: list[zipfile.ZipInfo], maximum_files: int, maximum_bytes: int
) -> None:
    """Raises `DataError` if the archive's directory lists anything that should not be unpacked."""
    if len(members) > maximum_files:
        raise DataError(f"{archive}: refused: {len(members)} files, more than {maximum_files}")
    size = sum(member.file_size for member in members)
    if size > maximum_bytes:
        raise DataError(
            f"{archive}: refused: unpacks to {size} bytes, more than {maximum_bytes} (a zip bomb?)"
        )
    for member in members:
        name = member.filename
        parts = PurePosixPath(name).parts
        kind = stat.S_IFMT(member.external_attr >> 16)
        if member.compress_type not in _COMPRESSIONS:
            raise DataError(f"{archive}: refused: {name!r} is compressed in an unusual way")
        if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            raise DataError(f"{archive}: refused: the name {name!r} may lie outside of the archive")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(f"{archive}: refused: {name!r} is a link or a device, not a file")


def _write_member(file: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, budget: int) -> int:
    """Write one member and return its true size in bytes, which may not exceed `budget`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    # Mode x: a name that comes twice is an error, not an overwrite.
    with file.open(member) as source, target.open("xb") as sink:
        while block := source.read(1 << 16):
            size += len(block)
            if size > budget:
                raise DataError(f"{file.filename}: refused: unpacks to more than it should")
            sink.write(block)
    return size


def find_folder(root: Path, children: tuple[str, ...]) -> Path | None:
    """The folder, `root` or the shallowest one below it, that holds all folders `children`."""
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    fitting = [f for f in folders if all((f / child).is_dir() for child in children)]
    return min(fitting, key=lambda f: (len(f.parts), f)) if fitting else None
