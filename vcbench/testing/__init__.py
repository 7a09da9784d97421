"""The contract of generators and discriminators, as checks that a plugin's own tests can call::

    import pytest

    from vcbench.testing import architecture_checks

    CHECKS = architecture_checks("my-generator", plugin_files=["my_generator.py"])

    @pytest.mark.parametrize("check", CHECKS, ids=str)
    def test_contract(check):
        check()

A check raises `AssertionError` with what is wrong, where, the values, and what to do. It computes
on small networks and needs neither pytest nor a corpus. `vcbench check NAME` calls them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vcbench.discovery import NETWORKS
from vcbench.errors import PluginError
from vcbench.plugins import Registry
from vcbench.testing import behaviour, citizenship, global_state
from vcbench.testing.subject import Subject

__all__ = ["Check", "all_checks", "architecture_checks"]


@dataclass(frozen=True)
class Check:
    """One named part of the contract; calling it raises `AssertionError` where it is broken.

    `left_out`: why it cannot be made here, or empty; a check that is left out claims nothing.
    """

    name: str
    summary: str
    subject: Subject = field(repr=False)
    run: Callable[[Subject], None] = field(repr=False)
    left_out: str = ""

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """Make the check; random states and settings are afterwards as before."""
        where = f"{self.subject.label} fails '{self.name}'"
        with global_state.preserved():
            try:
                self.run(self.subject)
            except AssertionError as error:
                raise AssertionError(f"{where}: {error}") from None
            except PluginError as error:
                raise AssertionError(f"{where}: {error}") from error
            except Exception as error:
                raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error


def architecture_checks(
    name: str,
    *,
    plugin_files: Iterable[str | Path] = (),
    options: Mapping[str, Any] | None = None,
) -> list[Check]:
    """The checks of the registered generator or discriminator `name`.

    plugin_files: files to look for it in, besides installed packages. options: what a suite would
    give it; the others keep their defaults. A check that cannot be made is not in the list: the
    GPU's where there is none, the mask's where the generator takes none. Raises `PluginError` if
    there is no such plugin.
    """
    found = all_checks(Registry(plugin_files), name, options=options)
    return [check for check in found if not check.left_out]


def all_checks(
    registry: Registry, name: str, *, options: Mapping[str, Any] | None = None
) -> list[Check]:
    """`architecture_checks`, with those that are left out and why."""
    kind = registry.kind_of(name, NETWORKS)
    subject = Subject(registry, kind, name, dict(options or {}))
    declared = registry.declaration(kind, name).parameters
    runs: dict[str, tuple[Callable[[Subject], None], str]] = {
        "any-length": (behaviour.any_length, ""),
        "coefficients": (behaviour.coefficients, ""),
        "gradients": (behaviour.gradients, ""),
        "samples-apart": (behaviour.samples_apart, ""),
        "finite": (behaviour.finite, ""),
        "deterministic": (citizenship.deterministic, ""),
        "state-dict": (citizenship.state_dict, ""),
        "no-global-state": (citizenship.no_global_state, ""),
        "import-and-spawn": (citizenship.import_and_spawn, ""),
        "scale": (citizenship.scale, ""),
    }
    if declared is None:
        why = f"the decorator register_{kind} declares no `parameters=`"
    else:
        why = "its options are not the defaults" if options else ""
    runs["parameters"] = (citizenship.parameters, why)
    if kind == "discriminator":
        runs["sigmoid"] = (behaviour.sigmoid, "")
    else:
        why = "" if _takes_mask(subject) else "its attribute `takes_mask` is not set"
        runs["mask"] = (behaviour.mask, why)
    why = "" if torch.cuda.is_available() else "PyTorch finds no CUDA device here"
    runs["device"] = (behaviour.device, why)
    return [
        Check(name, (run.__doc__ or "").partition("\n")[0], subject, run, why)
        for name, (run, why) in runs.items()
    ]


def _takes_mask(subject: Subject) -> bool:
    """False also where it cannot be built, which every other check tells."""
    with global_state.preserved():
        try:
            return bool(getattr(subject.build(), "takes_mask", False))
        except PluginError:
            return False
