"""Small stand-ins for VCC2016, and a server to fetch them from."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import Server, serve
from small_files import Key, np_name, official_name, wav


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server on loopback that knows ranges and can cut connections."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def np_files() -> dict[Key, bytes]:
    """{(subset, speaker, id): bytes}, the 540 utterances that npVCC2016 has, as short noises."""
    keys = [("train", s, str(i)) for s in ("SF1", "SM1") for i in range(100001, 100082)]
    keys += [("train", s, str(i)) for s in ("TF2", "TM3") for i in range(100082, 100163)]
    speakers = ("SF1", "SM1", "TF2", "TM3")
    keys += [("eval", s, str(i)) for s in speakers for i in range(200001, 200055)]
    return {key: wav(seed) for seed, key in enumerate(keys)}


@pytest.fixture(scope="session")
def np_sums(np_files: dict[Key, bytes]) -> dict[Key, str]:
    """sha256 of each of `np_files`."""
    return {key: hashlib.sha256(content).hexdigest() for key, content in np_files.items()}


@pytest.fixture(scope="session")
def official_files(np_files: dict[Key, bytes]) -> dict[Key, bytes]:
    """The 2160 utterances of the official archives; those of `np_files` are the same bytes."""
    speakers = ("SF1", "SF2", "SF3", "SM1", "SM2", "TF1", "TF2", "TM1", "TM2", "TM3")
    keys = [("train", s, str(i)) for s in speakers for i in range(100001, 100163)]
    keys += [("eval", s, str(i)) for s in speakers for i in range(200001, 200055)]
    other = wav(9999)
    return {key: np_files.get(key, other) for key in keys}


Write = Callable[..., Path]


@pytest.fixture
def write_np(np_files: dict[Key, bytes]) -> Write:
    """Writes an npVCC2016 tree into a folder, and returns that."""

    def write(root: Path) -> Path:
        return _write(root, {np_name(key): content for key, content in np_files.items()})

    return write


@pytest.fixture
def write_official(official_files: dict[Key, bytes]) -> Write:
    """Writes a tree as the official archives give it into a folder, and returns that."""

    def write(root: Path) -> Path:
        return _write(root, {official_name(k): content for k, content in official_files.items()})

    return write


def _write(root: Path, files: dict[str, bytes]) -> Path:
    for folder in {(root / name).parent for name in files}:
        folder.mkdir(parents=True)
    for name, content in files.items():
        (root / name).write_bytes(content)
    return root


@pytest.fixture(scope="session")
def zipped() -> Callable[[dict[str, bytes]], bytes]:
    """Makes a zip of {name: content}."""

    def make(files: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return buffer.getvalue()

    return make
