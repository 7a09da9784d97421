"""How it was done, and how fast: what a reader needs to repeat or doubt the numbers."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from vcbench.reporting import format as fmt
from vcbench.reporting.model import Leaderboard, Measured
from vcbench.reporting.run_files import RunFiles

_PHASES = ("training", "generator", "conversion", "model")
# (short name with the way that is good, what it is about instead of the phase); what is not here
# keeps its own name.
_SHORT = {
    "iterations_per_second": ("it/s ↑", ""),
    "frames_per_second": ("frames/s ↑", ""),
    "real_time_factor": ("RTF ↓", ""),
    "peak_memory": ("peak memory ↓", ""),
    "parameters": ("parameters", "all networks"),
    "generator_parameters": ("parameters", "one generator"),
    "discriminator_parameters": ("parameters", "one discriminator"),
    "macs": ("MACs", "one generator, 128 frames"),
}


def throughput_table(leaderboard: Leaderboard) -> dict[str, Any]:
    """Everything measured about speed and size: a row per system and device."""
    keys = {key for speed in leaderboard.speeds for key in speed.measured}

    def place(key: tuple[str, str]) -> tuple[int, str]:
        phase, metric = key
        return (_PHASES.index(phase) if phase in _PHASES else len(_PHASES), metric)

    ordered = sorted(keys, key=place)
    units = {
        key: next(s.measured[key].unit for s in leaderboard.speeds if key in s.measured)
        for key in ordered
    }
    return {
        "headers": [_heading(phase, metric, units[phase, metric]) for phase, metric in ordered],
        "rows": [
            {
                "system": fmt.one_line(speed.system),
                "device": fmt.one_line(speed.device),
                "values": [_measured(speed.measured.get(key)) for key in ordered],
            }
            for speed in leaderboard.speeds
        ],
        "conditions": _conditions(leaderboard),
        "quartiles": any(
            math.isfinite(m.p25) for s in leaderboard.speeds for m in s.measured.values()
        ),
    }


def _conditions(leaderboard: Leaderboard) -> str:
    """What was timed, and how: a figure without its conditions is none."""
    suite = leaderboard.manifest.get("suite") or {}
    systems = suite.get("systems") or {}
    common = suite.get("training") or {}
    steps = {
        (training.get("batch_size"), training.get("segment_frames"))
        for speed in leaderboard.speeds
        for training in [{**common, **((systems.get(speed.system) or {}).get("training") or {})}]
        if speed.value("training", "iterations_per_second") is not None
    }
    threads = sorted(
        {int(t) for s in leaderboard.speeds if (t := s.value("model", "threads")) is not None}
    )
    told = [
        f"{fmt.count_of(int(batch), 'crop')} of {frames} frames"
        for batch, frames in sorted(steps, key=str)
        if batch and frames
    ]
    parts = [
        "Medians of repeated timings after two calls to warm up, apart from training, one system "
        "at a time, each in a process of its own.",
        f"Training: one update of all networks with a batch of {' or '.join(told)}, of random "
        "numbers, without reading data."
        if told
        else "Training: one update of all networks on random numbers, without reading data.",
        "Generator: one direction, batch 1, 128 frames. Conversion: the whole way of one recording "
        "from waveform to waveform, analysis and synthesis included. Peak memory: of the process "
        "on a CPU, of what PyTorch allocated on a GPU, training. MACs: of one generator, over 128 "
        "frames.",
        f"Threads of PyTorch: {' or '.join(map(str, threads))}." if threads else "",
        f"Machine: {_machine(leaderboard.manifest.get('machine') or {})}."
        if leaderboard.manifest.get("machine")
        else "Machine: not stored.",
    ]
    return " ".join(part for part in parts if part)


def _heading(phase: str, metric: str, unit: str) -> dict[str, str]:
    label, about = _SHORT.get(metric, (fmt.one_line(metric).replace("_", " "), ""))
    told_by_name = unit in ("count", "MAC", "s/s") or label.startswith(unit)
    parts = [about or phase, "" if told_by_name else unit]
    return {"label": label, "about": fmt.one_line(", ".join(part for part in parts if part))}


def _measured(measured: Measured | None) -> dict[str, str]:
    if measured is None or not math.isfinite(measured.value):
        return {"value": fmt.MISSING, "spread": "", "sort": ""}
    write = fmt.quantity if abs(measured.value) >= 10_000 else fmt.measurement
    if measured.unit == "count" and abs(measured.value) < 10_000:
        return {"value": f"{measured.value:g}", "spread": "", "sort": repr(measured.value)}
    spread = ""
    if math.isfinite(measured.p25) and math.isfinite(measured.p75):
        spread = f"{write(measured.p25)} to {write(measured.p75)}"
    return {"value": write(measured.value), "spread": spread, "sort": repr(measured.value)}


def how_it_was_done(run: RunFiles, leaderboard: Leaderboard) -> dict[str, Any]:
    """Protocols, metrics, data, crops, machine, versions, command, and the suite as resolved."""
    manifest = run.manifest
    return {
        "protocols": list(leaderboard.protocols.items()),
        "metrics": [
            (
                fmt.metric_label(column.metric),
                fmt.one_line(" ".join(t for t in (column.summary, column.paper) if t)),
            )
            for column in leaderboard.columns
        ],
        "crops": leaderboard.crops.sentence(),
        "crops_ok": leaderboard.crops.ok,
        "data": _data(manifest.get("data") or {}),
        "machine": _machine(manifest.get("machine") or {}),
        "versions": _versions(manifest),
        "command": fmt.one_line(shlex.join(map(str, manifest.get("command") or []))),
        "suite": yaml.safe_dump(run.suite, sort_keys=False, allow_unicode=True, width=88)
        if run.suite
        else "",
    }


def _data(data: Mapping[str, Any]) -> str:
    speakers = ", ".join(
        f"{speaker} {counts.get('train', '?')}/{counts.get('eval', '?')}"
        for speaker, counts in (data.get("utterances") or {}).items()
    )
    parts = [
        f"corpus {data['corpus']}" if data.get("corpus") else "",
        f"utterances for training/evaluation: {speakers}" if speakers else "",
        f"fingerprint {data['fingerprint']}" if data.get("fingerprint") else "",
    ]
    return fmt.one_line("; ".join(part for part in parts if part))


def _machine(machine: Mapping[str, Any]) -> str:
    memory = machine.get("memory_gib")
    cores = machine.get("cpu_count")
    parts = [
        machine.get("cpu"),
        fmt.count_of(cores, "core") if isinstance(cores, int) else "",
        f"{fmt.measurement(float(memory))} GiB memory" if memory else "",
        machine.get("isa"),
        machine.get("gpu") or "no GPU",
        machine.get("platform"),
    ]
    return fmt.one_line(", ".join(str(part) for part in parts if part)) if machine else ""


def _versions(manifest: Mapping[str, Any]) -> str:
    git = manifest.get("git") or {}
    commit = f" at {git.get('sha')}{' with local changes' if git.get('dirty') else ''}"
    packages = manifest.get("packages") or {}
    own = f"vcbench {manifest.get('vcbench', '?')}{commit if git.get('sha') else ''}"
    return fmt.one_line(", ".join([own, *(f"{k} {v}" for k, v in packages.items())]))
