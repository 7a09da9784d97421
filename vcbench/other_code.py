"""Results of other code than is here: taken over from another machine with `--accept code`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vcbench.plugins import Registry
from vcbench.training.cell import Cell


def other_code(status: Mapping[str, Any], cell: Cell, registry: Registry, *, code: str) -> str:
    """How what a result was trained with differs from `code`, what the cell would be trained with
    here; "" if it does not, or was not noted."""
    if status.get("code", code) == code:
        return ""
    found = [
        f"{name} was {there}, here {here}"
        for name, there, here in other_packages(status, cell.packages(registry))
    ]
    what = ", ".join(found) or "the source of its plugins or of vcbench's training"
    return f"trained with other code than is here ({what}), and taken over all the same"


def other_packages(
    status: Mapping[str, Any], now: Mapping[str, str | None]
) -> list[tuple[str, str | None, str | None]]:
    """(package, its version when that was trained, its version here) of those that differ."""
    before = status.get("packages", {})
    return [
        (name, before.get(name), now.get(name))
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
