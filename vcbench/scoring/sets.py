"""Sets of converted utterances, each matched with the references by id, summarised and compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vcbench.errors import UsageError
from vcbench.plugins import Registry
from vcbench.scoring.batch import score_all
from vcbench.scoring.items import ScoreItem, ScoreResult

if TYPE_CHECKING:
    from vcbench.corpora import ProgressCallback
    from vcbench.statistics import Contrast, Estimate


@dataclass(frozen=True)
class ScoredSet:
    """What is known of one system's utterances.

    results: of the ids that both sides have, sorted; their labels are the ids. The ids that one
    side alone has are expected too, and are not scored.
    """

    system: str
    results: tuple[ScoreResult, ...]
    only_reference: tuple[str, ...]
    only_converted: tuple[str, ...]

    @property
    def expected(self) -> int:
        """How many utterances there should be scores of."""
        return len(self.results) + len(self.only_reference) + len(self.only_converted)

    @property
    def is_complete(self) -> bool:
        """Whether every expected utterance was scored by every metric."""
        return len(self.results) == self.expected and not any(r.problems for r in self.results)

    def summarize(self, metrics: Sequence[str]) -> dict[str, Estimate]:
        """Mean and 95 % interval of each metric."""
        from vcbench.statistics import mean_with_interval

        sentences = [str(result.item.labels) for result in self.results]
        return {
            name: mean_with_interval(
                [result.values.get(name, math.nan) for result in self.results],
                sentences,
                expected=self.expected,
            )
            for name in metrics
        }


def score_sets(
    reference: Mapping[str, Path],
    converted: Mapping[str, Mapping[str, Path]],
    *,
    protocol: str,
    metrics: Sequence[str],
    registry: Registry,
    jobs: int,
    speakers: Mapping[str, Sequence[Path]] | None = None,
    target: str = "",
    progress: ProgressCallback | None = None,
) -> list[ScoredSet]:
    """Score each system's files against the references of the same ids; files are by id.

    speakers, target: training speech by name and whose voice is meant, see `score_all`.

    Raises `UsageError` if a system has no id in common with the references; otherwise as
    `score_all`.
    """
    items = []
    for system, files in converted.items():
        both = reference.keys() & files.keys()
        if not both:
            raise UsageError(
                f"{system}: none of its {len(files)} ids ({min(files)}, ...) is among the "
                f"{len(reference)} of the references ({min(reference)}, ...); ids must be equal"
            )
        items += [ScoreItem(reference[id_], files[id_], id_, target) for id_ in sorted(both)]
    results = iter(
        score_all(
            items,
            protocol=protocol,
            metrics=metrics,
            registry=registry,
            jobs=jobs,
            speakers=speakers,
            progress=progress,
        )
    )
    return [
        ScoredSet(
            system,
            tuple(next(results) for _ in reference.keys() & files.keys()),
            tuple(sorted(reference.keys() - files.keys())),
            tuple(sorted(files.keys() - reference.keys())),
        )
        for system, files in converted.items()
    ]


def compare(sets: Sequence[ScoredSet], metrics: Sequence[str]) -> dict[str, list[Contrast]]:
    """Every two sets against each other, sentence by sentence; the comparisons of each metric.

    The comparisons of one metric are corrected as one family: see `compare_conditions`.
    """
    from vcbench.statistics import compare_conditions

    def values(one: ScoredSet, metric: str) -> dict[str, float]:
        # What is missing or failed is expected too.
        ids = dict.fromkeys((*one.only_reference, *one.only_converted), math.nan)
        return ids | {str(r.item.labels): r.values.get(metric, math.nan) for r in one.results}

    return {
        metric: compare_conditions({one.system: values(one, metric) for one in sets})
        for metric in metrics
        if len(sets) > 1
    }
