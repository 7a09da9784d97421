"""Random decisions of the recipe, as functions of the iteration: resuming has no state to lose."""

from __future__ import annotations

import hashlib

import numpy as np


def random_stream(*identity: object) -> np.random.Generator:
    """Numbers that `identity` decides, the same on every machine; no global generator is used."""
    digest = hashlib.sha256("/".join(map(str, identity)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
