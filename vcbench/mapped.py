"""What trained generators answered, kept where their weights are not.

Weights of a full-size system are hundreds of megabytes; what it answers to the evaluation speech is
a few. A cell that was trained on another machine therefore comes back as answers, and a point of a
learning curve is kept as answers too. Speech is made of them here, by the same code as from
weights.

Answers are normalised mel-cepstra (frames, n_mcep). A cell's last ones are kept in float32, as the
networks gave them: the speech is then the same to the bit. Those of a learning curve are kept in
float16, an error of at most 2^-11 of a value, which may move a frame across the scoring's gate.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vcbench import features, sealed
from vcbench.conversion import VoiceConverter, trained_converter
from vcbench.errors import DataError
from vcbench.normalization import SpeakerStatistics
from vcbench.training.cell import Cell
from vcbench.world import Array, FeatureParameters

if TYPE_CHECKING:
    from vcbench.plugins import Registry
    from vcbench.training.checkpoint import Checkpoint

MAPPED = "mapped.npz"  # of a cell's last generators, in its folder
POINTS = "points"  # folder, in a cell's, of those at earlier iterations


def answers(
    checkpoint: Checkpoint, registry: Registry, files: Mapping[str, Sequence[Path]]
) -> dict[str, Array]:
    """What the generators answer to feature files, by `name_of`.

    files: by speaker, what it says; it is converted to the other speaker of the cell.

    On the CPU and in float32, as `vcbench run` converts, wherever the cell was trained: a GPU may
    round the factors of its products.
    """
    cell = checkpoint.cell
    found = {}
    for source, target in ((cell.source, cell.target), (cell.target, cell.source)):
        direction = f"{source}>{target}"
        converter = trained_converter(checkpoint, registry, direction)
        for path in files[source]:
            spoken = features.load(Path(path))
            normalized = converter.source.normalize_frames(spoken, pitch=converter.pitch)
            found[name_of(direction, path)] = converter.mapping(normalized)
    return found


def name_of(direction: str, path: Path) -> str:
    """Under which name the answer to a feature file is kept."""
    source, target = direction.split(">")
    return f"{source}_to_{target}.{Path(path).stem}"


def save(path: Path, found: Mapping[str, Array], *, half: bool = False) -> None:
    """Write answers, atomically; `half`: in float16."""
    buffer = io.BytesIO()
    kept: dict[str, Any] = {}
    with np.errstate(over="ignore"):  # what has run away stays refused: it becomes infinite
        kept = {name: v.astype(np.float16 if half else np.float32) for name, v in found.items()}
    np.savez_compressed(buffer, **kept)
    with sealed.replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def speech_of(path: Path, cell: Cell, direction: str) -> Callable[[Path], Array]:
    """From feature files to the converted waveforms, with the answers that `path` holds.

    `cell` tells whose training speech they were normalised with. Raises `DataError` if `path` is
    damaged; the function does if it holds no answer to a file.
    """
    source, target = direction.split(">")
    statistics = {
        speaker: SpeakerStatistics.from_features([features.load(Path(p)) for p in files])
        for speaker, files in cell.train_features.items()
    }
    try:
        with np.load(path, allow_pickle=False) as arrays:
            kept = {name: arrays[name].astype(np.float64) for name in arrays.files}
    except Exception as error:  # a damaged file can make zipfile and NumPy raise anything
        raise DataError(f"{path}: damaged ({type(error).__name__}); unpack it again") from None
    parameters = FeatureParameters(**cell.features)

    def speak(file: Path) -> Array:
        answer = kept.get(name_of(direction, file))
        if answer is None:
            raise DataError(
                f"{path}: holds no answer to {file.name} in {direction}; the speech, or how it is "
                "analysed, has changed since it was made: train the cell again"
            )
        converter = VoiceConverter(
            mapping=lambda _: answer,
            source=statistics[source],
            target=statistics[target],
            parameters=parameters,
            pitch=cell.recipe.pitch,
        )
        return converter(features.load(file))

    return speak
