"""Downloads against a server on loopback, and archives that nobody should unpack."""

from __future__ import annotations

import hashlib
import socket
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import Served, Server

from vcbench.corpora.fetch import Archive, download, extract, find_folder, unpacked
from vcbench.errors import DataError

BODY = bytes(i * 7 % 251 for i in range(300_000))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fetch(server: Server, folder: Path, **options: object) -> Path:
    archive = Archive(f"{server.url}/a.zip", "a.zip", options.pop("sha256", None))
    return download(archive, folder, pause_s=0.0, **options)


def test_download(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = Served(BODY)
    calls: list[tuple[str, int, int | None]] = []
    path = fetch(server, tmp_path, sha256=sha256(BODY), progress=lambda *call: calls.append(call))
    assert path == tmp_path / "a.zip"
    assert path.read_bytes() == BODY
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]
    assert calls[-1] == ("downloading a.zip (MiB)", 1, 1)


def test_what_is_there_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = Served(BODY)
    fetch(server, tmp_path, sha256=sha256(BODY))
    fetch(server, tmp_path, sha256=sha256(BODY))
    assert len(server.seen) == 1


def test_cut_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = Served(BODY, cuts=[200_000])
    path = fetch(server, tmp_path, sha256=sha256(BODY))
    assert path.read_bytes() == BODY
    first, second = server.seen
    assert (first.range, first.sent) == (None, 200_000)
    assert second.range is not None
    start = int(second.range.removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= 200_000
    assert second.if_range == '"one"'
    assert (second.status, second.sent) == (206, len(BODY) - start)


def test_next_process_goes_on(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = Served(BODY, cuts=[100_000] + [0] * 5)
    with pytest.raises(DataError, match=r"cut 6 times \(\d+ bytes are kept; the same command"):
        fetch(server, tmp_path)
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert kept > 0
    server.seen.clear()
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert [(s.range, s.sent) for s in server.seen] == [(f"bytes={kept}-", len(BODY) - kept)]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(size=st.integers(1, 120_000), cuts=st.lists(st.integers(0, 120_000), max_size=5))
def test_any_cuts_give_the_file(
    server: Server, tmp_path_factory: pytest.TempPathFactory, size: int, cuts: list[int]
) -> None:
    server.files["/a.zip"] = Served(BODY[:size], cuts=list(cuts))
    folder = tmp_path_factory.mktemp("download")
    assert fetch(server, folder, sha256=sha256(BODY[:size])).read_bytes() == BODY[:size]


def test_changed_file_starts_anew(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = Served(BODY, cuts=[100_000] + [0] * 5)
    with pytest.raises(DataError):
        fetch(server, tmp_path)
    changed = BODY[::-1]
    server.files["/a.zip"] = Served(changed, etag='"two"')
    assert fetch(server, tmp_path).read_bytes() == changed
    assert server.seen[-1].status == 200


def test_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = Served(BODY, ranges=False, cuts=[100_000])
    assert fetch(server, tmp_path, sha256=sha256(BODY)).read_bytes() == BODY
    assert [(s.status, s.sent) for s in server.seen] == [(200, 100_000), (200, len(BODY))]


def test_whole_part_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    """A process may be killed between the last byte and the renaming."""
    server.files["/a.zip"] = Served(BODY)
    (tmp_path / "a.zip.part").write_bytes(BODY)
    assert fetch(server, tmp_path).read_bytes() == BODY
    assert [(s.status, s.sent) for s in server.seen] == [(416, 0)]


def test_part_longer_than_the_file_starts_anew(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = Served(BODY)
    (tmp_path / "a.zip.part").write_bytes(BODY + b"more")
    assert fetch(server, tmp_path).read_bytes() == BODY


def test_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = Served(BODY)
    with pytest.raises(DataError, match=r"/a\.zip: not the expected file"):
        fetch(server, tmp_path, sha256=sha256(b"something else"))
    assert list(tmp_path.iterdir()) == []


def test_refusal_is_one_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the server answers 404") as caught:
        fetch(server, tmp_path)
    assert "\n" not in str(caught.value)


def test_unreachable_server_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match=f"cannot download http://127.0.0.1:{port}") as caught:
        fetch(Server(f"http://127.0.0.1:{port}"), tmp_path)
    message = str(caught.value)
    assert "refused" in message
    assert "\n" not in message
    assert "Pool" not in message


def test_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    server.files["/a.zip"] = Served(BODY)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write the download"):
        fetch(server, tmp_path / "file")


# --- archives


def archive_with(path: Path, name: str, content: bytes = b"x", *, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        info.external_attr = mode << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        file.writestr(info, content)
    return path


def refused(archive: Path, match: str, **limits: int) -> None:
    """Extraction raises and writes nothing anywhere beside the archive."""
    destination = archive.parent / "deep" / "out"
    destination.mkdir(parents=True)
    with pytest.raises(DataError, match=match):
        extract(archive, destination, **limits)
    files = [p for p in archive.parent.rglob("*") if p.is_file() or p.is_symlink()]
    assert files == [archive]


@pytest.mark.parametrize(
    "name", ["../evil", "../../evil", "a/../../evil", "/evil", "a\\..\\evil", "C:evil", "C:/evil"]
)
def test_path_traversal_is_refused(tmp_path: Path, name: str) -> None:
    refused(archive_with(tmp_path / "a.zip", name), "may lie outside")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    archive = archive_with(tmp_path / "a.zip", "link", b"/etc/passwd", mode=kind | 0o777)
    refused(archive, "is a link or a device")


def test_bomb_is_refused(tmp_path: Path) -> None:
    archive = archive_with(tmp_path / "a.zip", "zeros", bytes(20_000_000))
    assert archive.stat().st_size < 30_000
    refused(archive, "zip bomb", maximum_bytes=10_000_000)


def test_bomb_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    """The directory claims 10 bytes; the stream holds two million."""
    archive = archive_with(tmp_path / "a.zip", "zeros", bytes(2_000_000))
    lying = archive.read_bytes().replace(struct.pack("<L", 2_000_000), struct.pack("<L", 10))
    archive.write_bytes(lying)
    destination = tmp_path / "out"
    destination.mkdir()
    with pytest.raises(DataError):
        extract(archive, destination, maximum_bytes=1_000_000)
    assert sum(p.stat().st_size for p in destination.rglob("*")) <= 1_000_000


def test_too_many_files_are_refused(
    tmp_path: Path, zipped: Callable[[dict[str, bytes]], bytes]
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({str(i): b"" for i in range(11)}))
    refused(tmp_path / "a.zip", "11 files, more than 10", maximum_files=10)


def test_damaged_archives_are_named(
    tmp_path: Path, zipped: Callable[[dict[str, bytes]], bytes]
) -> None:
    good = zipped({"a": bytes(range(256)) * 40})
    flipped = bytearray(good)
    flipped[60] ^= 0xFF
    for content in (b"", b"not a zip", good[: len(good) // 2], bytes(flipped)):
        (tmp_path / "a.zip").write_bytes(content)
        with (
            pytest.raises(DataError, match=r"a\.zip: (damaged|cannot be unpacked)"),
            unpacked(tmp_path / "a.zip", tmp_path / "corpus"),
        ):
            pytest.fail("it must not come to this")
        assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a", b"2")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="File exists"):
        extract(tmp_path / "a.zip", tmp_path / "out")


NAMES = st.lists(st.text("abcXYZ_.09", min_size=1, max_size=6), min_size=1, max_size=3).filter(
    lambda parts: not {".", ".."} & set(parts)
)


@settings(max_examples=30, deadline=None)
@given(files=st.dictionaries(NAMES.map("/".join), st.binary(max_size=300), max_size=8))
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory,
    zipped: Callable[[dict[str, bytes]], bytes],
    files: dict[str, bytes],
) -> None:
    # A name cannot be both a file and a folder.
    files = {
        name: content
        for name, content in files.items()
        if not any(other.startswith(f"{name}/") for other in files)
    }
    folder = tmp_path_factory.mktemp("zip")
    (folder / "a.zip").write_bytes(zipped(files))
    with unpacked(folder / "a.zip", folder / "corpus") as contents:
        found = {
            p.relative_to(contents).as_posix(): p.read_bytes()
            for p in contents.rglob("*")
            if p.is_file()
        }
    assert found == files
    assert [p.name for p in folder.iterdir()] == ["a.zip"]


def test_find_folder_takes_the_shallowest(tmp_path: Path) -> None:
    for name in ("x/y/trains", "x/y/evals", "z/trains", "z/evals", "trains"):
        (tmp_path / name).mkdir(parents=True)
    assert find_folder(tmp_path, ("trains", "evals")) == tmp_path / "z"
    assert find_folder(tmp_path, ("trains",)) == tmp_path
    assert find_folder(tmp_path, ("trains", "tests")) is None
