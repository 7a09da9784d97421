"""A corpus and a suite small enough to run from end to end in seconds."""

from __future__ import annotations

from pathlib import Path

from voices import voice

from vcbench import audio

SUITE = """\
suite: small
corpus: {name: folder, root: speech, eval_fraction: 0.25}
pairs: [LOW-HIGH]
features: {f0: dio}
systems:
  one-d:
    generator: cyclegan-vc-1d
    discriminator: {name: gated-patchgan, sigmoid: true}
    objective: bce
  two-d:
    generator: residual-pixelshuffle-2d
    discriminator: patchgan
    objective: lsgan
training: {iterations: 6, validation_utterances: 1, log_every: 2, validate_every: 3}
scale: 0.03
metrics: [mcd, f0-rmse]
samples_per_direction: 1
"""


def write(folder: Path, suite: str = SUITE) -> Path:
    """Two speakers saying eight sentences each below `folder`/speech; returns the suite's path."""
    for speaker, f0_hz, formant_scale in (("LOW", 110.0, 1.0), ("HIGH", 210.0, 1.2)):
        for number in range(8):
            wave = voice(0.9, f0_hz=f0_hz + 2 * number, formant_scale=formant_scale, seed=number)
            path = folder / "speech" / speaker / f"s{number}.wav"
            audio.write(path, wave, sample_rate=16000)
    path = folder / "small.yaml"
    path.write_text(suite, encoding="utf-8")
    return path
