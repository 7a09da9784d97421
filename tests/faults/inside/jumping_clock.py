"""A wall clock that jumps by years at every look, in one Python process."""

from __future__ import annotations

import os
import random
import time


def install() -> None:
    """Time since boot goes on as it is: nothing sets that. `datetime.now` does too, since its class
    cannot be replaced where extension modules know it: see `test_clock.py` for who uses it."""
    rng = random.Random(os.getpid())
    real = time.time

    def jumped() -> float:
        return real() + rng.choice((-1, 1)) * rng.uniform(0, 3e8)  # up to nine years

    time.time = jumped
    time.time_ns = lambda: round(jumped() * 1e9)
