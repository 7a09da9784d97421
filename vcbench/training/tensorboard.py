"""TensorBoard event files of a cell, on request: to watch a training while it runs.

`tensorboard/` in the cell's folder holds losses, learning rates and gradient norms as often as the
log has lines, and, as often as a training is validated, a held-out sentence of each speaker: crops
of the mel-cepstra of the source, of what the generator makes of it and of the target, and the
converted speech where WORLD's packages are installed.

Looking changes nothing: no weight, no random number, no key. The package tensorboard is asked for
only where it is wanted: `pip install 'vcbench[tensorboard]'`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vcbench import features
from vcbench.errors import UsageError, VcbenchError
from vcbench.training.cell import Cell
from vcbench.training.log import last_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vcbench.training.speech import Speech
    from vcbench.training.step import CycleGan

FOLDER = "tensorboard"
PIXELS = 4  # a side of what shows one value
BRIGHTEST = 3.0  # normalised mel-cepstra from minus this to this are told apart


def require() -> None:
    """Raises `UsageError` if the package is missing."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "--tensorboard: the package 'tensorboard' is not installed; "
            "pip install 'vcbench[tensorboard]', or leave the option out"
        )


class Board:
    """Writes nothing at all unless `wanted`; a context that closes the files."""

    def __init__(self, folder: Path, cell: Cell, *, wanted: bool) -> None:
        if wanted:
            require()
        self.folder, self.cell, self.wanted = folder, cell, wanted
        self._writer: Any = None
        self._has_audio = wanted

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def begin(self, iteration: int) -> None:
        """Go on after `iteration`: what an earlier sitting wrote of later ones is not shown."""
        if self.wanted:
            from torch.utils.tensorboard import SummaryWriter

            path = str(self.folder / FOLDER)
            self._writer = SummaryWriter(path, purge_step=iteration + 1)

    def logged(self, iteration: int, gan: CycleGan) -> None:
        """Add the newest line of the log, and the norms of the last update's gradients.

        Where generators are updated one after the other, theirs is the second one's alone.
        """
        if self._writer is None:
            return
        for name, value in last_line(self.folder).items():
            if name.startswith("learning_rate"):
                self._writer.add_scalar(name.replace("rate_", "rate/"), value, iteration)
            elif name == "iterations_per_second":
                self._writer.add_scalar(f"speed/{name}", value, iteration)
            elif name != "iteration":
                self._writer.add_scalar(f"loss/{name}", value, iteration)
        for name, parameters in (
            ("generator", gan.networks.generators()),
            ("discriminator", gan.networks.discriminators()),
        ):
            norm = gradient_norm(parameters)
            if norm is not None:
                self._writer.add_scalar(f"gradient_norm/{name}", norm, iteration)
        self._writer.flush()

    def validated(
        self, iteration: int, loss: float | None, gan: CycleGan, speech: Mapping[str, Speech]
    ) -> None:
        """Add the validation loss, and one held-out sentence of each speaker, converted."""
        if self._writer is None:
            return
        if loss is not None:
            self._writer.add_scalar("loss/validation", loss, iteration)
        from vcbench.training.models import isolated_rng

        cell, networks = self.cell, gan.networks
        networks.eval()
        # A network that draws random numbers must train the same, looked at or not.
        with isolated_rng("tensorboard", cell.pair, cell.seed):
            for source, target, generator in (
                (cell.source, cell.target, networks.source_to_target),
                (cell.target, cell.source, networks.target_to_source),
            ):
                direction = f"{source}-to-{target}"
                if speech[source].validation and speech[target].validation:
                    image = self._picture(speech[source], speech[target], generator)
                    tag = f"mel-cepstra: source, converted, target/{direction}"
                    self._writer.add_image(tag, image, iteration, dataformats="HW")
                self._add_audio(direction, source, target, generator, speech, iteration)
        networks.train()
        self._writer.flush()

    def _picture(self, source: Speech, target: Speech, generator: nn.Module) -> NDArray[np.uint8]:
        """Three crops (n_mcep, frames) below each other, as shades of grey."""
        spoken = source.validation[0]
        crops = [spoken, _converted(generator, spoken), target.validation[0]]
        return grey([crop[0].float().cpu().numpy() for crop in crops])

    def _add_audio(
        self,
        direction: str,
        source: str,
        target: str,
        generator: nn.Module,
        speech: Mapping[str, Speech],
        iteration: int,
    ) -> None:
        paths = self.cell.validation_features[source]
        if not self._has_audio or not paths:
            return
        # A machine that only trains has none of the packages that make speech.
        missing = [name for name in ("pyworld", "pysptk") if importlib.util.find_spec(name) is None]
        if missing:
            self._has_audio = False
            print(
                f"--tensorboard: without audio, {' and '.join(missing)} not installed here",
                file=sys.stderr,
            )
            return
        import torch

        from vcbench.conversion import VoiceConverter
        from vcbench.world import FeatureParameters

        def mapping(normalized: NDArray[np.float64]) -> NDArray[np.float64]:
            values = torch.from_numpy(np.ascontiguousarray(normalized.T, dtype=np.float32))
            made = _converted(generator, values.unsqueeze(0).to(self.cell.device))
            return np.asarray(made[0].T.double().cpu().numpy())

        parameters = FeatureParameters(**self.cell.features)
        convert = VoiceConverter(
            mapping,
            speech[source].statistics,
            speech[target].statistics,
            parameters,
            self.cell.recipe.pitch,
        )
        try:
            wave = convert(features.load(Path(paths[0])))
        except VcbenchError as error:  # which is no reason to stop training
            print(f"--tensorboard: {direction} not converted ({error})", file=sys.stderr)
            return
        loudest = max(1.0, float(np.abs(wave).max(initial=0.0)))
        self._writer.add_audio(
            f"converted/{direction}",
            torch.from_numpy(wave / loudest),
            iteration,
            sample_rate=parameters.sample_rate,
        )


def _converted(generator: nn.Module, mcep: Tensor) -> Tensor:
    """What it makes of (batch, n_mcep, frames), without a trace in it."""
    import torch

    with torch.no_grad():
        made: Tensor = generator(mcep)
    return made


def gradient_norm(parameters: Iterable[nn.Parameter]) -> float | None:
    """Euclidean norm of all gradients together, or None where there are none."""
    import torch

    norms = [p.grad.detach().norm() for p in parameters if p.grad is not None]
    return torch.stack(norms).norm().item() if norms else None


def grey(crops: list[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Crops (n_mcep, frames) below each other, white lines between, each value a square."""
    gap = np.full((1, crops[0].shape[1]), BRIGHTEST, dtype=np.float32)
    rows = [row for crop in crops for row in (crop, gap)][:-1]
    shades = (np.clip(np.concatenate(rows) / BRIGHTEST, -1, 1) + 1) * 127.5
    return np.kron(shades.astype(np.uint8), np.ones((PIXELS, PIXELS), dtype=np.uint8))
