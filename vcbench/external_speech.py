"""The speech of a suite's external systems: which files it is, and whether they can be scored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vcbench import audio
from vcbench.errors import DataError, some_of
from vcbench.planning import Plan
from vcbench.scoring.inputs import in_folder
from vcbench.terminal import say
from vcbench.units import Direction

if TYPE_CHECKING:
    from vcbench.suite import Cell as SuiteCell


def external_wavs(plan: Plan, system: str, direction: Direction) -> dict[str, Path]:
    """The file of each evaluation sentence of a direction, by utterance id.

    A sentence that was not converted has the path where it should be, so that scoring names and
    counts it. Raises `UsageError` where two files are one sentence.
    """
    folder = plan.suite.external[system].folder(direction.source, direction.target)
    found = in_folder(folder) if folder.is_dir() else {}
    expected = [utterance.id for utterance in plan.speech.evaluation[direction.source]]
    return {id_: found.get(id_, folder / f"{id_}.wav") for id_ in expected}


def check_external(plan: Plan) -> None:
    """Read all that will be scored, before hours go into training.

    What is missing or unusable is said, and is missing in the report. Raises `DataError` for a
    system of which nothing can be used: its `directory` is probably another.
    """
    for cell in plan.external:
        usable = 0
        for direction in _directions(cell):
            wavs = external_wavs(plan, cell.system, direction)
            problems = [p for p in (_problem(plan, path) for path in wavs.values()) if p]
            usable += len(wavs) - len(problems)
            if problems:
                say(
                    f"WARNING {cell.id}: {direction}: {len(problems)} of {len(wavs)} utterances "
                    f"cannot be scored:\n  {some_of(problems)}"
                )
        if not usable:
            folders = [
                str(plan.suite.external[cell.system].folder(d.source, d.target))
                for d in _directions(cell)
            ]
            raise DataError(
                f"{cell.id}: no evaluation sentence can be used of {' or '.join(folders)}; files "
                "are called as the sentences are, such as "
                f"{plan.speech.evaluation[cell.pair.source][0].id}.wav"
            )


def _directions(cell: SuiteCell) -> tuple[Direction, Direction]:
    one, other = cell.pair.source, cell.pair.target
    return Direction(one, other), Direction(other, one)


def _problem(plan: Plan, path: Path) -> str:
    try:
        audio.read(path, sample_rate=plan.parameters.sample_rate)
    except DataError as error:
        return str(error)
    return ""
