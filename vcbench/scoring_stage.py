"""What becomes of the converted speech of a run: every utterance is scored, or is told why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vcbench.changes import changed_since
from vcbench.planning import Plan
from vcbench.scoring import ScoreItem, ScoreResult, score_all
from vcbench.terminal import count_of, say
from vcbench.units import Outputs, Unit, UtteranceLabels

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback


def score_units(
    plan: Plan,
    units: Sequence[Unit],
    outputs: Outputs,
    jobs: int,
    progress: ProgressCallback | None,
) -> list[ScoreResult]:
    """Score every utterance that a unit has said; a unit that lacks one has failed."""
    scores = score_all(
        score_items(plan, units, outputs),
        protocol=plan.suite.protocol,
        metrics=plan.suite.metrics,
        registry=plan.suite.registry,
        jobs=jobs,
        speakers=training_speech(plan),
        progress=progress,
    )
    # Only now, so that they were the planned ones all the time.
    recordings = [u for spoken in plan.speech.evaluation.values() for u in spoken]
    changed = changed_since(plan, recordings)
    scores = [
        ScoreResult(s.item, {}, why)
        if (why := changed.get(s.item.reference) or changed.get(s.item.converted))
        else s
        for s in scores
    ]
    lost: dict[str, list[ScoreResult]] = {}
    for result in scores:
        if result.problems:
            lost.setdefault(result.item.labels.unit.record.cell, []).append(result)
    for unit in units:
        failures = lost.get(unit.record.cell, [])
        if failures:
            first = failures[0]
            unit.record.fail(
                "failed",
                f"{count_of(len(failures), 'utterance')} could not be scored, the first being "
                f"{first.item.labels.direction} {first.item.labels.utterance}: {first.problems[0]}",
            )
            say(f"FAILED {unit.record.cell}: {unit.record.reason}")
    say(f"scores: {count_of(len(scores), 'utterance')} under {plan.suite.protocol}")
    return scores


def score_items(plan: Plan, units: Sequence[Unit], outputs: Outputs) -> list[ScoreItem]:
    """What is scored of a plan: each utterance of each unit and direction that has speech."""
    items = []
    for unit in units:
        for direction in unit.directions:
            wavs = outputs.get((unit.record.cell, direction), {})
            references = {u.id: u.path for u in plan.speech.evaluation[direction.target]}
            items += [
                ScoreItem(
                    references[name],
                    wav,
                    UtteranceLabels(unit, direction, name),
                    direction.target,
                )
                for name, wav in wavs.items()
            ]
    return items


def training_speech(plan: Plan) -> dict[str, list[Path]]:
    """Recordings that are trained on, by speaker: for metrics that compare voices."""
    return {s: [u.path for u in spoken] for s, spoken in plan.speech.train.items()}
