"""`vcbench results export|import`: take results from one machine to another."""

from __future__ import annotations

import argparse
import shlex
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from vcbench.cli import suite_arguments
from vcbench.errors import UsageError

if TYPE_CHECKING:
    from vcbench.planning import Plan
    from vcbench.transfer.contents import Contents

HELP = "take results from one machine to another, in one file"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of export and import."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="export|import")
    export = actions.add_parser(
        "export",
        help="write the results of a suite or a run into one file",
        description="Write results into one file: of a suite, of a run's folder, or of the cells "
        "of an archive that was imported here. The same results give the same file.",
    )
    export.add_argument(
        "what", metavar="SUITE|RUN|ZIP", help="a suite, a run's folder, or an imported archive"
    )
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.zip")
    export.add_argument(
        "--with-checkpoints",
        action="store_true",
        help="so that speech can be converted, or trained on, where it is taken to",
    )
    export.add_argument(
        "--to-train",
        action="store_true",
        help="cells that are not done too, with their features: to be trained elsewhere",
    )
    take = actions.add_parser(
        "import",
        help="take such a file over into the cache",
        description="Take over what `vcbench results export` wrote, so that `vcbench run` finds it "
        "done. Doing it twice changes nothing.",
    )
    take.add_argument("file", type=Path, metavar="FILE.zip")
    take.add_argument(
        "--suite", help="the suite that it is for: its data here are compared, its cells counted"
    )
    take.add_argument(
        "--accept",
        action="append",
        default=[],
        choices=("code", "data", "protocol"),
        help="take over although this differs from what is here; repeatable",
    )
    for action in (export, take):
        suite_arguments.add_trust(action)
        action.add_argument(
            "--plugin",
            action="append",
            default=[],
            type=Path,
            metavar="FILE",
            help="a plugin file of the suite, as it lies here; it is executed; repeatable",
        )
        suite_arguments.add_choices(action)


def execute(args: argparse.Namespace) -> int:
    """Run the action; 3 if not all of the suite, or the run, is done."""
    return {"export": _export, "import": _import}[args.action](args)


def _export(args: argparse.Namespace) -> int:
    from vcbench import paths
    from vcbench.terminal import count_of, say
    from vcbench.transfer.pack import pack

    packed = pack(
        _contents(args),
        args.output,
        cache_dir=paths.cache_dir(),
        with_checkpoints=args.with_checkpoints,
        to_train=args.to_train,
    )
    say(
        f"{count_of(packed.done, 'cell')} done, {packed.to_train} to train; "
        f"{count_of(packed.files, 'file')}, "
        f"{packed.n_bytes / 1e6:.1f} MB"
    )
    for cell in packed.failed:
        say(f"failed; how is taken along: {cell}")
    for cell in packed.missing:
        say(f"left out: {cell}")
    print(args.output)
    return 3 if packed.failed or packed.missing else 0


def _contents(args: argparse.Namespace) -> Contents:
    from vcbench import paths
    from vcbench.transfer import contents

    what, cache_dir = Path(args.what), paths.writable_cache_dir()
    if what.is_dir():
        return contents.of_run(what, cache_dir)
    if zipfile.is_zipfile(what):
        return contents.of_archive(what, cache_dir, args.plugin)
    args.suite = args.what
    plan = _plan(args)
    if args.to_train:
        _extract(plan, cache_dir, args)
    return contents.of_plan(plan, cache_dir)


def _import(args: argparse.Namespace) -> int:
    from vcbench import paths
    from vcbench.plugins import Registry
    from vcbench.terminal import count_of, say
    from vcbench.training.cell import Cell
    from vcbench.training.files import CELL
    from vcbench.transfer.unpack import unpack

    before = _plan(args) if args.suite else None
    found = unpack(
        args.file,
        cache_dir=paths.writable_cache_dir(),
        registry=Registry(args.plugin) if args.plugin or not before else before.suite.registry,
        accept=args.accept,
        data_fingerprint=before.data_fingerprint if before else None,
    )
    for problem in found.problems:
        say(f"WARNING {problem}")
    say(
        f"{found.suite}: {count_of(len(found.done), 'cell')} taken over, {len(found.there)} here "
        f"before, {len(found.to_train)} to train, {len(found.failed)} failed; "
        f"{count_of(found.files, 'file')}"
    )
    lacking = 0
    if before is None:
        say("the data were not compared with what is here: name the suite with --suite")
    else:
        cells = _plan(args).cells
        lacking = sum(not cell.done for cell in cells)
        say(f"{args.suite}: {len(cells) - lacking} of {count_of(len(cells), 'cell')} done")
        for cell in cells:
            if not cell.done:
                say(f"not done: {cell.cell.id}: {cell.reason}")
    for folder in found.to_train:  # a machine that only trains needs no more than this
        trust = ["--trust-plugins"] if Cell.read(folder / CELL).plugin_files else []
        print(shlex.join(["python", "-m", "vcbench.cell", str(folder / CELL), *trust]))
    if found.problems:
        return 1
    return 3 if lacking else 0


def _plan(args: argparse.Namespace) -> Plan:
    """The plan of the suite, whether or not what it is trained on is here."""
    from vcbench.suite_files import require_known

    if args.fresh:
        raise UsageError("--fresh: results that are to be trained again cannot be taken anywhere")
    plan = suite_arguments.any_plan_of(args, trust_plugins=args.trust_plugins)
    require_known(plan)
    return plan


def _extract(plan: Plan, cache_dir: Path, args: argparse.Namespace) -> None:
    """Analyse the speech that is trained on, since it is to be taken where that cannot be done."""
    from vcbench.features import FeatureStore
    from vcbench.parallel import default_jobs
    from vcbench.terminal import progress_bars

    with progress_bars() as progress:
        store = FeatureStore(cache_dir, plan.parameters)
        store.extract(plan.speech.all(), jobs=args.jobs or default_jobs(), progress=progress)
