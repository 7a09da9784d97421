"""The proof that a comparison was controlled: did all systems train on the same crops?

Every cell stores a hash chained over the crops that it really trained on, begun with the names of
the feature files, the segment and the batch. Which crops are drawn depends on pair and seed alone,
so that systems trained for the same number of iterations on one pair and seed have equal hashes
exactly if they saw the same crops of the same features in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vcbench.reporting import format as fmt
from vcbench.reporting.run_files import Cell


@dataclass(frozen=True)
class CropCheck:
    """What the comparison of crop streams showed.

    `compared` counts the groups (pair, seed, iterations) of two or more systems, `mismatches`
    says for each unequal group who saw what, `unknown` names trained cells without a hash.
    """

    compared: int
    mismatches: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no two systems that should have equal hashes have different ones."""
        return not self.mismatches

    def sentence(self) -> str:
        """The result in one sentence."""
        if self.mismatches:
            first = (
                f"first {self.mismatches[0]}" if len(self.mismatches) > 1 else self.mismatches[0]
            )
            n = f"{len(self.mismatches)} of {fmt.count_of(self.compared, 'group')}"
            return (
                "Systems did not see the same crops of the same features in the same order in "
                f"{n} of cells with equal pair, seed and training length: {first}."
            )
        unknown = f" {fmt.listing(self.unknown)} stored no hash." if self.unknown else ""
        if not self.compared:
            return f"There were no two trained systems whose crops could be compared.{unknown}"
        groups = fmt.count_of(self.compared, "group")
        return (
            f"In {groups} of cells with equal pair, seed and training length, "
            "all systems saw the same crops of the same features in the same order "
            f"(equal SHA-256).{unknown}"
        )


def check_crops(cells: Iterable[Cell]) -> CropCheck:
    """Compare the crop streams of cells that reached their end."""
    groups: dict[tuple[str, int | None, int | None], dict[str, list[str]]] = {}
    unknown = []
    for cell in cells:
        if cell.kind != "trained" or not cell.ok:
            continue
        if not cell.crop_stream_sha256:
            unknown.append(cell.cell)
            continue
        hashes = groups.setdefault((cell.pair, cell.seed, cell.iterations), {})
        hashes.setdefault(cell.crop_stream_sha256, []).append(cell.system)
    mismatches = []
    for (pair, seed, _), hashes in groups.items():
        if len(hashes) > 1:
            # The odd ones out first: usually one system differs from all the others.
            parties = sorted(hashes.items(), key=lambda item: len(item[1]))
            who = "; ".join(f"{fmt.listing(s)} saw {h[:8]}" for h, s in parties)
            mismatches.append(f"{pair}, seed {seed} ({who})")
    compared = sum(sum(map(len, hashes.values())) > 1 for hashes in groups.values())
    return CropCheck(compared, tuple(mismatches), tuple(unknown))
