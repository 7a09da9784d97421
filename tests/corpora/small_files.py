"""Small wav files, and the names that VCC2016's editions give them."""

from __future__ import annotations

import io

import numpy as np
import soundfile

Key = tuple[str, str, str]  # subset, speaker, id


def wav(seed: int, *, rate: int = 16000, seconds: float = 0.06, channels: int = 1) -> bytes:
    """A small wav file of noise; every seed gives other bytes."""
    noise = np.random.default_rng(seed).standard_normal((int(rate * seconds), channels))
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * noise, rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def np_name(key: Key) -> str:
    """Where npVCC2016 keeps an utterance, below its root."""
    return f"{key[0]}s/{key[1]}/wavs/{key[2]}.wav"


def official_name(key: Key) -> str:
    """Where the official archives keep an utterance."""
    folder = {"train": "vcc2016_training", "eval": "evaluation_all"}[key[0]]
    return f"{folder}/{key[1]}/{key[2]}.wav"
