"""A process in a pseudo-terminal, and the screen that a person would see of it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pyte


class Terminal:
    """Runs `command` in a terminal of its own, `columns` wide; `screen` is what it shows now.

    `output` is all that came, as it came. A context manager: at its end the process is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        lines: int = 40,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=5000)
        self.stream = pyte.ByteStream(self.screen)
        self.output = b""
        keep = dict(os.environ if environment is None else environment)
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI"):
            if environment is None or environment.get(name) == os.environ.get(name):
                keep.pop(name, None)
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

        def leader() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C and hanging up reach it
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests in the background ignore it

        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=leader,
            env={"TERM": "xterm-256color", **keep},
            cwd=cwd,
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.master >= 0:
            os.close(self.master)

    @property
    def shown(self) -> list[str]:
        """The lines on the screen, without what is blank at their ends."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def everything(self) -> list[str]:
        """What has scrolled off the top, then what is shown."""
        columns = self.screen.columns
        past = [
            "".join(line[i].data for i in range(columns)).rstrip()
            for line in self.screen.history.top
        ]
        return [*past, *self.shown]

    def type(self, keys: bytes) -> None:
        """As from the keyboard: b"\\x03" is Ctrl-C."""
        os.write(self.master, keys)

    def hang_up(self) -> None:
        """Close the terminal's window."""
        os.close(self.master)
        self.master = -1

    def read(self, seconds: float = 0.05) -> bool:
        """Take up what has come; False at the end."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            block = os.read(self.master, 65536)
        except OSError:  # Linux' way to say that nobody has the other side any more
            return False
        self.output += block
        self.stream.feed(block)
        return bool(block)

    def wait_for(self, condition: Callable[[Terminal], bool], seconds: float = 120.0) -> None:
        """Read until the condition holds; fails where it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert self.read(), "it ended:\n" + "\n".join(self.everything)
            assert time.monotonic() < deadline, "waited in vain:\n" + "\n".join(self.shown)

    def finish(self, seconds: float = 120.0) -> int:
        """Read to the end; returns the exit code."""
        deadline = time.monotonic() + seconds
        while self.read():
            assert time.monotonic() < deadline, "does not end:\n" + "\n".join(self.shown)
        return self.process.wait(max(0.1, deadline - time.monotonic()))
