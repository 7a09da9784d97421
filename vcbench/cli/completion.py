"""`vcbench completion SHELL`: what makes a shell complete suites, systems and plugins by Tab.

argcomplete does the work: at each Tab the shell runs vcbench, whose `main` calls `complete`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

HELP = "print what makes bash, zsh or fish complete commands, suites, systems and plugins"

Completer = Callable[..., Iterable[str]]

# Arguments beside those of `run` and `plan` that name a suite.
_OF_SUITES = (("cache gc", "keep_suite"), ("results export", "what"), ("results import", "suite"))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")
    parser.epilog = (
        'for bash and zsh, in ~/.bashrc or ~/.zshrc: eval "$(vcbench completion bash)"; for fish, '
        "in ~/.config/fish/config.fish: vcbench completion fish | source"
    )


def execute(args: argparse.Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["vcbench"], shell=args.shell))
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end the process, if it is a shell that asks."""
    import argcomplete

    for command, sub in _subparsers(parser):
        for action in sub._actions:
            completer = _completer(command, action.dest)
            if completer is not None and action.choices is None:
                # argcomplete looks for it there, and argparse's stubs do not know it.
                action.completer = completer  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _subparsers(
    parser: argparse.ArgumentParser, above: str = ""
) -> Iterable[tuple[str, argparse.ArgumentParser]]:
    """(command, its parser), those below it too: `data fetch`."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield f"{above}{name}", sub
                yield from _subparsers(sub, f"{name} ")


def _completer(command: str, argument: str) -> Completer | None:
    if command in ("run", "plan"):
        of_a_run: dict[str, Completer] = {
            "suite": _suites,
            "only": _systems,
            "budget": _budgets,
            "engine": _named("engine"),
        }
        return of_a_run.get(argument)
    if (command, argument) in _OF_SUITES:
        return _suites
    if (command, argument) == ("cache gc", "kind"):
        return lambda **_: _cache_kinds()
    if command.startswith("data ") and argument == "name":
        return _named("corpus")
    if command == "show" and argument == "name":
        return lambda **_: [*_named()(), "protocol"]
    if command == "check" and argument == "name":
        return _named("generator", "discriminator")
    if argument == "protocol" and command in ("show", "score"):
        return _protocols
    return None


def _suites(prefix: str, **_: object) -> list[str]:
    """Shipped suites, and files."""
    from argcomplete.completers import FilesCompleter

    from suites import shipped_paths

    # Not by the question's name alone: it would be told twice.
    return [*shipped_paths(), *FilesCompleter(("yaml", "yml"))(prefix)]


def _systems(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Cells of the suite that stands on the line, up to the next slash; none if it has errors."""
    from vcbench import suite
    from vcbench.errors import VcbenchError

    try:
        # Pressing Tab executes nothing that a suite names.
        loaded = suite.load(
            parsed_args.suite,
            budget=parsed_args.budget,
            sets=parsed_args.set,
            trust_plugins=False,
        )
    except VcbenchError:
        return []
    depth = prefix.count("/") + 1
    cells = (*loaded.cells(), *loaded.external_cells(), *loaded.baseline_cells())
    parts = [cell.id.split("/") for cell in cells]
    return list(dict.fromkeys("/".join(p[:depth]) + ("/" if depth < len(p) else "") for p in parts))


def _budgets(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Those of the suite that stands on the line."""
    from vcbench.errors import VcbenchError
    from vcbench.suite.merge import Sources

    try:
        return list(Sources(parsed_args.suite).budgets)
    except VcbenchError:
        return []


def _named(*kinds: str) -> Completer:
    """Plugins of these kinds, or of all."""

    def names(**_: object) -> list[str]:
        from vcbench.plugins import KINDS, Registry

        registry = Registry()
        return [
            name for kind in KINDS if not kinds or kind in kinds for name in registry.names(kind)
        ]

    return names


def _cache_kinds() -> tuple[str, ...]:
    from vcbench.cache import KINDS

    return KINDS


def _protocols(**_: object) -> list[str]:
    from vcbench import protocols

    return list(protocols.names())
