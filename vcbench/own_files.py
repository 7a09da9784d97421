"""The files of a run's folder, which may be a stranger's: nothing outside of it is read or written.

A folder that was unpacked from somewhere may hold links that lead elsewhere, pipes that never end
and names with `..`; where this module says which file is meant, it lies in the folder and is one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from vcbench.errors import DataError

# Of what a run writes: hundreds of cells leave a few MB of the first and tens of the second.
MAXIMUM_JSON_BYTES = 64 * 2**20
MAXIMUM_TABLE_BYTES = 2**30


def inside(folder: Path, relative: str, *, named_in: str = "samples/samples.json") -> Path:
    """The file that `relative` names below `folder`; raises `DataError` if it leads elsewhere.

    Links are followed: a link that leads out of the folder is refused as `..` is. named_in: which
    of the folder's files names it.
    """
    path = PurePosixPath(relative)
    root = folder.resolve()
    try:
        resolved = (root / path).resolve()
        resolved.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, or links in a circle
        resolved = Path("/")
    if "\\" in relative or path.is_absolute() or not resolved.is_relative_to(root):
        raise DataError(
            f"{folder / named_in}: path '{relative}' leads out of the run's folder; paths are "
            "relative to it, such as samples/x.wav"
        )
    return resolved


def stored(folder: Path, name: str, *, maximum_bytes: int) -> Path | None:
    """The file `name` of a run's folder, or None if there is none.

    Raises `DataError` if it is a link that leads out of the folder, or larger than a run's is.
    """
    path = folder / name
    if not path.is_file():
        return None
    found = inside(folder, name, named_in=name)
    if found.stat().st_size > maximum_bytes:
        raise DataError(f"{path}: larger than {maximum_bytes} bytes, which no run writes")
    return path


def read_json(path: Path) -> Any:
    """What a JSON file holds; raises `DataError` naming it where it cannot be understood."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise DataError(f"{path}: nested too deep; run the suite again to write it anew") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}; run the suite again to write it anew") from error


def replace_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write every file to a temporary one beside it, then rename them all; on an error, the old
    ones are left as they were.

    Names may have one folder, `tables/effects.md`. Raises `DataError` if that is a link that leads
    out of the run's folder; links in the place of the files are replaced, not followed.
    """
    temporaries: dict[str, Path] = {}
    try:
        for name, content in contents.items():
            parent = inside(folder, str(PurePosixPath(name).parent), named_in=name)
            parent.mkdir(exist_ok=True)
            temporaries[name] = parent / f".{Path(name).name}.{os.getpid()}.tmp"
            with fresh(temporaries[name]) as file:
                file.write(content)
        for name, temporary in temporaries.items():
            temporary.replace(temporary.parent / Path(name).name)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


@contextmanager
def fresh(path: Path) -> Iterator[Any]:
    """A new file to write to: what stood there is removed, and a link in its place not followed."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        yield file
