"""Arguments that `run` and `plan` share: which suite, which of its cells, on what."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vcbench.errors import UsageError

if TYPE_CHECKING:
    from vcbench.planning import Plan


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to a subcommand's parser."""
    parser.add_argument("suite", help="a suite file, or the name of a shipped suite")
    add_choices(parser)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add those that say what of a suite is meant, and how it is run."""
    parser.add_argument(
        "--budget", metavar="B", help="apply this budget of the suite: its keys replace the suite's"
    )
    parser.add_argument("--only", metavar="GLOB", help="only cells like 'paper-1d/SF1-*/0'")
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=v", help="override a key of the suite"
    )
    parser.add_argument("--seeds", type=_seeds, metavar="0,1", help="these seeds instead")
    parser.add_argument("--data", metavar="DIR", help="where corpora lie (VCBENCH_DATA_DIR)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(auto)")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="at a time (default: one a processor; one a GPU)"
    )
    parser.add_argument("--engine", default="local", help="what runs the cells (default: local)")
    parser.add_argument("--fresh", action="store_true", help="train again what is trained already")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="train with algorithms alone that give the same numbers each time, on a GPU too",
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the argument that allows plugin files to be executed, where that is not a matter of
    course."""
    parser.add_argument(
        "--trust-plugins",
        action="store_true",
        help="execute the plugin files that the suite names, as 'run' does; without it they are "
        "read only",
    )


def plan_of(args: argparse.Namespace, *, trust_plugins: bool) -> Plan:
    """The plan that the arguments describe, which can be done here; `trust_plugins` as in
    `vcbench.suite.load`."""
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: must be at least 1, the cells trained at a time")
    plan = any_plan_of(args, trust_plugins=trust_plugins)
    if args.engine == "local" and not all(planned.done for planned in plan.cells):
        resolve_device(args.device)
    return plan


def any_plan_of(args: argparse.Namespace, *, trust_plugins: bool) -> Plan:
    """As `plan_of`, whether or not there is here what it is trained on."""
    from vcbench import paths, planning, suite
    from vcbench.terminal import progress_bars

    loaded = suite.load(
        args.suite,
        budget=args.budget,
        sets=args.set,
        seeds=args.seeds,
        trust_plugins=trust_plugins,
    )
    # What another machine trained on its GPU can be converted and scored here without one; and
    # whether a cluster has one cannot be seen from here.
    device = resolve_device(args.device) if args.device == "auto" else args.device
    with progress_bars() as progress:
        return planning.make_plan(
            loaded,
            data_dir=paths.data_dir(args.data),
            cache_dir=paths.writable_cache_dir(),
            device=device,
            deterministic=args.deterministic,
            only=args.only,
            fresh=args.fresh,
            progress=progress,
        )


def jobs_of(args: argparse.Namespace, plan: Plan) -> int:
    """Cells at a time. Those on one GPU share its memory; how many fit is for the user to say."""
    from vcbench import parallel
    from vcbench.engines.local import visible_gpus

    device = plan.cells[0].cell.device if plan.cells else "cpu"
    if args.jobs is not None:
        return int(args.jobs)
    if device != "cuda":
        return parallel.default_jobs()
    gpus = len(visible_gpus())  # 0 where another machine has them, which trains the cells
    return max(1, gpus * int(1 / (getattr(args, "gpus", None) or 1)))


def resolve_device(wanted: str) -> str:
    """`cpu` or `cuda`; raises `UsageError` if a GPU is asked for and there is none."""
    if wanted == "cpu" or (wanted == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise UsageError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    return "cpu"


def _may_have_gpu() -> bool:
    """Whether there is a driver; where there is none, PyTorch need not be imported to know."""
    drivers = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, ROCm, Windows' Linux
    return not sys.platform.startswith("linux") or any(Path(driver).exists() for driver in drivers)


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a list of whole numbers such as 0,1,2"
        ) from None
