"""`vcbench bench`: the training step and the generators, timed beside what they are compared with.

`bench train` is about how fast the engine is: against the step that public implementations write.
`bench generators` is about whether anything became slower: against copies of vcbench's own code.
`bench features`, `bench loop` and `bench jobs` are about what surrounds a step: extraction in
several processes, data and log, other cells. `bench convolution` is about what is inside.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from vcbench.cli import suite_arguments
from vcbench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from vcbench.bench.generators import Examined
    from vcbench.plugins import Registry
    from vcbench.training.cell import Cell

HELP = "time the training step against a plain one, or the generators against their frozen copies"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of train and generators."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    train = actions.add_parser(
        "train",
        help="the training step against a plain eager PyTorch one",
        description="How many times as many iterations a second the engine makes as a plain eager "
        "PyTorch step, in one process, in turns. Default: the full-size system of the CycleGAN-VC "
        "paper, wide generator, least squares.",
    )
    train.add_argument("--suite", metavar="SUITE", help="take a system of this suite")
    suite_arguments.add_trust(train)
    train.add_argument("--system", metavar="NAME", help="which, where it has several")
    train.add_argument("--scale", type=float, help="multiply all widths (default: the system's)")
    train.add_argument(
        "--precision",
        choices=("float32", "tf32", "bf16"),
        help="of the engine; the plain step computes in float32 (default: the system's)",
    )
    generators = actions.add_parser(
        "generators",
        help="each generator and its training step against their frozen copies: the speed gates",
        description="Whether a built-in generator, forward and backward, or the training step is "
        "slower than its frozen copy in tests/benchmark. Exit code 1 if one is, or does not "
        "compute the same, or has other parameters, MACs or operators.",
    )
    generators.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all)")
    features = actions.add_parser(
        "features",
        help="feature extraction by two processes against one",
        description="How much faster two processes extract features than one, of synthetic speech; "
        "for figures to report, the machine must do nothing else.",
    )
    loop = actions.add_parser(
        "loop",
        help="what the training loop costs beside the steps",
        description="Crops, their hash, the log and its checks, in percent of the training step; "
        "on one thread of a processor.",
    )
    loop.add_argument("--scale", type=float, default=0.125, help="of all widths (0.125)")
    jobs = actions.add_parser(
        "jobs",
        help="cells beside each other against one after the other",
        description="Training steps a second of several processes together, against one process "
        "with all the threads: what --jobs decides. The machine must do nothing else.",
    )
    jobs.add_argument("--scale", type=float, default=1.0, help="of all widths (1)")
    jobs.add_argument("--jobs", type=int, metavar="N", help="processes (one per processor)")
    jobs.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    convolution = actions.add_parser(
        "convolution",
        help="where a matrix product convolves faster than PyTorch",
        description="Convolutions of the full-size networks, forward and backward on one thread.",
    )
    for action in (features, loop, jobs, convolution):
        action.add_argument("--json", action="store_true", help="print JSON")
    for action in (train, generators):
        action.add_argument(
            "--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)"
        )
        action.add_argument(
            "--threads",
            type=int,
            default=1,
            metavar="N",
            help="of PyTorch; with more than one, not processor time but time on the clock is "
            "compared (default: 1)",
        )
        action.add_argument(
            "--pairs", type=int, default=30, metavar="N", help="timed at least (default: 30)"
        )
        action.add_argument("--json", action="store_true", help="print JSON")


def execute(args: argparse.Namespace) -> int:
    """Print the comparison; 1 if a gate fails. Waits until no cell trains on this machine."""
    from vcbench import exclusive, paths
    from vcbench.terminal import say

    def on_wait() -> None:
        limit = f"at most {exclusive.LIMIT_S / 60:.0f} min"
        say(f"bench: waits until no cell trains and nobody else measures ({limit})")

    with exclusive.measuring(paths.cache_dir(), on_wait=on_wait) as is_alone:
        if not is_alone:
            say("WARNING other runs use this machine: what follows was measured beside them")
        return _execute(args)


def _execute(args: argparse.Namespace) -> int:
    if args.action not in ("train", "generators"):
        return _rows(args)
    for name, value, least in (("--threads", args.threads, 1), ("--pairs", args.pairs, 2)):
        if value < least:
            raise UsageError(f"{name} {value}: must be at least {least}")
    args.device = suite_arguments.resolve_device(args.device)
    return _train(args) if args.action == "train" else _generators(args)


def _rows(args: argparse.Namespace) -> int:
    if getattr(args, "scale", 1.0) <= 0:
        raise UsageError(f"--scale {args.scale}: must be more than 0")
    if args.action == "features":
        from vcbench.bench import features

        rows = features.measure()
    elif args.action == "loop":
        from vcbench.bench import loop

        rows = loop.measure(scale=args.scale)
    elif args.action == "jobs":
        from vcbench.bench import jobs

        if args.jobs is not None and args.jobs < 2:
            raise UsageError(f"--jobs {args.jobs}: must be at least 2, to compare with 1")
        device = suite_arguments.resolve_device(args.device)
        rows = jobs.measure(scale=args.scale, device=device, jobs=args.jobs)
    else:
        from vcbench.bench import convolution

        rows = convolution.measure()
    if args.json:
        print(json.dumps({row["metric"]: row["value"] for row in rows}, indent=2))
    else:
        width = max(len(row["metric"]) for row in rows)
        for row in rows:
            print(f"{row['metric']:<{width}} {row['value']:.5g} {row['unit']}")
    return 0


def _train(args: argparse.Namespace) -> int:
    from vcbench.bench.train import compare_steps
    from vcbench.terminal import progress_bars

    with redirect_stdout(sys.stderr):  # a plugin may print, and stdout is for the results
        cell, registry = _cell(args)
        with progress_bars() as progress:
            found = compare_steps(
                cell, registry, threads=args.threads, pairs=args.pairs, progress=progress
            )
    stages = [
        {
            "identity_loss": stage.identity_loss,
            "reference_s": stage.time.first_s,
            "engine_s": stage.time.second_s,
            "ratio": stage.time.ratio,
            "ci95": list(stage.time.ci95),
            "pairs": stage.time.pairs,
            "floor_s": stage.floor.seconds,
            "operations": stage.floor.operations,
            "operations_per_second": stage.floor.operations_per_second,
            "adam_bytes": stage.floor.bytes,
            "bytes_per_second": stage.floor.bytes_per_second,
        }
        for stage in found.stages
    ]
    document: dict[str, Any] = {
        "system": cell.system,
        "scale": cell.scale,
        "device": args.device,
        "precision": cell.recipe.precision,
        "threads": args.threads,
        "clock": found.stages[0].time.clock,
        # Of the first stage; both are below.
        **{key: stages[0][key] for key in ("reference_s", "engine_s", "ratio", "ci95")},
        "loss_difference": found.loss_difference,
        "stages": stages,
    }
    if args.json:
        print(json.dumps(document, indent=2))
    else:
        _print_train(document)
    return 0


def _cell(args: argparse.Namespace) -> tuple[Cell, Registry]:
    from dataclasses import replace

    from vcbench import suite
    from vcbench.bench.train import PAPER_SYSTEM, cell_of
    from vcbench.plugins import Registry

    if args.suite is not None:
        loaded = suite.load(args.suite, trust_plugins=args.trust_plugins)
        cell, registry = cell_of(loaded, args.system), loaded.registry
    elif args.system is not None:
        raise UsageError(f"--system {args.system}: of which suite? Give --suite SUITE too")
    else:
        cell, registry = PAPER_SYSTEM, Registry()
    if args.scale is not None:
        if not args.scale > 0:
            raise UsageError(f"--scale {args.scale}: must be more than 0")
        cell = replace(cell, scale=args.scale)
    if args.precision is not None:
        cell = replace(cell, recipe=replace(cell.recipe, precision=args.precision))
    return replace(cell, device=args.device), registry


def _print_train(found: dict[str, Any]) -> None:
    from rich.table import Table

    from vcbench.terminal import console

    screen = console()
    screen.print(
        f"{found['system']}, scale {found['scale']:g}, {found['precision']} on {found['device']}, "
        f"{found['threads']} thread(s), {found['clock']}",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False)
    headings = ("training step", "plain step", "engine", "it/s", "ratio", "95 %", "floor")
    for heading in headings:
        left = heading == "training step"
        table.add_column(heading, justify="left" if left else "right", no_wrap=left)
    for stage in found["stages"]:
        low, high = stage["ci95"]
        table.add_row(
            "identity loss on" if stage["identity_loss"] else "identity loss off",
            _milliseconds(stage["reference_s"]),
            _milliseconds(stage["engine_s"]),
            f"{1 / stage['engine_s']:.2f}",
            f"{stage['ratio']:.2f}",
            f"{low:.2f} to {high:.2f}",
            _milliseconds(stage["floor_s"]),
        )
    screen.print(table)
    for stage in found["stages"]:
        above = stage["engine_s"] / stage["floor_s"]
        screen.print(
            f"{above:.2f} times the floor: {stage['operations'] / 1e9:.1f} GFLOP at "
            f"{stage['operations_per_second'] / 1e9:.0f} GFLOP/s, Adam's "
            f"{stage['adam_bytes'] / 1e9:.2f} GB at {stage['bytes_per_second'] / 1e9:.1f} GB/s",
            highlight=False,
        )
    screen.print(
        f"losses of the first steps differ by {found['loss_difference']:.1e} of themselves at most",
        highlight=False,
    )


def _generators(args: argparse.Namespace) -> int:
    from vcbench.bench.generators import built_in, examine
    from vcbench.plugins import Registry
    from vcbench.terminal import progress_bars

    valid = built_in(Registry(), "generator")
    for name in args.names:
        if name not in valid:
            raise UsageError(f"bench generators {name}: not built in; {did_you_mean(name, valid)}")
    options = {"device": args.device, "threads": args.threads, "pairs": args.pairs}
    with progress_bars() as progress:
        found = [examine(name, **options, progress=progress) for name in args.names or valid]
    if args.json:
        print(json.dumps({"generators": [_described(examined) for examined in found]}, indent=2))
    else:
        _print_generators(found)
    return 1 if any(examined.failed for examined in found) else 0


def _described(examined: Examined) -> dict[str, Any]:
    phases: dict[str, dict[str, Any]] = {}
    for phase, time in examined.phases.items():
        if isinstance(time, str):
            phases[phase] = {"verdict": "failed", "reason": time}
        else:
            phases[phase] = {
                "verdict": time.verdict,
                "seconds": time.first_s,
                "frozen_s": time.second_s,
                "ratio": time.ratio,
                "ci95": list(time.ci95),
                "pairs": time.pairs,
                "clock": time.clock,
            }
    return {
        "name": examined.name,
        "parameters": examined.counts.parameters,
        "macs": examined.counts.macs,
        "operators": examined.counts.operators,
        "changed": examined.changed,
        "phases": phases,
    }


def _print_generators(found: list[Examined]) -> None:
    from rich.table import Table

    from vcbench.bench.generators import WHAT
    from vcbench.terminal import console

    screen = console()
    table = Table(box=None, pad_edge=False)
    for heading in ("generator", "what", "now", "frozen", "ratio", "95 %", "pairs", "verdict"):
        words = heading in ("generator", "what", "verdict")
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words)
    failures = []
    for examined in found:
        failures += [f"{examined.name}: {line}" for line in examined.changed]
        for phase, time in examined.phases.items():
            if isinstance(time, str):
                failures.append(time)
                table.add_row(examined.name, WHAT[phase], *5 * [""], "failed")
                continue
            low, high = time.ci95
            table.add_row(
                examined.name,
                WHAT[phase],
                _milliseconds(time.first_s),
                _milliseconds(time.second_s),
                f"{time.ratio:.3f}",
                f"{low:.3f} to {high:.3f}",
                str(time.pairs),
                time.verdict,
            )
    screen.print(table)
    for line in failures:
        screen.print(line, markup=False, highlight=False)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
