"""Archives and downloads of strangers; most of what `extract` refuses is in tests/corpora."""

from __future__ import annotations

import io
import lzma
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vcbench.corpora.fetch import ResumingDownloader, extract
from vcbench.errors import DataError


def zipped(compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr("a/b.txt", b"speech" * 500)
        file.writestr("c.txt", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_unusual_compression_is_refused(compression: int, tmp_path: Path) -> None:
    """A damaged LZMA stream made the reader raise what nobody expected."""
    (tmp_path / "a.zip").write_bytes(zipped(compression))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"'a/b\.txt' is compressed in an unusual way"):
        extract(tmp_path / "a.zip", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_lzma_errors_are_not_among_those_of_zipfile() -> None:
    assert not issubclass(lzma.LZMAError, (OSError, zipfile.BadZipFile, RuntimeError))


WHOLE = zipped(zipfile.ZIP_DEFLATED)


def check_damaged(folder: Path, seed: int) -> None:
    """What comes out lies below the destination, and is no more than it may be."""
    draw = random.Random(seed)
    content = bytearray(WHOLE)
    for _ in range(draw.choice((1, 2, 5))):
        content[draw.randrange(len(content))] = draw.choice((0, 1, 0x2E, 0x2F, 0xFF, 0x0E))
    root = folder / f"{seed}"
    (root / "out").mkdir(parents=True, exist_ok=True)
    (root / "a.zip").write_bytes(content)
    begin = time.monotonic()
    try:
        extract(root / "a.zip", root / "out", maximum_bytes=10_000)
    except DataError as error:
        assert str(root / "a.zip") in str(error)
    assert {path.name for path in root.iterdir()} == {"a.zip", "out"}
    found = list((root / "out").rglob("*"))
    assert not any(path.is_symlink() for path in found)
    assert sum(path.stat().st_size for path in found if path.is_file()) <= 10_000
    assert time.monotonic() - begin < 20


FEW = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(seed=st.integers(0, 2**32))
def test_damaged_archives(tmp_path: Path, seed: int) -> None:
    check_damaged(tmp_path, seed)


@pytest.mark.slow
@settings(FEW, max_examples=2500)
@given(seed=st.integers(0, 2**32))
def test_many_damaged_archives(tmp_path: Path, seed: int) -> None:
    check_damaged(tmp_path, seed)


class Endless:
    """A response that never ends."""

    url = "https://example.org/corpus.zip"

    def iter_content(self, size: int) -> object:
        while True:
            yield bytes(size)


def test_a_download_that_never_ends_is_stopped(tmp_path: Path) -> None:
    part = tmp_path / "a.zip.part"
    downloader = ResumingDownloader(part, maximum_bytes=100_000)
    write: Callable[..., None] = downloader._write
    with pytest.raises(DataError, match=r"sends more than 100000 bytes.*nothing is kept"):
        write(Endless(), 0, None)
    assert not part.exists()
