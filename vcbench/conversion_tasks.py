"""One direction of one system or baseline: which feature files become which wav files.

A task is run in a worker process, and writes only what is not there yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vcbench import audio, features, world
from vcbench.conversion import Mapping, VoiceConverter, trained_converter, unchanged
from vcbench.normalization import SpeakerStatistics
from vcbench.parallel_gmm import ParallelGmm, folds
from vcbench.world import Array, FeatureParameters

FeatureFiles = tuple[Path, ...]
# From a feature file to a waveform.
Renderer = Callable[[Path], Array]


@dataclass(frozen=True)
class ConversionTask:
    """What is converted, and by what.

    checkpoint: of a trained system, else None. statistics_from: for baselines with a mapping, the
    training feature files of source and target. parallel: for `parallel-gmm`, feature files of
    sentences that both say, in the same order. `resynthesis` reads target features as `inputs`.
    """

    direction: str
    inputs: FeatureFiles
    outputs: tuple[Path, ...]
    parameters: FeatureParameters
    checkpoint: Path | None = None
    plugin_files: tuple[str, ...] = ()
    statistics_from: tuple[FeatureFiles, FeatureFiles] | None = None
    parallel: tuple[FeatureFiles, FeatureFiles] | None = None


def run_task(task: ConversionTask) -> int:
    """Convert what is missing; returns how many files were written. For worker processes."""
    pairs = zip(task.inputs, task.outputs, strict=True)
    missing = [(source, output) for source, output in pairs if not audio.is_whole(output)]
    if missing:
        with _renderer(task) as render:
            for source, output in missing:
                waveform = render(source)
                temporary = output.with_suffix(f".{os.getpid()}.tmp")
                audio.write(temporary, waveform, sample_rate=task.parameters.sample_rate)
                temporary.replace(output)
    return len(missing)


@contextmanager
def _renderer(task: ConversionTask) -> Iterator[Renderer]:
    if task.checkpoint is not None:
        with _one_torch_thread():
            yield _trained(task, task.checkpoint)
    elif task.statistics_from is None:
        yield lambda path: world.synthesize(features.load(path), task.parameters)
    else:
        yield _mapped(task, task.statistics_from)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """The workers share the processors; outside, PyTorch has as many threads as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _trained(task: ConversionTask, path: Path) -> Renderer:
    from vcbench.plugins import Registry
    from vcbench.training.checkpoint import Checkpoint

    registry = Registry(task.plugin_files)
    converter = trained_converter(Checkpoint.load(path), registry, task.direction)
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
