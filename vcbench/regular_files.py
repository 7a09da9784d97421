"""Reading what may be a stranger's: files alone, and no more of one than anybody needs.

A pipe is waited for without end, a device has no end, and a file of terabytes may take no room on
the disk. Links are followed: what they lead to has to be a file.

Imports the standard library alone, since training does.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MAXIMUM_TEXT_BYTES = 64 * 2**20  # of JSON, or of a list
# Twice what the longest recording takes that is read (`vcbench.audio`), of 8 bytes a value.
MAXIMUM_BYTES = 2**31


def opened(path: Path, *, maximum_bytes: int = MAXIMUM_BYTES) -> BufferedReader:
    """The file, to read from; raises `OSError` where it is none, or larger than that."""
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "a pipe or a device, and no file", str(path))
    if found.st_size > maximum_bytes:
        text = f"{found.st_size} bytes; at most {maximum_bytes} are read"
        raise OSError(errno.EFBIG, text, str(path))
    return path.open("rb")


def content(path: Path, *, maximum_bytes: int) -> bytes:
    """All of a file; raises `OSError` as `opened` does."""
    with opened(path, maximum_bytes=maximum_bytes) as file:
        return file.read()
