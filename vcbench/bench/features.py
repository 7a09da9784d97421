"""How much faster two processes extract features than one does.

Both analyse the same new recordings, from the first byte to the last file, the start of their
processes included; they take turns at being first. The ratio of the times on the clock is what a
user has, on a machine that does nothing else. Where it does, the ratio of the processor time that
the two ways took says what is lost to processes, whatever else is running.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcbench import audio
from vcbench.bench.paired import median_interval
from vcbench.corpora import Utterance
from vcbench.features import FeatureStore
from vcbench.world import FeatureParameters

UTTERANCES = 48
JOBS = 2


def measure(
    *, utterances: int = UTTERANCES, jobs: int = JOBS, pairs: int = 5
) -> list[dict[str, Any]]:
    """Rows {metric, value, unit}: seconds of one process and of `jobs`, and their ratios.

    utterances: synthetic ones of 1 to 4 s. pairs: how often both ways are timed.
    """
    parameters = FeatureParameters()
    seconds: dict[int, list[float]] = {1: [], jobs: []}
    processor: dict[int, list[float]] = {1: [], jobs: []}
    with tempfile.TemporaryDirectory() as folder:
        speech = _speech(Path(folder), utterances, parameters.sample_rate)
        for pair in range(pairs):
            for way in (1, jobs) if pair % 2 == 0 else (jobs, 1):
                store = FeatureStore(Path(folder) / f"{pair}-{way}", parameters)
                before, start = _processor_s(), time.perf_counter()
                store.extract(speech, jobs=way)
                seconds[way].append(time.perf_counter() - start)
                processor[way].append(_processor_s() - before)
    ratios = [one / many for one, many in zip(seconds[1], seconds[jobs], strict=True)]
    of_processor = [jobs * a / b for a, b in zip(processor[1], processor[jobs], strict=True)]
    rows = [("processes", jobs, "count"), ("utterances", utterances, "count")]
    rows += [("pairs", pairs, "count")]
    values: list[tuple[str, float, str]] = [*rows]
    for way, name in ((1, "one_process"), (jobs, "many_processes")):
        values += [(f"{name}_s", float(np.median(seconds[way])), "s")]
        values += [(f"{name}_processor_s", float(np.median(processor[way])), "s")]
    low, high = median_interval(ratios)
    values += [("ratio", float(np.median(ratios)), "x"), ("ratio_low", low, "x")]
    values += [("ratio_high", high, "x")]
    values += [("ratio_with_a_core_each", float(np.median(of_processor)), "x")]
    return [{"metric": m, "value": value, "unit": unit} for m, value, unit in values]


def _processor_s() -> float:
    """Processor time of this process and of its children that have ended."""
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


def _speech(folder: Path, count: int, sample_rate: int) -> list[Utterance]:
    """Files of different lengths: as in a corpus, somebody has the last one."""
    found = []
    for number in range(count):
        path = folder / f"{number}.wav"
        seconds = 1.0 + 3.0 * ((7 * number) % count) / count
        audio.write(path, _buzz(seconds, sample_rate, seed=number), sample_rate=sample_rate)
        found.append(Utterance("buzz", f"{number}", path))
    return found


def _buzz(seconds: float, sample_rate: int, *, seed: int) -> NDArray[np.float64]:
    """A gliding pulse train in a little noise (samples,): pitch for WORLD to find."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(round(seconds * sample_rate)) / sample_rate
    f0_hz = 140.0 + 20.0 * np.sin(2 * np.pi * times_s) + rng.uniform(-30, 30)
    phase = np.cumsum(f0_hz) / sample_rate
    pulses = np.diff(np.floor(phase), prepend=0.0)
    decay = np.exp(-np.arange(400) / 40.0) * np.cos(np.arange(400) * 0.3)
    wave = np.convolve(pulses, decay)[: len(times_s)] + 1e-3 * rng.normal(size=len(times_s))
    return np.asarray(0.5 * wave / np.abs(wave).max())
