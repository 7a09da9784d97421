"""Every kind of mistake in a suite file: where it is reported, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from suite_files import SUITE, Files

from vcbench.plugins import Registry
from vcbench.suite.check import check
from vcbench.suite.positions import parse

NAME = "must be letters, digits, '.', '_' and '-', beginning with a letter or digit"
PAIR = (
    "must be two speakers joined by '-', such as SF1-TM3; "
    "a speaker's name holds letters, digits, '.' and '_'"
)
COMPONENT = "must be a plugin's name, or a mapping with its name and its options"
BUILT_IN = "is the name of a baseline; give the system another one"
GEN, DISC, LOSS = "systems.one.generator", "systems.one.discriminator", "systems.one.objective"
NO_TRAINING = "missing key 'training', which systems need"

# What of SUITE is replaced, and by what. Each ^ stands before the place that is reported (without
# any, that is 1:1); then the messages, in the order of the file. A message that ends with "?" is
# followed by the list of all valid names.
UNKNOWN_AND_MISSING_KEYS = [
    ("suite: test\n", "", "missing key 'suite'"),
    ("corpus: test-voices\n", "", "missing key 'corpus'"),
    ("metrics: [test-score]\n", "", "missing key 'metrics'"),
    ("training: {iterations: 60}\n", "", NO_TRAINING),
    ("training: {iterations: 60}", "training:", NO_TRAINING),
    ("{iterations: 60}", "^{}", "training: missing key 'iterations'"),
    ("generator: test-gen", "generator: ^{width: wide}", f"{GEN}: missing key 'name'"),
    (", objective: test-loss", "", "systems.one: missing key 'objective'", "6:8"),
    ("metrics:", "^metrisc: [a]\nmetrics:", "unknown key 'metrisc'; did you mean 'metrics'?"),
    ("60}", "60, ^batchsize: 2}", "training: unknown key 'batchsize'; did you mean 'batch_size'?"),
    (
        "metrics:",
        "features: {^n_mceps: 24}\nmetrics:",
        "features: unknown key 'n_mceps'; did you mean 'n_mcep'? "
        "(valid: f0, frame_period_ms, kind, mel_cepstrum, n_mcep, sample_rate)",
    ),
    (
        "-loss}",
        "-loss, ^zzz: x}",
        "systems.one: unknown key 'zzz'; valid: discriminator, generator, objective, training",
    ),
]
WRONG_TYPES = [
    ("60}", "^'60'}", "training.iterations: must be a whole number; got '60'"),
    ("60}", "^6e1}", "training.iterations: must be a whole number; got 60.0"),
    ("60}", "^true}", "training.iterations: must be a whole number; got true"),
    (
        "{iterations: 60}",
        "{iterations:^ }",
        "training.iterations: must be a whole number; got null",
    ),
    ("{iterations: 60}", "^[60]", "training: must be a mapping; got [60]"),
    ("suite: test", "suite: ^3", "suite: must be text (put it in quotes); got 3"),
    ("suite: test", "suite: ^[test]", "suite: must be text; got ['test']"),
    ("[F1-M1]", "^F1-M1", "pairs: must be a list; got 'F1-M1'"),
    ("[F1-M1]", "^[]", "pairs: must have 1 or more entries; got an empty list"),
    ("[test-score]", "^{a: b}", "metrics: must be a list; got a mapping"),
    ("test-disc", "^[a]", f"{DISC}: {COMPONENT}; got ['a']"),
    ("corpus: test-voices", "corpus: ^5", f"corpus: {COMPONENT}; got 5"),
    ("metrics:", "scale: ^on\nmetrics:", "scale: must be a number; got 'on'"),
    (
        "metrics:",
        "eval_utterances: ^all\nmetrics:",
        "eval_utterances: must be a whole number; got 'all'",
    ),
    (
        "metrics:",
        "question: ^2016\nmetrics:",
        "question: must be text (put it in quotes); got 2016",
    ),
    ("[plug.py]", "[plug.py, ^3]", "plugins[1]: must be text (put it in quotes); got 3"),
]
BOUNDS = [
    ("60}", "^0}", "training.iterations: must be at least 1; got 0"),
    ("metrics:", "scale: ^0\nmetrics:", "scale: must be more than 0; got 0"),
    ("metrics:", "scale: ^4.5\nmetrics:", "scale: must be at most 4; got 4.5"),
    ("metrics:", "seeds: [0, ^-1]\nmetrics:", "seeds[1]: must be at least 0; got -1"),
    ("metrics:", "seeds: [^-1]\nmetrics:", "seeds[0]: must be at least 0; got -1"),
    ("60}", "60, adam_betas: [0.5, ^1]}", "training.adam_betas[1]: must be less than 1; got 1"),
    ("60}", "60, adam_betas: ^[0]}", "training.adam_betas: must have 2 or more entries; got [0]"),
    (
        "60}",
        "60, adam_betas: ^[0, 0, 0]}",
        "training.adam_betas: must have 2 or fewer entries; got [0, 0, 0]",
    ),
    (
        "60}",
        "60, decay_start: ^61}",
        "training.decay_start: 61 lies after the last iteration; "
        "valid: 0 to 60, or null for half of them",
    ),
]
NAMES = [
    ("suite: test", "suite: ^../test", f"suite: {NAME}; got '../test'"),
    ("suite: test", "suite: ^.test", f"suite: {NAME}; got '.test'"),
    ("suite: test", "suite: ^''", f"suite: {NAME}; got ''"),
    ("  one:", "  ^a/b:", f"systems.a/b: {NAME}; got 'a/b'"),
    ("  one:", "  ^a\\b:", f"systems.a\\b: {NAME}; got 'a\\\\b'"),
    ("  one:", "  ^..:", f"systems...: {NAME}; got '..'"),
    ("  one:", "  ^resynthesis:", f"systems: 'resynthesis' {BUILT_IN}"),
    ("F1-M1", "^F1", f"pairs[0]: {PAIR}; got 'F1'"),
    ("F1-M1", "^../F1-M1", f"pairs[0]: {PAIR}; got '../F1-M1'"),
    ("F1-M1", "^F1-M1-M2", f"pairs[0]: {PAIR}; got 'F1-M1-M2'"),
    ("F1-M1", "^F1>M1", f"pairs[0]: {PAIR}; got 'F1>M1'"),
    ("F1-M1", "^F1-F1", "pairs[0]: needs two different speakers; got 'F1-F1'"),
]
REPEATS = [
    ("F1-M1", "F1-M1, ^F1-M1", "pairs[1]: 'F1-M1' repeats 'F1-M1'"),
    (
        "F1-M1",
        "F1-M1, ^M1-F1",
        "pairs[1]: 'M1-F1' repeats 'F1-M1'; a pair is converted in both directions",
    ),
    ("metrics:", "seeds: [1, 0, ^1]\nmetrics:", "seeds[2]: 1 repeats 1"),
    ("-score]", "-score, ^test-score]", "metrics[1]: 'test-score' repeats 'test-score'"),
    (
        "metrics:",
        "baselines: [source-copy, ^source-copy]\nmetrics:",
        "baselines[1]: 'source-copy' repeats 'source-copy'",
    ),
    (
        "metrics:",
        "scale: 1\n^scale: 2\nmetrics:",
        "key 'scale' stands twice in this mapping; the first is at s.yaml:8:1",
    ),
]
UNKNOWN_VALUES = [
    (
        "metrics:",
        "baselines: [^source-cpy]\nmetrics:",
        "baselines[0]: unknown value 'source-cpy'; did you mean 'source-copy'? "
        "(valid: mean-variance, parallel-gmm, resynthesis, smoothed-target, source-copy)",
    ),
    (
        "metrics:",
        "features: {f0: ^reaper}\nmetrics:",
        "features.f0: unknown value 'reaper'; valid: dio, harvest",
    ),
    (
        "metrics:",
        "features: {kind: ^3}\nmetrics:",
        "features.kind: unknown value 3; valid: world",
    ),
    (
        "60}",
        "60, adversarial_steps: ^3}",
        "training.adversarial_steps: unknown value 3; valid: 1 or 2",
    ),
    (
        "test-gen",
        "{name: test-gen, stacks: ^3}",
        f"{GEN}.stacks: unknown value 3; valid: 1 or 2",
    ),
    (
        "test-gen",
        "{name: test-gen, edges: ^4}",
        f"{GEN}.edges: unknown value 4; valid: 'same', 'or' or 2",
    ),
    (
        "test-gen",
        "{name: test-gen, width: ^medium}",
        f"{GEN}.width: unknown value 'medium'; valid: narrow, wide",
    ),
]
PLUGINS = [
    ("test-gen", "^test-gem", f"{GEN}: unknown generator 'test-gem': did you mean 'test-gen'?"),
    ("test-disc", "^disc", f"{DISC}: unknown discriminator 'disc': did you mean 'test-disc'?"),
    ("test-loss", "{name: ^loss}", f"{LOSS}: unknown objective 'loss': did you mean 'test-loss'?"),
    ("test-voices", "^voices", "corpus: unknown corpus 'voices': did you mean 'test-voices'?"),
    ("test-score", "^score", "metrics[0]: unknown metric 'score': did you mean 'test-score'?"),
    ("test-score", "^test-order", "metrics[0]: missing option 'order' of metric 'test-order'"),
    ("test-gen", "^test-deep", f"{GEN}: missing option 'depth' of generator 'test-deep'"),
    ("test-gen", "^{name: test-deep}", f"{GEN}: missing option 'depth' of generator 'test-deep'"),
    (
        "test-gen",
        "^test-broken",
        f"{GEN}: generator 'test-broken' (plug.py:47) cannot be used: its signature: "
        "NameError: name 'Unknown' is not defined",
    ),
    (
        "test-gen",
        "{name: test-gen, ^widht: wide}",
        f"{GEN}: unknown option 'widht' of generator 'test-gen'; did you mean 'width'?",
    ),
    (
        "test-gen",
        "{name: test-deep, depth: 1, ^n_mcep: 4}",
        f"{GEN}: unknown option 'n_mcep' of generator 'test-deep'; valid: depth",
    ),
    (
        "test-loss",
        "{name: test-loss, ^a: 1}",
        f"{LOSS}: unknown option 'a' of objective 'test-loss'; there are none",
    ),
]
OPTIONS = [
    ("width: ^wde", "width: unknown value 'wde'; did you mean 'wide'? (valid: narrow, wide)"),
    ("layers: ^'3'", "layers: must be a whole number; got '3'"),
    ("layers: ^2.5", "layers: must be a whole number; got 2.5"),
    ("layers: ^true", "layers: must be a whole number; got true"),
    ("rate: ^fast", "rate: must be a number; got 'fast'"),
    ("rate: ^true", "rate: must be a number; got true"),
    ("causal: ^1", "causal: must be true or false; got 1"),
    ("causal: ^yes", "causal: must be true or false; got 'yes'"),
    ("kernels: ^3", "kernels: must be a list; got 3"),
    ("kernels: [3, ^x]", "kernels[1]: must be a whole number; got 'x'"),
    ("names: [a, ^1]", "names[1]: must be text (put it in quotes); got 1"),
    ("window: ^wide", "window: must be a whole number; got 'wide'"),
    ("size: ^1.5", "size: must be int | str; got 1.5"),
    ("home: ^3", "home: must be text (put it in quotes); got 3"),
]


def located(marked: str) -> tuple[str, list[str]]:
    """The text without its ^ marks, and line:column of each."""
    places = []
    while "^" in marked:
        before, _, after = marked.partition("^")
        places.append(f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}")
        marked = before + after
    return marked, places


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    "mistake",
    UNKNOWN_AND_MISSING_KEYS + WRONG_TYPES + BOUNDS + NAMES + REPEATS + UNKNOWN_VALUES + PLUGINS,
    ids=lambda mistake: " ".join(mistake[1].split())[:40] or f"no {mistake[0][:20]}",
)
def test_a_mistake_is_reported_at_its_place(files: Files, mistake: tuple[str, ...]) -> None:
    old, new, message, *elsewhere = mistake
    assert SUITE.count(old) == 1
    text, places = located(SUITE.replace(old, new))
    place = [*places, *elsewhere, "1:1"][0]
    [found] = files.errors(text)
    if message.endswith("?"):
        found = found.partition(" (valid: ")[0]
    assert found == f"s.yaml:{place}: {message}"


@pytest.mark.parametrize(("option", "message"), OPTIONS, ids=[option for option, _ in OPTIONS])
def test_an_option_is_checked_against_the_signature(
    files: Files, option: str, message: str
) -> None:
    text, [place] = located(SUITE.replace("test-gen", f"{{name: test-gen, {option}}}"))
    [found] = files.errors(text)
    assert found == f"s.yaml:{place}: {GEN}.{message}"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("width: narrow", "narrow"),
        ("rate: 1", 1.0),
        ("rate: 1e-3", 1e-3),
        ("causal: true", True),
        ("kernels: [1, 2, 3]", [1, 2, 3]),
        ("names: [a]", ["a"]),
        ("names: null", None),
        ("window: 3", 3),
        ("size: 8", 8),
        ("size: big", "big"),
        ("free: {a: [1]}", {"a": [1]}),
        ("anything: [x]", ["x"]),
        ("home: /tmp/x", "/tmp/x"),
    ],
)
def test_an_option_is_kept_as_plain_json(files: Files, option: str, value: object) -> None:
    suite = files.load(SUITE.replace("test-gen", f"{{name: test-gen, {option}}}"))
    found = suite.systems["one"].generator.options[option.partition(":")[0]]
    assert found == value
    assert type(found) is type(value)


def test_options_that_are_not_given_have_their_defaults(files: Files) -> None:
    options = files.load().systems["one"].generator.options
    assert options == {
        "width": "wide",
        "layers": 3,
        "rate": 0.5,
        "causal": False,
        "kernels": [3, 5],
        "names": None,
        "window": None,
        "stacks": 1,
        "edges": "same",
        "size": 4,
        "free": None,
        "anything": 1,
        "home": "a",
        # `activation` is a class, which JSON cannot hold: the plugin fills it in.
    }
    assert files.load().corpus.options == {"root": "."}


ALL_AT_ONCE = """\
suite: test
plugins: [plug.py]
corpus: ^nowhere
pairs: [^F1-F1]
systems:
  one:
    generator: {name: test-gen, ^widht: wide}
    discriminator: test-disc
    objective: test-loss
  two: ^{generator: test-gen, discriminator: test-disc}
  ^one: {}
training: {iterations: 60, ^itrations: 3, batch_size: ^0}
^scael: 1
metrics: [test-score, ^mdc-score]
"""


def test_all_problems_are_told_at_once_in_the_order_of_the_file(files: Files) -> None:
    text, places = located(ALL_AT_ONCE)
    found = files.errors(text)
    assert [line.split(": ")[0] for line in found] == [f"s.yaml:{place}" for place in places]


def test_a_problem_of_the_shared_training_is_told_once(files: Files) -> None:
    two = SUITE.replace(
        "training:",
        "  two: {generator: test-gen, discriminator: test-disc, "
        "objective: test-loss, training: {batch_size: 2}}\ntraining:",
    )
    assert len(files.load(two).systems) == 2
    assert files.errors(two.replace("60}", "60, log_every: 0}")) == [
        "s.yaml:8:39: training.log_every: must be at least 1; got 0"
    ]


def test_a_system_changes_the_training(files: Files) -> None:
    text = SUITE.replace("-loss}", "-loss, training: {iterations: 10, batch_size: 2}}")
    text = text.replace("60}", "60, segment_frames: 64}")
    suite = files.load(text)
    one = suite.systems["one"].training
    assert (one.iterations, one.batch_size, one.segment_frames, one.decay_start) == (10, 2, 64, 5)
    assert suite.training is not None
    assert (suite.training.iterations, suite.training.decay_start) == (60, 30)
    wrong, [place] = located(text.replace("batch_size: 2", "batch_size: ^x"))
    assert files.errors(wrong) == [
        f"s.yaml:{place}: systems.one.training.batch_size: must be a whole number; got 'x'"
    ]


def test_a_systems_own_training_is_named_and_the_suites_is_not(files: Files) -> None:
    text = SUITE.replace("-loss}", "-loss, training: {mask_frames: 500}}")
    valid = "may hide a whole crop; valid: 0 to 127, less than segment_frames"
    column = text.splitlines()[5].index("500") + 1
    assert files.errors(text) == [
        f"s.yaml:6:{column}: systems.one.training.mask_frames: 500 {valid}"
    ]
    # What the system's own change makes wrong in the suite's recipe is the system's too.
    text = text.replace("mask_frames: 500", "segment_frames: 16").replace(
        "60}", "60, mask_frames: 20}"
    )
    assert files.errors(text) == [
        "s.yaml:7:41: systems.one.training.mask_frames: 20 may hide a whole crop; valid: 0 to 15, "
        "less than segment_frames"
    ]
    both = text.replace("frames: 20", "frames: -1")
    assert files.errors(both) == ["s.yaml:7:41: training.mask_frames: must be at least 0; got -1"]


def test_there_must_be_something_to_run(files: Files) -> None:
    no_system = SUITE.replace("systems:\n  one: ", "#").replace("training:", "#")
    suite = files.load(no_system)  # the baselines
    assert (suite.systems, suite.training, suite.cells()) == ({}, None, ())
    assert files.errors(no_system + "baselines: []\n") == [
        "s.yaml:1:1: nothing to run: give at least one system, baseline or external system"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: a suite is a mapping of keys to values; got nothing"),
        ("# only\n", "1:1: a suite is a mapping of keys to values; got nothing"),
        ("[a]", "1:1: a suite is a mapping of keys to values; got ['a']"),
        ("demo", "1:1: a suite is a mapping of keys to values; got 'demo'"),
    ],
)
def test_a_suite_is_a_mapping(files: Files, text: str, message: str) -> None:
    assert files.errors(text) == [f"s.yaml:{message}"]


def test_check_reports_every_problem_as_a_place_in_the_tree() -> None:
    root, _ = parse("suite: a\nmetrics: [1]\n", source="x.yaml")
    checked, problems = check(root, Registry())
    assert checked is None
    assert {str(problem) for problem in problems} == {
        "x.yaml:1:1: missing key 'corpus'",
        "x.yaml:1:1: missing key 'pairs'",
        "x.yaml:2:11: metrics[0]: must be text (put it in quotes); got 1",
    }
