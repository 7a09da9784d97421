"""The proof that a comparison was controlled: did all systems train on the same crops?

Every cell stores a hash chained over the crops that it really trained on, begun with the names of
the feature files, the segment and the batch. Which crops are drawn depends on pair, seed and the
settings in `DATA_SETTINGS` alone, so that systems with equal settings that were trained for the
same number of iterations on one pair and seed have equal hashes exactly if they saw the same crops
of the same features in the same order. Where a suite itself feeds systems differently, to learn
what that does, those it feeds alike are compared with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vcbench.reporting import format as fmt
from vcbench.reporting.run_files import Cell

# Keys of a system's training that decide what it is fed.
DATA_SETTINGS = ("batch_size", "segment_frames", "crops", "pairing", "sentences")


@dataclass(frozen=True)
class CropCheck:
    """What the comparison of crop streams showed.

    `compared` counts the groups (pair, seed, iterations, settings) of two or more systems,
    `mismatches` says for each unequal group who saw what, `unknown` names trained cells without a
    hash. `fed` says which systems the suite feeds differently, setting by setting.
    """

    compared: int
    mismatches: tuple[str, ...]
    unknown: tuple[str, ...]
    fed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no two systems that should have equal hashes have different ones."""
        return not self.mismatches

    def sentence(self) -> str:
        """The result in a sentence, after one that says what the suite itself makes differ."""
        said = f"The suite feeds systems differently: {'; '.join(self.fed)}. " if self.fed else ""
        return said + self._result()

    def _result(self) -> str:
        equal = "equal pair, seed and training length"
        if self.fed:
            equal = "equal pair, seed, training length and such settings"
        if self.mismatches:
            first = (
                f"first {self.mismatches[0]}" if len(self.mismatches) > 1 else self.mismatches[0]
            )
            n = f"{len(self.mismatches)} of {fmt.count_of(self.compared, 'group')}"
            return (
                "Systems did not see the same crops of the same features in the same order in "
                f"{n} of cells with {equal}: {first}."
            )
        unknown = f" {fmt.listing(self.unknown)} stored no hash." if self.unknown else ""
        if not self.compared:
            alike = " that it feeds alike" if self.fed else ""
            return (
                f"There were no two trained systems{alike} whose crops could be compared.{unknown}"
            )
        groups = fmt.count_of(self.compared, "group")
        return (
            f"In {groups} of cells with {equal}, "
            "all systems saw the same crops of the same features in the same order "
            f"(equal SHA-256).{unknown}"
        )


def check_crops(cells: Sequence[Cell], suite: Mapping[str, Any] | None = None) -> CropCheck:
    """Compare the crop streams of cells that reached their end; `suite` as the run resolved it."""
    settings = _settings(cells, suite or {})
    groups: dict[tuple[object, ...], dict[str, list[str]]] = {}
    unknown = []
    for cell in cells:
        if cell.kind != "trained" or not cell.ok:
            continue
        if not cell.crop_stream_sha256:
            unknown.append(cell.cell)
            continue
        group = (cell.pair, cell.seed, cell.iterations, *settings[cell.system].values())
        hashes = groups.setdefault(group, {})
        hashes.setdefault(cell.crop_stream_sha256, []).append(cell.system)
    mismatches = []
    for (pair, seed, *_), hashes in groups.items():
        if len(hashes) > 1:
            # The odd ones out first: usually one system differs from all the others.
            parties = sorted(hashes.items(), key=lambda item: len(item[1]))
            who = "; ".join(f"{fmt.listing(s)} saw {h[:8]}" for h, s in parties)
            mismatches.append(f"{pair}, seed {seed} ({who})")
    compared = sum(sum(map(len, hashes.values())) > 1 for hashes in groups.values())
    return CropCheck(compared, tuple(mismatches), tuple(unknown), _fed(settings))


def _settings(cells: Iterable[Cell], suite: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each trained system is to be fed; a system's own training goes over the suite's."""
    systems = suite.get("systems") or {}
    found = {}
    for name in dict.fromkeys(cell.system for cell in cells if cell.kind == "trained"):
        own = (systems.get(name) or {}).get("training") or {}
        training = {**(suite.get("training") or {}), **own}
        found[name] = {key: training.get(key, "the default") for key in DATA_SETTINGS}
    return found


def _fed(settings: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """`crops is fresh for a and b, fixed for c`, for each setting that is not the same for all."""
    told = []
    for key in DATA_SETTINGS:
        systems: dict[Any, list[str]] = {}
        for system, values in settings.items():
            systems.setdefault(values[key], []).append(system)
        if len(systems) > 1:
            who = ", ".join(f"{value} for {fmt.listing(names)}" for value, names in systems.items())
            told.append(f"{key} is {who}")
    return tuple(told)
