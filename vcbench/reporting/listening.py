"""What the page plays: source, target and every system's conversion, with their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from vcbench.reporting import format as fmt
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.run_files import RunFiles, Sample, inside
from vcbench.reporting.wording import decimals_of

# Under each player stand the suite's first metrics; all others are in results.csv.
N_METRICS = 2

Scores = Mapping[tuple[str, str, str, str, str], float]


def listening(run: RunFiles, leaderboard: Leaderboard) -> list[dict[str, Any]]:
    """Samples grouped by direction; raises `DataError` for a path outside the run's folder."""
    scores = _scores(run, leaderboard)
    groups: dict[str, list[dict[str, Any]]] = {}
    for sample in run.samples:
        groups.setdefault(sample.direction, []).append(_item(run, leaderboard, sample, scores))
    return [
        {"direction": fmt.direction_label(direction), "samples": items}
        for direction, items in groups.items()
    ]


def _item(
    run: RunFiles, leaderboard: Leaderboard, sample: Sample, scores: Scores
) -> dict[str, Any]:
    order = [row.system for row in leaderboard.rows]
    source, _, target = sample.direction.partition(">")
    players = [
        _player(run, f"source, {source}", sample.source, role="what goes in"),
        _player(run, f"target, {target}", sample.target, role="what should come out"),
    ]
    systems = sorted(
        sample.converted, key=lambda s: (order.index(s) if s in order else len(order), s)
    )
    for system in systems:
        player = _player(run, system, sample.converted[system])
        player["scores"] = _scores_of(leaderboard, sample, system, scores)
        players.append(player)
    seed = "" if sample.seed is None else f"seed {sample.seed}"
    return {"utterance": fmt.one_line(sample.utterance), "seed": seed, "players": players}


def _player(run: RunFiles, label: str, relative: str, *, role: str = "") -> dict[str, Any]:
    exists = inside(run.folder, relative).is_file()
    return {
        "label": fmt.one_line(label),
        "src": quote(relative) if exists else "",
        "role": role,
        "scores": [],
    }


def _scores(run: RunFiles, leaderboard: Leaderboard) -> Scores:
    """Every score under (system, direction, seed, utterance, column)."""
    found = {}
    for column in leaderboard.columns[:N_METRICS]:
        frame = run.results[
            (run.results["metric"] == column.metric) & (run.results["protocol"] == column.protocol)
        ]
        keys = ("system", "direction", "seed", "utterance")
        for *key, value in zip(*(frame[k] for k in keys), frame["value"], strict=True):
            system, direction, seed, utterance = map(str, key)
            found[system, direction, seed, utterance, column.key] = float(value)
    return found


def _scores_of(
    leaderboard: Leaderboard, sample: Sample, system: str, scores: Scores
) -> list[tuple[str, str]]:
    """(`MCD`, `7.91 dB`) of one utterance; a baseline has no seed."""
    row = leaderboard.row(system)
    trained = row is not None and row.trained
    seed = str(sample.seed) if trained and sample.seed is not None else ""
    shown = []
    for column in leaderboard.columns[:N_METRICS]:
        key = (system, sample.direction, seed, sample.utterance, column.key)
        value = scores.get(key, math.nan)
        text = fmt.number(value, decimals_of(leaderboard, column))
        unit = f" {fmt.one_line(column.unit)}" if math.isfinite(value) else ""
        shown.append((fmt.metric_label(column.metric), text + unit))
    return shown
