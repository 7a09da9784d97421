"""`python -m vcbench.reference curves|publish|findings|check`: see `vcbench.reference`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import vcbench.reference
from vcbench.cli import suite_arguments
from vcbench.errors import UsageError, VcbenchError
from vcbench.reference import PAGE, README, STORED

SENTENCES = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code."""
    args = _parser().parse_args(arguments)
    try:
        return int(args.do(args))
    except VcbenchError as error:
        print(f"reference: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"reference: {error}", file=sys.stderr)
        return UsageError.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vcbench.reference",
        description=vcbench.reference.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    curves = commands.add_parser("curves", help="train, and score every N iterations")
    suite_arguments.add(curves)
    curves.add_argument("--every", type=int, required=True, metavar="N", help="iterations")
    curves.add_argument("--sentences", type=int, default=SENTENCES, help=f"({SENTENCES})")
    curves.add_argument("-o", dest="table", type=Path, required=True, metavar="FILE.csv")
    curves.set_defaults(do=_curves)

    publishing = commands.add_parser("publish", help="a run's results into a folder to commit")
    publishing.add_argument("run_dir", type=Path)
    publishing.add_argument("folder", type=Path)
    publishing.add_argument("--curves", type=Path, metavar="FILE", help="what 'curves' wrote")
    publishing.set_defaults(do=_publish)

    findings = commands.add_parser("findings", help="the page, and the README's table")
    findings.add_argument("stored", nargs="?", type=Path, default=STORED, help=f"({STORED})")
    findings.add_argument("page", nargs="?", type=Path, default=PAGE, help=f"({PAGE})")
    findings.add_argument("readme", nargs="?", type=Path, help=f"({README}, if all are left out)")
    findings.set_defaults(do=_findings)

    checking = commands.add_parser("check", help="train a cell again and compare its rows")
    checking.add_argument("folder", type=Path)
    checking.add_argument("--cell", required=True, metavar="SYSTEM/PAIR/SEED")
    checking.add_argument("--data", metavar="DIR", help="where corpora lie (VCBENCH_DATA_DIR)")
    checking.add_argument("--jobs", type=int, metavar="N")
    checking.add_argument("--tolerance", type=float, default=0.0, help="of a score (0: to the bit)")
    checking.set_defaults(do=_check)
    return parser


def _curves(args: argparse.Namespace) -> int:
    from vcbench.reference import curves

    if args.fresh or args.engine != "local":
        raise UsageError("--fresh, --engine: curves are made here, of what is not trained yet")
    # It trains what the suite says, so it executes what the suite names, as `vcbench run` does.
    plan = suite_arguments.plan_of(args, trust_plugins=True)
    jobs = suite_arguments.jobs_of(args, plan)
    return curves.made(plan, args.table, every=args.every, sentences=args.sentences, jobs=jobs)


def _publish(args: argparse.Namespace) -> int:
    from vcbench import paths
    from vcbench.reference.publish import publish

    run_dir = args.run_dir.resolve()
    publish(run_dir, args.folder, cache_dir=paths.cache_dir(), curves=args.curves)
    print(f"{args.folder}: now run `python -m vcbench.reference findings`")
    return 0


def _findings(args: argparse.Namespace) -> int:
    from vcbench.reference import findings

    defaults = (args.stored, args.page) == (STORED, PAGE)
    findings.write(args.stored, args.page, args.readme or (README if defaults else None))
    return 0


def _check(args: argparse.Namespace) -> int:
    from vcbench import paths
    from vcbench.reference.check import check

    found = check(
        args.folder,
        args.cell,
        data_dir=paths.data_dir(args.data),
        cache_dir=paths.writable_cache_dir(),
        jobs=args.jobs,
    )
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{args.cell}: {found.equal} of {found.rows} scores are equal to the last bit")
    for metric, apart in found.furthest.items():
        print(f"  {metric}: largest difference {apart:.3g}")
    return 0 if found.ok(args.tolerance) else 1


if __name__ == "__main__":
    sys.exit(main())
