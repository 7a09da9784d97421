"""What a training recipe may not say although each of its keys by itself may."""

from __future__ import annotations

from itertools import pairwise

from vcbench.suite.positions import Node, Problem
from vcbench.suite.schema import Training
from vcbench.suite.wording import label


def recipe_problems(training: Training, node: Node) -> list[Problem]:
    """Keys of the recipe at `node` that contradict each other, each placed at one of them."""
    problems: list[Problem] = []

    def add(text: str, *path: str | int) -> None:
        place = (node.find(*path) or node).place
        problems.append(Problem(place, f"{label(('training', *path))}{text}"))

    start, last = training.decay_start, training.iterations
    if start is not None and training.learning_rate_decay == "none":
        reason = f"no learning rate falls from iteration {start} on"
        advice = "leave decay_start out, set it to null, or let learning_rate_decay be linear"
        add(f"with learning_rate_decay none {reason}; {advice}", "decay_start")
    elif start is not None and start > last:
        valid = f"valid: 0 to {last}, or null for half of them"
        add(f"{start} lies after the last iteration; {valid}", "decay_start")

    shares = [stage.from_share for stage in training.loss_stages]
    if shares and shares[0] != 0:
        text = f"the first stage must begin at 0; got {shares[0]:g}"
        add(text, "loss_stages", 0, "from_share")
    for index, (before, share) in enumerate(pairwise(shares), start=1):
        if share <= before:
            text = f"a stage must begin after the one before it ({before:g}); got {share:g}"
            add(text, "loss_stages", index, "from_share")

    for name in ("lambda_adversarial", "lambda_cycle", "lambda_identity"):
        if shares and getattr(training, name) != Training.model_fields[name].default:
            text = (
                "holds for no iteration: loss_stages give the weights of all; leave one of them out"
            )
            add(text, name)

    if training.mask_frames >= training.segment_frames:
        valid = f"valid: 0 to {training.segment_frames - 1}, less than segment_frames"
        add(f"{training.mask_frames} may hide a whole crop; {valid}", "mask_frames")

    if training.conversion_weights == "best" and training.validation_utterances == 0:
        reason = "'best' is chosen by the validation loss, and validation_utterances is 0"
        add(f"{reason}; hold out at least one, or use 'last' or 'averaged'", "conversion_weights")
    elif training.conversion_weights == "best" and training.validate_every >= last:
        reason = f"'best' has nothing to choose from: the only validation is after iteration {last}"
        add(f"{reason}; lower validate_every ({training.validate_every})", "conversion_weights")
    if (
        training.conversion_weights != "averaged"
        and training.average_decay != Training.model_fields["average_decay"].default
    ):
        reason = f"nothing is averaged with conversion_weights '{training.conversion_weights}'"
        add(f"{reason}; leave average_decay out, or use 'averaged'", "average_decay")
    return problems
