"""Whether what a stranger's checkpoint says of itself can be used: sizes and types, before anything
is built from it.

`vcbench.training.checkpoint` sees to it that reading one runs no code and takes no more memory than
the file's size. What is read is then only as sensible as whoever wrote it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from vcbench.errors import DataError
from vcbench.suite.schema import Features, SuiteKeys, Training
from vcbench.training.cell import Cell
from vcbench.training.checkpoint import Checkpoint

_CELL = TypeAdapter(Cell)
_F0_LIMITS_HZ = (20.0, 4000.0)  # between which a voice is looked for
_MAXIMUM_SCALE = next(m.le for m in SuiteKeys.model_fields["scale"].metadata if hasattr(m, "le"))


def refuse_unreasonable(checkpoint: Checkpoint, path: Path) -> None:
    """Raises `DataError` naming what no suite could have asked for, or what does not fit together:
    the features, the recipe, the scale, and the statistics of the two speakers."""
    try:
        problem = _problem(checkpoint)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        problem = f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        raise DataError(f"{path}: not a checkpoint that can be used: {problem}")


def _problem(checkpoint: Checkpoint) -> str:
    cell = checkpoint.cell
    _CELL.validate_json(json.dumps(cell.to_json()), strict=True)
    described = dict(cell.features)
    limits = [float(described.pop(f"f0_{name}_hz")) for name in ("floor", "ceil")]
    _check(Features, described)
    _check(Training, asdict(cell.recipe))
    if not _F0_LIMITS_HZ[0] <= limits[0] < limits[1] <= _F0_LIMITS_HZ[1]:
        return f"features.f0_floor_hz and f0_ceil_hz are {limits[0]:g} and {limits[1]:g}"
    if not 0 < float(cell.scale) <= _MAXIMUM_SCALE:
        return f"scale is {cell.scale:g}; valid: above 0, at most {_MAXIMUM_SCALE:g}"
    if set(checkpoint.statistics) != {cell.source, cell.target}:
        return f"no statistics of its speakers {cell.source} and {cell.target}"
    return next(filter(None, (_statistics(cell, checkpoint, s) for s in checkpoint.statistics)), "")


def _statistics(cell: Cell, checkpoint: Checkpoint, speaker: str) -> str:
    found = checkpoint.statistics[speaker]
    wanted = (cell.features["n_mcep"],)
    for name in ("mcep_mean", "mcep_std"):
        values = np.asarray(getattr(found, name), dtype=np.float64)
        if values.shape != wanted or not np.isfinite(values).all():
            return f"{speaker}'s {name} is of shape {values.shape}, not {wanted}, or not finite"
    numbers = [value for name, value in vars(found).items() if not name.startswith("mcep")]
    return "" if all(map(math.isfinite, numbers)) else f"statistics of {speaker} are not finite"


def _check(model: type[Any], described: dict[str, Any]) -> None:
    model.model_validate_json(json.dumps(described))
