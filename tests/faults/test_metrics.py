"""A metric that crashes in machine code costs the files that make it crash, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_corpus
import soundfile

from vcbench.plugins import Registry
from vcbench.scoring import ScoreItem, score_all

CRASHES = '''\
import os
import signal

from vcbench.plugins import register_metric


@register_metric("fragile", unit="samples", better="neither")
def fragile(pair, *, waveforms):
    """How long the converted speech is; odd lengths crash."""
    n_samples = len(waveforms[1])
    if n_samples % 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    return float(n_samples)
'''


@pytest.mark.parametrize("jobs", [2, 3])
def test_only_the_file_that_makes_it_crash_has_no_score(jobs: int, tmp_path: Path) -> None:
    small_corpus.write(tmp_path)
    low, high = (sorted(tmp_path.rglob(f"{s}/**/*.wav"))[:2] for s in ("LOW", "HIGH"))
    samples, rate = soundfile.read(low[0])
    wavs = []
    for n_dropped in range(4):
        wavs.append(tmp_path / f"{n_dropped}.wav")
        kept = samples[: len(samples) // 2 * 2 - n_dropped]
        soundfile.write(wavs[-1], np.ascontiguousarray(kept), rate)
    plugin = tmp_path / "fragile.py"
    plugin.write_text(CRASHES)
    items = [ScoreItem(high[0], wav) for wav in wavs] + [ScoreItem(high[1], wavs[0])]
    results = score_all(
        items,
        protocol="vcbench-1",
        metrics=["mcd", "fragile"],
        registry=Registry([plugin]),
        jobs=jobs,
    )
    assert [result.item for result in results] == items
    assert [bool(result.values) for result in results] == [True, False, True, False, True]
    for result in (results[1], results[3]):
        assert result.failure.endswith(": the process that scored it died (killed by SIGSEGV)")
        assert str(result.item.converted) in result.failure
