"""Protocols: named, versioned definitions of what a score is computed from.

The same two files differ by several dB between definitions that all call themselves mel-cepstral
distortion, so no number is printed without the id of its protocol, and `Protocol.text` tells enough
to compute it again elsewhere. A published protocol is never changed: a change gets a new id.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from vcbench.errors import UsageError, did_you_mean
from vcbench.protocols.definition import Protocol
from vcbench.protocols.presets import ALIASES, DEFAULT, PRESETS, REFUSED

__all__ = ["ALIASES", "DEFAULT", "Protocol", "get", "names"]

_PROTOCOLS = {protocol.id: protocol for protocol in PRESETS}
_SUFFIXES: dict[str, Literal["exact", "fastdtw"]] = {"exact": "exact", "fastdtw": "fastdtw"}


def names() -> list[str]:
    """Ids of all protocols, sorted; `get` also knows their aliases and suffixes."""
    return sorted(_PROTOCOLS)


def get(name: str) -> Protocol:
    """The protocol with this id or alias, with the path that a suffix names.

    `espnet-vc@exact` is `espnet-vc` on the exact path, `vcbench-1@fastdtw` on an approximate one; a
    suffix that names what the protocol does anyway is dropped from the id. Raises `UsageError` with
    the nearest valid name, where the protocol has no path to choose, or where the name stands for
    a definition that is refused.
    """
    base, at, suffix = name.partition("@")
    base = ALIASES.get(base, base)
    if base in REFUSED:
        raise UsageError(f"protocol '{name}' is refused: {REFUSED[base]}")
    if base not in _PROTOCOLS:
        valid = [*_PROTOCOLS, *ALIASES]
        raise UsageError(f"unknown protocol '{name}': {did_you_mean(base, valid)}")
    protocol = _PROTOCOLS[base]
    if not at:
        return protocol
    if suffix not in _SUFFIXES:
        nearest = did_you_mean(suffix, _SUFFIXES)
        raise UsageError(f"unknown path '@{suffix}' of protocol '{name}': {nearest}")
    path = _SUFFIXES[suffix]
    if protocol.path not in _SUFFIXES:
        raise UsageError(
            f"protocol '{name}': {base} matches frames by their number, without DTW; leave out "
            f"'@{path}'"
        )
    if protocol.path == path:
        return protocol
    return replace(protocol, id=f"{base}@{path}", path=path)
