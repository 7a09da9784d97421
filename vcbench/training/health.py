"""Signs of a training gone wrong, read from its log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Both discriminators at a hundredth of chance: in the published log of the TensorFlow reference
# (sigmoid with least squares) this is crossed at about 200,000 iterations, from where its
# generators' adversarial loss stays at its bound of 1.
SATURATION = 0.01
NEAR_BOUND = 0.9  # share of that bound
SATURATED = "discriminator saturated"  # how the flag begins; reports look for it

# Of the `change` that a validation finds: at 0 a conversion is that of mean-variance. Measured on
# VCC2016, in normalised mel-cepstra: analysing what WORLD has synthesised from a sentence changes
# it by 0.37 to 0.41 (middle 128 frames of 6 sentences, 4 speakers), so that half of this is lost in
# what any conversion goes through; the same sentence of another speaker, aligned, is 1.15 to 1.26
# away (4 pairs). The residual 2D generator came, on SF1-TM3 with 24 sentences each, to 0.30, 0.20
# and 0.16 after 400, 1200 and 2000 iterations with lambda_adversarial 0 (scale 0.25). With 1 (scale
# 0.125) it was at 0.34 where the identity loss ended, after 600 iterations, and at 0.89 after 2400.
UNCHANGED = 0.2
COLLAPSED = "identity collapse"


def flags(
    log: Sequence[Mapping[str, Any]], *, chance_loss: float, generator_bound: float | None = None
) -> list[str]:
    """What to warn of, given the lines of a training log; an empty list if all is well.

    chance_loss, generator_bound: those of the `vcbench.plugins.Objective`.

    Something is warned of where it holds for at least the last tenth of the lines that tell of it:

    - a discriminator is saturated: its loss is below a hundredth of chance and, where they have a
      bound, the generators' adversarial loss is within a tenth of it. The second discriminators of
      a training that has them are looked at by themselves.
    - the generators have collapsed to the identity: `change` is below `UNCHANGED`.
    """
    found = [_saturation(log, which, chance_loss, generator_bound) for which in ("", "second_")] + [
        _collapse(log)
    ]
    return [flag for flag in found if flag]


def _saturation(
    log: Sequence[Mapping[str, Any]], which: str, chance_loss: float, bound: float | None
) -> str:
    """The flag of the first or the `second_` discriminators, or ""."""
    discriminator, generator = f"{which}discriminator", f"{which}generator_adversarial"
    limit = SATURATION * 2 * chance_loss  # the log holds the sums of two discriminators
    stuck = None if bound is None else NEAR_BOUND * 2 * bound

    def won(line: Mapping[str, Any]) -> bool:
        low: bool = line[discriminator] < limit
        return low and (stuck is None or line[generator] > stuck)

    since = _since([line for line in log if discriminator in line], won)
    if since is None:
        return ""
    said = f"loss below {limit:.2g}"
    if stuck is not None and bound is not None:
        said += f", the generators' adversarial loss above {stuck:.2g} of at most {2 * bound:.2g}"
    return f"{which.replace('_', ' ')}{SATURATED} since iteration {since} ({said})"


def _collapse(log: Sequence[Mapping[str, Any]]) -> str:
    lines = [line for line in log if "change" in line]
    since = _since(lines, lambda line: bool(line["change"] < UNCHANGED))
    if since is None:
        return ""
    return (
        f"{COLLAPSED} since iteration {since} (the generators change held-out speech by less than "
        f"{100 * UNCHANGED:g} %, as if mean-variance alone converted it)"
    )


def _since(
    lines: Sequence[Mapping[str, Any]], holds: Callable[[Mapping[str, Any]], bool]
) -> int | None:
    """The iteration from which on it holds in every line; None if these are less than a tenth."""
    count = 0
    for line in reversed(lines):
        if not holds(line):
            break
        count += 1
    since: int | None = lines[-count]["iteration"] if count else None
    return since if count >= len(lines) / 10 else None
