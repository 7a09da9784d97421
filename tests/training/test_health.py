"""Signs of a training gone wrong, on logs made up for the purpose."""

from __future__ import annotations

from typing import Any

import pytest

from vcbench.training.health import flags


def log(*losses: float, every: int = 50) -> list[dict[str, Any]]:
    """Lines of `discriminator` losses, as the sum of two, with validations in between."""
    lines: list[dict[str, Any]] = []
    for i, loss in enumerate(losses, start=1):
        lines.append({"iteration": every * i, "discriminator": loss, "cycle": 1.0})
        lines.append({"iteration": every * i, "validation": 0.001})
    return lines


def test_a_healthy_log() -> None:
    assert flags(log(*100 * [0.5]), chance_loss=0.25) == []
    assert flags(log(*100 * [1.2]), chance_loss=0.693) == []


def test_no_log() -> None:
    assert flags([], chance_loss=0.25) == []
    assert flags([{"iteration": 5, "validation": 0.0}], chance_loss=0.25) == []


def test_the_reference_curve_of_sigmoid_with_least_squares() -> None:
    # The published log of the TensorFlow reference: averages at thousands of iterations.
    curve = [0.131, 0.236, 0.170, 0.0708, 7.7e-3, 5.3e-4, 1.2e-6]
    at = [1000, 10_000, 50_000, 100_000, 200_000, 300_000, 395_000]
    lines = [{"iteration": i, "discriminator": d} for i, d in zip(at, curve, strict=True)]
    assert flags(lines[:5], chance_loss=0.25) == []
    (flag,) = flags(lines, chance_loss=0.25)
    assert flag == "discriminator saturated since iteration 300000 (loss below 0.005)"


@pytest.mark.parametrize(("low", "flagged"), [(9, False), (10, True), (100, True)])
def test_at_least_the_last_tenth(low: int, flagged: bool) -> None:
    lines = log(*(100 - low) * [0.4], *low * [1e-4])
    found = flags(lines, chance_loss=0.25)
    since = 50 * (100 - low + 1)
    message = f"discriminator saturated since iteration {since} (loss below 0.005)"
    assert found == ([message] if flagged else [])


def test_a_discriminator_that_recovered() -> None:
    assert flags(log(*80 * [1e-4], *20 * [0.4]), chance_loss=0.25) == []


def test_one_line_above_the_limit_begins_the_count_again() -> None:
    (flag,) = flags(log(*50 * [1e-4], 0.4, *49 * [1e-4]), chance_loss=0.25)
    assert "since iteration 2600 " in flag


@pytest.mark.parametrize("chance_loss", [0.25, 0.6931])
def test_the_limit_is_a_hundredth_of_both_discriminators_chance(chance_loss: float) -> None:
    limit = 2 * chance_loss / 100
    assert flags(log(*10 * [1.01 * limit]), chance_loss=chance_loss) == []
    assert len(flags(log(*10 * [0.99 * limit]), chance_loss=chance_loss)) == 1
