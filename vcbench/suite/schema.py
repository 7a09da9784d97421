"""What a suite file may say: types and bounds of the keys that vcbench itself defines.

What a plugin may be given is checked against the plugin's own signature, and what depends on two
keys at once in `vcbench.suite.check`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from vcbench.plugins import Kind

Baseline = Literal["source-copy", "mean-variance", "resynthesis", "smoothed-target", "parallel-gmm"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
# Not smoothed-target, which is there to teach, nor the GMM, which has what no system may use.
DEFAULT_BASELINES: tuple[Baseline, ...] = ("source-copy", "mean-variance", "resynthesis")
# Which plugin kind each key of a system names.
SYSTEM_PARTS: dict[str, Kind] = {
    "generator": "generator",
    "discriminator": "discriminator",
    "objective": "objective",
}
# What a budget cannot change: it replaces values of a suite, it does not become another suite.
NOT_IN_A_BUDGET = frozenset({"suite", "question", "extends", "plugins", "budgets"})
# What `--set` cannot change: the file has been merged with its base, and its budgets read, before.
NOT_BY_SET = frozenset({"extends", "budgets"})
# Keys of `training` that decide what is written down and held out, not what a system learns; so is
# validate_every, where the validation loss does not choose the weights. What is held out is the
# same for all systems of a suite.
INERT_IN_TRAINING = frozenset({"log_every", "checkpoint_every", "validation_utterances"})

# Names become folders and parts of cell ids, so they hold no separator and begin with no dot.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"
_SPEAKER = r"[A-Za-z0-9][A-Za-z0-9._]{0,79}"
PAIR_PATTERN = rf"^{_SPEAKER}-{_SPEAKER}$"
SWEEP_KEY_PATTERN = r"^((generator|discriminator|objective)(\.[^.]+)?|training\.[^.]+)$"
PATTERN_WORDS = {
    NAME_PATTERN: "letters, digits, '.', '_' and '-', beginning with a letter or digit",
    PAIR_PATTERN: "two speakers joined by '-', such as SF1-TM3; a speaker's name holds letters, "
    "digits, '.' and '_'",
    SWEEP_KEY_PATTERN: "a path inside a system: generator, discriminator or objective, an option "
    "of one such as generator.width, or a key of training such as training.lambda_cycle",
}

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
PairName = Annotated[str, StringConstraints(pattern=PAIR_PATTERN)]
SweepKey = Annotated[str, StringConstraints(pattern=SWEEP_KEY_PATTERN)]
NonNegative = Annotated[float, Field(ge=0)]
AdamBeta = Annotated[float, Field(ge=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # a column of 64-bit integers holds it


class _Keys(BaseModel):
    """Base of the mappings of a suite file: no unknown keys, no conversions of types."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Features(_Keys):
    """What is computed from speech, and what systems are trained on."""

    kind: Literal["world"] = Field(default="world", description="Analysis: the WORLD vocoder.")
    sample_rate: int = Field(
        default=16000, ge=16000, le=48000, description="Rate in Hz that every file must have."
    )
    frame_period_ms: float = Field(
        default=5.0, ge=1, le=20, description="Time between two frames, in milliseconds."
    )
    n_mcep: int = Field(default=24, ge=4, le=80, description="Mel-cepstra in a frame, c0 included.")
    f0: Literal["harvest", "dio"] = Field(
        default="harvest", description="F0 estimator; dio is followed by StoneMask."
    )
    mel_cepstrum: Literal["world-codec", "sptk"] = Field(
        default="world-codec",
        description="world-codec: pyworld.code_spectral_envelope, as public CycleGAN-VC "
        "implementations do; sptk: SPTK mel-cepstra.",
    )


class LossStage(_Keys):
    """Loss weights that hold from a share of the training on."""

    from_share: float = Field(ge=0, lt=1, description="0: from the start; 0.5: from the middle.")
    adversarial: NonNegative = Field(description="Weight of the adversarial loss.")
    cycle: NonNegative = Field(description="Weight of the cycle-consistency loss.")
    identity: NonNegative = Field(description="Weight of the identity loss.")


class Training(_Keys):
    """The CycleGAN-VC training recipe (Kaneko and Kameoka, 2017)."""

    # Each has an end: what no training needs would first be seen when memory runs out.
    iterations: PositiveInt = Field(
        le=10**9, description="Updates of generators and of discriminators."
    )
    batch_size: PositiveInt = Field(
        default=1, le=4096, description="Crops of each speaker in a batch."
    )
    segment_frames: int = Field(
        default=128, ge=16, le=8192, description="Length of a crop, in frames."
    )
    crops: Literal["fresh", "fixed"] = Field(
        default="fresh",
        description="fresh: a new random place each time; fixed: one random place an utterance.",
    )
    pairing: Literal["independent", "same-index"] = Field(
        default="independent",
        description="independent: the two speakers' utterances are shuffled each by itself; "
        "same-index: utterance i of one comes with utterance i of the other.",
    )
    sentences: Literal["all", "disjoint"] = Field(
        default="all",
        description="disjoint: of the training sentences that both speakers say, the source keeps "
        "the first half and the target the second, as in the paper.",
    )
    learning_rate_generator: NonNegative = Field(default=2e-4, description="Adam's, before decay.")
    learning_rate_discriminator: NonNegative = Field(
        default=1e-4, description="Adam's, before decay."
    )
    learning_rate_decay: Literal["linear", "none"] = Field(
        default="linear", description="linear: from decay_start on, to zero at the end."
    )
    decay_start: NonNegativeInt | None = Field(
        default=None,
        description="Iteration from which both learning rates fall linearly to zero; "
        "null: half of the iterations.",
    )
    adam_betas: tuple[AdamBeta, ...] = Field(
        default=(0.5, 0.999), min_length=2, max_length=2, description="Adam's two betas."
    )
    adam_epsilon: float = Field(default=1e-8, gt=0, description="Adam's epsilon.")
    adam_epsilon_placement: Literal["torch", "tf"] = Field(
        default="torch",
        description="Where Adam adds epsilon: torch, to the bias-corrected root of the second "
        "moment; tf, to the uncorrected one, as TensorFlow does.",
    )
    lambda_adversarial: NonNegative = Field(
        default=1.0, description="Weight of the adversarial loss."
    )
    lambda_cycle: NonNegative = Field(
        default=10.0, description="Weight of the cycle-consistency loss."
    )
    lambda_identity: NonNegative = Field(default=5.0, description="Weight of the identity loss.")
    identity_until: NonNegativeInt | None = Field(
        default=10000,
        description="Iteration after which the identity loss is left out; null: never.",
    )
    loss_stages: tuple[LossStage, ...] = Field(
        default=(),
        description="Loss weights in stages; where given, lambda_* and identity_until do not hold.",
    )
    adversarial_steps: Literal[1, 2] = Field(
        default=1,
        description="2: CycleGAN-VC2's two-step loss, second discriminators judge what has gone "
        "through both generators.",
    )
    mask_frames: NonNegativeInt = Field(
        default=0,
        description="MaskCycleGAN-VC: longest run of frames that is hidden from the first "
        "generator of a cycle, which must take a mask; 0: none.",
    )
    generator_optimizers: Literal[1, 2] = Field(
        default=1, description="One Adam for both generators, or one each."
    )
    generator_update: Literal["joint", "alternating"] = Field(
        default="joint",
        description="joint: both generators in one step; alternating: one after the other, the "
        "other frozen.",
    )
    fakes: Literal["before-update", "after-update"] = Field(
        default="before-update",
        description="Which fakes the discriminators learn from: those made before the generators' "
        "update, or made anew after it.",
    )
    replay_buffer: NonNegativeInt = Field(
        default=0,
        le=10**6,
        description="Fakes kept for each discriminator, of which it sees an old one half the time "
        "(Shrivastava et al., 2017); 0: none.",
    )
    conversion_weights: Literal["last", "averaged", "best"] = Field(
        default="last",
        description="Generators that convert: the last, an exponential moving average, or those "
        "with the lowest validation loss on held-out training sentences.",
    )
    average_decay: float = Field(
        default=0.999, ge=0, lt=1, description="Decay of the moving average, per iteration."
    )
    precision: Literal["float32", "tf32", "bf16"] = Field(
        default="float32",
        description="Of the networks' convolutions and matrix products; weights, losses and the "
        "optimiser are float32 in any case. tf32 is float32 but on a GPU.",
    )
    pitch: Literal["log-gaussian", "mean-shift", "cyclegan"] = Field(
        default="log-gaussian",
        description="How F0 is converted: mean and variance of log F0, its mean alone, or by the "
        "generator as one more value of each frame.",
    )
    validation_utterances: NonNegativeInt = Field(
        default=4,
        description="Training sentences of each speaker that are held out, for the validation "
        "loss alone; the most that any system of the suite asks for are held out from all.",
    )
    log_every: PositiveInt = Field(default=50, description="Iterations between two log entries.")
    validate_every: PositiveInt = Field(
        default=500, description="Iterations between two validations."
    )
    checkpoint_every: PositiveInt = Field(
        default=1000, description="Iterations between checkpoints."
    )


class ComponentKeys(BaseModel):
    """A plugin and its options."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    name: str = Field(description="Name of the plugin; `vcbench list` shows them.")


class SystemKeys(_Keys):
    """A generator, a discriminator, an objective and changes of the training recipe."""

    generator: ComponentKeys = Field(description="Converts mel-cepstra of one speaker.")
    discriminator: ComponentKeys = Field(description="Tells real mel-cepstra from converted.")
    objective: ComponentKeys = Field(description="The adversarial loss.")
    # Checked once it is merged with the suite's own training.
    training: dict[str, Any] = Field(default={}, description="Keys of `training` that differ here.")


class SweepKeys(_Keys):
    """Systems that are made from one: like it but for the keys that the sweep changes.

    A key is a path inside a system, such as training.lambda_cycle or generator.width; an empty list
    of values makes nothing.
    """

    base: str = Field(description="Name of the system that is changed; it stays as it is.")
    one_at_a_time: dict[SweepKey, tuple[Any, ...]] = Field(
        default={}, description="Values of keys: a system for each value, all else as in the base."
    )
    grid: dict[SweepKey, tuple[Any, ...]] = Field(
        default={},
        description="Values of keys: a system for each combination of values of all of these keys.",
    )


class CompareKeys(_Keys):
    """The comparison that answers the question."""

    baseline: str = Field(description="Name of the system or baseline to compare with.")
    against: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Names of the systems or baselines that are compared with it; null: all other "
        "systems.",
    )
    metric: str | None = Field(
        default=None, description="The metric that decides; null: the first of the suite's."
    )


class ExternalKeys(_Keys):
    """Speech that was converted elsewhere."""

    directory: str = Field(
        min_length=1,
        description="Folder of the wav or flac files of a direction, relative to this file, each "
        "called as the evaluation sentence it says; {direction} becomes SOURCE_to_TARGET, {source} "
        "and {target} the speakers' names.",
    )


class SuiteKeys(_Keys):
    """A vcbench suite: corpus, pairs, systems, training, metrics."""

    suite: Name = Field(description="Name of the suite; its runs lie under reports/NAME.")
    question: str | None = Field(default=None, description="The question that this suite answers.")
    extends: str | None = Field(
        default=None,
        description="A base: the file (relative to this one) or the name of a shipped suite; keys "
        "given here are merged over it.",
    )
    plugins: tuple[str, ...] = Field(
        default=(),
        description="Python files that register plugins, relative to this file; `vcbench run` "
        "executes them, `vcbench plan` only with --trust-plugins.",
    )
    corpus: ComponentKeys = Field(description="Where speech comes from.")
    pairs: tuple[PairName, ...] = Field(
        min_length=1, description="SOURCE-TARGET speakers; both directions are trained and scored."
    )
    features: Features = Field(default=Features(), description="Speech analysis.")
    systems: dict[Name, SystemKeys | None] = Field(
        default={},
        description="What is compared, by name; null, in a budget or in a file that extends "
        "another, drops the system of that name.",
    )
    sweep: SweepKeys | None = Field(
        default=None, description="Further systems, made from one of `systems`."
    )
    compare: CompareKeys | None = Field(
        default=None,
        description="Which comparison answers the question; null: with a sweep, what it made with "
        "its base.",
    )
    baselines: tuple[Baseline, ...] = Field(
        default=DEFAULT_BASELINES, description="Conversions to measure the systems by."
    )
    external: dict[Name, ExternalKeys] = Field(
        default={},
        description="Systems that were run elsewhere, by name: scored beside the others.",
    )
    training: Training | None = Field(default=None, description="The recipe of all systems.")
    scale: float = Field(
        default=1.0, gt=0, le=4, description="Multiplies every width of every architecture."
    )
    seeds: tuple[Seed, ...] = Field(
        default=(0,),
        min_length=1,
        description="Each system is trained once for each pair and seed.",
    )
    metrics: tuple[str, ...] = Field(min_length=1, description="Names of metrics.")
    eval_utterances: PositiveInt | None = Field(
        default=None, description="Evaluation sentences that are scored; null: all."
    )
    protocol: str = Field(
        default="vcbench-1", description="Version of the definitions of the scores."
    )
    samples_per_direction: NonNegativeInt = Field(
        default=2, description="Sentences that the report lets one listen to."
    )
    budgets: dict[Name, dict[str, Any]] = Field(
        default={}, description="Keys of this suite that `--budget NAME` replaces."
    )
