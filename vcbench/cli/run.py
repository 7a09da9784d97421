"""`vcbench run SUITE`: train, convert, score and time every system of a suite, and report."""

from __future__ import annotations

import argparse
import signal
import sys

from vcbench.cli import resource_arguments, suite_arguments

HELP = "train, convert, score and time every system of a suite, and write the comparison"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    suite_arguments.add(parser)
    resource_arguments.add(parser)
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write event files for TensorBoard into the folder of each cell that is trained",
    )
    parser.add_argument(
        "--no-throughput",
        action="store_true",
        help="measure no speeds: some seconds for each system, while nothing else trains here",
    )
    parser.add_argument(
        "--inline-audio",
        action="store_true",
        help="put the sounds into the page, so that it can be sent as one file",
    )
    parser.add_argument("--reports", metavar="DIR", help="where reports go (VCBENCH_REPORTS_DIR)")


def execute(args: argparse.Namespace) -> int:
    """Run the suite; 0 if all cells are ok, 1 if one failed, 3 if some were left for later."""
    from vcbench import paths, runner, usage
    from vcbench.reporting.tables import print_answer, terminal_table
    from vcbench.terminal import console, count_of, progress_bars, say, stdout_may_fail
    from vcbench.training import tensorboard

    # A terminated harness must stop its cells in order, as an interrupted one does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    if args.tensorboard:
        tensorboard.require()
    reports_dir = paths.writable_reports_dir(args.reports)
    plan = suite_arguments.plan_of(args, trust_plugins=True)
    device = plan.cells[0].cell.device if plan.cells else "cpu"
    jobs = suite_arguments.jobs_of(args, plan)
    engine = plan.suite.registry.get("engine", args.engine).factory(
        jobs=jobs,
        device=device,
        resources=resource_arguments.resources_of(args, device=device, jobs=jobs),
        options=resource_arguments.options_of(args),
    )
    done = sum(cell.done for cell in plan.cells)
    say(
        f"{plan.suite.name}: {count_of(len(plan.cells), 'cell')} ({done} trained before), "
        f"{count_of(len(plan.baselines), 'baseline')}, "
        f"{count_of(plan.missing_features, 'utterance')} to analyse"
    )
    cache_dir = paths.writable_cache_dir()
    try:
        with usage.running(cache_dir), progress_bars() as progress:
            result = runner.run(
                plan,
                cache_dir=cache_dir,
                reports_dir=reports_dir,
                jobs=jobs,
                engine=engine,
                command=["vcbench", *sys.argv[1:]],
                shard=args.shard,
                retry_failed=args.retry_failed,
                tensorboard=args.tensorboard,
                inline_audio=args.inline_audio,
                measure_speed=not args.no_throughput,
                progress=progress,
            )
    except OSError as error:
        raise paths.unfinished(error, (cache_dir, reports_dir)) from None
    page = result.folder / "index.html"
    with stdout_may_fail(f"the table cannot be printed; the report is {page}"):
        screen = console()
        screen.print(terminal_table(result.leaderboard, screen.width))
        print_answer(result.leaderboard)
        print(f"report: {page}")
    if args.tensorboard:
        say(f"event files: tensorboard --logdir {cache_dir / 'cells'}")
    if result.failed:
        say(f"cells that failed: {result.failed}; the report and cells.jsonl tell why")
        return 1
    if result.missing:
        left = count_of(result.missing, "cell")
        say(f"incomplete: {left} not trained yet; cells.jsonl tells why")
        return 3
    return 0
