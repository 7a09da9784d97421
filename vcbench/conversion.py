"""From one speaker's speech to another's: features -> generator -> features -> waveform.

Mel-cepstra are normalised with the source's statistics, converted, and denormalised with the
target's; F0 goes through the log-Gaussian transform; aperiodicity is copied (arXiv:1711.11293,
section 4.1). Systems and baselines differ in the map between.

Where the recipe's `pitch` is `cyclegan`, the generator converts log F0 as one more value of each
frame. Which frames are voiced is not converted: unvoiced frames of the source stay unvoiced. This
way of doing it is vcbench's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vcbench import world
from vcbench.errors import DataError, PluginError, UsageError
from vcbench.normalization import Pitch, SpeakerStatistics, convert_f0
from vcbench.world import Array, FeatureParameters, WorldFeatures

if TYPE_CHECKING:
    from vcbench.plugins import Registry
    from vcbench.training.checkpoint import Checkpoint

# Normalised frames in and out: (frames, n_mcep), log F0 included where it is converted too.
Mapping = Callable[[Array], Array]

# Those of the analysis: a generator's F0 is held where WORLD looks for F0.
F0_LIMITS_HZ = (FeatureParameters.f0_floor_hz, FeatureParameters.f0_ceil_hz)


def convert(
    source_features: WorldFeatures,
    mapping: Mapping,
    *,
    source: SpeakerStatistics,
    target: SpeakerStatistics,
    pitch: Pitch = "log-gaussian",
    f0_limits_hz: tuple[float, float] = F0_LIMITS_HZ,
) -> WorldFeatures:
    """Convert one utterance of any length; `mapping` works on `normalize_frames`.

    f0_limits_hz: between which F0 is held that a mapping answers, since it may answer anything.
    Raises `PluginError` if the mapping does not keep their shape, `DataError` if it answers NaN or
    infinite values, which WORLD may turn into silence.
    """
    normalized = source.normalize_frames(source_features, pitch=pitch)
    mapped = mapping(normalized)
    if mapped.shape != normalized.shape:
        raise PluginError(
            f"the generator returned {mapped.shape} (frames, n_mcep) for {normalized.shape}; "
            "it must return as much as it is given, for any number of frames"
        )
    if not np.isfinite(mapped).all():
        raise DataError("the generator answered NaN or infinite values: its training has failed")
    spoken_f0_hz = source_features.f0_hz
    if pitch == "cyclegan":
        mapped, log_f0 = mapped[:, :-1], target.denormalize_log_f0(mapped[:, -1])
        f0_hz = np.where(spoken_f0_hz > 0, np.exp(np.clip(log_f0, *np.log(f0_limits_hz))), 0.0)
    else:
        f0_hz = convert_f0(spoken_f0_hz, source=source, target=target, pitch=pitch)
    return WorldFeatures(
        f0_hz=f0_hz,
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
    pitch: Pitch = "log-gaussian"

    def __call__(self, source_features: WorldFeatures) -> Array:
        """The converted waveform of analysed source speech."""
        converted = convert(
            source_features,
            self.mapping,
            source=self.source,
            target=self.target,
            pitch=self.pitch,
            f0_limits_hz=(self.parameters.f0_floor_hz, self.parameters.f0_ceil_hz),
        )
        return world.synthesize(converted, self.parameters)


def trained_converter(
    checkpoint: Checkpoint, registry: Registry, direction: str, *, device: str = "cpu"
) -> VoiceConverter:
    """The trained generator of `direction` ("SF1>TM3" or its reverse).

    Raises `UsageError` if the checkpoint was not trained for that direction, and `DataError` if its
    weights do not fit the plugins that it names.
    """
    from vcbench.training.models import conversion_networks

    cell = checkpoint.cell
    valid = (f"{cell.source}>{cell.target}", f"{cell.target}>{cell.source}")
    if direction not in valid:
        raise UsageError(
            f"direction '{direction}': this checkpoint converts {valid[0]} and {valid[1]}"
        )
    source, target = direction.split(">")
    networks = conversion_networks(checkpoint, registry)
    forward = source == cell.source
    generator = networks.source_to_target if forward else networks.target_to_source
    return VoiceConverter(
        mapping=_generator_mapping(generator.to(device).eval(), device),
        source=checkpoint.statistics[source],
        target=checkpoint.statistics[target],
        parameters=FeatureParameters(**cell.features),
        pitch=cell.recipe.pitch,
    )


def _generator_mapping(generator: Callable, device: str) -> Mapping:
    import torch

    def mapping(normalized: Array) -> Array:
        mcep = torch.from_numpy(np.ascontiguousarray(normalized.T, dtype=np.float32))
        with torch.inference_mode():
            converted = generator(mcep.unsqueeze(0).to(device))
        return converted.squeeze(0).T.double().cpu().numpy()

    return mapping
