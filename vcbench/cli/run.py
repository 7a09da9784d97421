"""`vcbench run SUITE`: train, convert, score and time every system of a suite, and report."""

from __future__ import annotations

import argparse
import signal
import sys

from vcbench.cli import suite_arguments

HELP = "train, convert, score and time every system of a suite, and write the comparison"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    suite_arguments.add(parser)
    parser.add_argument("--engine", default="local", help="what runs the cells (default: local)")
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write event files for TensorBoard into the folder of each cell that is trained",
    )
    parser.add_argument(
        "--inline-audio",
        action="store_true",
        help="put the sounds into the page, so that it can be sent as one file",
    )
    parser.add_argument("--reports", metavar="DIR", help="where reports go (VCBENCH_REPORTS_DIR)")


def execute(args: argparse.Namespace) -> int:
    """Run the suite; 0 if all cells are ok, 1 if one failed."""
    from vcbench import paths, runner
    from vcbench.reporting.tables import print_answer, terminal_table
    from vcbench.terminal import console, progress_bars, say
    from vcbench.training import tensorboard

    # A terminated harness must stop its cells in order, as an interrupted one does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    if args.tensorboard:
        tensorboard.require()
    reports_dir = paths.writable_reports_dir(args.reports)
    plan = suite_arguments.plan_of(args)
    device = plan.cells[0].cell.device if plan.cells else "cpu"
    jobs = suite_arguments.jobs_of(args, plan)
    engine = plan.suite.registry.get("engine", args.engine).factory(jobs=jobs, device=device)
    done = sum(cell.done for cell in plan.cells)
    say(
        f"{plan.suite.name}: {len(plan.cells)} cells ({done} trained before), "
        f"{len(plan.baselines)} baselines, {plan.missing_features} utterances to analyse"
    )
    with progress_bars() as progress:
        result = runner.run(
            plan,
            cache_dir=paths.writable_cache_dir(),
            reports_dir=reports_dir,
            jobs=jobs,
            engine=engine,
            command=["vcbench", *sys.argv[1:]],
            tensorboard=args.tensorboard,
            inline_audio=args.inline_audio,
            progress=progress,
        )
    screen = console()
    screen.print(terminal_table(result.leaderboard, screen.width))
    print_answer(result.leaderboard)
    print(f"report: {result.folder / 'index.html'}")
    if args.tensorboard:
        say(f"event files: tensorboard --logdir {paths.writable_cache_dir() / 'cells'}")
    if result.failed:
        say(f"cells that failed: {result.failed}; the report and cells.jsonl tell why")
    return 1 if result.failed else 0
