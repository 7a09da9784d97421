"""Pictures for a run that was never heard: flat spectra and level contours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from vcbench import pictures


def add_pictures(folder: Path) -> None:
    """Of every sample in `folder`: band i of voice k is at -10 (i + k) dB, its F0 100 + k Hz."""
    index = folder / "samples" / "samples.json"
    samples = json.loads(index.read_text())
    for number, sample in enumerate(samples):
        bands = np.arange(pictures.BANDS)[:, None]
        voices = [
            pictures.Voice(-10.0 * (bands + k) + np.zeros((1, 50 + 10 * k)), np.full(40, 100.0 + k))
            for k in range(2 + len(sample["converted"]))
        ]
        converted = dict(zip(sample["converted"], voices[2:], strict=True))
        name = f"samples/p{number}.npz"
        pictures.save(folder / name, pictures.Pictures(voices[0], voices[1], converted, 5.0))
        sample["pictures"] = name
    index.write_text(json.dumps(samples))
