"""Writes a run's folder as a real run leaves it, with values drawn from a seeded generator.

Scores are a sum of effects (metric, system, pair, sentence, noise), so that a test knows which
system is better and that sentences are shared evidence. Nothing here is a measurement.
"""

from __future__ import annotations

import csv
import hashlib
import json
import wave
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# Mean of each metric for a system whose effect is 0, spread over sentences, noise.
METRICS = {
    "mcd": (8.0, 0.5, 0.15),
    "f0-rmse": (32.0, 6.0, 3.0),
    "log-f0-rmse": (0.19, 0.03, 0.015),
    "vuv-error": (12.0, 2.0, 1.0),
}
UNITS = {"mcd": "dB", "f0-rmse": "Hz", "log-f0-rmse": "ln Hz", "vuv-error": "%"}
PROTOCOL_TEXT = (
    "16 kHz, 70 Hz low-cut; WORLD 5 ms, DIO+StoneMask 40-700 Hz, CheapTrick 1024; "
    "mel-cepstrum 24/0.41, c0 left out; frames above -20 dB; exact Euclidean DTW."
)
HOSTILE = "<script>alert(1)</script>"
LOSSES = ("discriminator", "generator_adversarial", "cycle", "identity", "validation")


@dataclass
class SyntheticRun:
    """What the run holds. `effects` are added to a system's scores in spreads of sentences."""

    effects: Mapping[str, float] = field(
        default_factory=lambda: {
            "paper-1d": -0.6,
            "paper-1d-lsgan": -0.5,
            "residual-2d-bce": 0.5,
            "residual-2d": -0.9,
        }
    )
    baselines: Mapping[str, float] = field(
        default_factory=lambda: {"source-copy": 1.5, "mean-variance": 0.0, "resynthesis": -6.0}
    )
    pairs: tuple[str, ...] = ("SF1-TM3", "SM1-TF2")
    seeds: tuple[int, ...] = (0, 1)
    n_sentences: int = 8
    iterations: int = 2000
    # cell id -> (status, reason); such a cell leaves no scores.
    failures: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    health: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    undefined: Iterable[tuple[str, str]] = ()  # (system, metric) with one NaN in each direction
    other_crops: Iterable[str] = ()  # systems that saw crops of their own
    samples: bool = True
    question: str | None = None
    compare: Mapping[str, Any] | None = None
    # Keys of a system in the suite, over a generator of its name and bce.
    systems: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    beside: bool = False  # also the metrics that see over-smoothing, the same for all systems
    luck: float = 0.0  # spread of a training's own luck, in spreads of sentences
    twins: Mapping[str, str] = field(default_factory=dict)  # system: whose scores it has too

    @property
    def sentences(self) -> list[str]:
        return [f"2000{i:02d}" for i in range(1, self.n_sentences + 1)]

    def write(self, folder: Path) -> Path:
        """Write every file of the run into `folder` and return it."""
        folder.mkdir(parents=True, exist_ok=True)
        cells = list(self._cells())
        lines = [json.dumps(cell) for cell in cells]
        (folder / "cells.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        _csv(
            folder / "results.csv",
            "suite system pair direction seed utterance metric protocol value unit",
            self._results(cells),
        )
        if self.effects:
            _csv(
                folder / "training.csv",
                "system pair seed iteration name value",
                self._training(cells),
            )
        _csv(
            folder / "throughput.csv",
            "system device phase metric value unit",
            self._throughput(),
        )
        if self.samples:
            self._samples(folder)
        manifest = json.dumps(self._manifest(cells), indent=2)
        (folder / "manifest.json").write_text(manifest, encoding="utf-8")
        return folder

    def _cells(self) -> Iterable[dict[str, Any]]:
        for system in self.effects:
            for pair in self.pairs:
                for seed in self.seeds:
                    yield self._cell(system, pair, seed)
        for system in self.baselines:
            for pair in self.pairs:
                yield self._cell(system, pair, None)

    def _cell(self, system: str, pair: str, seed: int | None) -> dict[str, Any]:
        name = f"{system}/{pair}/{'-' if seed is None else seed}"
        status, reason = self.failures.get(name, ("ok", ""))
        stream = f"{pair}/{seed}" + (system if system in self.other_crops else "")
        return {
            "cell": name,
            "system": system,
            "pair": pair,
            "seed": seed,
            "kind": "baseline" if seed is None else "trained",
            "status": status,
            "reason": reason,
            "cached": False,
            "key": _sha(name),
            "seconds": 12.5,
            "iterations": None if seed is None else self.iterations,
            "health": list(self.health.get(name, ())),
            "crop_stream_sha256": _sha(stream) if seed is not None and status == "ok" else None,
            "log": f"logs/{system}-{pair}-{seed}.log",
        }

    def _results(self, cells: list[dict[str, Any]]) -> Iterable[list[Any]]:
        rng = np.random.default_rng(20161120)
        shared = {
            (m, d, s): rng.normal(0, METRICS[m][1])
            for m in METRICS
            for pair in self.pairs
            for d in _directions(pair)
            for s in self.sentences
        }
        effects = {**self.effects, **self.baselines}
        luck = np.random.default_rng(5)
        written: dict[tuple[Any, ...], float] = {}
        undefined = set(self.undefined)
        for cell in cells:
            if cell["status"] != "ok":
                continue
            lucky = self.luck * luck.normal() if cell["seed"] is not None else 0.0
            twin = self.twins.get(cell["system"])
            for direction in _directions(cell["pair"]):
                for metric, (mean, spread, noise) in METRICS.items():
                    for i, sentence in enumerate(self.sentences):
                        value = mean + effects[cell["system"]] * spread + rng.normal(0, noise)
                        value = max(0.0, value + shared[metric, direction, sentence])
                        value += lucky * spread
                        key = (cell["pair"], direction, cell["seed"], sentence, metric)
                        value = written.get((twin, *key), value)
                        written[cell["system"], *key] = value
                        gone = i == 0 and (cell["system"], metric) in undefined
                        yield [
                            "synthetic",
                            cell["system"],
                            cell["pair"],
                            direction,
                            "" if cell["seed"] is None else cell["seed"],
                            sentence,
                            metric,
                            "vcbench-1",
                            "" if gone else f"{value:.6f}",
                            UNITS[metric],
                        ]
                        if metric == "mcd" and self.beside:
                            for other in ("msd", "gv-distance"):
                                where = [
                                    cell["pair"],
                                    direction,
                                    "" if cell["seed"] is None else cell["seed"],
                                ]
                                yield [
                                    "synthetic",
                                    cell["system"],
                                    *where,
                                    sentence,
                                    other,
                                    "vcbench-1",
                                    1 + i / 10,
                                    "",
                                ]

    def _training(self, cells: list[dict[str, Any]]) -> Iterable[list[Any]]:
        rng = np.random.default_rng(7)
        levels = dict(zip(LOSSES, (0.65, 0.9, 3.0, 2.0, 1.4), strict=True))
        for cell in cells:
            if cell["seed"] is None or cell["status"] == "skipped":
                continue
            last = self.iterations if cell["status"] == "ok" else self.iterations // 3
            scale = 1 + 0.1 * self.effects[cell["system"]]
            for iteration in range(50, last + 1, 50):
                where = [cell["system"], cell["pair"], cell["seed"], iteration]
                for name, level in levels.items():
                    if name == "validation" and iteration % 100:
                        continue
                    decay = 0.35 + 0.65 * np.exp(-3 * iteration / self.iterations)
                    value = level * scale * decay * rng.lognormal(0, 0.08)
                    yield [*where, name, f"{value:.6g}"]
                yield [*where, "learning_rate_generator", "0.0002"]

    def _throughput(self) -> Iterable[list[Any]]:
        for i, system in enumerate([*self.effects, *self.baselines]):
            if system in self.effects:
                model = {"generator_parameters": 38055704 // (i + 1), "macs": 3.1e9 / (i + 1)}
                model |= {"parameters": 119_787_058, "discriminator_parameters": 21_837_825}
                for metric, value in model.items():
                    unit = "MAC" if metric == "macs" else "count"
                    yield [system, "cpu", "model", metric, value, unit]
                for suffix, factor in (("", 1.0), ("_p25", 0.97), ("_p75", 1.04)):
                    speed = 11.3 * (i + 1) * factor
                    metric = f"iterations_per_second{suffix}"
                    yield [system, "cpu", "training", metric, speed, "it/s"]
                    metric = f"frames_per_second{suffix}"
                    yield [system, "cpu", "generator", metric, 8000 * (i + 1) * factor, "frames/s"]
                    rtf = 0.025 / (i + 1) * factor
                    yield [system, "cpu", "generator", f"real_time_factor{suffix}", rtf, "s/s"]
                yield [system, "cpu", "training", "peak_memory", 812.0 + 100 * i, "MiB"]
            for suffix, factor in (("", 1.0), ("_p25", 0.97), ("_p75", 1.04)):
                rtf = (0.31 + 0.02 * i) * factor
                yield [system, "cpu", "conversion", f"real_time_factor{suffix}", rtf, "s/s"]

    def _samples(self, folder: Path) -> None:
        (folder / "samples").mkdir(exist_ok=True)
        samples = []
        for pair in self.pairs:
            for direction in _directions(pair):
                source, _, target = direction.partition(">")
                for sentence in self.sentences[:2]:
                    stem = f"samples/{sentence}-"
                    converted = {
                        s: f"{stem}{source}-{target}-{s}.wav"
                        for s in [*self.effects, "mean-variance"]
                    }
                    sample = {
                        "pair": pair,
                        "direction": direction,
                        "utterance": sentence,
                        "seed": self.seeds[0] if self.seeds else None,
                        "source": f"{stem}{source}.wav",
                        "target": f"{stem}{target}.wav",
                        "converted": converted,
                    }
                    samples.append(sample)
                    for i, name in enumerate([sample["source"], *converted.values()]):
                        write_tone(folder / name, 110.0 + 30 * i)
                    write_tone(folder / sample["target"], 90.0)
        text = json.dumps(samples, indent=1)
        (folder / "samples" / "samples.json").write_text(text, encoding="utf-8")

    def _manifest(self, cells: list[dict[str, Any]]) -> dict[str, Any]:
        crops: dict[str, dict[str, str]] = {}
        for cell in cells:
            if cell["crop_stream_sha256"]:
                where = f"{cell['pair']}/{cell['seed']}"
                crops.setdefault(where, {})[cell["system"]] = cell["crop_stream_sha256"]
        speakers = sorted({s for pair in self.pairs for s in pair.split("-")})
        n = self.n_sentences
        return {
            "vcbench": "0.1.0",
            "suite_name": "synthetic",
            "suite": {
                "suite": "synthetic",
                "corpus": {"name": "vcc2016", "split": "paper"},
                "pairs": list(self.pairs),
                "systems": {
                    s: {"generator": {"name": s}, "objective": "bce", **self.systems.get(s, {})}
                    for s in self.effects
                },
                "compare": self.compare,
                "baselines": list(self.baselines),
                "seeds": list(self.seeds),
                "metrics": list(METRICS),
                "training": {"iterations": self.iterations, "batch_size": 1},
            },
            "question": self.question,
            "created_utc": "2026-11-20T21:30:05Z",
            "command": ["vcbench", "run", "suites/synthetic.yaml", "--set", "a.b=two words"],
            "git": {"sha": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
            "machine": {
                "platform": "Linux-6.1-x86_64",
                "cpu": "An Example CPU",
                "cpu_count": 2,
                "memory_gib": 8.0,
                "isa": "AVX2",
                "gpu": None,
            },
            "packages": {"torch": "2.13.0", "numpy": "2.4.6", "pyworld": "0.3.5"},
            "data": {
                "corpus": "vcc2016",
                "fingerprint": _sha("data"),
                "utterances": {s: {"train": 81, "eval": n} for s in speakers},
            },
            "protocols": {"vcbench-1": PROTOCOL_TEXT},
            "metrics": {
                m: {"unit": UNITS[m], "better": "lower", "summary": f"About {m}.", "paper": ""}
                for m in METRICS
            },
            "crop_streams": crops,
            "budget": None,
        }


def write_tone(path: Path, frequency_hz: float, seconds: float = 0.4) -> None:
    """A quiet sine at 16 kHz, 16 bit."""
    t = np.arange(int(16000 * seconds)) / 16000
    samples = (6000 * np.sin(2 * np.pi * frequency_hz * t)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def _directions(pair: str) -> tuple[str, str]:
    a, _, b = pair.partition("-")
    return f"{a}>{b}", f"{b}>{a}"


def _csv(path: Path, header: str, rows: Iterable[list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header.split())
        writer.writerows(rows)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
