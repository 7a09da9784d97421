"""A cell: everything that decides one training, as one JSON object.

A cell names its plugins, not their code, and the feature files that it reads. It holds no path of
the corpus and needs neither the suite file nor the speech packages, so it can be copied to a GPU
machine together with the features and run there with `python -m vcbench.cell CELL.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from vcbench import fingerprint, regular_files
from vcbench.errors import CellFailure, DataError
from vcbench.plugins import Kind, Registry
from vcbench.signatures import source_files_of
from vcbench.typed import is_typed

# Editing any of these changes what training computes.
_TRAINING_SOURCES = (
    "vcbench.cell",
    "vcbench.normalization",
    "vcbench.plugins",
    "vcbench.training.averaging",
    "vcbench.training.cell",
    "vcbench.training.checkpoint",
    "vcbench.training.crops",
    "vcbench.training.determinism",
    "vcbench.training.extension",
    "vcbench.training.files",
    "vcbench.training.graphs",
    "vcbench.training.health",
    "vcbench.training.log",
    "vcbench.training.loop",
    "vcbench.training.masks",
    "vcbench.training.memory",
    "vcbench.training.models",
    "vcbench.training.optimizers",
    "vcbench.training.precision",
    "vcbench.training.replay",
    "vcbench.training.schedule",
    "vcbench.training.speech",
    "vcbench.training.step",
    "vcbench.training.streams",
)


def packages_of_training(plugin_sources: Iterable[Path]) -> dict[str, str | None]:
    """{package: version} of what training with these plugins computes with."""
    always = {package: metadata.version(package) for package in ("torch", "numpy")}
    return fingerprint.packages_of(plugin_sources) | always


# Of a recipe, what decides how training changes over time, and nothing else.
SCHEDULE = (
    "iterations",
    "learning_rate_decay",
    "decay_start",
    "lambda_adversarial",
    "lambda_cycle",
    "lambda_identity",
    "identity_until",
    "loss_stages",
)


_KEY = re.compile(r"[0-9a-f]{16}-[0-9a-f]{48}")  # what `Cell.key` gives


@dataclass(frozen=True)
class LossStage:
    """Loss weights from a share of the training on: 0 is its beginning, 0.5 its middle."""

    from_share: float
    adversarial: float
    cycle: float
    identity: float


@dataclass(frozen=True)
class Recipe:
    """How a system is trained; the defaults are the CycleGAN-VC paper's (arXiv:1711.11293).

    What each key means, and what it may be, stands in the suite file's schema
    (`vcbench.suite.schema.Training`), which has the same keys: this class needs no suite parser.
    """

    iterations: int
    batch_size: int = 1
    segment_frames: int = 128
    crops: Literal["fresh", "fixed"] = "fresh"
    pairing: Literal["independent", "same-index"] = "independent"
    sentences: Literal["all", "disjoint"] = "all"
    learning_rate_generator: float = 2e-4
    learning_rate_discriminator: float = 1e-4
    learning_rate_decay: Literal["linear", "none"] = "linear"
    decay_start: int | None = None  # None: half of the iterations
    adam_betas: tuple[float, float] = (0.5, 0.999)
    adam_epsilon: float = 1e-8
    adam_epsilon_placement: Literal["torch", "tf"] = "torch"
    lambda_adversarial: float = 1.0
    lambda_cycle: float = 10.0
    lambda_identity: float = 5.0
    identity_until: int | None = 10_000
    loss_stages: tuple[LossStage, ...] = ()
    adversarial_steps: Literal[1, 2] = 1
    mask_frames: int = 0
    generator_optimizers: Literal[1, 2] = 1
    generator_update: Literal["joint", "alternating"] = "joint"
    fakes: Literal["before-update", "after-update"] = "before-update"
    replay_buffer: int = 0
    conversion_weights: Literal["last", "averaged", "best"] = "last"
    average_decay: float = 0.999
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    pitch: Literal["log-gaussian", "mean-shift", "cyclegan"] = "log-gaussian"
    validation_utterances: int = 4
    log_every: int = 50
    validate_every: int = 500
    checkpoint_every: int = 1000

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Recipe:
        """From plain JSON values: a suite's `training`, or a stored cell's recipe."""
        betas = tuple(stored["adam_betas"])
        stages = tuple(LossStage(**stage) for stage in stored["loss_stages"])
        return cls(**{**stored, "adam_betas": betas, "loss_stages": stages})


@dataclass(frozen=True)
class ComponentSpec:
    """A plugin's name and the options that the suite gives it."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One system on one pair with one seed.

    train_features, validation_features: for each of the two speakers, paths of feature files in
    the order of the utterances' ids. features: what the features are, `FeatureParameters.to_json`.
    deterministic: see `vcbench.training.determinism`.
    """

    system: str
    source: str
    target: str
    seed: int
    generator: ComponentSpec
    discriminator: ComponentSpec
    objective: ComponentSpec
    recipe: Recipe
    scale: float
    features: Mapping[str, Any]
    train_features: Mapping[str, tuple[str, ...]]
    validation_features: Mapping[str, tuple[str, ...]]
    plugin_files: tuple[str, ...] = ()
    device: str = "cpu"
    deterministic: bool = False

    @property
    def pair(self) -> str:
        """`SF1-TM3`."""
        return f"{self.source}-{self.target}"

    @property
    def id(self) -> str:
        """`SYSTEM/SF1-TM3/SEED`."""
        return f"{self.system}/{self.pair}/{self.seed}"

    @property
    def n_mcep(self) -> int:
        """Values per frame that the networks see: the coefficients, and log F0 behind them where
        the recipe has it converted too."""
        return int(self.features["n_mcep"]) + (self.recipe.pitch == "cyclegan")

    def identity(self) -> dict[str, Any]:
        """What decides the training, wherever its files lie and whatever the system is called:
        features by their names, which are hashes of their content, and plugins without their
        paths. Two systems that differ in name alone are one training."""
        described = self.to_json()
        del described["system"]
        for name in ("train_features", "validation_features"):
            described[name] = {
                speaker: [Path(path).name for path in paths]
                for speaker, paths in described[name].items()
            }
        described["plugin_files"] = []
        return described

    def family(self) -> dict[str, Any]:
        """The identity without the schedule."""
        described = self.identity()
        for name in SCHEDULE:
            del described["recipe"][name]
        return described

    def key(self, registry: Registry, *, code: str | None = None) -> str:
        """Content key: equal keys give equal weights on one machine with one `--jobs`.

        It covers the identity and the code. Who asks for many cells gives `code`, what `self.code`
        returned for one of the same plugins: finding it reads every source file.

        Keys of cells that differ in their schedule alone begin alike, up to the hyphen: among them
        is the shorter training that a longer one goes on from.
        """
        code = code or self.code(registry)
        family = fingerprint.of_json([self.family(), code])
        return f"{family[:16]}-{fingerprint.of_json([self.identity(), code])[:48]}"

    def code(self, registry: Registry) -> str:
        """SHA-256 of the source of training and of the three plugins with what they import of their
        project, and of the versions of PyTorch, NumPy and what else the plugins import."""
        files = self._plugin_sources(registry)
        code = [fingerprint.of_sources(_TRAINING_SOURCES), fingerprint.of_sources(files)]
        return fingerprint.of_json([code, packages_of_training(files)])

    def checked_code(self, registry: Registry, folder: Path) -> str:
        """`self.code`, once what it is made of has been imported.

        Raises `CellFailure` if `folder` is called by another key than it gives: somebody edited a
        plugin, or installed another version, after the run had been planned, and what would be
        computed is not what the folder is named by.
        """
        code = self.code(registry)
        if _KEY.fullmatch(folder.name) and self.key(registry, code=code) != folder.name:
            raise CellFailure(
                f"{self.id}: the source of its plugins, or of vcbench, or the version of a package "
                "has changed since the run was planned; the same command plans anew"
            )
        return code

    def packages(self, registry: Registry) -> dict[str, str | None]:
        """{package: version} of what `code` covers."""
        return packages_of_training(self._plugin_sources(registry))

    def _plugin_sources(self, registry: Registry) -> set[Path]:
        plugins: tuple[tuple[Kind, str], ...] = (
            ("generator", self.generator.name),
            ("discriminator", self.discriminator.name),
            ("objective", self.objective.name),
        )
        return {path for plugin in plugins for path in source_files_of(registry, *plugin)}

    def to_json(self) -> dict[str, Any]:
        """A plain dict; `from_json` reads it back."""
        return dict(json.loads(json.dumps(asdict(self))))

    @classmethod
    def read(cls, path: Path) -> Cell:
        """The cell in a JSON file; raises `DataError` if there is none."""
        try:
            text = regular_files.content(path, maximum_bytes=regular_files.MAXIMUM_TEXT_BYTES)
            cell = cls.from_json(json.loads(text))
            if not is_typed(cell, cls):
                raise ValueError("a value of another type than it must have")
            return cell
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{path}: not a cell of this version of vcbench ({type(error).__name__}: {error})"
            ) from None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Cell:
        """Read what `to_json` wrote."""
        changed: dict[str, Any] = {
            "recipe": Recipe.from_json(stored["recipe"]),
            "plugin_files": tuple(stored["plugin_files"]),
        }
        for name in ("generator", "discriminator", "objective"):
            changed[name] = ComponentSpec(**stored[name])
        for name in ("train_features", "validation_features"):
            changed[name] = {speaker: tuple(paths) for speaker, paths in stored[name].items()}
        return cls(**{**stored, **changed})
