"""`vcbench data`: get a corpus, check its files, and see what it holds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vcbench.corpora import Corpus, FileProblem
    from vcbench.corpora.summary import SpeakerSummary

HELP = "fetch a corpus, check its files, or show what it holds"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of fetch, check and stats."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="fetch|check|stats")
    fetch = actions.add_parser("fetch", help="download a corpus, or synthesise the demo")
    check = actions.add_parser("check", help="what is missing, corrupt or of the wrong rate")
    stats = actions.add_parser("stats", help="utterances, minutes and log F0 of each speaker")
    for action in (fetch, check, stats):
        action.add_argument("name", metavar="NAME", help="corpus, as in: vcbench list corpora")
        action.add_argument(
            "--data", metavar="DIR", help="folder of the corpora (VCBENCH_DATA_DIR, then ./data)"
        )
        action.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="OPTION=VALUE",
            help="an option of the corpus, as in a suite",
        )
    fetch.add_argument("--variant", help="which edition, for example npVCC2016 or official")
    for action in (check, stats):
        action.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        action.add_argument(
            "--sample-rate", type=int, default=16000, metavar="HZ", help="default: %(default)s"
        )
    stats.add_argument("--jobs", type=int, metavar="N", help="processes; by default all cores")


def execute(args: argparse.Namespace) -> int:
    """Run the action; 0 if all is well, 1 if `check` (or what follows a fetch) finds problems."""
    corpus = _corpus(args)
    return {"fetch": _fetch, "check": _check, "stats": _stats}[args.action](args, corpus)


def _fetch(args: argparse.Namespace, corpus: Corpus) -> int:
    from vcbench import terminal
    from vcbench.errors import UsageError, did_you_mean

    if args.variant is not None and args.variant not in corpus.variants:
        hint = did_you_mean(args.variant, corpus.variants)
        raise UsageError(f"--variant: corpus '{args.name}' has no '{args.variant}': {hint}")
    with terminal.progress_bars() as progress:
        folder = corpus.fetch(progress, variant=args.variant)
    print(folder)
    problems = corpus.check()
    _say(problems)
    return int(any(p.is_harmful for p in problems))


def _check(args: argparse.Namespace, corpus: Corpus) -> int:
    problems = corpus.check(sample_rate=args.sample_rate)
    harmful = [p for p in problems if p.is_harmful]
    if args.json:
        rows = [{"path": str(p.path), "kind": p.kind, "detail": p.detail} for p in problems]
        _print_json({"corpus": args.name, "ok": not harmful, "problems": rows})
        return int(bool(harmful))
    for problem in problems:
        print(f"{problem.kind}: {problem.path}: {problem.detail}")
    print(f"{args.name}: {f'{len(harmful)} problems' if harmful else 'no problems'}")
    return int(bool(harmful))


def _stats(args: argparse.Namespace, corpus: Corpus) -> int:
    from dataclasses import asdict

    from vcbench import paths, terminal
    from vcbench.corpora.summary import summarize
    from vcbench.errors import UsageError
    from vcbench.features import FeatureStore
    from vcbench.parallel import default_jobs
    from vcbench.world import FeatureParameters

    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: must be at least 1, the processes at a time")
    parameters = FeatureParameters(sample_rate=args.sample_rate)
    store = FeatureStore(paths.writable_cache_dir(), parameters)
    with terminal.progress_bars() as progress:
        corpus.prepare(progress)
        summaries = summarize(corpus, store, jobs=args.jobs or default_jobs(), progress=progress)
    if args.json:
        speakers = {s.speaker: asdict(s) for s in summaries}
        for values in speakers.values():
            del values["speaker"]
        _print_json({"corpus": args.name, "features": parameters.to_json(), "speakers": speakers})
    else:
        _print_table(args.name, summaries)
    return 0


def _corpus(args: argparse.Namespace) -> Corpus:
    """The corpus that the arguments name; raises `PluginError` or `UsageError`."""
    from vcbench import paths
    from vcbench.plugins import Registry

    plugin = Registry().get("corpus", args.name)
    options = _options(args.set, {o.name: o.annotation for o in plugin.options}, args.name)
    return plugin.factory(data_dir=paths.data_dir(args.data), **options)


def _options(given: Sequence[str], annotations: dict[str, Any], name: str) -> dict[str, Any]:
    """OPTION=VALUE arguments as values of the annotated types; raises `UsageError`."""
    import yaml
    from pydantic import TypeAdapter, ValidationError

    from vcbench.errors import UsageError, did_you_mean

    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text}: expected OPTION=VALUE")
        if key not in annotations:
            hint = did_you_mean(key, annotations)
            raise UsageError(f"--set {text}: corpus '{name}' has no option '{key}': {hint}")
        try:
            options[key] = TypeAdapter(annotations[key]).validate_python(yaml.safe_load(value))
        except yaml.YAMLError:
            raise UsageError(f"--set {text}: the value is not valid YAML") from None
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UsageError(f"--set {text}: {reason[0].lower()}{reason[1:]}") from None
    return options


def _say(problems: Sequence[FileProblem]) -> None:
    """At most ten problems, on stderr."""
    from vcbench import terminal

    for problem in problems[:10]:
        terminal.say(f"{problem.kind}: {problem.path}: {problem.detail}")
    if len(problems) > 10:
        terminal.say(f"and {len(problems) - 10} more; all of them: vcbench data check")


def _print_table(name: str, summaries: Sequence[SpeakerSummary]) -> None:
    from math import exp

    from rich.table import Table

    from vcbench import terminal

    title = f"{name}: log F0 (natural log of Hz) over voiced frames of the training speech"
    table = Table("speaker", title=title)
    for heading in ("train", "eval", "train min", "eval min", "log F0 mean", "std", "as Hz"):
        table.add_column(heading, justify="right")
    for s in summaries:
        table.add_row(
            *(s.speaker, str(s.train), str(s.eval)),
            *(f"{s.train_minutes:.1f}", f"{s.eval_minutes:.1f}"),
            *(f"{s.log_f0_mean:.3f}", f"{s.log_f0_std:.3f}", f"{exp(s.log_f0_mean):.0f}"),
        )
    terminal.console().print(table)


def _print_json(value: dict[str, Any]) -> None:
    import json

    print(json.dumps(value, indent=2))
