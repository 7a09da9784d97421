"""What is scored and what comes of it: two files, and a value per metric or a reason in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ScoreItem:
    """Two files to compare; `labels` is whatever the caller wants to find again in the result.

    target: whose voice is meant, for metrics that compare with speakers' training speech.
    """

    reference: Path
    converted: Path
    labels: Any = None
    target: str = ""


@dataclass(frozen=True)
class ScoreResult:
    """What became of an item.

    values: by metric, NaN where a metric is undefined. failure: why the whole pair could not be
    scored, in one line; empty if it was. failed: the metrics that raised, and why; they have no
    value, the others have. notes: what a reader of the values should know of the two files.
    """

    item: ScoreItem
    values: Mapping[str, float]
    failure: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[str, ...]:
        """Why values are missing that should be there, one line each; empty if all is well."""
        return (self.failure,) if self.failure else tuple(self.failed.values())
