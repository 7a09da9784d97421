"""Ctrl-C where being stopped half-way would do harm: counted there, and acted on between steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def counted_interrupts() -> Iterator[list[int]]:
    """Yields a list that gains the signal's number at each Ctrl-C, which raises nothing inside.

    So is every other signal that would raise KeyboardInterrupt (`vcbench run` has SIGTERM and
    SIGHUP do that). Elsewhere than in the main thread nothing changes: Python lets no other thread
    handle signals.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def count(number: int, _: FrameType | None) -> None:
        received.append(number)

    numbers = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
    raising = [n for n in numbers if signal.getsignal(n) is signal.default_int_handler]
    for number in raising:
        signal.signal(number, count)
    try:
        yield received
    finally:
        for number in raising:
            signal.signal(number, signal.default_int_handler)
