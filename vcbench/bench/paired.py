"""Two functions timed side by side in one process, and what their ratio allows to say.

A stored time says little on a machine that does other things too: the same code takes half as long
again an hour later. The ratio of two times taken one right after the other does not, as long as the
two take turns at being first (ABBA) and the clock counts the processor time of this process alone.
The figure is the median of the ratios of at least 30 pairs, its interval the 95 % of a bootstrap
over pairs, which is seeded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from vcbench.threads import torch_threads

PAIRS = 30
MOST_PAIRS = 480  # where a verdict stays unsure
TOLERANCE = 0.05  # how much slower is not called slower
WARM_UP = 5  # calls of each function that are not counted: the engine records CUDA graphs in them
# A sample lasts this long at least, several calls in it if need be: a thousand times what reading
# the clock takes, and on a GPU long enough to hide that it has to start from rest.
SAMPLE_S = {"cpu": 5e-3, "cuda": 50e-3}
RESAMPLES = 2000

Verdict = Literal["slower", "unsure", "ok"]
Function = Callable[[], object]
Clock = Callable[[Function, int], float]  # seconds of so many calls


@dataclass(frozen=True)
class Paired:
    """Seconds of one call of each function, their ratio first / second, and its interval."""

    first_s: float
    second_s: float
    ratio: float
    ci95: tuple[float, float]
    pairs: int
    clock: str

    @property
    def verdict(self) -> Verdict:
        """Of the first, the candidate, against the second: `slower` where the whole interval lies
        above what is tolerated, `ok` where it lies below, `unsure` where it lies on both sides."""
        low, high = self.ci95
        if low > 1 + TOLERANCE:
            return "slower"
        return "ok" if high < 1 + TOLERANCE else "unsure"


def compare(
    first: Function,
    second: Function,
    *,
    device: str = "cpu",
    threads: int = 1,
    pairs: int = PAIRS,
    most_pairs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Paired:
    """Time both in turns.

    threads: of PyTorch. On one thread the clock counts the processor's time; on more of them that
    would hide that they wait for each other, so it is the one on the wall. On `cuda` it is between
    two events. most_pairs: while the verdict is unsure, pairs are doubled up to here; none by
    default. progress: called with the pairs done and wanted.
    """
    clock, name = _clock(device, threads)
    ratios: list[float] = []
    seconds: tuple[list[float], list[float]] = ([], [])
    with torch_threads(threads):
        calls = _calls_of_a_sample(first, second, clock, SAMPLE_S[device])
        wanted = pairs
        while True:
            while len(ratios) < wanted:
                both = [0.0, 0.0]
                order = (0, 1) if len(ratios) % 2 == 0 else (1, 0)
                for which in order:
                    both[which] = clock((first, second)[which], calls) / calls
                    seconds[which].append(both[which])
                ratios.append(both[0] / both[1])
                if progress:
                    progress(len(ratios), wanted)
            result = Paired(
                first_s=float(np.median(seconds[0])),
                second_s=float(np.median(seconds[1])),
                ratio=float(np.median(ratios)),
                ci95=median_interval(ratios),
                pairs=len(ratios),
                clock=name,
            )
            if result.verdict != "unsure" or wanted >= (most_pairs or 0):
                return result
            wanted = min(2 * wanted, most_pairs or 0)


def median_interval(values: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median; the same for the same values."""
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    medians = np.median(np.asarray(values)[drawn], axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(low), float(high)


def _calls_of_a_sample(first: Function, second: Function, clock: Clock, least_s: float) -> int:
    """Calls that the quicker of both needs to fill a sample; warms both up."""
    for function in (first, second):
        clock(function, WARM_UP)
    once = min(clock(function, 1) for function in (first, second))
    return max(1, math.ceil(least_s / once))


def _clock(device: str, threads: int) -> tuple[Clock, str]:
    if device == "cuda":
        return _between_events, "CUDA events"
    if threads == 1:
        return _processor_seconds, "processor time"
    return _wall_seconds, "time on the clock"


def _processor_seconds(function: Function, calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        function()
    return time.process_time() - start


def _wall_seconds(function: Function, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


def _between_events(function: Function, calls: int) -> float:
    """One synchronisation for all calls: one for each would be part of what is measured."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(calls):
        function()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000
