"""The leaderboard for programs: CSV and JSON with unrounded values."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from vcbench.reporting import format as fmt
from vcbench.reporting.answer import answer, doubts, intervals
from vcbench.reporting.model import REFERENCE, Leaderboard, Row
from vcbench.reporting.verdict import effect_notes
from vcbench.statistics import Difference, Estimate


def csv_text(leaderboard: Leaderboard) -> str:
    """One line per system with unrounded values; the protocol's text stands in the last column."""
    out = io.StringIO()
    rows = [
        {
            str(fmt.spreadsheet_text(key)): "" if value is None else fmt.spreadsheet_text(value)
            for key, value in record.items()
        }
        for record in records(leaderboard)
    ]
    fields = list(rows[0]) if rows else ["rank", "system"]
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def records(leaderboard: Leaderboard) -> list[dict[str, Any]]:
    """One flat record per system with raw values, None where undefined; last the protocols."""
    protocols = "; ".join(f"{k}: {fmt.one_line(v)}" for k, v in leaderboard.protocols.items())
    return [{**_record(leaderboard, row), "protocols": protocols} for row in leaderboard.rows]


def json_text(leaderboard: Leaderboard) -> str:
    """Everything in the leaderboard, unrounded; what is undefined is null."""
    document = {
        "suite": leaderboard.suite,
        "question": leaderboard.question or None,
        "answer": answer(leaderboard),
        "doubts": doubts(leaderboard),
        "created_utc": leaderboard.manifest.get("created_utc"),
        "vcbench": leaderboard.manifest.get("vcbench"),
        "protocols": leaderboard.protocols,
        "intervals": intervals(leaderboard),
        "ranked_by": leaderboard.ranked_by.key if leaderboard.ranked_by else None,
        "metrics": {
            c.key: {
                "metric": c.metric,
                "protocol": c.protocol,
                "unit": c.unit,
                "better": c.better,
                "summary": c.summary,
                "paper": c.paper,
            }
            for c in leaderboard.columns
        },
        "comparison": _json_comparison(leaderboard),
        "rows": [_json_row(leaderboard, row) for row in leaderboard.rows],
        "same_crops": {
            "ok": leaderboard.crops.ok,
            "groups_compared": leaderboard.crops.compared,
            "mismatches": list(leaderboard.crops.mismatches),
            "without_hash": list(leaderboard.crops.unknown),
            "fed_differently": list(leaderboard.crops.fed),
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _record(leaderboard: Leaderboard, row: Row) -> dict[str, Any]:
    """A row of the table: raw values, None where undefined."""
    record: dict[str, Any] = {
        "rank": row.rank,
        "system": row.system,
        "kind": row.kind,
        "unranked_because": row.unranked,
        "cells_ok": row.cells_ok,
        "cells": len(row.cells),
    }
    for column in leaderboard.columns:
        for name, value in _estimate(row.scores[column.key]).items():
            record[f"{column.key}_{name}"] = value
        record[f"{column.key}_unit"] = column.unit
        record[f"{column.key}_protocol"] = column.protocol
    found = row.versus_reference
    for name in ("mean", "low", "high", "level", "p_holm", "detectable", "n", "expected"):
        value = None if found is None else getattr(found, name)
        record[f"versus_{REFERENCE}_{name}"] = None if value is None else finite(value)
    record[f"beats_{REFERENCE}"] = row.beats_reference
    record["training_iterations_per_second"] = row.iterations_per_second
    record["conversion_real_time_factor"] = row.real_time_factor
    record["generator_parameters"] = row.parameters
    record["generator_macs"] = row.macs
    record["health"] = "; ".join(row.health)
    return record


def _json_comparison(leaderboard: Leaderboard) -> dict[str, Any] | None:
    comparison = leaderboard.comparison
    if comparison is None:
        return None
    return {
        "baseline": comparison.baseline,
        "baseline_missing_because": comparison.baseline_reason or None,
        "metric": comparison.column.key,
        "seeds": comparison.n_seeds,
        "sentences": comparison.n_sentences,
        "seeds_and_sentences_needed": comparison.needed,
        "correction": f"Holm over {len(comparison.effects)} comparisons of each metric",
        "notes": effect_notes(leaderboard),
        "systems": [
            {
                "system": effect.system,
                "decision": effect.decision,
                "missing_because": effect.reason or None,
                "every_score_equal": effect.identical,
                "differences": {
                    key: difference_json(found) for key, found in effect.differences.items()
                },
            }
            for effect in comparison.effects
        ],
    }


def _nested(estimate: Estimate) -> dict[str, Any]:
    raw = _estimate(estimate)
    return {
        "mean": raw["mean"],
        "ci95": None if raw["ci95_low"] is None else [raw["ci95_low"], raw["ci95_high"]],
        "covers": _covers(estimate),
        "n": estimate.n,
        "expected": estimate.expected,
    }


def difference_json(found: Difference | None) -> dict[str, Any] | None:
    """A judged difference; p and what was detectable are null where nothing could be claimed."""
    if found is None:
        return None
    return {
        "mean": finite(found.mean),
        "ci": [found.low, found.high] if found.has_interval else None,
        "confidence": 1 - found.level,
        "covers": _covers(found),
        "n": found.n,
        "expected": found.expected,
        "p": finite(found.p),
        "p_holm": finite(found.p_holm),
        "claimable": found.claimable,
        "detectable_at_80_percent_power": finite(found.detectable),
    }


def _covers(estimate: Estimate) -> list[str]:
    """What the interval covers the choice of."""
    return ["sentences", "seeds"] if estimate.over_seeds else ["sentences"]


def _json_row(leaderboard: Leaderboard, row: Row) -> dict[str, Any]:
    return {
        "rank": row.rank,
        "system": row.system,
        "kind": row.kind,
        "unranked_because": row.unranked or None,
        "cells_ok": row.cells_ok,
        "cells": len(row.cells),
        "scores": {c.key: _nested(row.scores[c.key]) for c in leaderboard.columns},
        "per_direction": {
            c.key: {
                d: _nested(leaderboard.per_direction[c.key][row.system][d])
                for d in leaderboard.directions
            }
            for c in leaderboard.columns
        },
        f"beats_{REFERENCE}": row.beats_reference,
        f"versus_{REFERENCE}": difference_json(row.versus_reference),
        "versus_leader": difference_json(row.versus_leader),
        "apart_from_leader_in_this_run": row.apart_in_run,
        "training_iterations_per_second": row.iterations_per_second,
        "conversion_real_time_factor": row.real_time_factor,
        "generator_parameters": row.parameters,
        "generator_macs": row.macs,
        "health": list(row.health),
    }


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": finite(estimate.mean),
        "ci95_low": finite(estimate.low),
        "ci95_high": finite(estimate.high),
        "n": estimate.n,
        "expected": estimate.expected,
    }
