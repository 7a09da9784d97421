"""A server of the tests' own on loopback, and small stand-ins for VCC2016."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile


@dataclass
class Served:
    """What the server gives for one path: `cuts` says after how many bytes it hangs up, in turn."""

    body: bytes
    etag: str = '"one"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it: its Range and If-Range headers, the status, bytes sent."""

    path: str
    range: str | None
    if_range: str | None
    status: int
    sent: int


@dataclass
class Server:
    """A running server: put `Served` into `files`, read requests from `seen`."""

    url: str
    files: dict[str, Served] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)


def _answer(handler: BaseHTTPRequestHandler, server: Server) -> None:
    served = server.files.get(handler.path)
    wanted, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
    status, body, extra = 404, b"", {}
    if served is not None:
        status, body, extra = 200, served.body, {"ETag": served.etag}
        if served.ranges and wanted and condition in (None, served.etag):
            start, total = int(wanted.removeprefix("bytes=").removesuffix("-")), len(served.body)
            status, body = (206, body[start:]) if start < total else (416, b"")
            shown = f"{start}-{total - 1}" if status == 206 else "*"
            extra["Content-Range"] = f"bytes {shown}/{total}"
    handler.send_response(status)
    for name, value in {**extra, "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if served is not None and served.cuts:
        body = body[: served.cuts.pop(0)]
    handler.wfile.write(body)
    server.seen.append(Seen(handler.path, wanted, condition, status, len(body)))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A web server on loopback that knows ranges and can cut connections."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, running)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        running = Server(f"http://127.0.0.1:{http.server_port}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        http.shutdown()
        thread.join()


def wav(seed: int, *, rate: int = 16000, seconds: float = 0.06, channels: int = 1) -> bytes:
    """A small wav file of noise; every seed gives other bytes."""
    noise = np.random.default_rng(seed).standard_normal((int(rate * seconds), channels))
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * noise, rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


Key = tuple[str, str, str]


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


def np_name(key: Key) -> str:
    """Where npVCC2016 keeps an utterance, below its root."""
    return f"{key[0]}s/{key[1]}/wavs/{key[2]}.wav"


def official_name(key: Key) -> str:
    """Where the official archives keep an utterance."""
    folder = {"train": "vcc2016_training", "eval": "evaluation_all"}[key[0]]
    return f"{folder}/{key[1]}/{key[2]}.wav"


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
