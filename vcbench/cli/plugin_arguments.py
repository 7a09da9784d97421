"""Arguments that `show` and `check` share: which plugin, where it is, with which options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vcbench.plugins import Plugin, Registry


def add(parser: argparse.ArgumentParser, *, name_help: str) -> None:
    """Add the arguments to a subcommand's parser."""
    parser.add_argument("name", help=name_help)
    parser.add_argument(
        "--option", action="append", default=[], metavar="K=V", help="set an option, width=narrow"
    )
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="a plugin file to look in too (default: *.py here, where no package has the name)",
    )


def registry_of(name: str, files: Sequence[str]) -> Registry:
    """Installed packages and `files`; where both lack the name and no file is given, also those
    of the current folder's *.py that register it, which their source text tells, or that name it
    and are no Python, which the error for an unknown name then tells."""
    from vcbench.plugins import KINDS, Registry

    for path in files:
        if not Path(path).is_file():
            raise UsageError(f"--plugin {path}: no such file")
    registry = Registry(files)
    if files or any(name in registry.names(kind) for kind in KINDS):
        return registry
    return Registry(_registering(name, Path.cwd()))


def options_of(plugin: Plugin, settings: Sequence[str]) -> dict[str, Any]:
    """Options from `K=V` texts; V is read and checked as in a suite file."""
    from vcbench.suite.positions import parse, usage_error
    from vcbench.suite.wording import option_value

    known = {o.name: o.annotation for o in plugin.options}
    options: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if name not in known:
            raise UsageError(f"--option {setting}: {did_you_mean(name, known)}")
        if not equals:
            raise UsageError(f"--option {setting}: no value; write --option {name}=VALUE")
        node, problems = parse(text, source=f"--option {setting}", inline=True)
        if not problems:
            options[name], problems = option_value(known[name], node, ())
        if problems:
            raise usage_error(problems)
    return options


def _registering(name: str, folder: Path) -> list[Path]:
    from vcbench.discovery import MAX_SOURCE_CHARACTERS, decorated, source_text, syntax_tree
    from vcbench.regular_files import opened

    found = []
    for path in sorted(folder.glob("*.py")):
        try:
            tree = syntax_tree(source_text(path))
        except OSError:
            continue
        except (ValueError, SyntaxError):
            # The plugin that is looked for, perhaps; without its name it is somebody else's file.
            with opened(path) as file:
                if name.encode() in file.read(MAX_SOURCE_CHARACTERS):
                    found.append(path)
            continue
        if any(registered == name for _, registered, *_ in decorated(tree)):
            found.append(path)
    return found
