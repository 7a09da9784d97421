"""Every figure of a report, drawn once for the page and for files of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vcbench.reporting import format as fmt
from vcbench.reporting.figures import (
    Panel,
    Style,
    direction_panel,
    effects_panel,
    figure_files,
    shared_limits,
    styles,
)
from vcbench.reporting.grid import header
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.paired_dots import paired_panel
from vcbench.reporting.quality_speed import quality_panels
from vcbench.reporting.run_files import RunFiles
from vcbench.reporting.training_curves import training_panels


@dataclass(frozen=True)
class Gallery:
    """The figures by the section that they stand in; `paired` is a file only."""

    comparison: Panel | None
    quality: Sequence[Panel]
    paired: Panel | None
    directions: Sequence[Panel]
    training: Sequence[Panel]

    @property
    def panels(self) -> list[Panel]:
        """All of them."""
        single = [panel for panel in (self.comparison, self.paired) if panel]
        return [*single, *self.quality, *self.directions, *self.training]


def gallery(run: RunFiles, leaderboard: Leaderboard) -> Gallery:
    """Draw all figures of a report."""
    look = styles([row.system for row in leaderboard.trained])
    return Gallery(
        comparison=comparison_panel(leaderboard),
        quality=quality_panels(leaderboard, look),
        paired=paired_panel(run, leaderboard),
        directions=direction_panels(leaderboard, look),
        training=training_panels(run, look),
    )


def all_figure_files(panels: Iterable[Panel]) -> dict[str, bytes]:
    """Figures as SVG and PDF, by file name; no two have one name."""
    found: dict[str, bytes] = {}
    for panel in panels:
        for name, content in figure_files(panel).items():
            stem, _, ending = name.rpartition(".")
            number = 1
            while name in found:
                number += 1
                name = f"{stem}-{number}.{ending}"
            found[name] = content
    return found


def comparison_panel(leaderboard: Leaderboard) -> Panel | None:
    """What the suite asks to be compared, in the metric that it asks about."""
    comparison = leaderboard.comparison
    if comparison is None:
        return None
    column = comparison.column
    good = "left" if column.lower_is_better else "right"
    return effects_panel(
        comparison.effects,
        column,
        title=f"{fmt.metric_label(column.metric)} less that of {fmt.one_line(comparison.baseline)}",
        axis_label=f"difference in {header(column)}; {good} is better",
    )


def direction_panels(leaderboard: Leaderboard, look: Mapping[str, Style]) -> list[Panel]:
    """The ranking metric in each direction, all on one scale."""
    column = leaderboard.ranked_by
    if column is None:
        return []
    means = leaderboard.per_direction[column.key]
    limits = shared_limits([e for of_system in means.values() for e in of_system.values()])
    if limits is None:
        return []
    return [
        direction_panel(
            fmt.direction_label(direction),
            {row.system: means[row.system][direction] for row in leaderboard.rows},
            look,
            axis_label=header(column),
            limits=limits,
            prefix=f"direction-{position}",
        )
        for position, direction in enumerate(leaderboard.directions)
    ]
