"""From one speaker's speech to another's: features -> generator -> features -> waveform.

Mel-cepstra are normalised with the source's statistics, converted, and denormalised with the
target's; F0 goes through the log-Gaussian transform; aperiodicity is copied (arXiv:1711.11293,
section 4.1). The untrained baselines are here too, since they differ only in the map between.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vcbench import audio, features, world
from vcbench.errors import DataError, PluginError, UsageError
from vcbench.normalization import SpeakerStatistics, convert_f0
from vcbench.world import Array, FeatureParameters, WorldFeatures

if TYPE_CHECKING:
    from vcbench.plugins import Registry
    from vcbench.training.checkpoint import Checkpoint

# Normalised mel-cepstra (frames, n_mcep) in and out.
Mapping = Callable[[Array], Array]

BASELINES = {
    "source-copy": "The source recording, unchanged: what converting must improve on.",
    "mean-variance": "Mean and variance of mel-cepstra and log F0 matched to the target's.",
    "resynthesis": "The target through analysis, coding and WORLD synthesis: the floor.",
}


def convert(
    source_features: WorldFeatures,
    mapping: Mapping,
    *,
    source: SpeakerStatistics,
    target: SpeakerStatistics,
) -> WorldFeatures:
    """Convert one utterance of any length; `mapping` works on normalised mel-cepstra.

    Raises `PluginError` if the mapping does not keep their shape.
    """
    normalized = source.normalize(source_features.mcep)
    mapped = mapping(normalized)
    if mapped.shape != normalized.shape:
        raise PluginError(
            f"the generator returned {mapped.shape} (frames, n_mcep) for {normalized.shape}; "
            "it must return as much as it is given, for any number of frames"
        )
    return WorldFeatures(
        f0_hz=convert_f0(source_features.f0_hz, source=source, target=target),
        mcep=target.denormalize(mapped),
        coded_aperiodicity=source_features.coded_aperiodicity,
    )


def unchanged(normalized: Array) -> Array:
    """The mapping of `mean-variance`: normalising and denormalising is all that happens."""
    return normalized


@dataclass(frozen=True)
class VoiceConverter:
    """Both speakers' statistics and the mapping between them, ready to convert speech."""

    mapping: Mapping
    source: SpeakerStatistics
    target: SpeakerStatistics
    parameters: FeatureParameters

    def __call__(self, source_features: WorldFeatures) -> Array:
        """The converted waveform of analysed source speech."""
        converted = convert(
            source_features,
            self.mapping,
            source=self.source,
            target=self.target,
        )
        return world.synthesize(converted, self.parameters)


def trained_converter(
    checkpoint: Checkpoint, registry: Registry, direction: str, *, device: str = "cpu"
) -> VoiceConverter:
    """The trained generator of `direction` ("SF1>TM3" or its reverse).

    Raises `UsageError` if the checkpoint was not trained for that direction, and `DataError` if its
    weights do not fit the plugins that it names.
    """
    from vcbench.training.models import build_networks

    cell = checkpoint.cell
    valid = (f"{cell.source}>{cell.target}", f"{cell.target}>{cell.source}")
    if direction not in valid:
        raise UsageError(
            f"direction '{direction}': this checkpoint converts {valid[0]} and {valid[1]}"
        )
    source, target = direction.split(">")
    networks = build_networks(cell, registry)
    try:
        networks.load_state_dict(checkpoint.training["networks"])
    except RuntimeError:
        raise DataError(
            f"{cell.id}: the checkpoint's weights do not fit generator '{cell.generator.name}' and "
            f"discriminator '{cell.discriminator.name}' as their source is now; train it again"
        ) from None
    forward = source == cell.source
    generator = networks.source_to_target if forward else networks.target_to_source
    return VoiceConverter(
        mapping=_generator_mapping(generator.to(device).eval(), device),
        source=checkpoint.statistics[source],
        target=checkpoint.statistics[target],
        parameters=FeatureParameters(**cell.features),
    )


def _generator_mapping(generator: Callable, device: str) -> Mapping:
    import torch

    def mapping(normalized: Array) -> Array:
        mcep = torch.from_numpy(np.ascontiguousarray(normalized.T, dtype=np.float32))
        with torch.inference_mode():
            converted = generator(mcep.unsqueeze(0).to(device))
        return converted.squeeze(0).T.double().cpu().numpy()

    return mapping


@dataclass(frozen=True)
class ConversionTask:
    """One direction of one system: which feature files become which wav files.

    checkpoint: of a trained system, else None. statistics_from: for `mean-variance`, the training
    feature files of source and target. `resynthesis` reads target features as `inputs`.
    """

    direction: str
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    parameters: FeatureParameters
    checkpoint: Path | None = None
    plugin_files: tuple[str, ...] = ()
    statistics_from: tuple[tuple[Path, ...], tuple[Path, ...]] | None = None


def run_task(task: ConversionTask) -> int:
    """Convert what is missing; returns how many files were written. For worker processes."""
    pairs = zip(task.inputs, task.outputs, strict=True)
    missing = [(source, output) for source, output in pairs if not audio.is_whole(output)]
    if missing:
        with _one_torch_thread() if task.checkpoint else nullcontext():
            render = _renderer(task)
            for source, output in missing:
                waveform = render(features.load(source))
                temporary = output.with_suffix(f".{os.getpid()}.tmp")
                audio.write(temporary, waveform, sample_rate=task.parameters.sample_rate)
                temporary.replace(output)
    return len(missing)


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


def _renderer(task: ConversionTask) -> Callable[[WorldFeatures], Array]:
    """Analysed speech to waveform, as the task's system does it."""
    if task.checkpoint is not None:
        from vcbench.plugins import Registry
        from vcbench.training.checkpoint import Checkpoint

        checkpoint = Checkpoint.load(task.checkpoint)
        return trained_converter(checkpoint, Registry(task.plugin_files), task.direction)
    if task.statistics_from is None:
        return lambda analysed: world.synthesize(analysed, task.parameters)
    of_source, of_target = (
        SpeakerStatistics.from_features([features.load(p) for p in paths])
        for paths in task.statistics_from
    )
    return VoiceConverter(unchanged, of_source, of_target, task.parameters)
