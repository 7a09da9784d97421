"""Signs of a training gone wrong, read from its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Both discriminators at a hundredth of chance: in the published log of the TensorFlow reference
# (sigmoid with least squares) this is crossed at about 200,000 iterations, from where its
# generators' adversarial loss stays at its bound of 1.
SATURATION = 0.01
SATURATED = "discriminator saturated"  # how the flag begins; reports look for it


def flags(log: Sequence[Mapping[str, Any]], *, chance_loss: float) -> list[str]:
    """What to warn of, given the lines of a training log; an empty list if all is well.

    A discriminator counts as saturated if its loss has stayed below a hundredth of chance for at
    least the last tenth of the logged iterations.
    """
    lines = [line for line in log if "discriminator" in line]
    if not lines:
        return []
    limit = SATURATION * 2 * chance_loss  # the log holds the sum of two discriminators
    low = 0
    for line in reversed(lines):
        if line["discriminator"] >= limit:
            break
        low += 1
    if low and low >= len(lines) / 10:
        since = lines[-low]["iteration"]
        return [f"{SATURATED} since iteration {since} (loss below {limit:.2g})"]
    return []
