"""Keys of a training recipe that contradict each other, and what is filled in."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suite_files import SUITE, Files

from vcbench.suite.positions import parse
from vcbench.suite.recipe import recipe_problems
from vcbench.suite.schema import Training
from vcbench.suite.wording import model_problems
from vcbench.training.cell import Recipe
from vcbench.training.schedule import learning_rate_factor

STAGE = "adversarial: 1, cycle: 10, identity: 5"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "learning_rate_decay: none, decay_start: ^0",
            "training.decay_start: with learning_rate_decay none no learning rate falls from "
            "iteration 0 on; leave decay_start out, set it to null, or let learning_rate_decay be "
            "linear",
        ),
        (
            f"loss_stages: [{{from_share: ^0.25, {STAGE}}}]",
            "training.loss_stages[0].from_share: the first stage must begin at 0; got 0.25",
        ),
        (
            f"loss_stages: [{{from_share: 0, {STAGE}}}, {{from_share: 0.5, {STAGE}}}, "
            f"{{from_share: ^0.5, {STAGE}}}]",
            "training.loss_stages[2].from_share: a stage must begin after the one before it (0.5); "
            "got 0.5",
        ),
        (
            f"loss_stages: [{{from_share: 0, {STAGE}, ^cycel: 3}}]",
            "training.loss_stages[0]: unknown key 'cycel'; did you mean 'cycle'? "
            "(valid: adversarial, cycle, from_share, identity)",
        ),
        (
            f"loss_stages: [{{from_share: ^1, {STAGE}}}]",
            "training.loss_stages[0].from_share: must be less than 1; got 1",
        ),
        (
            "segment_frames: 64, mask_frames: ^64",
            "training.mask_frames: 64 may hide a whole crop; valid: 0 to 63, less than "
            "segment_frames",
        ),
        (
            "conversion_weights: ^best, validation_utterances: 0",
            "training.conversion_weights: 'best' is chosen by the validation loss, and "
            "validation_utterances is 0; hold out at least one, or use 'last' or 'averaged'",
        ),
        (
            "conversion_weights: ^best",
            "training.conversion_weights: 'best' has nothing to choose from: the only validation "
            "is after iteration 60; lower validate_every (500)",
        ),
        (
            "average_decay: ^0.9",
            "training.average_decay: nothing is averaged with conversion_weights 'last'; leave "
            "average_decay out, or use 'averaged'",
        ),
        (
            f"lambda_cycle: ^5, loss_stages: [{{from_share: 0, {STAGE}}}]",
            "training.lambda_cycle: holds for no iteration: loss_stages give the weights of all; "
            "leave one of them out",
        ),
    ],
)
def test_a_contradiction_is_reported_at_its_place(files: Files, keys: str, message: str) -> None:
    text = SUITE.replace("60}", f"60, {keys}}}")
    before, _, after = text.partition("^")
    column = len(before) - before.rfind("\n")
    assert files.errors(before + after) == [f"s.yaml:7:{column}: {message}"]


def test_several_contradictions_are_told_at_once(files: Files) -> None:
    keys = "mask_frames: 128, conversion_weights: best, validation_utterances: 0, decay_start: 61"
    found = files.errors(SUITE.replace("60}", f"60, {keys}}}"))
    assert [line.split(": ")[1] for line in found] == [
        "training.mask_frames",
        "training.conversion_weights",
        "training.decay_start",
    ]


def test_a_recipe_without_decay_resolves_and_is_read_again(files: Files) -> None:
    text = SUITE.replace("60}", "60, learning_rate_decay: none}")
    found = files.load(text.replace("-loss}", "-loss, training: {decay_start: null}}"))
    training = found.systems["one"].training
    assert (training.learning_rate_decay, training.decay_start) == ("none", None)
    assert files.load(json.dumps(found.resolved())).resolved() == found.resolved()
    recipe = Recipe.from_json(found.resolved()["systems"]["one"]["training"])
    assert [learning_rate_factor(i, recipe) for i in (0, 30, 59)] == [1, 1, 1]


def test_one_system_may_decay_and_another_not(files: Files) -> None:
    text = SUITE + "sweep: {base: one, one_at_a_time: {training.learning_rate_decay: [none]}}\n"
    found = files.load(text)
    starts = {name: system.training.decay_start for name, system in found.systems.items()}
    assert starts == {"one": 30, "learning_rate_decay-none": None}
    # The suite's own decay_start reaches both systems: said where the sweep makes it a problem.
    [wrong] = files.errors(text.replace("60}", "60, decay_start: 20}"))
    assert wrong.startswith(
        "s.yaml:9:67: systems.one.training.decay_start: with learning_rate_decay none"
    )


stages = st.lists(st.floats(0, 1, exclude_max=True), max_size=5)


@given(stages, st.integers(0, 200), st.integers(16, 200), st.integers(0, 2))
def test_recipes_are_refused_by_these_rules_alone(
    shares: list[float], mask: int, segment: int, held_out: int
) -> None:
    keys = {
        "iterations": 60,
        "loss_stages": [
            {"from_share": s, "adversarial": 1, "cycle": 1, "identity": 1} for s in shares
        ],
        "mask_frames": mask,
        "segment_frames": segment,
        "conversion_weights": "best",
        "validation_utterances": held_out,
        "validate_every": 10,
    }
    node = parse(json.dumps(keys), source="recipe")[0]
    training, wrong = model_problems(Training, node)
    assert wrong == []
    expected = sum(later <= earlier for earlier, later in pairwise(shares))
    expected += bool(shares) and shares[0] != 0
    expected += (mask >= segment) + (held_out == 0)
    problems = recipe_problems(training, node)
    assert len(problems) == expected
    assert {problem.place for problem in problems} <= node.places()
