"""Which files of the cache a suite uses: what to keep, and what to take to another machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vcbench.batch_conversion import outputs_of
from vcbench.errors import UntrustedPlugin, some_of
from vcbench.planning import Plan
from vcbench.scoring.batch import stored_scores
from vcbench.scoring_stage import score_items, training_speech
from vcbench.terminal import count_of
from vcbench.units import units_of


@dataclass(frozen=True)
class SuiteFiles:
    """What a plan uses below the cache's folder, whether it is there or not.

    cells: folders. converted: wavs, those of baselines too.
    """

    features: list[Path]
    cells: list[Path]
    converted: list[Path]
    scores: list[Path]

    def all(self) -> set[Path]:
        """Every file and folder."""
        folders = {wav.parent for wav in self.converted}
        return {*self.features, *self.cells, *self.converted, *folders, *self.scores}


def require_known(plan: Plan) -> None:
    """Raises `UntrustedPlugin` if it takes the execution of a plugin file to know what a plan has,
    and nobody allowed it."""
    without_corpus = () if plan.features else (*plan.external, *plan.baselines)
    cells = [cell.id for cell in (*plan.unknown, *without_corpus)]
    if not cells:
        return
    files = ", ".join(map(str, plan.suite.registry.files))
    raise UntrustedPlugin(
        f"{plan.suite.path}: not known without executing its plugin files, {files}: "
        f"{count_of(len(cells), 'cell')}:\n  {some_of(cells)}\n  give --trust-plugins if you trust "
        "these files; nothing was done"
    )


def files_of(plan: Plan, cache_dir: Path) -> SuiteFiles:
    """What a plan uses; raises `DataError` if audio that it scores cannot be read, and what
    `require_known` does."""
    require_known(plan)
    units = units_of(plan)
    outputs = outputs_of(plan, units, cache_dir)
    wavs = {path for by_id in outputs.values() for path in by_id.values()}
    scores = stored_scores(
        score_items(plan, units, outputs),
        protocol=plan.suite.protocol,
        metrics=plan.suite.metrics,
        registry=plan.suite.registry,
        speakers=training_speech(plan),
    )
    return SuiteFiles(
        features=sorted(set(plan.features.values())),
        cells=sorted({planned.folder for planned in plan.cells}),
        converted=sorted(path for path in wavs if path.is_relative_to(cache_dir)),
        scores=sorted(set(scores)),
    )
