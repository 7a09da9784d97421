"""The units of a run: what is converted and scored as one, and how each fares on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vcbench.planning import Plan, PlannedCell
from vcbench.store import CellRecord

if TYPE_CHECKING:
    from vcbench.suite import Cell as SuiteCell


@dataclass(frozen=True)
class Direction:
    """Whose speech is converted to sound like whom."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}>{self.target}"

    @property
    def file_name(self) -> str:
        """For folders: `SF1_to_TM3`."""
        return f"{self.source}_to_{self.target}"


@dataclass
class Unit:
    """What is scored as one: a trained cell, or a baseline or an external system on a pair."""

    record: CellRecord
    source: str
    target: str
    planned: PlannedCell | None

    @property
    def directions(self) -> list[Direction]:
        """Both: one training converts either way, and either is scored."""
        return [Direction(self.source, self.target), Direction(self.target, self.source)]


@dataclass(frozen=True)
class UtteranceLabels:
    """Which utterance a score belongs to."""

    unit: Unit
    direction: Direction
    utterance: str


# Where the converted speech of a unit's direction lies: wav by utterance id.
Outputs = dict[tuple[str, Direction], dict[str, Path]]


def units_of(plan: Plan) -> list[Unit]:
    """All trained cells, external systems and baselines of a plan, each in the suite's order."""
    trained = [_trained_unit(planned) for planned in plan.cells]
    return trained + [_untrained_unit(plan, cell) for cell in (*plan.external, *plan.baselines)]


def left_out(plan: Plan) -> list[CellRecord]:
    """Records of the cells that `--only` left out: missing cells are shown, never forgotten."""
    return [
        CellRecord(
            cell=cell.id,
            system=cell.system,
            pair=str(cell.pair),
            seed=cell.seed,
            kind=_kind(plan, cell),
            status="skipped",
            reason="left out by --only",
        )
        for cell in plan.left_out
    ]


def _trained_unit(planned: PlannedCell) -> Unit:
    cell = planned.cell
    record = CellRecord(
        cell=cell.id,
        system=cell.system,
        pair=cell.pair,
        seed=cell.seed,
        kind="trained",
        cached=planned.done,
        key=planned.key,
        log=str(planned.folder / "output.log"),
    )
    return Unit(record, cell.source, cell.target, planned)


def _untrained_unit(plan: Plan, cell: SuiteCell) -> Unit:
    record = CellRecord(
        cell=cell.id,
        system=cell.system,
        pair=str(cell.pair),
        seed=None,
        kind=_kind(plan, cell),
    )
    return Unit(record, cell.pair.source, cell.pair.target, None)


def _kind(plan: Plan, cell: SuiteCell) -> str:
    if cell.seed is not None:
        return "trained"
    return "external" if cell.system in plan.suite.external else "baseline"
