"""`vcbench score`: scores of anyone's converted waveforms under a stated protocol."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vcbench.plugins import Plugin
    from vcbench.protocols import Protocol
    from vcbench.scoring import Folders, ScoreResult
    from vcbench.statistics import Estimate

HELP = "score a folder of converted waveforms against their references"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--reference", required=True, metavar="DIR", help="natural speech of the target speaker"
    )
    parser.add_argument(
        "--converted",
        required=True,
        metavar="DIR",
        help="converted speech, named as in --reference",
    )
    parser.add_argument(
        "--protocol", default="vcbench-1", metavar="P", help="how it is measured (vcbench-1)"
    )
    parser.add_argument("--metrics", metavar="A,B", help="names of metrics; by default all")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes; by default all cores")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def execute(args: argparse.Namespace) -> int:
    """Score, print, and return 1 if an expected utterance could not be scored, else 0."""
    from vcbench import protocols, scoring, terminal
    from vcbench.errors import UsageError
    from vcbench.parallel import default_jobs
    from vcbench.plugins import Registry

    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: at least 1 process is needed")
    protocol = protocols.get(args.protocol)
    registry = Registry()
    metrics = _metrics(args.metrics, registry)
    folders = scoring.match_folders(Path(args.reference), Path(args.converted))
    with terminal.progress_bars() as progress:
        results = scoring.score_all(
            folders.items,
            protocol=protocol.id,
            metrics=list(metrics),
            registry=registry,
            jobs=args.jobs or default_jobs(),
            progress=progress,
        )
    expected = len(results) + len(folders.only_reference) + len(folders.only_converted)
    estimates = scoring.summarize(results, list(metrics), expected=expected)
    if args.json:
        _print_json(protocol, metrics, estimates, results, folders)
    else:
        _print_table(protocol, metrics, estimates)
    problems = _problems(results, folders)
    for line in [*problems, *_undefined(results)]:
        terminal.say(line)
    return 1 if problems else 0


def _metrics(named: str | None, registry: Any) -> dict[str, Plugin]:
    """The metrics to compute, by name; raises `UsageError` or `PluginError`."""
    from vcbench.errors import UsageError, did_you_mean

    if named is None:
        names = [d.name for d in registry.declarations("metric") if not d.problem]
    else:
        names = [name.strip() for name in named.split(",") if name.strip()]
    if not names:
        valid = did_you_mean("", registry.names("metric"))
        raise UsageError(f"--metrics '{named or ''}' names no metric; {valid}")
    return {name: registry.get("metric", name) for name in names}


def _problems(results: Sequence[ScoreResult], folders: Folders) -> list[str]:
    """One line for each side that lacks files, and one for each utterance that failed."""
    lines = []
    for missing, there, lacking in (
        (folders.only_reference, "reference", "converted"),
        (folders.only_converted, "converted", "reference"),
    ):
        if missing:
            lines.append(f"{len(missing)} only in --{there}, no {lacking}: {', '.join(missing)}")
    return lines + [f"not scored: {result.failure}" for result in results if result.failure]


def _undefined(results: Sequence[ScoreResult]) -> list[str]:
    """One line for each metric that has no value for some scored utterance."""
    without: dict[str, list[str]] = {}
    for result in results:
        for name, value in result.values.items():
            if value != value:
                without.setdefault(name, []).append(result.item.labels)
    return [
        f"{name} is undefined for {len(ids)} of {len(results)}: {', '.join(ids)}"
        for name, ids in without.items()
    ]


def _print_table(
    protocol: Protocol, metrics: dict[str, Plugin], estimates: dict[str, Estimate]
) -> None:
    from rich.table import Table

    from vcbench.terminal import console

    table = Table("metric", "mean", "95 % interval", "unit", "better", "n", title=protocol.id)
    for column in (1, 2, 5):
        table.columns[column].justify = "right"
    for name, estimate in estimates.items():
        details = metrics[name].details
        interval = f"{estimate.low:.3f} to {estimate.high:.3f}" if estimate.has_interval else "-"
        mean = f"{estimate.mean:.3f}" if estimate.n else "-"
        n = f"{estimate.n}/{estimate.expected}"
        table.add_row(name, mean, interval, details["unit"], details["better"], n)
    out = console()
    out.print(table)
    out.print(protocol.text, style="dim", highlight=False)


def _print_json(
    protocol: Protocol,
    metrics: dict[str, Plugin],
    estimates: dict[str, Estimate],
    results: Sequence[ScoreResult],
    folders: Folders,
) -> None:
    import json
    import math

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    utterances = [
        {
            "id": result.item.labels,
            "status": "failed" if result.failure else "scored",
            "reason": result.failure,
            "values": {name: number(value) for name, value in result.values.items()},
        }
        for result in results
    ]
    for ids, reason in (
        (folders.only_reference, "no converted file"),
        (folders.only_converted, "no reference file"),
    ):
        utterances += [{"id": i, "status": "missing", "reason": reason, "values": {}} for i in ids]
    document = {
        "protocol": protocol.id,
        "protocol_text": protocol.text,
        "metrics": {
            name: {
                "mean": number(e.mean),
                "ci95": [e.low, e.high] if e.has_interval else None,
                "n": e.n,
                "expected": e.expected,
                **metrics[name].details,
            }
            for name, e in estimates.items()
        },
        "utterances": sorted(utterances, key=lambda u: str(u["id"])),
    }
    print(json.dumps(document, indent=2, allow_nan=False))
