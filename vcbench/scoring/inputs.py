"""Which files are to be scored: a folder, a pattern or a list becomes a file by utterance id.

Ids are compared exactly: `u1` is not `u10`. In a folder or a pattern the id is the file's name
without its suffix; a list says it. One id for two files is refused, since one of them would be
dropped, and so is one converted file under two ids, which would count twice.
"""

from __future__ import annotations

import csv
import glob
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from vcbench import regular_files
from vcbench.errors import UsageError

AUDIO_SUFFIXES = (".wav", ".flac")
_VALID = "a folder, a pattern such as 'out/*.wav', a list of 'ID PATH' lines, or a CSV with id,path"


def utterances(named: str) -> dict[str, Path]:
    """The file of each utterance id, sorted by id.

    `named` is a folder (the audio files directly in it; hidden ones are not meant), a pattern with
    *, ? or [ (** crosses folders), a CSV with the columns id and path, or any other text file,
    which is read as a Kaldi list: an id, white space and a path on each line. Relative paths in
    lists are relative to the current folder, as Kaldi's are. Whether the files exist is found out
    in scoring.

    Raises `UsageError` if it is none of these, cannot be read, names no file, or names an id twice.
    """
    path = Path(named)
    try:
        if path.is_dir():
            found = in_folder(path)
            nothing = f"holds no audio files ({', '.join(AUDIO_SUFFIXES)})"
        elif path.is_file():
            entries = _csv(path) if path.suffix.lower() == ".csv" else _kaldi(path)
            found, nothing = _by_id(entries, named), "lists no utterances"
        elif glob.has_magic(named):
            # Path.glob takes no absolute pattern.
            matches = map(Path, glob.iglob(named, recursive=True))  # noqa: PTH207
            found = _by_stem((p for p in matches if not p.is_dir()), named)
            nothing = "matches no file"
        else:
            raise UsageError(f"{named}: no such folder, list or pattern; valid: {_VALID}")
    except OSError as error:
        raise UsageError(f"{named}: cannot be read ({error.strerror})") from None
    if not found:
        raise UsageError(f"{named}: {nothing}")
    return dict(sorted(found.items()))


def in_folder(folder: Path) -> dict[str, Path]:
    """The audio files directly in a folder by id; raises `UsageError` where two have one."""
    return _by_stem((path for path in folder.iterdir() if _is_meant(path)), str(folder))


def refuse_repeated_files(files: Mapping[str, Path], named: str) -> None:
    """Raise `UsageError` where two ids have one file, by its path."""
    ids: dict[Path, str] = {}
    for id_, path in files.items():
        if path in ids:
            raise UsageError(
                f"{named}: '{ids[path]}' and '{id_}' are the same file, {path}, which would count "
                "twice; remove one"
            )
        ids[path] = id_


def _is_meant(path: Path) -> bool:
    # What has the name of an audio file and is none must not be lost: scoring will name it.
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")


def _by_stem(files: Iterable[Path], named: str) -> dict[str, Path]:
    return _by_id(((str(path), path.stem, path) for path in sorted(files)), named)


def _by_id(entries: Iterable[tuple[str, str, Path]], named: str) -> dict[str, Path]:
    """The path of each id from (where it is named, id, path)."""
    found: dict[str, Path] = {}
    places: dict[str, str] = {}
    for place, id_, path in entries:
        if id_ in found:
            raise UsageError(
                f"{named}: the utterance '{id_}' stands there twice: {places[id_]} and {place}; "
                "remove one"
            )
        found[id_], places[id_] = path, place
    return found


def _kaldi(path: Path) -> Iterator[tuple[str, str, Path]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        place, fields = f"{path}:{number}", line.split(maxsplit=1)
        if not fields:
            continue
        if len(fields) == 1:
            raise UsageError(f"{place}: must be an id and a path; got '{line.strip()[:60]}'")
        id_, file = fields[0], fields[1].strip()
        if file.endswith("|"):
            raise UsageError(
                f"{place}: '{id_}' is the output of a command, which is not run; write it to a file"
            )
        yield place, id_, Path(file)


def _csv(path: Path) -> Iterator[tuple[str, str, Path]]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        columns = reader.fieldnames or []
        if not {"id", "path"} <= set(columns):
            found = ", ".join(columns) or "nothing"
            raise UsageError(f"{path}:1: needs the columns id and path; found {found[:200]}")
        for row in reader:
            place, id_, file = f"{path}:{reader.line_num}", row["id"], row["path"]
            if not id_ or not file:
                raise UsageError(f"{place}: has no {'path' if id_ else 'id'}")
            yield place, id_, Path(file)
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: not CSV: {error}") from None


def _text(path: Path) -> str:
    if path.suffix.lower() in AUDIO_SUFFIXES:
        raise UsageError(f"{path}: one audio file; valid: {_VALID}")
    try:
        content = regular_files.content(path, maximum_bytes=regular_files.MAXIMUM_TEXT_BYTES)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: not UTF-8 text: byte 0x{error.object[error.start]:02x} at {error.start}; "
            f"valid: {_VALID}"
        ) from None
    if "\0" in text:
        raise UsageError(f"{path}: not text: holds NUL characters; valid: {_VALID}")
    return text
