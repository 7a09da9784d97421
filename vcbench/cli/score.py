"""`vcbench score`: scores of anyone's converted waveforms under a stated protocol."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vcbench.plugins import Plugin
    from vcbench.protocols import Protocol
    from vcbench.scoring import ScoredSet
    from vcbench.statistics import Contrast

HELP = "score converted waveforms against their references, and compare several sets of them"
_FILES = (
    "a folder, a quoted pattern ('out/*.wav'), a Kaldi list (ID PATH on each line), or a CSV with "
    "the columns id,path"
)
_TARGET = "target"
# Ids on one line; --json and --csv hold all.
_SHOWN = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--reference", required=True, metavar="FILES", help=f"the target speaker's speech: {_FILES}"
    )
    parser.add_argument(
        "--converted",
        required=True,
        action="append",
        metavar="[NAME=]FILES",
        help="converted speech, whose ids (file names without suffix) are those of --reference; "
        "give it again for other systems: every two are compared",
    )
    parser.add_argument(
        "--protocol", default="vcbench-1", metavar="P", help="how it is measured (vcbench-1)"
    )
    parser.add_argument(
        "--dtw", choices=("exact", "fastdtw"), help="the path; by default the protocol's own"
    )
    parser.add_argument(
        "--metrics",
        metavar="A,B",
        help="names of metrics; by default all of a conversion that what is given allows",
    )
    parser.add_argument(
        "--target-speech",
        metavar="FILES",
        help="for speaker-similarity: training speech of the target, not the sentences scored",
    )
    parser.add_argument(
        "--other-speech",
        default=[],
        action="append",
        metavar="FILES",
        help="and of another speaker, such as the source; give it again for more",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="processes; by default all cores")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument(
        "--csv", metavar="FILE", help="write every value: system,utterance,metric,protocol,..."
    )


def execute(args: argparse.Namespace) -> int:
    """Score, print, and return 1 if an expected utterance could not be scored, else 0."""
    from vcbench import protocols, scoring, terminal
    from vcbench.errors import UsageError
    from vcbench.parallel import default_jobs
    from vcbench.plugins import Registry
    from vcbench.scoring import documents

    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: at least 1 process is needed")
    if args.csv and not Path(args.csv).absolute().parent.is_dir():
        raise UsageError(f"--csv {args.csv}: no such folder")
    if args.dtw and "@" in args.protocol:
        raise UsageError(f"--dtw {args.dtw}: --protocol {args.protocol} names a path already")
    protocol = protocols.get(f"{args.protocol}@{args.dtw}" if args.dtw else args.protocol)
    registry = Registry()
    speakers = _speakers(args.target_speech, args.other_speech)
    metrics = _metrics(args.metrics, registry, with_speakers=bool(speakers))
    reference = scoring.utterances(args.reference)
    converted = _converted(args.converted)
    with terminal.progress_bars() as progress:
        sets = scoring.score_sets(
            reference,
            converted,
            protocol=protocol.id,
            metrics=list(metrics),
            registry=registry,
            jobs=args.jobs or default_jobs(),
            speakers=speakers,
            target=_TARGET,
            progress=progress,
        )
    comparisons = scoring.compare(sets, list(metrics))
    if args.csv:
        documents.write_csv(Path(args.csv), protocol, metrics, sets)
    if args.json:
        import json

        document = documents.json_document(protocol, metrics, sets, comparisons)
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        _print_tables(protocol, metrics, sets, comparisons)
    for one in sets:
        head = f"{one.system}: " if len(sets) > 1 else ""
        for line in [*_problems(one), *_undefined(one), *_notes(one)]:
            terminal.say(head + line)
    return 0 if all(one.is_complete for one in sets) else 1


def _speakers(target: str | None, others: Sequence[str]) -> dict[str, list[Path]]:
    """Files of training speech by speaker; of nobody where none is given."""
    from vcbench.errors import UsageError
    from vcbench.scoring import utterances

    if target is None and not others:
        return {}
    if target is None or not others:
        missing = "--other-speech" if target else "--target-speech"
        raise UsageError(
            f"{missing} is missing: a voice is told by training speech of the target and of at "
            "least one other speaker"
        )
    named = {_TARGET: target} | {f"other {i}": files for i, files in enumerate(others, start=1)}
    return {name: list(utterances(files).values()) for name, files in named.items()}


def _metrics(named: str | None, registry: Any, *, with_speakers: bool) -> dict[str, Plugin]:
    """The metrics to compute, by name; raises `UsageError` or `PluginError`."""
    from vcbench.errors import UsageError, did_you_mean
    from vcbench.scoring.arrays import usual_metrics

    if named is None:
        return usual_metrics(registry, with_speakers=with_speakers)
    names = [name.strip() for name in named.split(",") if name.strip()]
    if not names:
        valid = did_you_mean("", registry.names("metric"))
        raise UsageError(f"--metrics '{named}' names no metric; {valid}")
    return {name: registry.get("metric", name) for name in names}


def _converted(arguments: Sequence[str]) -> dict[str, dict[str, Path]]:
    """The files of each converted set, by id; a set without a name is called what its path is."""
    from vcbench.errors import UsageError
    from vcbench.scoring import refuse_repeated_files, utterances

    sets: dict[str, dict[str, Path]] = {}
    for argument in arguments:
        name, equals, named = argument.partition("=")
        # A path may hold a '=' too; a name holds no separator.
        if not equals or "/" in name or not name or Path(argument).exists():
            name, named = Path(argument).stem or argument, argument
        if name in sets:
            raise UsageError(
                f"--converted {argument}: there is a set '{name}' already; "
                f"give it another name: --converted NAME={named}"
            )
        sets[name] = utterances(named)
        refuse_repeated_files(sets[name], named)
    return sets


def _problems(one: ScoredSet) -> list[str]:
    """One line for each side that lacks files, and one for each value that could not be had."""
    lines = []
    for missing, there, lacking in (
        (one.only_reference, "reference", "converted"),
        (one.only_converted, "converted", "reference"),
    ):
        if missing:
            lines.append(f"{len(missing)} only in --{there}, no {lacking}: {_listed(missing)}")
    return lines + [f"not scored: {problem}" for r in one.results for problem in r.problems]


def _undefined(one: ScoredSet) -> list[str]:
    """One line for each metric that has no value for some scored utterance."""
    without: dict[str, list[str]] = {}
    for result in one.results:
        for name, value in result.values.items():
            if value != value:
                without.setdefault(name, []).append(str(result.item.labels))
    return [
        f"{name} is undefined for {len(ids)} of {len(one.results)}: {_listed(ids)}"
        for name, ids in without.items()
    ]


def _notes(one: ScoredSet) -> list[str]:
    """One line for each thing to know of some files."""
    noted: dict[str, list[str]] = {}
    for result in one.results:
        for note in result.notes:
            noted.setdefault(note, []).append(str(result.item.labels))
    return [
        f"note: {note}: {len(ids)} of {len(one.results)}: {_listed(ids)}"
        for note, ids in noted.items()
    ]


def _listed(ids: Sequence[str]) -> str:
    more = f", and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more


def _print_tables(
    protocol: Protocol,
    metrics: Mapping[str, Plugin],
    sets: Sequence[ScoredSet],
    comparisons: Mapping[str, Sequence[Contrast]],
) -> None:
    from rich.table import Table

    from vcbench.terminal import console

    several = len(sets) > 1
    system = ["system"] if several else []
    table = Table(
        "metric", *system, "mean", "95 % interval", "unit", "better", "n", title=protocol.id
    )
    for header in ("mean", "95 % interval", "n"):
        next(column for column in table.columns if column.header == header).justify = "right"
    estimates = {one.system: one.summarize(list(metrics)) for one in sets}
    for name, metric in metrics.items():
        for one in sets:
            estimate = estimates[one.system][name]
            n = f"{estimate.n}/{estimate.expected}"
            about = (protocol.unit(name, metric.details["unit"]), metric.details["better"], n)
            label = [one.system] if several else []
            table.add_row(name, *label, *_number_and_interval(estimate), *about)
    out = console()
    out.print(table)
    if comparisons:
        out.print(_differences(protocol, metrics, comparisons))
    if protocol.warning:
        out.print(f"Warning: {protocol.warning}", highlight=False)
    what = f"vcbench show protocol {protocol.id}"
    out.print(f"What {protocol.id} is, to the last constant: {what}", style="dim", highlight=False)


def _differences(
    protocol: Protocol,
    metrics: Mapping[str, Plugin],
    comparisons: Mapping[str, Sequence[Contrast]],
) -> Any:
    """A table of the differences between every two sets."""
    from rich.table import Table

    title = (
        "differences, sentence by sentence; p and intervals are corrected for the comparisons of "
        "each metric (Holm)"
    )
    table = Table("metric", "difference", "mean", "interval", "unit", "p", "n", title=title)
    for column in (2, 3, 5, 6):
        table.columns[column].justify = "right"
    for metric, contrasts in comparisons.items():
        for one in contrasts:
            found = one.difference
            p = f"{found.p_holm:.2g}" if found.claimable else "too few"
            n = f"{found.n}/{found.expected}"
            mark = " *" if found.decided else ""
            numbers = _number_and_interval(found, sign="+")
            unit = protocol.unit(metric, metrics[metric].details["unit"])
            table.add_row(metric, f"{one.a} - {one.b}{mark}", *numbers, unit, p, n)
    table.caption = "* the interval excludes zero; too few: so few sentences cannot reach p < 0.05"
    return table


def _number_and_interval(estimate: Any, sign: str = "") -> tuple[str, str]:
    mean = f"{estimate.mean:{sign}.3f}" if estimate.n else "-"
    low, high = (f"{bound:{sign}.3f}" for bound in (estimate.low, estimate.high))
    return mean, f"{low} to {high}" if estimate.has_interval else "-"
