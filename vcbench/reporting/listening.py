"""What the page plays: source, target and every system's conversion of a sentence, with its scores.

In each direction the sentences stand worst, best, second worst, and so on, by the mean of the
trained systems in the metric that ranks them. Under each player are its scores and, where a run
stored what is needed, its pictures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from vcbench import pictures
from vcbench.own_files import inside
from vcbench.reporting import drawings
from vcbench.reporting import format as fmt
from vcbench.reporting.figures import Style, styles
from vcbench.reporting.model import Column, Leaderboard
from vcbench.reporting.run_files import RunFiles, Sample
from vcbench.reporting.wording import decimals_of
from vcbench.samples import mean_scores, worst_and_best

# Under each player, where the suite has them; else its first two. All others are in results.csv.
METRICS = ("mcd", "f0-rmse")
# Of a page, as text. Sentences for whose pictures there is no room left go without.
MAX_PICTURE_BYTES = 12_000_000

Scores = Mapping[tuple[str, str, str, str, str], float]


def listening(run: RunFiles, leaderboard: Leaderboard) -> list[dict[str, Any]]:
    """Samples grouped by direction; raises `DataError` for a path outside the run's folder."""
    scores = _scores(run, leaderboard)
    look = styles([row.system for row in leaderboard.trained])
    groups: dict[str, list[Sample]] = {}
    for sample in run.samples:
        groups.setdefault(sample.direction, []).append(sample)
    found = []
    room = MAX_PICTURE_BYTES
    for direction, samples in groups.items():
        means = _means(run, leaderboard, samples[0])
        column = leaderboard.ranked_by
        low = column is None or column.lower_is_better
        order = worst_and_best([s.utterance for s in samples], means, lower_is_better=low)
        items = []
        for sample in sorted(samples, key=lambda s: order.index(s.utterance)):
            item = _item(run, leaderboard, sample, scores)
            item["about"] = _about(leaderboard, sample.utterance, means)
            room -= _draw(run, sample, item, look, room)
            items.append(item)
        found.append({"direction": fmt.direction_label(direction), "samples": items})
    return found


def _item(
    run: RunFiles, leaderboard: Leaderboard, sample: Sample, scores: Scores
) -> dict[str, Any]:
    order = [row.system for row in leaderboard.rows]
    source, _, target = sample.direction.partition(">")
    players = [
        _player(run, f"source, {source}", sample.source, role="what goes in", part="source"),
        _player(
            run, f"target, {target}", sample.target, role="what should come out", part="target"
        ),
    ]
    systems = sorted(
        sample.converted, key=lambda s: (order.index(s) if s in order else len(order), s)
    )
    for system in systems:
        player = _player(run, system, sample.converted[system])
        player["scores"] = _scores_of(leaderboard, sample, system, scores)
        player["system"] = system
        players.append(player)
    seed = "" if sample.seed is None else f"seed {sample.seed}"
    return {
        "utterance": fmt.one_line(sample.utterance),
        "seed": seed,
        "players": players,
        "pictures": "",
    }


def _player(
    run: RunFiles, label: str, relative: str, *, role: str = "", part: str = ""
) -> dict[str, Any]:
    exists = inside(run.folder, relative).is_file()
    return {
        "label": fmt.one_line(label),
        "src": quote(relative) if exists else "",
        "role": role,
        "scores": [],
        "part": part,
        "system": "",
        "spectrogram": None,
        "contour": "",
    }


def _columns(leaderboard: Leaderboard) -> list[Column]:
    named = [c for name in METRICS for c in leaderboard.columns if c.metric == name]
    return (named or list(leaderboard.columns))[: len(METRICS)]


def _scores(run: RunFiles, leaderboard: Leaderboard) -> Scores:
    """Every score under (system, direction, seed, utterance, column)."""
    found = {}
    for column in _columns(leaderboard):
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
    for column in _columns(leaderboard):
        # An external system is no baseline, but has no seed either.
        keys = [(system, sample.direction, s, sample.utterance, column.key) for s in (seed, "")]
        value = next((scores[key] for key in keys if key in scores), math.nan)
        text = fmt.number(value, decimals_of(leaderboard, column))
        unit = f" {fmt.one_line(column.unit)}" if math.isfinite(value) else ""
        shown.append((fmt.metric_label(column.metric), text + unit))
    return shown


def _means(run: RunFiles, leaderboard: Leaderboard, sample: Sample) -> dict[str, float]:
    """Every sentence's mean over the trained systems, of those that were played or not."""
    column = leaderboard.ranked_by
    if column is None:
        return {}
    return mean_scores(
        run.results,
        metric=column.metric,
        protocol=column.protocol,
        direction=sample.direction,
        systems=[row.system for row in leaderboard.trained],
        seed=sample.seed,
    )


def _about(leaderboard: Leaderboard, sentence: str, means: Mapping[str, float]) -> str:
    """`worst of 54 (MCD 8.31 dB, mean of the trained systems)`, or nothing without scores.

    Of all sentences that were scored, not of those that are played.
    """
    column = leaderboard.ranked_by
    known = {name: mean for name, mean in means.items() if math.isfinite(mean)}
    if column is None or sentence not in known or len(known) < 2:
        return ""
    own = known[sentence]
    worse = sum((m > own) if column.lower_is_better else (m < own) for m in known.values())
    better = sum((m < own) if column.lower_is_better else (m > own) for m in known.values())
    place = "worst" if not worse else "best" if not better else f"rank {better + 1}"
    mean = fmt.number(own, decimals_of(leaderboard, column))
    label = " ".join([fmt.metric_label(column.metric), mean, fmt.one_line(column.unit)]).strip()
    return f"{place} of {len(known)} ({label}, mean of the trained systems)"


def _draw(
    run: RunFiles, sample: Sample, item: dict[str, Any], look: Mapping[str, Style], room: int
) -> int:
    """Put the pictures into the players of `item`; returns their size, 0 where there are none."""
    if not sample.pictures or not inside(run.folder, sample.pictures).is_file():
        return 0
    stored = pictures.load(inside(run.folder, sample.pictures))
    voices = [stored.source, stored.target]
    voices += [stored.systems[s] for s in sample.converted if s in stored.systems]
    loudest_db = max(float(voice.mel_db.max()) for voice in voices)
    longest = max(voice.mel_db.shape[1] for voice in voices)
    limits = drawings.limits_hz([voice.f0_hz for voice in voices])
    drawn = []
    for player in item["players"]:
        voice = _voice(stored, player)
        if voice is None:
            continue
        png = drawings.spectrogram_png(voice.mel_db, loudest_db=loudest_db)
        spectrogram = {
            "src": drawings.as_data(png),
            "width": f"{100 * voice.mel_db.shape[1] / longest:.1f}%",
            "seconds": f"{voice.mel_db.shape[1] * pictures.HOP_MS / 1000:.1f}",
            "ticks": drawings.mel_ticks(voice.mel_db.shape[0], pictures.TOP_HZ),
        }
        lines = _lines(stored, player, look)
        contour = (
            drawings.contour_svg(lines, frame_period_ms=stored.frame_period_ms, limits_hz=limits)
            if limits and lines
            else ""
        )
        drawn.append((player, spectrogram, contour))
    size = sum(len(s["src"]) + len(c) for _, s, c in drawn)
    if size > room:
        item["pictures"] = "left out"
        return 0
    for player, spectrogram, contour in drawn:
        player["spectrogram"], player["contour"] = spectrogram, Markup(contour)
    item["pictures"] = "drawn"
    return size


def _voice(stored: pictures.Pictures, player: Mapping[str, Any]) -> pictures.Voice | None:
    originals = {"source": stored.source, "target": stored.target}
    return originals.get(player["part"]) or stored.systems.get(player["system"])


def _lines(
    stored: pictures.Pictures, player: Mapping[str, Any], look: Mapping[str, Style]
) -> Sequence[drawings.Line]:
    """Under a conversion: source, target and it; under the originals nothing."""
    voice = stored.systems.get(player["system"])
    if voice is None or not (voice.f0_hz > 0).any():
        return []
    style = look.get(player["system"])
    own = (
        drawings.Line(voice.f0_hz, f"var(--series-{style.index})", 2.2)
        if style
        else drawings.Line(voice.f0_hz, "var(--baseline)", 2.2, "5 3.5")
    )
    return [
        drawings.Line(stored.source.f0_hz, "var(--muted)", 1.2, "1.5 3"),
        drawings.Line(stored.target.f0_hz, "currentColor", 1.3),
        own,
    ]
