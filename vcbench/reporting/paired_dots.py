"""The differences of two systems, utterance by utterance, as a figure for a file.

The page draws them itself, of any two systems in any metric; this is what it opens with.
"""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from vcbench.reporting import format as fmt
from vcbench.reporting.figures import _STYLE, COLOURS, INK, MUTED, PAPER, RULE, Panel, panel_of
from vcbench.reporting.model import Leaderboard
from vcbench.reporting.run_files import RunFiles
from vcbench.reporting.seeds import differences, scores_by_seed


def paired_panel(run: RunFiles, leaderboard: Leaderboard) -> Panel | None:
    """The first system of the leaderboard less the default baseline, in the ranking metric.

    Where that baseline stands first itself, the second system less it. None where nothing was
    scored by both.
    """
    column = leaderboard.ranked_by
    if column is None or not leaderboard.against:
        return None
    other = leaderboard.against[0].baseline
    system = next((row.system for row in leaderboard.rows if row.system != other), None)
    if system is None:
        return None
    of_metric = (run.results["metric"] == column.metric) & (
        run.results["protocol"] == column.protocol
    )
    scores = scores_by_seed(run.results[of_metric])
    values = np.sort(differences(scores, system, other).dropna().mean(axis=1).to_numpy())
    if not values.size:
        return None
    good = np.zeros(values.size, dtype=bool)
    if column.better != "neither":
        good = values < 0 if column.lower_is_better else values > 0
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 2.6), layout="constrained")
        axes = figure.add_subplot()
        places = np.arange(1, values.size + 1)
        mean = float(values.mean())
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.axhline(mean, color=INK, linewidth=0.8, dashes=(5, 4))
        axes.annotate(
            f"mean {fmt.signed(mean, fmt.decimals_for([mean]))}",
            (1, mean),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
        )
        filled = {True: COLOURS[0], False: PAPER}
        for which, edge in ((good, COLOURS[0]), (~good & (values != 0), COLOURS[1])):
            axes.plot(
                places[which],
                values[which],
                marker="o",
                markersize=3.5,
                markerfacecolor=filled[edge == COLOURS[0]],
                markeredgecolor=edge,
                linestyle="none",
            )
        axes.plot(places[values == 0], values[values == 0], "o", markersize=3.5, color=MUTED)
        axes.set_xticks([])
        axes.set_xlabel(f"{fmt.count_of(values.size, 'utterance')}, sorted")
        unit = ", ".join(filter(None, map(fmt.one_line, (column.unit, column.protocol))))
        axes.set_ylabel(f"difference in {fmt.metric_label(column.metric)} ({unit})")
        axes.grid(axis="y", color=RULE, linewidth=0.4)
        axes.set_axisbelow(True)
        names = [fmt.one_line(name) for name in (system, other)]
        axes.set_title(" less ".join(fmt.shortened(names, 30)), fontsize=8, color=INK)
        return panel_of(
            figure,
            title=f"{fmt.metric_label(column.metric)} of {names[0]} less that of {names[1]}",
            name="differences",
        )
