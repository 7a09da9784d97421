"""`vcbench new architecture NAME`: files to begin a generator or discriminator with."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write a new architecture's plugin, its test and a suite that compares it"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("what", choices=("architecture",), help="what to begin")
    parser.add_argument("name", help="its name in suites, such as my-generator")
    parser.add_argument(
        "--discriminator", action="store_true", help="a discriminator, not a generator"
    )
    parser.add_argument(
        "-o", "--output", metavar="DIR", default=".", help="folder for the files (default: here)"
    )


def execute(args: argparse.Namespace) -> int:
    """Write the files and print what to do next."""
    from vcbench import scaffold
    from vcbench.discovery import Kind

    kind: Kind = "discriminator" if args.discriminator else "generator"
    folder = Path(args.output)
    files = scaffold.write(args.name, kind, folder)
    for path, role in files.items():
        print(f"wrote {path}: {role}")
    plugin, test, suite = (path.name for path in files)
    print("\nNext:")
    if folder.resolve() != Path.cwd():
        print(f"  cd {folder}")
    print(f"  vcbench check {args.name}    # does {plugin} keep the contract?")
    print(f"  vcbench show {args.name}     # its layers, parameters and MACs")
    print(f"  pytest {test}    # the same checks, beside tests of your own")
    print(f"  vcbench run {suite}    # train it beside the demo's systems, and compare")
    return 0
