"""What a suite file may say: the models, and how their errors are worded and placed.

The models check types and bounds of the keys that vcbench itself defines. What a plugin may be
given is checked against the plugin's own signature (`option_value`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails, to_jsonable_python

from vcbench.errors import did_you_mean
from vcbench.plugins import Kind
from vcbench.suite.positions import KeyPath, Node, Problem, show

Baseline = Literal["source-copy", "mean-variance", "resynthesis"]
BASELINES: tuple[Baseline, ...] = ("source-copy", "mean-variance", "resynthesis")
# Which plugin kind each key of a system names.
SYSTEM_PARTS: dict[str, Kind] = {
    "generator": "generator",
    "discriminator": "discriminator",
    "objective": "objective",
}
# What a budget cannot change: it replaces values of a suite, it does not become another suite.
NOT_IN_A_BUDGET = frozenset({"suite", "question", "extends", "plugins", "budgets"})

# Names become folders and parts of cell ids, so they hold no separator and begin with no dot.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"
_SPEAKER = r"[A-Za-z0-9][A-Za-z0-9._]{0,79}"
PAIR_PATTERN = rf"^{_SPEAKER}-{_SPEAKER}$"
_PATTERN_WORDS = {
    NAME_PATTERN: "letters, digits, '.', '_' and '-', beginning with a letter or digit",
    PAIR_PATTERN: "two speakers joined by '-', such as SF1-TM3; a speaker's name holds letters, "
    "digits, '.' and '_'",
}

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
PairName = Annotated[str, StringConstraints(pattern=PAIR_PATTERN)]
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

    iterations: PositiveInt = Field(description="Updates of generators and of discriminators.")
    batch_size: PositiveInt = Field(default=1, description="Crops of each speaker in a batch.")
    segment_frames: int = Field(default=128, ge=16, description="Length of a crop, in frames.")
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
    pitch: Literal["log-gaussian", "mean-shift", "cyclegan"] = Field(
        default="log-gaussian",
        description="How F0 is converted: mean and variance of log F0, its mean alone, or by the "
        "generator as one more value of each frame.",
    )
    validation_utterances: NonNegativeInt = Field(
        default=4,
        description="Training sentences of each speaker that are held out, for the validation "
        "loss alone.",
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
        default=(), description="Python files that register plugins, relative to this file."
    )
    corpus: ComponentKeys = Field(description="Where speech comes from.")
    pairs: tuple[PairName, ...] = Field(
        min_length=1, description="SOURCE-TARGET speakers; both directions are trained and scored."
    )
    features: Features = Field(default=Features(), description="Speech analysis.")
    systems: dict[Name, SystemKeys] = Field(default={}, description="What is compared, by name.")
    baselines: tuple[Baseline, ...] = Field(
        default=BASELINES, description="Conversions that need no training."
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
    protocol: Name = Field(
        default="vcbench-1", description="Version of the definitions of the scores."
    )
    samples_per_direction: NonNegativeInt = Field(
        default=2, description="Sentences that the report lets one listen to."
    )
    budgets: dict[Name, dict[str, Any]] = Field(
        default={}, description="Keys of this suite that `--budget NAME` replaces."
    )


def model_problems(
    model: type[BaseModel], root: Node, *, prefix: KeyPath = ()
) -> tuple[Any, list[Problem]]:
    """(the validated model or None, all problems) of the mapping at `root`.

    `prefix` is the path that messages put before the paths of the mapping.
    """
    try:
        # As JSON, a list is accepted where the model has a tuple, and still no '3' for an int.
        return model.model_validate_json(json.dumps(root.plain())), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [_describe(d, root, model, prefix) for d in details if not _is_echo(d)]


def _is_echo(error: ErrorDetails) -> bool:
    """A list is also called too short when it is long enough and an entry of it is wrong."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def option_value(annotation: Any, node: Node, path: KeyPath) -> tuple[Any, list[Problem]]:
    """(the value at `node` as plain JSON values, what keeps it from being an `annotation`).

    Where the annotation is float, 5 becomes 5.0: it is the same option.
    """
    try:
        config = ConfigDict(strict=True, arbitrary_types_allowed=True)
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=config)
    except PydanticUserError:
        return node.plain(), []  # a type that pydantic cannot check is left to the plugin
    try:
        return to_jsonable_python(adapter.validate_json(json.dumps(node.plain()))), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        if all(node.find(*detail["loc"]) for detail in details):
            return None, [_describe(d, node, None, path) for d in details if not _is_echo(d)]
        # Each member of a union has its own complaint, under the member's name.
        words = str(annotation).replace("typing.", "")
        text = f"{label(path)}must be {words}; got {_found(node.plain())}"
        return None, [Problem(node.place, text)]


def _describe(
    error: ErrorDetails, root: Node, model: type[BaseModel] | None, prefix: KeyPath
) -> Problem:
    """One error of pydantic in vcbench's words, at the place in the file that it is about."""
    loc = tuple(error["loc"])
    about_key = loc[-1:] == ("[key]",)
    loc = loc[:-1] if about_key else loc
    kind = error["type"]
    if kind == "missing":
        place = (root.find(*loc[:-1]) or root).place
        return Problem(place, f"{label((*prefix, *loc[:-1]))}missing key '{loc[-1]}'")
    node = root.find(*loc) or root
    if kind == "extra_forbidden" and model is not None:
        hint = did_you_mean(str(loc[-1]), _fields_at(model, loc[:-1]))
        text = f"{label((*prefix, *loc[:-1]))}unknown key {show(loc[-1])}; {hint}"
        return Problem(node.key or node.place, text)
    place = (node.key if about_key else None) or node.place
    found = loc[-1] if about_key else error["input"]
    return Problem(place, f"{label((*prefix, *loc))}{_complaint(error, found)}")


def label(path: KeyPath) -> str:
    """How messages begin: `training.adam_betas[1]: `; nothing for the root."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{text.removeprefix('.')}: " if text else ""


def _complaint(error: ErrorDetails, found: object) -> str:
    """What is valid and what was found instead."""
    if error["type"] == "literal_error":
        valid = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return f"unknown value {show(found)}; {did_you_mean(str(found), valid)}"
    return f"{_expectation(error)}; got {_found(found)}"


def _found(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    return "an empty list" if value == [] else show(value)


def _expectation(error: ErrorDetails) -> str:
    """What is valid, in words."""
    kind = error["type"]
    context: dict[str, Any] = error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return f"must be {_PATTERN_WORDS.get(pattern, f'text that matches {pattern}')}"
    if kind == "string_type" and isinstance(error["input"], int | float):
        return "must be text (put it in quotes)"
    if context.get("class_name") == ComponentKeys.__name__:
        return "must be a plugin's name, or a mapping with its name and its options"
    return _EXPECTATIONS.get(kind, error["msg"]).format(**context)


_EXPECTATIONS = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
}


def _fields_at(model: type[BaseModel], loc: KeyPath) -> Iterable[str]:
    """Names of the keys that the mapping at `loc` may have."""
    nested: dict[str, type[BaseModel]] = {
        "features": Features,
        "training": Training,
        "systems": SystemKeys,
    }
    return (nested[str(loc[0])] if loc else model).model_fields
