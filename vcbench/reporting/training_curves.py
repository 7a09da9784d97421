"""How the training went: curves of all systems, learning rates, and what went wrong.

Validation stands beside training: the validation loss is the weighted sum of cycle and identity
loss on held-out crops, and dotted in its panel is the same sum, with the same weights, of what was
logged while training. Where the two part, a system learns its training sentences by heart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vcbench.reporting import format as fmt
from vcbench.reporting.figures import _STYLE, INK, RULE, Panel, Style, loss_panels, panel_of
from vcbench.reporting.run_files import RunFiles
from vcbench.training.health import UNCHANGED

_RATES = {"learning_rate_generator": "generators", "learning_rate_discriminator": "discriminators"}
_NOT_FINITE = re.compile(r"\b(?:nan|inf)\b|not finite", re.IGNORECASE)


def training_panels(run: RunFiles, look: Mapping[str, Style]) -> list[Panel]:
    """One panel per loss, all systems on its axes, and one of the learning rates."""
    dotted = "the same weighted sum of cycle and identity loss on the training crops"
    panels = loss_panels(run.training, look, beside={"validation": (_as_validation(run), dotted)})
    rates = _rates_panel(run.training, look)
    return [*panels, *([rates] if rates else [])]


def health(run: RunFiles) -> dict[str, Any]:
    """Flags of the cells as (cell, what was noticed), and what was looked for, in a sentence."""
    flags = [(fmt.one_line(c.cell), fmt.one_line(flag)) for c in run.cells for flag in c.health]
    flags += [
        (fmt.one_line(cell.cell), fmt.one_line(cell.reason))
        for cell in run.cells
        if cell.kind == "trained" and not cell.ok and _NOT_FINITE.search(cell.reason)
    ]
    looked = "a discriminator that is saturated, a loss that is not finite"
    if (run.training["name"] == "change").any():
        looked += (
            ", and an output that is its input (identity collapse: held-out speech changed by less "
            f"than {100 * UNCHANGED:g} %)"
        )
    else:
        looked += "; not for an output that is its input, which takes held-out sentences"
    return {"flags": flags, "looked": f"Looked for: {looked}."}


def _as_validation(run: RunFiles) -> pd.DataFrame:
    """Logged cycle and identity losses, summed with each system's weights of the validation loss.

    The identity loss is not logged where it has no weight any more: there it has none in the
    validation loss either.
    """
    parts = []
    systems = run.suite.get("systems") or {}
    for system, frame in run.training.groupby("system", sort=False):
        own = (systems.get(str(system)) or {}).get("training") or {}
        weights = _weights({**(run.suite.get("training") or {}), **own})
        if weights is None or own.get("mask_frames"):
            continue  # what was masked in training is a harder sum
        keys = ["system", "pair", "seed", "iteration"]
        wide = frame[frame["name"].isin(weights)].pivot_table(
            index=keys, columns="name", values="value", sort=False
        )
        if not set(weights) <= set(wide.columns):
            continue
        total = sum(weight * wide[name] for name, weight in weights.items())
        parts.append(pd.Series(total, name="value").dropna().reset_index())
    return pd.concat(parts) if parts else run.training.iloc[:0]


def _weights(training: Mapping[str, Any]) -> dict[str, float] | None:
    """Weights of the validation loss, those of the last iteration; None where they are unknown."""
    try:
        if training.get("loss_stages"):
            stage = training["loss_stages"][-1]
            found = {"cycle": float(stage["cycle"]), "identity": float(stage["identity"])}
        else:
            until, last = training.get("identity_until"), int(training["iterations"]) - 1
            identity = float(training["lambda_identity"])
            found = {
                "cycle": float(training["lambda_cycle"]),
                "identity": identity if until is None or last < until else 0.0,
            }
    except (KeyError, TypeError, ValueError):
        return None
    return {name: weight for name, weight in found.items() if weight}


def _rates_panel(training: pd.DataFrame, look: Mapping[str, Style]) -> Panel | None:
    """Learning rates; curves that several systems share are drawn once, in the text's colour."""
    curves: dict[tuple[str, bytes], tuple[pd.Series, list[str]]] = {}
    for name in _RATES:
        of_name = training[(training["name"] == name) & np.isfinite(training["value"])]
        for system, frame in of_name.groupby("system", sort=False):
            if str(system) not in look:
                continue
            mean = frame.groupby("iteration")["value"].mean()
            key = (name, mean.index.to_numpy().tobytes() + mean.to_numpy().tobytes())
            curves.setdefault(key, (mean, []))[1].append(str(system))
    if not curves:
        return None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.3, 2.0), layout="constrained")
        axes = figure.add_subplot()
        for (name, _), (mean, systems) in curves.items():
            style = look[systems[0]]
            axes.plot(
                mean.index,
                mean,
                color=style.colour if len(systems) == 1 else INK,
                linewidth=1.2,
                dashes=(None, None) if name == "learning_rate_generator" else (1, 1.2),
                marker="o" if len(mean) == 1 else "",
                markersize=3,
            )
        axes.set_ylim(bottom=0)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        axes.set_xlabel("iteration")
        axes.grid(axis="y", color=RULE, linewidth=0.4)
        axes.margins(x=0.02)
        drawn = {name for name, _ in curves}
        notes = ["solid: generators, dotted: discriminators"] if len(drawn) > 1 else []
        if any(len(systems) > 1 for _, systems in curves.values()):
            notes.append("in the text's colour: equal for several systems")
        return panel_of(figure, title="learning rate", name="learning-rate", note="; ".join(notes))
