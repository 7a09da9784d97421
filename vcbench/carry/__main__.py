"""`python -m vcbench.carry pack|unpack`: see `vcbench.carry`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import vcbench.carry
from vcbench.errors import UsageError, VcbenchError


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack or unpack; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m vcbench.carry",
        description=vcbench.carry.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="cells and features into a folder")
    packing.add_argument("suite")
    packing.add_argument("--budget", metavar="B")
    packing.add_argument("--only", metavar="GLOB")
    packing.add_argument("--set", action="append", default=[], metavar="a.b=v")
    packing.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")])
    packing.add_argument("--device", choices=("cpu", "cuda"), default="cuda", help="there (cuda)")
    packing.add_argument("--every", type=int, metavar="N", help="a learning curve's points")
    packing.add_argument("--sentences", type=int, default=6, help="of a learning curve (6)")
    packing.add_argument("-o", dest="folder", type=Path, required=True)
    unpacking = commands.add_parser("unpack", help="what came back into the cache")
    unpacking.add_argument("folder", type=Path, help="the pack")
    unpacking.add_argument("results", nargs="+", type=Path, help="tar files, or folders of them")
    for command in (packing, unpacking):
        command.add_argument("--data", metavar="DIR", help="where corpora lie (VCBENCH_DATA_DIR)")
    options = parser.parse_args(arguments)
    try:
        return _pack(options) if options.command == "pack" else _unpack(options)
    except VcbenchError as error:
        print(f"carry: {error}", file=sys.stderr)
        return error.exit_code


def _pack(options: argparse.Namespace) -> int:
    from vcbench import parallel, paths
    from vcbench.carry.pack import pack
    from vcbench.features import FeatureStore
    from vcbench.terminal import progress_bars

    said = {name: getattr(options, name) for name in ("suite", "budget", "only", "device", "seeds")}
    said["sets"] = options.set
    plan = _plan(said, options.data)
    store = FeatureStore(paths.writable_cache_dir(), plan.parameters)
    with progress_bars() as progress:
        store.extract(plan.speech.all(), jobs=parallel.default_jobs(), progress=progress)
    n = pack(plan, options.folder, arguments=said, every=options.every, sentences=options.sentences)
    size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    print(f"{options.folder}: {n} cells, {size / 2**20:.1f} MiB")
    return 0


def _unpack(options: argparse.Namespace) -> int:
    from vcbench.carry.pack import read_index
    from vcbench.carry.unpack import unpack
    from vcbench.terminal import count_of

    index = read_index(options.folder)
    archives: list[Path] = []
    for path in options.results:
        archives += sorted(path.rglob("*.tar")) if path.is_dir() else [path]
    if not archives:
        raise UsageError(f"{', '.join(map(str, options.results))}: no tar file there")
    found = unpack(index, _plan(index["arguments"], options.data), archives)
    for problem in found.problems:
        print(f"carry: {problem}", file=sys.stderr)
    print(
        f"{count_of(len(found.done), 'cell')} taken over, {len(found.there)} here before; "
        "`vcbench run` converts and scores them"
    )
    return 1 if found.problems else 0


def _plan(said: Mapping[str, Any], data: str | None) -> Any:
    from vcbench import paths, planning, suite

    loaded = suite.load(
        said["suite"],
        budget=said["budget"],
        sets=said["sets"],
        seeds=said["seeds"],
        trust_plugins=True,  # as `vcbench run`: they are what is to be trained
    )
    return planning.make_plan(
        loaded,
        data_dir=paths.data_dir(data),
        cache_dir=paths.writable_cache_dir(),
        device=said["device"],
        only=said["only"],
    )


if __name__ == "__main__":
    sys.exit(main())
