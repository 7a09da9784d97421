"""One direction of one system or baseline: which feature files become which wav files.

A task is run in a worker process, and writes only what is not there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vcbench import audio, features, mapped, sealed, world
from vcbench.conversion import Mapping, VoiceConverter, trained_converter, unchanged
from vcbench.errors import DataError
from vcbench.normalization import SpeakerStatistics
from vcbench.parallel_gmm import ParallelGmm, folds
from vcbench.threads import torch_threads
from vcbench.world import Array, FeatureParameters

FeatureFiles = tuple[Path, ...]
# From a feature file to a waveform.
Renderer = Callable[[Path], Array]


@dataclass(frozen=True)
class ConversionTask:
    """What is converted, and by what.

    checkpoint: of a trained system, else None. statistics_from: for baselines with a mapping, the
    training feature files of source and target. parallel: for `parallel-gmm`, feature files of
    sentences that both say, in the same order. Without any of these the inputs are synthesised
    again: for `resynthesis` and `smoothed-target`, which reads each mel-cepstrum as its mean over
    `smoothed_frames`, they are the target's.
    """

    direction: str
    inputs: FeatureFiles
    outputs: tuple[Path, ...]
    parameters: FeatureParameters
    checkpoint: Path | None = None
    plugin_files: tuple[str, ...] = ()
    statistics_from: tuple[FeatureFiles, FeatureFiles] | None = None
    parallel: tuple[FeatureFiles, FeatureFiles] | None = None
    smoothed_frames: int = 1


def is_done(task: ConversionTask) -> bool:
    """Whether all that the task writes is there."""
    return all(map(sealed.is_whole_wav, task.outputs))


def run_task(task: ConversionTask) -> int:
    """Convert what is missing; returns how many files were written. For worker processes."""
    pairs = zip(task.inputs, task.outputs, strict=True)
    missing = [(source, output) for source, output in pairs if not sealed.is_whole_wav(output)]
    if missing:
        with _renderer(task) as render:
            for source, output in missing:
                waveform = render(source)
                with sealed.replacing(output) as temporary:
                    audio.write(temporary, waveform, sample_rate=task.parameters.sample_rate)
                    sealed.seal_wav(temporary)
    return len(missing)


@contextmanager
def _renderer(task: ConversionTask) -> Iterator[Renderer]:
    if task.checkpoint is not None:
        with torch_threads(1):
            yield _trained(task, task.checkpoint)
    elif task.statistics_from is None:
        yield lambda path: _again(path, task)
    else:
        yield _mapped(task, task.statistics_from)


def _again(path: Path, task: ConversionTask) -> Array:
    """What was analysed, synthesised."""
    spoken = features.load(path)
    smooth = moving_average(spoken.mcep, task.smoothed_frames)
    return world.synthesize(replace(spoken, mcep=smooth), task.parameters)


def moving_average(mcep: Array, n_frames: int) -> Array:
    """Each frame's mean with its neighbours, `n_frames` (odd) in all: (frames, n_mcep) -> the same.

    At the ends it is the mean of those that there are.

    >>> moving_average(np.array([[0.0], [3.0], [6.0], [0.0]]), 3).ravel().tolist()
    [1.5, 3.0, 3.0, 3.0]
    """
    if n_frames == 1:
        return mcep
    reach = n_frames // 2
    sums = np.cumsum(np.vstack([np.zeros_like(mcep[:1]), mcep]), axis=0)
    at = np.arange(len(mcep))
    first, end = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(mcep))
    return np.asarray((sums[end] - sums[first]) / (end - first)[:, None])


def _trained(task: ConversionTask, path: Path) -> Renderer:
    from vcbench.plugins import Registry
    from vcbench.training.cell import Cell
    from vcbench.training.checkpoint import Checkpoint, UnusableCheckpoint
    from vcbench.training.files import CELL, ELSEWHERE

    kept = path.with_name(mapped.MAPPED)
    if kept.exists():  # trained on another machine, from which no weights came back
        return mapped.speech_of(kept, Cell.read(path.with_name(CELL)), task.direction)
    registry = Registry(task.plugin_files)
    if not path.exists() and path.with_name(ELSEWHERE).exists():
        raise DataError(
            f"{path}: stayed on the machine that trained it, and not all that it is to convert was "
            "converted there, or by another version; take it over too (vcbench results export "
            "--with-checkpoints), or train again (--fresh)"
        )
    try:
        checkpoint = Checkpoint.load(path)
    except UnusableCheckpoint as error:
        # Nobody writes there any more, and while it stands its cell counts as trained.
        path.unlink(missing_ok=True)
        raise DataError(
            f"{error}; it was deleted: the same command trains the cell again, from the checkpoint "
            "before it if there is one"
        ) from None
    converter = trained_converter(checkpoint, registry, task.direction)
    checkpoint.cell.checked_code(registry, path.resolve().parent)
    return lambda path: converter(features.load(path))


def _mapped(task: ConversionTask, training: tuple[FeatureFiles, FeatureFiles]) -> Renderer:
    """A baseline with a mapping between the normalised mel-cepstra of two speakers."""
    source, target = (
        SpeakerStatistics.from_features([features.load(p) for p in paths]) for paths in training
    )
    mapping_of = _learnt(task, source, target) if task.parallel else lambda _: unchanged

    def render(path: Path) -> Array:
        converter = VoiceConverter(mapping_of(path), source, target, task.parameters)
        return converter(features.load(path))

    return render


def _learnt(
    task: ConversionTask, source: SpeakerStatistics, target: SpeakerStatistics
) -> Callable[[Path], Mapping]:
    """The mapping for each input: learnt from all parallel sentences, or, where the inputs are
    among them, from those of the other folds."""
    assert task.parallel is not None
    said, meant = task.parallel
    pairs = [
        (source.normalize(features.load(s).mcep), target.normalize(features.load(t).mcep))
        for s, t in zip(said, meant, strict=True)
    ]
    if not set(said) & set(task.inputs):
        mapping = ParallelGmm(pairs)
        return lambda _: mapping
    found: dict[Path, Mapping] = {}
    for learnt, converted in folds(len(said)):
        mapping = ParallelGmm([pairs[i] for i in learnt])
        found |= {said[i]: mapping for i in converted}
    return found.__getitem__
