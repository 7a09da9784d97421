"""`sweep:`: what it makes of its base, and that a mistake is reported in the sweep."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suite_files import SUITE, Files

from vcbench.errors import UsageError
from vcbench.suite import Compare, Suite
from vcbench.suite.schema import NAME_PATTERN

per_example = settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def sweep(**keys: Mapping[str, Any] | str) -> str:
    """SUITE with a sweep of `one` on line 9."""
    return SUITE + "sweep: " + json.dumps({"base": "one", **keys}) + "\n"


def changes(suite: Suite) -> dict[str, dict[str, Any]]:
    """For each system but `one`: {dotted key: value} of what differs from `one`."""
    base, *_ = systems = suite.resolved()["systems"].values()
    assert next(iter(suite.systems)) == "one"
    assert all(system.keys() == base.keys() for system in systems)
    found = [
        {
            f"{part}.{key}": system[part].get(key)
            for part in base
            for key in base[part].keys() | system[part].keys()
            if base[part].get(key) != system[part].get(key)
        }
        for system in systems
    ]
    return dict(list(zip(suite.systems, found, strict=True))[1:])


def test_one_at_a_time_makes_a_system_for_each_value(files: Files) -> None:
    found = files.load(
        sweep(
            one_at_a_time={
                "training.learning_rate_generator": [4e-4, 1e-3],
                "generator.width": ["narrow"],
                "discriminator.sigmoid": [False],
                "training.identity_until": [None],
                "training.adam_betas": [[0.9, 0.999]],
            }
        )
    )
    assert list(changes(found).items()) == [
        ("learning_rate_generator-4e-4", {"training.learning_rate_generator": 4e-4}),
        ("learning_rate_generator-1e-3", {"training.learning_rate_generator": 1e-3}),
        ("generator.width-narrow", {"generator.width": "narrow"}),
        ("discriminator.sigmoid-false", {"discriminator.sigmoid": False}),
        ("identity_until-null", {"training.identity_until": None}),
        ("adam_betas-0.9_0.999", {"training.adam_betas": [0.9, 0.999]}),
    ]
    assert found.systems["generator.width-narrow"].name == "generator.width-narrow"


def test_a_grid_makes_a_system_for_each_combination(files: Files) -> None:
    found = files.load(sweep(grid={"training.lambda_cycle": [5, 20], "generator.layers": [1, 2]}))
    assert changes(found) == {
        f"lambda_cycle-{cycle}.generator.layers-{layers}": {
            "training.lambda_cycle": float(cycle),
            "generator.layers": layers,
        }
        for cycle in (5, 20)
        for layers in (1, 2)
    }


def test_a_plugin_itself_can_be_changed(files: Files) -> None:
    text = sweep(
        one_at_a_time={"generator": [{"name": "test-deep", "depth": 2}]},
        grid={"generator.rate": [0.25], "generator": ["test-gen"]},
    ).replace("generator: test-gen,", "generator: {name: test-gen, width: narrow},")
    found = files.load(text)
    _, deep, grid = found.systems
    assert deep == "generator-test-deep-depth-2"
    assert found.resolved()["systems"][deep]["generator"] == {"name": "test-deep", "depth": 2}
    # Named anew, it forgets the base's options; and its own stand on top, whatever the order.
    assert grid == "generator.rate-0.25.generator-test-gen"
    assert changes(found)[grid] == {"generator.rate": 0.25, "generator.width": "wide"}


def test_the_base_keeps_its_own_training(files: Files) -> None:
    text = sweep(one_at_a_time={"training.batch_size": [2]}).replace(
        "test-loss}", "test-loss, training: {lambda_cycle: 7}}"
    )
    found = files.load(text)
    assert found.systems["one"].training.lambda_cycle == 7
    assert changes(found) == {"batch_size-2": {"training.batch_size": 2}}


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "training.learning_rate_generator": st.floats(1e-9, 1),
    "training.lambda_cycle": st.integers(0, 10**6) | st.floats(0, 1e12),
    "training.batch_size": st.integers(2, 4096),
    "training.crops": st.just("fixed"),
    "generator.layers": st.integers(4, 10**12) | st.integers(-(10**12), 2),
    "generator.names": st.lists(st.text("abc", min_size=1), min_size=1, max_size=3),
    "generator.anything": st.integers(2, 9) | st.sampled_from(["x", "y z", "a" * 90]),
    "discriminator.sigmoid": st.just(False),
}
# Of these no value is the base's own.
BASE = {"training.learning_rate_generator": 2e-4, "training.lambda_cycle": 10.0}


def swept(most_keys: int) -> st.SearchStrategy[dict[str, list[Any]]]:
    """{key: values}, no value twice."""

    def values(key: str) -> st.SearchStrategy[list[Any]]:
        usable = VALUES[key].filter(lambda value: value != BASE.get(key))
        return st.lists(usable, max_size=3, unique_by=str)

    keys = st.lists(st.sampled_from(sorted(VALUES)), max_size=most_keys, unique=True)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({k: values(k) for k in chosen}))


@given(swept(4), swept(3))
@per_example
def test_any_sweep_makes_sum_plus_product_systems_that_differ_in_its_keys_alone(
    tmp_path: Path, one_at_a_time: dict[str, list[Any]], grid: dict[str, list[Any]]
) -> None:
    # A grid of one key makes what one_at_a_time would make of it.
    if len(grid) == 1:
        grid = {}
    # 5 and 5.0 are one value, and so have one name.
    for keys in (one_at_a_time, grid):
        for key, values in keys.items():
            keys[key] = [v for i, v in enumerate(values) if v not in values[:i]]
    count = sum(map(len, one_at_a_time.values()))
    count += math.prod(map(len, grid.values())) if grid else 0
    files = Files(tmp_path)
    text = sweep(one_at_a_time=one_at_a_time, grid=grid)
    if not 1 <= count <= 100:
        [found] = files.errors(text)
        assert f"sweep: makes {count} systems; valid: 1 to 100" in found
        return
    suite = files.load(text)
    made = list(suite.systems)[1:]
    assert len(made) == count
    assert all(re.fullmatch(NAME_PATTERN, name) for name in made)
    differing = list(changes(suite).values())
    singles = [{key: value} for key, values in one_at_a_time.items() for value in values]
    assert differing[: len(singles)] == singles
    assert all(change.keys() == grid.keys() for change in differing[len(singles) :])
    assert suite.compare == Compare("one", tuple(made), "test-score")
    again = files.load(json.dumps(suite.resolved()))
    assert again.resolved() == suite.resolved()
    assert "sweep" not in suite.resolved()
    assert again.cells() == suite.cells()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2e-5", "2e-5"),
        ("0.00025", "2.5e-4"),
        ("0.05", "0.05"),
        ("5", "5"),
        ("5.0", "5"),
        ("100.0", "100"),
        ("12.5", "12.5"),
        ("1e20", "1e20"),
        ("0", "0"),
    ],
)
def test_numbers_in_names_are_short(files: Files, value: str, text: str) -> None:
    suite = files.load(
        SUITE + f"sweep: {{base: one, one_at_a_time: {{training.lambda_cycle: [{value}]}}}}"
    )
    assert list(suite.systems)[1:] == [f"lambda_cycle-{text}"]


def test_what_has_no_short_name_is_numbered(files: Files) -> None:
    stage = {"from_share": 0, "adversarial": 1, "cycle": 10, "identity": 0.5}
    suite = files.load(
        sweep(
            one_at_a_time={"training.loss_stages": [[stage]], "generator.anything": ["a" * 90]},
            grid={
                "training.learning_rate_generator": [1e-3],
                "training.learning_rate_discriminator": [1e-3],
                "training.validation_utterances": [2],
            },
        )
    )
    assert list(suite.systems)[1:] == ["sweep-1", "sweep-2", "sweep-3"]
    assert suite.systems["sweep-1"].training.loss_stages[0].identity == 0.5


def test_a_sweep_is_compared_with_its_base_unless_the_suite_says_otherwise(files: Files) -> None:
    text = sweep(one_at_a_time={"generator.layers": [1, 2]})
    names = ("generator.layers-1", "generator.layers-2")
    assert files.load(text).compare == Compare("one", names, "test-score")
    assert files.load(text + "compare: null\n").compare == Compare("one", names, "test-score")
    own = text + "compare: {baseline: generator.layers-2, against: [one, resynthesis]}\n"
    assert files.load(own).compare == Compare(names[1], ("one", "resynthesis"), "test-score")
    assert files.load(text + "compare: {baseline: source-copy}\n").compare == Compare(
        "source-copy", ("one", *names), "test-score"
    )
    unknown = own.replace("layers-2,", "layers-3,")
    assert "did you mean 'generator.layers-" in files.errors(unknown)[0]


KEY = (
    "must be a path inside a system: generator, discriminator or objective, an option of one such "
    "as generator.width, or a key of training such as training.lambda_cycle"
)
SAME = "two equal systems differ by chance alone; leave this value out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sweep: ^[]", "sweep: must be a mapping; got an empty list"),
        ("sweep: ^{one_at_a_time: {generator.layers: [1]}}", "sweep: missing key 'base'"),
        (
            "sweep: {base: ^uno, one_at_a_time: {generator.layers: [1]}}",
            "sweep.base: unknown system 'uno'; valid: one",
        ),
        (
            "sweep: {base: one, ^girds: {}}",
            "sweep: unknown key 'girds'; did you mean 'grid'? (valid: base, grid, one_at_a_time)",
        ),
        (
            "sweep: ^{base: one}",
            "sweep: makes 0 systems; valid: 1 to 100; give values under one_at_a_time or grid",
        ),
        (
            "sweep: ^{base: one, grid: {generator.layers: [], training.lambda_cycle: [1]}}",
            "sweep: makes 0 systems; valid: 1 to 100; give values under one_at_a_time or grid",
        ),
        (
            f"sweep: ^{{base: one, one_at_a_time: {{generator.layers: {list(range(4, 105))}}}}}",
            "sweep: makes 101 systems; valid: 1 to 100; give fewer values",
        ),
        (
            "sweep: {base: one, grid: {generator.layers: ^3}}",
            "sweep.grid.generator.layers: must be a list; got 3",
        ),
        (
            "sweep: {base: one, grid: {^lambda_cycle: [3]}}",
            f"sweep.grid.lambda_cycle: {KEY}; got 'lambda_cycle'",
        ),
        (
            "sweep: {base: one, one_at_a_time: {^training: [{}]}}",
            f"sweep.one_at_a_time.training: {KEY}; got 'training'",
        ),
        (
            "sweep: {base: one, one_at_a_time: {^generator.a.b: [1]}}",
            f"sweep.one_at_a_time.generator.a.b: {KEY}; got 'generator.a.b'",
        ),
        # What is wrong with a system that is made.
        (
            "sweep: {base: one, one_at_a_time: {training.lambda_cycle: [5, ^-1]}}",
            "systems.one.training.lambda_cycle: must be at least 0; got -1",
        ),
        (
            "sweep: {base: one, one_at_a_time: {^generator.layres: [5, 6]}}",
            "systems.one.generator: unknown option 'layres' of generator 'test-gen'; did you mean "
            "'layers'? (valid: activation, anything, causal, edges, free, home, kernels, layers, "
            "names, rate, size, stacks, width, window)",
        ),
        (
            "sweep: {base: one, one_at_a_time: {generator.layers: [5, ^x]}}",
            "systems.one.generator.layers: must be a whole number; got 'x'",
        ),
        (
            "sweep: {base: one, one_at_a_time: {generator: [^test-deep]}}",
            "systems.one.generator: missing option 'depth' of generator 'test-deep'",
        ),
        (
            "sweep: {base: one, one_at_a_time: {generator: [^5]}}",
            "systems.one.generator: must be a plugin's name, or a mapping with its name and its "
            "options; got 5",
        ),
        (
            "sweep: {base: one, one_at_a_time: {training.segment_frames: [64, ^32]}}",
            "systems.one.training.mask_frames: 40 may hide a whole crop; valid: 0 to 31, less "
            "than segment_frames",
        ),
        # Systems that are the same.
        (
            "sweep: {base: one, one_at_a_time: {training.lambda_identity: [4, ^5]}}",
            f"sweep: 'lambda_identity-5' is the same as 'one': {SAME}",
        ),
        (
            "sweep: {base: one, one_at_a_time: {generator.layers: [^3]}}",
            f"sweep: 'generator.layers-3' is the same as 'one': {SAME}",
        ),
        *(
            (
                f"sweep: {{base: one, one_at_a_time: {{training.{key}: [^7]}}}}",
                f"sweep: '{key}-7' is the same as 'one': what is learnt does not depend on {key}; "
                "leave this value out",
            )
            for key in ("log_every", "checkpoint_every", "validate_every", "validation_utterances")
        ),
        (
            "sweep: {base: one, one_at_a_time: {training.decay_start: [^30]}}",
            f"sweep: 'decay_start-30' is the same as 'one': {SAME}",
        ),
        (
            "sweep: {base: one, one_at_a_time: {training.lambda_cycle: [5], "
            "training.lambda_identity: [4]}, "
            "grid: {training.lambda_cycle: [5], training.lambda_identity: [^5, 6]}}",
            "sweep: 'lambda_cycle-5.lambda_identity-5' is the same as 'lambda_cycle-5': " + SAME,
        ),
        (
            "sweep: {base: one, one_at_a_time: {generator.layers: [5, ^5]}}",
            "sweep: this makes a system 'generator.layers-5', and there is one of that name "
            "already",
        ),
        (
            "sweep: ^{base: one, grid: {generator.layers: [3]}}",
            "sweep: makes nothing but 'one' again; give other values",
        ),
    ],
)
def test_a_mistake_is_reported_at_its_place(files: Files, text: str, message: str) -> None:
    before, _, after = text.partition("^")
    masked = SUITE.replace("60}", "60, mask_frames: 40}")
    assert files.errors(f"{masked}{before}{after}\n") == [f"s.yaml:9:{len(before) + 1}: {message}"]


def test_validation_decides_what_converts_where_the_best_weights_do(files: Files) -> None:
    best = SUITE.replace("60}", "60, validate_every: 20, conversion_weights: best}")
    text = best + "sweep: {base: one, one_at_a_time: {training.validate_every: [10]}}\n"
    assert list(files.load(text).systems) == ["one", "validate_every-10"]
    assert files.errors(text.replace("validate_every: [", "log_every: ["))


def test_a_name_that_is_taken(files: Files) -> None:
    text = sweep(one_at_a_time={"generator.layers": [5]})
    taken = text.replace(
        "training: {i",
        "  generator.layers-5: {generator: test-gen, discriminator: test-disc, "
        "objective: test-loss}\ntraining: {i",
    )
    [found] = files.errors(taken)
    assert found == (
        "s.yaml:10:63: sweep: this makes a system 'generator.layers-5', and there is one of that "
        "name already"
    )


def test_a_grid_leaves_out_the_base_and_keeps_the_rest(files: Files) -> None:
    grid = {"training.lambda_cycle": [5, 10], "generator.layers": [3, 4]}
    suite = files.load(sweep(grid=grid))
    assert list(suite.systems)[1:] == [
        "lambda_cycle-5.generator.layers-3",
        "lambda_cycle-5.generator.layers-4",
        "lambda_cycle-10.generator.layers-4",
    ]
    assert suite.compare is not None
    assert suite.compare.against == tuple(list(suite.systems)[1:])


def test_a_problem_of_the_base_is_told_once_and_where_it_is(files: Files) -> None:
    text = sweep(one_at_a_time={"training.lambda_cycle": [5, 6]})
    assert files.errors(text.replace("test-disc", "{name: test-disc, sigmoid: 3}")) == [
        "s.yaml:6:72: systems.one.discriminator.sigmoid: must be true or false; got 3"
    ]
    assert files.errors(text.replace("60}", "60, log_every: 0}")) == [
        "s.yaml:7:39: training.log_every: must be at least 1; got 0"
    ]


def test_all_mistakes_are_told_at_once(files: Files) -> None:
    keys = {"training.lambda_cycle": [-1, 5, "x"], "generator.widht": [1], "objective": ["no"]}
    found = files.errors(sweep(one_at_a_time=keys).replace("suite: test", "suite: a/b"))
    assert [line.split(": ")[1] for line in found] == [
        "suite",
        "systems.one.training.lambda_cycle",
        "systems.one.training.lambda_cycle",
        "systems.one.generator",
        "systems.one.objective",
    ]


def test_budgets_and_set_change_it(files: Files) -> None:
    text = sweep(one_at_a_time={"training.lambda_cycle": [5, 20], "generator.layers": [1]})
    text += (
        "budgets:\n"
        "  less: {sweep: {one_at_a_time: {training.lambda_cycle: [6], generator.layers: []}}}\n"
        "  none: {sweep: null}\n"
        "  more: {sweep: {grid: {generator.rate: [0.25]}}}\n"
    )
    assert list(files.load(text, budget="less").systems) == ["one", "lambda_cycle-6"]
    without = files.load(text, budget="none")
    assert (list(without.systems), without.compare) == (["one"], None)
    assert list(files.load(text, budget="more").systems)[3:] == [
        "generator.layers-1",
        "generator.rate-0.25",
    ]
    for setting, name in (
        ("sweep.one_at_a_time.training.lambda_cycle=[7]", "lambda_cycle-7"),
        ("sweep.grid.generator.rate=[0.125]", "generator.rate-0.125"),
    ):
        assert name in files.load(text, sets=[setting]).systems
    assert files.errors(text, sets=["sweep.grid.generator.rate=[fast]"]) == [
        "--set sweep.grid.generator.rate=[fast]: systems.one.generator.rate: must be a number; "
        "got 'fast'"
    ]
    # Every budget is judged, also by the systems that it makes.
    assert files.errors(text.replace("[6]", "[-6]")) == [
        "s.yaml:11:58: systems.one.training.lambda_cycle: must be at least 0; got -6"
    ]


def test_a_budget_reaches_the_systems_that_are_made(files: Files) -> None:
    text = sweep(one_at_a_time={"training.lambda_cycle": [5]})
    text += "budgets: {quick: {training: {iterations: 10}, systems: {one: {generator: test-gen}}}}"
    found = files.load(text, budget="quick")
    assert {s.training.iterations for s in found.systems.values()} == {10}
    assert {s.training.decay_start for s in found.systems.values()} == {5}


def test_a_sweep_may_make_a_hundred_systems_and_a_product_beyond_is_not_made(files: Files) -> None:
    keys = {f"training.{key}": list(range(2, 12)) for key in ("lambda_cycle", "batch_size")}
    assert len(files.load(sweep(grid=keys)).systems) == 101
    # Counted, not made: these would fill the machine.
    keys |= {f"generator.o{i}": list(range(10)) for i in range(60)}
    assert f"sweep: makes {10**62} systems" in files.errors(sweep(grid=keys))[0]


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 70)
    | st.floats(-1, 1)
    | st.text("on.e-", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["base", "grid", "generator", "training.pitch"]), inner)
    ),
    max_leaves=4,
)


@given(st.data())
@per_example
def test_a_sweep_with_any_value_replaced_loads_or_is_a_usage_error(
    tmp_path: Path, data: st.DataObject
) -> None:
    keys = {
        "base": "one",
        "one_at_a_time": {"training.lambda_cycle": [5], "generator.names": [["a"]]},
        "grid": {"generator": ["test-gen", {"name": "test-deep", "depth": 2}], "objective.x": []},
    }
    tree = {"sweep": keys, "compare": {"baseline": "one", "against": ["source-copy"]}}
    node, key = tree, data.draw(st.sampled_from(sorted(tree)))
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.integers(0, 3)):
        node = node[key]
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
        )
    node[key] = data.draw(ANY)
    files = Files(tmp_path)
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in tree.items())
    try:
        found = files.load(SUITE + text)
    except UsageError as error:
        assert all(line.startswith(f"{tmp_path}/s.yaml:") for line in str(error).split("\n"))
    else:
        assert files.load(json.dumps(found.resolved())).resolved() == found.resolved()
