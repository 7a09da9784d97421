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
        "--jobs", type=int, metavar="N", help="at a time (default: one a processor; one on a GPU)"
    )
    parser.add_argument("--fresh", action="store_true", help="train again what is trained already")
    parser.add_argument(
        "--deterministic",
        action="store_true",
        help="train with algorithms alone that give the same numbers each time, on a GPU too",
    )


def plan_of(args: argparse.Namespace) -> Plan:
    """The plan that the arguments describe."""
    from vcbench import paths, planning, suite
    from vcbench.terminal import progress_bars

    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: must be at least 1, the cells trained at a time")
    loaded = suite.load(args.suite, budget=args.budget, sets=args.set, seeds=args.seeds)
    device = resolve_device(args.device)
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

    device = plan.cells[0].cell.device if plan.cells else "cpu"
    return int(args.jobs or (1 if device == "cuda" else parallel.default_jobs()))


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
