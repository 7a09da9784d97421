"""Signs of a training gone wrong, on logs made up for the purpose."""

from __future__ import annotations

from typing import Any

import pytest

from vcbench.training.health import UNCHANGED, flags


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


# The published log of the TensorFlow reference, averages at thousands of iterations: the iteration,
# both discriminators' loss, and the adversarial one of one generator.
REFERENCE = [
    (1000, 0.131, 0.811),
    (10_000, 0.236, 0.563),
    (50_000, 0.170, 0.725),
    (100_000, 0.0708, 0.898),
    (200_000, 7.7e-3, 0.986),
    (300_000, 5.3e-4, 0.9995),
    (395_000, 1.2e-6, 0.99990),
]


def test_the_reference_curve_of_sigmoid_with_least_squares() -> None:
    lines = [
        {"iteration": i, "discriminator": d, "generator_adversarial": 2 * g}
        for i, d, g in REFERENCE
    ]
    assert flags(lines[:5], chance_loss=0.25, generator_bound=1.0) == []
    assert flags(lines, chance_loss=0.25, generator_bound=1.0) == [
        "discriminator saturated since iteration 300000 (loss below 0.005, the generators' "
        "adversarial loss above 1.8 of at most 2)"
    ]
    # Where the generators' loss has no bound it says nothing.
    for bounded in (False, True):
        found = flags(
            [{**line, "generator_adversarial": 1.7} for line in lines],
            chance_loss=0.25,
            generator_bound=1.0 if bounded else None,
        )
        said = "discriminator saturated since iteration 300000 (loss below 0.005)"
        assert found == ([] if bounded else [said])


@pytest.mark.parametrize(("generator", "flagged"), [(1.79, False), (1.81, True)])
def test_generators_count_as_stuck_within_a_tenth_of_their_bound(
    generator: float, flagged: bool
) -> None:
    lines = [{**line, "generator_adversarial": 1.9} for line in log(*100 * [1e-4])]
    lines[-2]["generator_adversarial"] = generator
    assert len(flags(lines, chance_loss=0.25, generator_bound=1.0)) == flagged


def test_second_discriminators_are_looked_at_by_themselves() -> None:
    lines = log(*100 * [0.4])
    for line in lines[::2]:
        line["second_discriminator"] = 1e-4 if line["iteration"] > 2000 else 0.4
        line["second_generator_adversarial"] = 1.0
    found = "second discriminator saturated since iteration 2050 (loss below 0.005)"
    assert flags(lines, chance_loss=0.25) == [found]
    assert flags(lines, chance_loss=0.25, generator_bound=1.0) == []


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


def changes(*values: float) -> list[dict[str, Any]]:
    """A line of losses and one of a validation with each of these changes."""
    lines = log(*len(values) * [0.4])
    for line, value in zip(lines[1::2], values, strict=True):
        line["change"] = value
    return lines


@pytest.mark.parametrize(
    ("values", "since"),
    [
        ([UNCHANGED * 0.99], 50),
        ([1.0, 0.5, 0.01], 150),
        ([0.01, 0.5, 0.01], 150),
        ([*91 * [1.0], *9 * [0.01]], None),
        ([*90 * [1.0], *10 * [0.01]], 4550),
        ([UNCHANGED], None),
        ([*20 * [0.01], 0.3], None),
    ],
)
def test_generators_that_return_what_they_are_given(values: list[float], since: int | None) -> None:
    found = flags(changes(*values), chance_loss=0.25)
    if since is None:
        assert found == []
    else:
        (flag,) = found
        assert flag.startswith(f"identity collapse since iteration {since} (")
        assert f"by less than {100 * UNCHANGED:g} %, as if" in flag


def test_both_signs_are_told() -> None:
    lines = [{**line, "discriminator": 1e-4} for line in changes(0.01) if "change" not in line]
    first, second = flags([*lines, *changes(0.01)[1:]], chance_loss=0.25)
    assert first.startswith("discriminator saturated")
    assert second.startswith("identity collapse")
