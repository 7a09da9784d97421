"""DIO with StoneMask against Harvest on natural speech: why `vcbench-1` scores with the first.

The same recording at another tempo, made without estimating any F0, has the same F0 and the same
voicing at every aligned frame: what differs is the estimator's own error.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from degraded_speech import SAMPLE_RATE, stretched
from independent_scoring import eval_wav

from metrics import f0
from vcbench import audio, protocols

PROTOCOL = protocols.get("vcbench-1")
SENTENCES = 3
SPEAKERS = ("SF1", "SM1", "TF2", "TM3")
METHODS = {
    "dio, 40 Hz": PROTOCOL,
    "harvest, 40 Hz": replace(PROTOCOL, f0_method="harvest"),
    "harvest, 71 Hz": replace(PROTOCOL, f0_method="harvest", f0_floor_hz=71.0),
}


@pytest.mark.slow
def test_dio_agrees_with_itself_better_than_harvest(
    vcc2016_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for method, protocol in METHODS.items():
        values = []
        for speaker in SPEAKERS:
            for k in range(1, SENTENCES + 1):
                path = eval_wav(vcc2016_dir, speaker, f"2000{k:02}")
                wave = audio.read(path, sample_rate=SAMPLE_RATE)
                reference = protocol.analyze(wave, SAMPLE_RATE)
                for tempo in (0.9, 1.1):
                    other = protocol.analyze(stretched(wave, 1 / tempo), SAMPLE_RATE)
                    pair = protocol.align(reference, other)
                    rates = [np.mean(reference.f0_hz > 0), np.mean(reference.gated().f0_hz > 0)]
                    values.append(
                        [
                            f0.f0_rmse(pair),
                            f0.log_f0_rmse_metric(pair),
                            f0.vuv_error(pair),
                            f0.gpe(pair),
                            *rates,
                        ]
                    )
        found[method] = np.mean(values, axis=0)
    with capsys.disabled():
        print("\nsame speech at 0.9 and 1.1 times the tempo, mean over utterances:")
        for method, (hz, log, vuv, gross, all_, kept) in found.items():
            print(
                f"{method:15} {hz:6.2f} Hz  {log:.3f} ln  VUV {vuv:5.2f} %  GPE {gross:5.2f} %  "
                f"voiced: {100 * all_:.0f} % of all frames, {100 * kept:.0f} % of those with speech"
            )
    assert found["dio, 40 Hz"][0] < found["harvest, 40 Hz"][0]
