"""A web server of the tests' own, on loopback, that knows ranges and can cut connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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
    sent = body[: served.cuts.pop(0)] if served is not None and served.cuts else body
    # Noted first: the client may be done before this thread runs again.
    server.seen.append(Seen(handler.path, wanted, condition, status, len(sent)))
    handler.send_response(status)
    for name, value in {**extra, "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(sent)


@contextmanager
def serve() -> Iterator[Server]:
    """Runs a server until the end of the block."""

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
