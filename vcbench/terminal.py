"""The terminal: results on stdout, progress on stderr, plain lines where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from vcbench.corpora import ProgressCallback


def console() -> Console:
    """A rich console on stdout, at least 100 columns wide where it is not a terminal."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=120)


def say(message: str) -> None:
    """One plain line of progress on stderr."""
    print(message, file=sys.stderr, flush=True)


@contextmanager
def progress_bars() -> Iterator[ProgressCallback]:
    """Yields a callback (description, done, total) that draws bars on a terminal's stderr.

    Where stderr is no terminal it prints one line when a description first appears and one when
    its total is reached.
    """
    if not sys.stderr.isatty():
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

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, object] = {}

        def draw(description: str, done: int, total: int | None) -> None:
            if description not in tasks:
                tasks[description] = bars.add_task(description, total=total)
            bars.update(tasks[description], completed=done, total=total)  # type: ignore[arg-type]

        yield draw
