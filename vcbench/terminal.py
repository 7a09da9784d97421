"""The terminal: results on stdout, progress on stderr, plain lines where nobody watches."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from vcbench.corpora import ProgressCallback

# Control characters but tab and line feed; marks, embeddings, overrides and isolates of direction.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
UNBOUNDED = 10_000  # columns: wider than any table


def console() -> Console:
    """A rich console on stdout: as wide as the terminal or `COLUMNS` says, else without bounds.

    What reads a pipe or a file wants rows whole.
    """
    from rich.console import Console

    bounded = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return Console() if bounded else Console(width=UNBOUNDED)


def say(message: str) -> None:
    """One plain line of progress on stderr; a run is not lost because nobody reads it any more."""
    with suppress(OSError):
        print(harmless(message), file=sys.stderr, flush=True)


def harmless(text: str) -> str:
    """Text in which what a terminal would obey is shown instead, as in Python's source.

    A name in a stranger's file may hold escape sequences, which move the cursor, retitle the window
    or hide what stands there, and characters that turn the direction of the text around.

    >>> harmless("a\\x1b[2Jb\\n")
    'a\\\\x1b[2Jb\\n'
    """
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def count_of(n: int, singular: str) -> str:
    """`1 cell`, `3 cells`."""
    return f"{n} {singular}" if n == 1 else f"{n} {singular}s"


@contextmanager
def stdout_may_fail(otherwise: str) -> Iterator[None]:
    """Around what is printed at the end: that nobody reads it any more, or that the disk of the
    file it goes to is full, is said on stderr and does not make a run fail that is complete."""
    try:
        yield
        sys.stdout.flush()
    except (OSError, SystemExit):  # rich makes the second of a closed pipe
        with suppress(OSError, ValueError):  # else Python tries again when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(otherwise)


def is_watched() -> bool:
    """Whether stderr is a terminal that can be drawn on: `TERM=dumb` says that it cannot."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


@contextmanager
def progress_bars() -> Iterator[ProgressCallback]:
    """Yields a callback (description, done, total) that draws bars on a terminal's stderr.

    Where stderr is no terminal it prints one line when a description first appears and one when
    its total is reached.
    """
    if not is_watched():
        started: set[str] = set()
        finished: set[str] = set()

        def plain(description: str, done: int, total: int | None) -> None:
            if description not in started:
                started.add(description)
                say(f"{description} ...")
            if total is not None and done >= total and description not in finished:
                finished.add(description)
                say(f"{description}: {done} of {total}")

        yield plain
        return

    drawn = _Bars()
    try:
        yield drawn
    finally:
        drawn.stop()


class _Bars:
    """Bars on stderr, one per description, that are drawn only while one of them is unfinished.

    In between the terminal belongs to others: two live displays would overwrite one another.
    """

    def __init__(self) -> None:
        self._live: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, description: str, done: int, total: int | None) -> None:
        if self._live is None:
            self._live = self._start()
        if description not in self._tasks:
            self._tasks[description] = self._live.add_task(description, total=total)
        self._live.update(self._tasks[description], completed=done, total=total)
        if self._live.finished:
            self.stop()

    def stop(self) -> None:
        """Leave the bars as they are on the screen; the next call begins new ones below."""
        if self._live is not None:
            self._live.stop()
        self._live, self._tasks = None, {}

    @staticmethod
    def _start() -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        # Narrow enough for 80 columns beside the longest description.
        bar = BarColumn(bar_width=20)
        columns = (TextColumn("{task.description}"), bar, MofNCompleteColumn(), Remaining())
        bars = Progress(*columns, console=Console(stderr=True))
        bars.start()
        return bars
