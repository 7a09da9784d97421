"""Speed of scoring, beside the tools that are used for it: `pytest -s --benchmark` prints tables.

All are timed in turns in one process, in seconds of processor time, which a busy machine changes
less than seconds on the clock. Numerical libraries have one thread.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import field_tools
import numpy as np
import pytest
import soundfile
from independent_scoring import eval_wav
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from vcbench import protocols, world
from vcbench.dtw import WarpingPath, dtw_path
from vcbench.plugins import Registry
from vcbench.scoring.arrays import usual_metrics
from vcbench.scoring.pair import analyze_file, score_file

Array = NDArray[np.float64]
RATE = 16000
ROUNDS = 7
METRICS = usual_metrics(Registry(), with_speakers=False)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


@pytest.fixture
def pair(vcc2016_dir: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Four seconds of a sentence by TM3, and by SF1."""
    paths = tmp_path / "TM3.wav", tmp_path / "SF1.wav"
    for path in paths:
        whole, _ = soundfile.read(eval_wav(vcc2016_dir, path.stem, "200017"), dtype="int16")
        soundfile.write(path, whole[: 4 * RATE], RATE, subtype="PCM_16")
    return paths


def timed_in_turns(functions: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Processor seconds of each call, round by round; a first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            seconds[name].append(time.process_time() - start)
    return {name: rounds[1:] for name, rounds in seconds.items()}


def ratios(seconds: Mapping[str, list[float]], to: str) -> dict[str, float]:
    """How many times as long as `to` each takes: the median over rounds."""
    return {
        name: statistics.median(a / b for a, b in zip(rounds, seconds[to], strict=True))
        for name, rounds in seconds.items()
    }


def printed(
    capsys: pytest.CaptureFixture[str], title: str, seconds: Mapping[str, list[float]], to: str
) -> None:
    times = ratios(seconds, to)
    with capsys.disabled():
        print(f"\n{title}; ms of processor time, median and least of {ROUNDS}:")
        for name, rounds in seconds.items():
            median, least = 1e3 * statistics.median(rounds), 1e3 * min(rounds)
            print(f"  {name:48} {median:8.2f} {least:8.2f}   x {times[name]:.2f}")


def test_a_pair_from_files_to_scores(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from pymcd.mcd import Calculate_MCD

    protocol = protocols.get("vcbench-1")

    def ours() -> object:
        reference = analyze_file(pair[0], protocol)
        return score_file(reference, pair[1], protocol=protocol, metrics=METRICS)

    def s3prl() -> object:
        reference, converted = (soundfile.read(path, dtype="int16")[0] for path in pair)
        return field_tools.s3prl_vc(reference, converted, RATE)

    pymcd = Calculate_MCD(MCD_mode="dtw")
    names = f"vcbench-1, {len(METRICS)} metrics", "s3prl-vc and VERSA, MCD and F0", "pymcd, MCD"
    calls = ours, s3prl, lambda: pymcd.calculate_mcd(*map(str, pair))
    seconds = timed_in_turns(dict(zip(names, calls, strict=True)))
    printed(capsys, "a pair of 4 s", seconds, names[0])
    times = ratios(seconds, names[0])
    assert times[names[1]] >= 10
    assert times[names[2]] >= 3


def test_where_the_time_of_a_pair_goes(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    import pysptk

    protocol = protocols.get("vcbench-1")
    samples, _ = soundfile.read(pair[0])
    waveform = 32768 * samples
    options = {"sample_rate": RATE, "frame_period_ms": 5.0, "floor_hz": 40.0, "ceil_hz": 700.0}
    f0_hz, times_s = world.estimate_f0(waveform, method="dio", **options)
    power = world.spectral_envelope(waveform, f0_hz, times_s, sample_rate=RATE, fft_size=1024)
    sides = [analyze_file(path, protocol).analysis for path in pair]
    aligned = protocol.align(*sides)
    whole = "one waveform, all of its analysis"
    seconds = timed_in_turns(
        {
            whole: lambda: protocol.analyze(samples, RATE),
            "F0 by DIO and StoneMask": lambda: world.estimate_f0(waveform, method="dio", **options),
            "F0 by Harvest (other protocols)": lambda: world.estimate_f0(
                waveform, method="harvest", **options
            ),
            "spectrum by CheapTrick": lambda: world.spectral_envelope(
                waveform, f0_hz, times_s, sample_rate=RATE, fft_size=1024
            ),
            "mel-cepstrum, one matrix product": lambda: world.mel_cepstrum(
                power, order=24, alpha=0.41
            ),
            "mel-cepstrum, pysptk.sp2mc (not used)": lambda: pysptk.sp2mc(power, 24, 0.41),
            "alignment of two": lambda: protocol.align(*sides),
            "all metrics of the pair": lambda: [m.factory(aligned) for m in METRICS.values()],
        }
    )
    printed(capsys, "4 s of speech", seconds, whole)
    times = ratios(seconds, "mel-cepstrum, one matrix product")
    assert times["mel-cepstrum, pysptk.sp2mc (not used)"] > 20
    assert ratios(seconds, whole)["F0 by Harvest (other protocols)"] > 3


def test_alignment_in_numpy_and_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    """Why there is no compiled code: it saves a tenth of a pair and costs a process seconds."""
    start = time.process_time()
    compiled = compiled_dtw_path()
    compiled(np.zeros((2, 24)), np.zeros((2, 24)))
    once = time.process_time() - start
    rng = np.random.default_rng(0)
    for frames in (300, 750, 1500):
        sides = [rng.normal(size=(n, 24)).cumsum(axis=0) for n in (frames, frames - frames // 8)]
        calls = {"NumPy anti-diagonals": dtw_path, "numba": compiled}
        paths = [call(*sides) for call in calls.values()]
        assert np.array_equal(*paths)
        seconds = timed_in_turns({name: partial(call, *sides) for name, call in calls.items()})
        printed(capsys, f"path through {frames} frames", seconds, "numba")
        assert ratios(seconds, "numba")["NumPy anti-diagonals"] < 30
    with capsys.disabled():
        print(f"numba, first call in a process: {once:.1f} s")


def compiled_dtw_path() -> Callable[[Array, Array], WarpingPath]:
    import numba

    @numba.njit
    def path(reference: Array, converted: Array) -> WarpingPath:
        n, d = reference.shape
        m = len(converted)
        moves = np.empty((n, m), np.uint8)
        costs = np.full(m + 1, np.inf)
        costs[0] = 0.0
        for i in range(n):
            diagonal = costs[0]
            costs[0] = np.inf
            for j in range(m):
                squares = 0.0
                for k in range(d):
                    squares += (reference[i, k] - converted[j, k]) ** 2
                best, move = diagonal, 0
                if costs[j + 1] < best:
                    best, move = costs[j + 1], 1
                if costs[j] < best:
                    best, move = costs[j], 2
                diagonal = costs[j + 1]
                costs[j + 1] = best + np.sqrt(squares)
                moves[i, j] = move
        found = np.empty((n + m, 2), np.intp)
        i, j, length = n - 1, m - 1, 1
        found[0] = i, j
        while i or j:
            move = moves[i, j]
            i -= move != 2
            j -= move != 1
            found[length] = i, j
            length += 1
        return found[:length][::-1]

    return path


def test_54_pairs_by_the_command(
    vcc2016_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On two processes, from nothing, imports and printing included."""
    folders = [eval_wav(vcc2016_dir, speaker, "200001").parent for speaker in ("TF2", "SF1")]
    command = [sys.executable, "-m", "vcbench", "score", "--reference", str(folders[0])]
    command += ["--converted", str(folders[1]), "--jobs", "2"]
    environment = {**os.environ, "VCBENCH_CACHE_DIR": str(tmp_path)}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    on_the_clock = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    with capsys.disabled():
        print(
            f"\nvcbench score, 54 pairs, 2 processes: {on_the_clock:.1f} s on the clock, "
            f"{processor:.1f} s of processor time"
        )
    assert done.returncode == 0, done.stderr
    assert "54/54" in done.stdout
    # Two idle processors have this much in 6 s.
    assert processor < 12
