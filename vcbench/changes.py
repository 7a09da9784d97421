"""Recordings that change under a run: a score must belong to the speech that the run names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vcbench.errors import DataError, some_of
from vcbench.features import FeatureStore

if TYPE_CHECKING:
    from vcbench.corpora import Utterance
    from vcbench.planning import Plan

CHANGED = "changed since the run began; run again, for its new content"


def refuse_changed(plan: Plan, paths: Mapping[Utterance, Path]) -> None:
    """Raise `DataError` if a recording's features lie elsewhere, in `paths`, than was planned."""
    found = sorted(f"{u.path}: {CHANGED}" for u, p in paths.items() if p != plan.features[u])
    if found:
        raise DataError("\n  ".join([f"{len(found)} recordings:", some_of(found)]))


def changed_since(plan: Plan, utterances: Iterable[Utterance]) -> dict[Path, str]:
    """The recordings of `utterances` that are not what was planned, each with what to say."""
    store = FeatureStore(Path(), plan.parameters)
    found = {}
    for utterance in utterances:
        try:
            is_same = store.path(utterance.path).name == plan.features[utterance].name
        except DataError:  # it is gone
            is_same = False
        if not is_same:
            found[utterance.path] = f"{utterance.path}: {CHANGED}"
    return found
