"""What the files of a run hold: rows of scores and of losses, samples, and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import vcbench
from vcbench import environment, fingerprint, protocols
from vcbench.external_speech import external_wavs
from vcbench.planning import Plan
from vcbench.samples import mean_scores, worst_and_best
from vcbench.scoring import ScoreResult
from vcbench.store import RESULTS, RunFolder
from vcbench.training.log import read_log
from vcbench.units import Direction, Outputs, Unit, UtteranceLabels

if TYPE_CHECKING:
    import pandas as pd


def score_rows(plan: Plan, scores: Sequence[ScoreResult]) -> list[dict[str, Any]]:
    """Rows of results.csv: one for each utterance and metric, NaN where it is undefined."""
    protocol = protocols.get(plan.suite.protocol)
    units = {m: plan.suite.registry.get("metric", m).details["unit"] for m in plan.suite.metrics}
    unit_of = {metric: protocol.unit(metric, unit) for metric, unit in units.items()}
    rows = []
    for result in scores:
        labels: UtteranceLabels = result.item.labels
        record = labels.unit.record
        for metric in plan.suite.metrics:
            rows.append(
                {
                    "suite": plan.suite.name,
                    "system": record.system,
                    "pair": record.pair,
                    "direction": str(labels.direction),
                    "seed": record.seed,
                    "utterance": labels.utterance,
                    "metric": metric,
                    "protocol": plan.suite.protocol,
                    "value": result.values.get(metric, float("nan")),
                    "unit": unit_of[metric],
                }
            )
    return rows


def training_rows(units: Sequence[Unit]) -> list[dict[str, Any]]:
    """Rows of training.csv: one for each logged value of each trained cell."""
    rows = []
    for unit in units:
        if not unit.planned:
            continue
        labels = {"system": unit.record.system, "pair": unit.record.pair, "seed": unit.record.seed}
        for line in read_log(unit.planned.folder):
            iteration = line.pop("iteration")
            rows += [
                {**labels, "iteration": iteration, "name": name, "value": value}
                for name, value in line.items()
            ]
    return rows


def copy_samples(
    plan: Plan,
    units: Sequence[Unit],
    outputs: Outputs,
    folder: RunFolder,
    rows: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Copy sentences of each direction, as each system says them, for listening.

    Those that the trained systems convert worst and best, by the suite's first metric in `rows`
    (what `score_rows` gives); the corpus's first ones where there are no scores.
    """
    import pandas as pd

    samples = []
    seed = plan.suite.seeds[0] if plan.suite.seeds else None
    scores = pd.DataFrame(list(rows), columns=RESULTS)
    for pair in plan.suite.pairs:
        for direction in (Direction(pair.source, pair.target), Direction(pair.target, pair.source)):
            spoken = zip(
                plan.speech.evaluation[direction.source],
                plan.speech.evaluation[direction.target],
                strict=False,
            )
            both = {source.id: (source, target) for source, target in spoken}
            ordered = _by_interest(plan, units, scores, str(direction), seed, list(both))
            for name in ordered[: plan.suite.samples_per_direction]:
                source, target = both[name]
                place = f"{direction.file_name}/{source.id}"
                converted = {}
                for unit in units:
                    wav = outputs.get((unit.record.cell, direction), {}).get(source.id)
                    if unit.record.pair != str(pair) or unit.record.seed not in (None, seed):
                        continue
                    if wav and wav.is_file():  # an external system may lack a sentence
                        name = f"{place}/converted/{unit.record.system}{wav.suffix}"
                        converted[unit.record.system] = folder.add_sample(wav, name)
                samples.append(
                    {
                        "pair": str(pair),
                        "direction": str(direction),
                        "utterance": source.id,
                        "seed": seed,
                        "source": folder.add_sample(
                            source.path, f"{place}/source{source.path.suffix}"
                        ),
                        "target": folder.add_sample(
                            target.path, f"{place}/target{target.path.suffix}"
                        ),
                        "converted": converted,
                    }
                )
    return samples


def _by_interest(
    plan: Plan,
    units: Sequence[Unit],
    scores: pd.DataFrame,
    direction: str,
    seed: int | None,
    sentences: Sequence[str],
) -> list[str]:
    metric = plan.suite.metrics[0]
    means = mean_scores(
        scores,
        metric=metric,
        protocol=plan.suite.protocol,
        direction=direction,
        systems={u.record.system for u in units if u.record.kind != "baseline"},
        seed=seed,
    )
    better = plan.suite.registry.get("metric", metric).details["better"]
    return worst_and_best(sentences, means, lower_is_better=better != "higher")


def manifest(
    plan: Plan, units: Sequence[Unit], git: dict[str, Any] | None, command: Sequence[str]
) -> dict[str, Any]:
    """All that the numbers depend on, and the command that makes them again."""
    suite, speech = plan.suite, plan.speech
    metrics = {name: suite.registry.get("metric", name) for name in suite.metrics}
    device = plan.cells[0].cell.device if plan.cells else "cpu"
    streams: dict[str, dict[str, str | None]] = {}
    for unit in units:
        if unit.planned:
            group = streams.setdefault(f"{unit.record.pair}/{unit.record.seed}", {})
            group[unit.record.system] = unit.record.crop_stream_sha256
    return {
        "vcbench": vcbench.__version__,
        "suite_name": suite.name,
        "suite": suite.resolved(),
        "budget": suite.budget,
        "question": suite.question,
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "git": git,
        "machine": environment.machine(device),
        "packages": environment.packages(),
        "data": {
            "corpus": suite.corpus.name,
            "fingerprint": plan.data_fingerprint,
            "utterances": {
                speaker: {
                    "train": len(speech.train[speaker]),
                    "validation": len(speech.validation[speaker]),
                    "eval": len(speech.evaluation[speaker]),
                }
                for speaker in sorted(speech.train)
            },
        },
        "protocols": {suite.protocol: protocols.get(suite.protocol).text},
        "metrics": {
            name: {
                "unit": protocols.get(suite.protocol).unit(name, plugin.details["unit"]),
                "better": plugin.details["better"],
                "summary": plugin.summary,
                "paper": plugin.details.get("paper", ""),
            }
            for name, plugin in metrics.items()
        },
        "crop_streams": streams,
        "external": {
            unit.record.cell: _external(plan, unit)
            for unit in units
            if unit.record.kind == "external"
        },
    }


def _external(plan: Plan, unit: Unit) -> dict[str, Any]:
    """How many of the sentences there are, and what their files hold."""
    wavs = [
        path
        for direction in unit.directions
        for path in external_wavs(plan, unit.record.system, direction).values()
    ]
    held = [fingerprint.of_file(path) if path.is_file() else None for path in wavs]
    return {
        "utterances": sum(content is not None for content in held),
        "expected": len(held),
        "fingerprint": fingerprint.of_json(held),
    }
