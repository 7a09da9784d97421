"""Dividing a suite between machines that share a store and do not talk: `--shard i/n`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """The part `number`, from 1 on, of `total`."""

    number: int
    total: int

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


def shard_of(cells: Iterable[tuple[str, str]], total: int) -> dict[str, int]:
    """The number of the shard that trains each cell, by its key.

    cells: (system, key) of all cells of the plan, done or not. Each system's cells are dealt out in
    the order of their keys, from where the system before ended: every machine that has the same
    plan finds the same, whatever is done already, and each gets as many cells of each system as the
    others, give or take one.
    """
    dealt: dict[str, int] = {}
    for _, key in sorted(cells):
        if key not in dealt:  # systems that differ in name alone share their trainings
            dealt[key] = len(dealt) % total + 1
    return dealt
