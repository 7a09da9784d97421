"""What vcbench says when something is wrong: one line for people, and an exit code.

A message says what is wrong, where, the value that was found, what is valid, and what to do.
`vcbench.cli` prints it without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class VcbenchError(Exception):
    """Base of every error that is meant for the user; exit code 1."""

    exit_code = 1


class UsageError(VcbenchError):
    """The command line, the suite file or the environment is wrong; exit code 2."""

    exit_code = 2


class DataError(VcbenchError):
    """Audio or corpus files cannot be used as asked; exit code 2."""

    exit_code = 2


class PluginError(VcbenchError):
    """A plugin cannot be found, imported or built; exit code 2."""

    exit_code = 2


class UntrustedPlugin(PluginError):
    """A plugin file would have to be executed, which nobody allowed; exit code 2."""


class IncompleteError(VcbenchError):
    """The machine kept a run from its end, and the same command continues from there; exit code
    3."""

    exit_code = 3


class CellFailure(VcbenchError):
    """Training a cell failed; exit code 1."""


def some_of(lines: Sequence[str], *, shown: int = 20) -> str:
    """Lines below each other, indented; of very many only the first, and how many more."""
    more = [f"and {len(lines) - shown} more"] if len(lines) > shown else []
    return "\n  ".join([*lines[:shown], *more])


def did_you_mean(value: str, valid: Iterable[str]) -> str:
    """The tail of an error about an unknown name: nearest valid name, then all of them.

    >>> did_you_mean("bc", ["bce", "lsgan"])
    "did you mean 'bce'? (valid: bce, lsgan)"
    >>> did_you_mean("x", ["bce", "lsgan"])
    'valid: bce, lsgan'
    """
    names = sorted(valid)
    listing = f"valid: {', '.join(names)}" if names else "there are none"
    near = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'? ({listing})" if near else listing
