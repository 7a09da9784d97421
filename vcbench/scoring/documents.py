"""Scored sets as files that other programs read: one JSON object, and a CSV in long form."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench.plugins import Plugin
from vcbench.protocols import Protocol
from vcbench.scoring.sets import ScoredSet

if TYPE_CHECKING:
    from vcbench.statistics import Contrast, Difference, Estimate

CSV_COLUMNS = ["system", "utterance", "metric", "protocol", "value", "unit"]


def json_document(
    protocol: Protocol,
    metrics: Mapping[str, Plugin],
    sets: Sequence[ScoredSet],
    comparisons: Mapping[str, Sequence[Contrast]],
) -> dict[str, Any]:
    """Plain JSON values: of one set its metrics and utterances, of several the same by system."""
    head = {"protocol": protocol.id, "protocol_text": protocol.text}
    if protocol.warning:
        head["warning"] = protocol.warning
    if len(sets) == 1:
        return head | _set(sets[0], protocol, metrics)
    return {
        **head,
        "systems": {one.system: _set(one, protocol, metrics) for one in sets},
        "comparisons": [
            {"metric": metric, "a": one.a, "b": one.b, "a_minus_b": _difference(one.difference)}
            for metric, contrasts in comparisons.items()
            for one in contrasts
        ],
    }


def write_csv(
    path: Path, protocol: Protocol, metrics: Mapping[str, Plugin], sets: Sequence[ScoredSet]
) -> None:
    """Write a row per system, utterance and metric; without a value where there is none."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for one in sets:
            for id_, values in _all_values(one):
                for name, plugin in metrics.items():
                    value = values.get(name, math.nan)
                    text = repr(value) if math.isfinite(value) else ""
                    unit = protocol.unit(name, plugin.details["unit"])
                    writer.writerow([one.system, id_, name, protocol.id, text, unit])


def _all_values(one: ScoredSet) -> Iterator[tuple[str, Mapping[str, float]]]:
    """The values of every expected utterance, sorted by id; none for the missing ones."""
    missing = (*one.only_reference, *one.only_converted)
    found: dict[str, Mapping[str, float]] = {id_: {} for id_ in missing}
    found |= {str(result.item.labels): result.values for result in one.results}
    yield from sorted(found.items())


def _set(one: ScoredSet, protocol: Protocol, metrics: Mapping[str, Plugin]) -> dict[str, Any]:
    utterances: list[dict[str, Any]] = [
        {
            "id": str(result.item.labels),
            "status": "failed" if result.problems else "scored",
            "reason": "; ".join(result.problems),
            "notes": list(result.notes),
            "values": {name: _number(value) for name, value in result.values.items()},
        }
        for result in one.results
    ]
    for ids, reason in (
        (one.only_reference, "no converted file"),
        (one.only_converted, "no reference file"),
    ):
        missing = {"status": "missing", "reason": reason, "notes": [], "values": {}}
        utterances += [{"id": id_, **missing} for id_ in ids]
    return {
        "metrics": {
            name: {
                **_estimate(estimate),
                **metrics[name].details,
                "unit": protocol.unit(name, metrics[name].details["unit"]),
            }
            for name, estimate in one.summarize(list(metrics)).items()
        },
        "utterances": sorted(utterances, key=lambda utterance: str(utterance["id"])),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": _number(estimate.mean),
        "ci95": [estimate.low, estimate.high] if estimate.has_interval else None,
        "n": estimate.n,
        "expected": estimate.expected,
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "mean": _number(difference.mean),
        "interval": [difference.low, difference.high] if difference.has_interval else None,
        "confidence": 1 - difference.level,
        "p": _number(difference.p),
        "p_holm": _number(difference.p_holm),
        "claimable": difference.claimable,
        "decided": difference.decided,
        "detectable": _number(difference.detectable),
        "n": difference.n,
        "expected": difference.expected,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
