"""`compare:`: what it defaults to, what it may name, and where a mistake is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from suite_files import SUITE, Files

from vcbench.suite import Compare

PARTS = "{generator: test-gen, discriminator: test-disc, objective: test-loss}"
THREE = SUITE.replace("training:", f"  two: {PARTS}\n  six: {PARTS}\ntraining:").replace(
    "metrics: [test-score]", "metrics: [test-score, test-second]"
)
SECOND = """

@register_metric("test-second", unit="Hz", better="lower")
def second(pair):
    \"\"\"Another metric.\"\"\"
"""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path)
    with (tmp_path / "plug.py").open("a", encoding="utf-8") as plugin:
        plugin.write(SECOND)
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("null", None),
        ("{baseline: two}", ("two", ("one", "six"), "test-score")),
        ("{baseline: two, against: null, metric: null}", ("two", ("one", "six"), "test-score")),
        ("{baseline: one, against: [six]}", ("one", ("six",), "test-score")),
        ("{baseline: one, against: [six, two]}", ("one", ("six", "two"), "test-score")),
        ("{baseline: one, metric: test-second}", ("one", ("two", "six"), "test-second")),
        ("{baseline: source-copy}", ("source-copy", ("one", "two", "six"), "test-score")),
        ("{baseline: one, against: [resynthesis]}", ("one", ("resynthesis",), "test-score")),
    ],
)
def test_what_is_compared(files: Files, given: str, expected: tuple | None) -> None:
    found = files.load(THREE + f"compare: {given}\n")
    assert found.compare == (expected and Compare(*expected))
    resolved = found.resolved()
    assert resolved["compare"] == (
        expected and {"baseline": expected[0], "against": list(expected[1]), "metric": expected[2]}
    )
    again = files.load(json.dumps(resolved))
    assert (again.compare, again.resolved()) == (found.compare, resolved)


def test_a_suite_without_it_compares_nothing_in_particular(files: Files) -> None:
    assert files.load(THREE).compare is None


VALID = "(valid: mean-variance, one, resynthesis, six, source-copy, two)"
SELF = "'one' is the baseline, which is not compared with itself"


@pytest.mark.parametrize(
    ("given", "place", "message"),
    [
        ("{against: [one]}", "11:10", "compare: missing key 'baseline'"),
        ("one", "11:10", "compare: must be a mapping; got 'one'"),
        ("{baseline: 1}", "11:21", "compare.baseline: must be text (put it in quotes); got 1"),
        (
            "{baseline: one, against: []}",
            "11:35",
            "compare.against: must have 1 or more entries; got an empty list",
        ),
        ("{baseline: one, against: two}", "11:35", "compare.against: must be a list; got 'two'"),
        (
            "{baseline: one, agianst: [two]}",
            "11:26",
            "compare: unknown key 'agianst'; did you mean 'against'? "
            "(valid: against, baseline, metric)",
        ),
        (
            "{baseline: onee}",
            "11:21",
            f"compare.baseline: unknown system or baseline 'onee'; did you mean 'one'? {VALID}",
        ),
        (
            "{baseline: one, against: [two, source-cpy]}",
            "11:41",
            "compare.against[1]: unknown system or baseline 'source-cpy'; "
            f"did you mean 'source-copy'? {VALID}",
        ),
        ("{baseline: one, against: [two, one]}", "11:41", f"compare.against[1]: {SELF}"),
        (
            "{baseline: one, against: [two, six, two]}",
            "11:46",
            "compare.against[2]: 'two' repeats 'two'",
        ),
        (
            "{baseline: one, metric: test-order}",
            "11:34",
            "compare.metric: unknown metric 'test-order' in this suite; did you mean "
            "'test-score'? (valid: test-score, test-second)",
        ),
    ],
)
def test_a_mistake_is_reported_at_its_place(
    files: Files, given: str, place: str, message: str
) -> None:
    text = THREE.replace("metrics:", "scale: 1\nmetrics:") + f"compare: {given}\n"
    line = text.count("\n")
    assert files.errors(text) == [f"s.yaml:{place.replace('11', str(line))}: {message}"]


def test_all_mistakes_are_told_at_once(files: Files) -> None:
    found = files.errors(THREE + "compare: {baseline: a, against: [b, b], metric: c}\n")
    assert [line.split(": ")[1] for line in found] == [
        "compare.baseline",
        "compare.against[0]",
        "compare.against[1]",
        "compare.metric",
    ]


def test_a_system_alone_is_compared_with_nothing(files: Files) -> None:
    assert files.errors(SUITE + "compare: {baseline: one}\n") == [
        "s.yaml:9:10: compare: there is no other system to compare 'one' with"
    ]
    assert files.load(SUITE + "compare: {baseline: source-copy}\n").compare == Compare(
        "source-copy", ("one",), "test-score"
    )


def test_only_baselines_of_the_suite_can_be_named(files: Files) -> None:
    found = files.errors(THREE + "baselines: [resynthesis]\ncompare: {baseline: source-copy}\n")
    assert found[0].endswith("; valid: one, resynthesis, six, two")
    found = files.errors(THREE + "baselines: []\ncompare: {baseline: resynthesis}\n")
    assert found[0].endswith("; valid: one, six, two")


def test_budgets_and_set_change_it(files: Files) -> None:
    text = (
        THREE + "compare: {baseline: one, against: [two]}\n"
        "budgets: {b: {compare: {against: [six]}, metrics: [test-second]}, none: {compare: null}}\n"
    )
    assert files.load(text, budget="b").compare == Compare("one", ("six",), "test-second")
    assert files.load(text, budget="none").compare is None
    assert files.load(text, sets=["compare.metric=test-second"]).compare == Compare(
        "one", ("two",), "test-second"
    )
    assert files.errors(text, sets=["compare.baseline=two"]) == [
        "s.yaml:11:36: compare.against[0]: 'two' is the baseline, which is not compared with itself"
    ]
    # A budget is judged whether it is asked for or not.
    wrong = text.replace("[six]", "[sixt]")
    assert files.errors(wrong)[0].startswith("s.yaml:12:35: compare.against[0]: unknown system")


def test_extends_takes_it_over(files: Files) -> None:
    files.write(THREE + "compare: {baseline: one, against: [two]}\n", "base.yaml")
    found = files.load("suite: more\nextends: base.yaml\ncompare: {against: [six]}\n")
    assert found.compare == Compare("one", ("six",), "test-score")


@pytest.mark.parametrize("wrong", ["base: uno", "bsae: one", "base: one, gird: {}"])
def test_names_of_a_sweep_that_made_nothing_are_not_judged(files: Files, wrong: str) -> None:
    text = SUITE + f"sweep: {{{wrong}, one_at_a_time: {{training.lambda_cycle: [5]}}}}\n"
    found = files.errors(text + "compare: {baseline: one, against: [lambda_cycle-5]}\n")
    assert found
    assert not any("compare" in line for line in found)
