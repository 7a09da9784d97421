"""Memory while many of pairs are scored: it must not grow with their number."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from voices import noise

from vcbench import audio

# Each analysis is 1 MB, so that a few dozen that are kept would show. What is measured is the peak
# of the whole process, between the 200th item and the last.
SCRIPT = """\
import resource
import sys
from pathlib import Path

import numpy as np

from vcbench import protocols
from vcbench.alignment import Analysis
from vcbench.plugins import Registry
from vcbench.scoring import ScoreItem, score_all

def analyze(self, waveform, sample_rate):
    frames, speech = np.ones((4_000, 25)), np.ones(4_000, dtype=bool)
    speech[3:] = False  # DTW is not what is measured
    return Analysis(frames, np.ones(4_000), speech, 5.0)

protocols.Protocol.analyze = analyze
folder, peaks = Path(sys.argv[1]), {}

def note(description, done, total):
    peaks[done] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

items = [ScoreItem(folder / f"r{i // 2}.wav", folder / f"c{i}.wav", i) for i in range(1000)]
results = score_all(
    items, protocol="vcbench-1", metrics=["mcd", "vuv-error"], registry=Registry(), jobs=1,
    progress=note,
)
assert all(result.values == {"mcd": 0.0, "vuv-error": 0.0} for result in results), results[0]
print(peaks[1000] - peaks[200])
"""


def test_a_thousand_pairs_need_the_memory_of_a_few(tmp_path: Path) -> None:
    wave = noise(0.06)
    for index in range(1000):
        audio.write(tmp_path / f"c{index}.wav", wave * (1 - index / 2000), sample_rate=16000)
        if index < 500:
            audio.write(tmp_path / f"r{index}.wav", wave, sample_rate=16000)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    grown_mb = float(done.stdout)
    # 800 results are their values, about 1 kB each; analyses take 1 to 2 MB a pair.
    assert grown_mb < 16
