"""Why a cell has yet to be trained: what differs from the training in the cache that is nearest.

A training's key tells that something differs and not what; its `cell.json` and `code.json` do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vcbench.plugins import Registry
from vcbench.stored_cells import StoredCell, StoredCells, code_of
from vcbench.training.cell import Cell

NEVER = "never trained"
_SHOWN = 4  # differences
_PACKAGES = {"torch": "PyTorch", "numpy": "NumPy"}


class Misses:
    """Reasons for cells that are neither done nor begun."""

    def __init__(self, stored: StoredCells, registry: Registry) -> None:
        self._stored, self._registry = stored, registry
        self._code: dict[str, dict[str, Any]] = {}

    def reason(self, cell: Cell) -> str:
        """`NEVER`, or what differs from the nearest training of the same three plugins on the same
        pair with the same seed: the one with the fewest differences, of several the newest."""
        identity = cell.identity()
        near = [s for s in self._stored.all if _place(s.identity) == _place(identity)]
        if not near:
            return NEVER
        nearest = min((self._differences(cell, identity, s) for s in near), key=len)
        more = len(nearest) - _SHOWN
        said = "; ".join(nearest[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        return f"trained before, but {said}"

    def _differences(self, cell: Cell, now: Mapping[str, Any], stored: StoredCell) -> list[str]:
        before = dict(_settings(stored.identity))
        wanted = dict(_settings(now))
        found = [
            f"{name} was {_told(before.get(name))}, now {_told(wanted.get(name))}"
            for name in dict.fromkeys((*wanted, *before))
            # Told apart as a key does: 1, 1.0 and True are equal.
            if repr(before.get(name)) != repr(wanted.get(name))
        ]
        if now["features"] == stored.identity["features"]:  # else all features are others
            found += _other_speech(now, stored.identity)
        return found + self._other_code(cell, stored, is_all_else_equal=not found)

    def _other_code(self, cell: Cell, stored: StoredCell, *, is_all_else_equal: bool) -> list[str]:
        if stored.code is None:
            return [
                "the code has changed since (that of a plugin or of vcbench's training, or the "
                "version of PyTorch or NumPy: which of them was not noted then)"
            ] * is_all_else_equal
        if cell.system not in self._code:
            self._code[cell.system] = code_of(cell, self._registry)
        code = self._code[cell.system]
        told = []
        for part, now in code.items():
            before = stored.code[part]
            changed = [
                name for name in sorted({*now, *before}) if now.get(name) != before.get(name)
            ]
            if part == "packages":
                told += [
                    f"{_PACKAGES.get(name, name)} was {_told(before.get(name))}, "
                    f"now {_told(now.get(name))}"
                    for name in changed
                ]
            elif changed:
                told.append(f"the source of its {part} has changed since ({', '.join(changed)})")
        # The key differs, and all else that is in it is equal.
        return told or ["the source of vcbench's training has changed since"] * is_all_else_equal


def _place(identity: Mapping[str, Any]) -> tuple[Any, ...]:
    names = tuple(identity[kind]["name"] for kind in ("generator", "discriminator", "objective"))
    return (*names, identity["source"], identity["target"], identity["seed"])


def _settings(identity: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(name as in a suite, value) of all that a suite or the command line sets."""
    for kind in ("generator", "discriminator", "objective"):
        yield from ((f"{kind}.{k}", v) for k, v in identity[kind]["options"].items())
    recipe = dict(identity["recipe"])
    if recipe["decay_start"] == recipe["iterations"] // 2:  # its default: it follows the other
        del recipe["decay_start"]
    yield from ((f"training.{k}", v) for k, v in recipe.items())
    yield from ((f"features.{k}", v) for k, v in identity["features"].items())
    yield from ((name, identity[name]) for name in ("scale", "device", "deterministic"))


def _other_speech(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """One difference at most for each of the two parts of the speech."""
    found = []
    for part, what in (("train_features", "training"), ("validation_features", "validation")):
        if now[part] == before[part]:
            continue
        counts = [sum(map(len, cell[part].values())) for cell in (before, now)]
        if counts[0] != counts[1]:
            found.append(f"{what} sentences were {counts[0]}, now {counts[1]}")
        else:
            found.append(f"its {what} sentences, or how they are analysed, have changed since")
    return found


def _told(value: Any) -> str:
    return "unset" if value is None else str(value)
