"""Bases, budgets and the command line: what wins, and where an error points."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from suite_files import SUITE, Files

from vcbench import suite
from vcbench.errors import UsageError

BUDGETS = """\
budgets:
  quick: {training: {iterations: 5}, scale: 0.5, eval_utterances: 2}
  other: {systems: {one: {generator: {width: narrow}}}}
"""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_budget_replaces_what_it_names(files: Files) -> None:
    text = SUITE.replace("60}", "60, batch_size: 3}") + BUDGETS
    plain, quick = files.load(text), files.load(text, budget="quick")
    assert (plain.budget, plain.scale, plain.eval_utterances) == (None, 1.0, None)
    assert (quick.budget, quick.scale, quick.eval_utterances) == ("quick", 0.5, 2)
    training = quick.systems["one"].training
    assert (training.iterations, training.batch_size, training.decay_start) == (5, 3, 2)
    options = files.load(text, budget="other").systems["one"].generator.options
    assert (options["width"], options["layers"]) == ("narrow", 3)


@pytest.mark.parametrize("budget", [None, "quick", "other"])
def test_every_budget_is_checked_whichever_is_used(files: Files, budget: str | None) -> None:
    text = SUITE + BUDGETS.replace("scale: 0.5", "scales: 0.5").replace("narrow", "naro")
    found = [line.partition("(valid")[0] for line in files.errors(text, budget=budget)]
    assert found == [
        "s.yaml:10:38: unknown key 'scales'; did you mean 'scale'? ",
        "s.yaml:11:46: systems.one.generator.width: unknown value 'naro'; did you mean 'narrow'? ",
    ]


def test_a_budget_does_not_hide_what_it_replaces(files: Files) -> None:
    text = SUITE + "scale: big\n" + BUDGETS
    assert files.errors(text, budget="quick") == ["s.yaml:9:8: scale: must be a number; got 'big'"]


def test_a_budget_cannot_change_what_the_suite_is(files: Files) -> None:
    text = SUITE + "budgets:\n  b: {suite: x, scale: 1, plugins: []}\n  c: 3\n"
    valid = (
        "(valid: corpus, pairs, features, systems, sweep, compare, baselines, external, training, "
        "scale, seeds, metrics, eval_utterances, protocol, samples_per_direction)"
    )
    assert files.errors(text) == [
        f"s.yaml:10:7: budgets.b: a budget cannot change 'suite' {valid}",
        f"s.yaml:10:27: budgets.b: a budget cannot change 'plugins' {valid}",
        "s.yaml:11:6: budgets.c: must be a mapping; got 3",
    ]


def test_an_unknown_budget(files: Files) -> None:
    assert files.errors(SUITE + BUDGETS, budget="quik") == [
        "--budget quik: s.yaml has no such budget; did you mean 'quick'? (valid: other, quick)"
    ]
    assert files.errors(budget="x") == ["--budget x: s.yaml has no such budget; there are none"]


def test_what_a_budget_needs_may_come_from_the_command_line(files: Files) -> None:
    text = SUITE.replace("test-gen", "test-deep") + BUDGETS.replace("width: narrow", "depth: 9")
    needed = "systems.one.generator.depth=4"
    assert files.load(text, sets=[needed]).systems["one"].generator.options == {"depth": 4}
    assert files.load(text, budget="other", sets=[needed]).budget == "other"
    # A budget that was not asked for is not judged by this command line's values.
    late = SUITE + "budgets: {b: {training: {iterations: 90, decay_start: 80}}}\n"
    assert (
        files.load(late, sets=["training.iterations=40"]).systems["one"].training.iterations == 40
    )


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("scale=0.25", "scale", 0.25),
        ("scale = 1e-1", "scale ", None),
        ("seeds=[4, 2]", "seeds", [4, 2]),
        ("eval_utterances=null", "eval_utterances", None),
        ("eval_utterances=", "eval_utterances", None),
        ("suite=other", "suite", "other"),
        ("question='3'", "question", "3"),
        ("question=a=b", "question", "a=b"),
        ("features={n_mcep: 30, f0: dio}", "features.n_mcep", 30),
        ("training.iterations=7", "training.iterations", 7),
        ("systems.one.training.iterations=7", "systems.one.training.iterations", 7),
        ("systems.one.generator.width=narrow", "systems.one.generator.width", "narrow"),
        ("corpus.root=x", "corpus.root", "x"),
    ],
)
def test_set_changes_one_value(files: Files, setting: str, key: str, value: object) -> None:
    if key.endswith(" "):
        assert files.errors(sets=[setting])[0].startswith(f"--set {setting}: unknown key 'scale '")
        return
    found = files.load(sets=[setting]).resolved()
    for step in key.split("."):
        found = found[step]
    assert found == value


def test_set_is_said_to_be_where_its_value_came_from(files: Files) -> None:
    assert files.errors(sets=["training.iterations=x", "scael=1", "seeds=[0, -1]"]) == [
        "--set scael=1: unknown key 'scael'; did you mean 'scale'? (valid: baselines, compare, "
        "corpus, eval_utterances, external, features, metrics, pairs, plugins, protocol, question, "
        "samples_per_direction, scale, seeds, suite, sweep, systems, training)",
        "--set seeds=[0, -1]: seeds[1]: must be at least 0; got -1",
        "--set training.iterations=x: training.iterations: must be a whole number; got 'x'",
    ]


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("extends=vcc2016", "extends"),
        ("budgets.quick.scale=1", "budgets"),
        ("budgets=3", "budgets"),
    ],
)
def test_set_refuses_what_it_cannot_change(files: Files, setting: str, key: str) -> None:
    assert files.errors(SUITE + BUDGETS, sets=[setting], budget="quick") == [
        f"--set {setting}: --set cannot change '{key}'; valid: suite, question, plugins, corpus, "
        "pairs, features, systems, sweep, compare, baselines, external, training, scale, seeds, "
        "metrics, eval_utterances, protocol, samples_per_direction"
    ]


@pytest.mark.parametrize(
    "setting",
    ["scale", "=1", ".scale=1", "a..b=1", "", "a" + ".a" * 50 + "=1", "a\ud800=1", "a\n=1"],
)
def test_set_needs_a_key_and_a_value(files: Files, setting: str) -> None:
    [found] = files.errors(sets=[setting])
    assert found.endswith(": must be KEY.KEY=VALUE, such as training.iterations=60")


def test_set_with_broken_yaml(files: Files) -> None:
    [found] = files.errors(sets=["seeds=[0"])
    assert found.startswith("--set seeds=[0: not valid YAML: ")


def test_set_finds_keys_with_dots_and_later_ones_win(files: Files) -> None:
    text = SUITE.replace("  one:", "  v1.0:")
    changed = files.load(
        text, sets=["systems.v1.0.generator.layers=4", "systems.v1.0.generator.layers=5"]
    )
    assert changed.systems["v1.0"].generator.options["layers"] == 5


def test_a_plugin_that_is_named_anew_forgets_the_old_options(files: Files) -> None:
    text = SUITE.replace("test-gen", "{name: test-gen, width: narrow}")
    named = files.load(text, sets=["systems.one.generator=test-gen"])
    assert named.systems["one"].generator.options["width"] == "wide"
    again = files.load(text, sets=["systems.one.generator={name: test-deep, depth: 2}"])
    assert again.systems["one"].generator.options == {"depth": 2}
    kept = files.load(text, sets=["systems.one.generator.layers=7"])
    assert kept.systems["one"].generator.options["width"] == "narrow"


def test_seeds_of_the_command_line_win(files: Files) -> None:
    assert files.load(seeds=[3, 1], sets=["seeds=[9]"]).seeds == (3, 1)
    assert files.errors(seeds=[0, 0]) == ["--seeds 0,0: seeds[1]: 0 repeats 0"]
    assert files.errors(seeds=[]) == [
        "--seeds : seeds: must have 1 or more entries; got an empty list"
    ]


BASE = SUITE.replace("suite: test", "suite: base\nquestion: Why?") + BUDGETS


def test_extends_takes_all_but_name_and_question(files: Files) -> None:
    files.write(BASE, "base.yaml")
    found = files.load(
        "suite: more\nextends: base.yaml\nscale: 0.5\ntraining: {batch_size: 2}\n"
        "systems:\n  two: {generator: test-gen, discriminator: test-disc, objective: test-loss}\n"
    )
    base = suite.load(str(files.folder / "base.yaml"))
    assert (found.name, found.question, found.scale) == ("more", None, 0.5)
    assert list(found.systems) == ["one", "two"]
    assert found.systems["one"].training.iterations == 60
    assert found.systems["two"].training.batch_size == 2
    assert found.pairs == base.pairs
    assert files.load("suite: more\nextends: base.yaml\n", budget="quick").scale == 0.5


def test_errors_of_a_base_point_into_the_base(files: Files) -> None:
    files.write(BASE.replace("iterations: 60", "iterations: 0, log_every: x"), "base.yaml")
    text = "suite: more\nextends: base.yaml\nscale: 9\ntraining: {iterations: 3}\n"
    assert files.errors(text) == [
        "base.yaml:8:38: training.log_every: must be a whole number; got 'x'",
        "s.yaml:3:8: scale: must be at most 4; got 9",
    ]


def test_a_suite_that_extends_another_still_needs_a_name(files: Files) -> None:
    files.write(BASE, "base.yaml")
    assert files.errors("extends: base.yaml\n") == ["s.yaml:1:1: missing key 'suite'"]


def test_plugins_of_base_and_extension_are_both_used(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    Files(tmp_path / "below").write(BASE, "base.yaml")
    (tmp_path / "own.py").write_text(
        "from vcbench.plugins import register_generator\n"
        "@register_generator('own-gen')\ndef own(*, n_mcep: int, scale: float): ...\n"
    )
    text = (
        "suite: more\nextends: below/base.yaml\nplugins: [own.py]\n"
        "systems: {two: {generator: own-gen, discriminator: test-disc, objective: test-loss}}\n"
    )
    (tmp_path / "s.yaml").write_text(text)
    found = suite.load(str(tmp_path / "s.yaml"))
    assert [file.name for file in found.registry.files] == ["plug.py", "own.py"]
    assert found.resolved()["plugins"] == ["below/plug.py", "own.py"]


DROPS = "suite: more\nextends: base.yaml\nsystems:\n  one: null\n"
TWO = "  two: {generator: test-gen, discriminator: test-disc, objective: test-loss}\n"


def test_null_drops_an_inherited_system(files: Files) -> None:
    """Also what the base's budgets say of it; its own budgets may name it anew."""
    base = BASE.replace("\ntraining: {i", f"\n{TWO}training: {{i")
    files.write(base, "base.yaml")
    found = files.load(DROPS)
    assert list(found.systems) == ["two"]
    assert list(files.load(DROPS, budget="other").systems) == ["two"]
    assert list(files.load("suite: more\nextends: base.yaml\n").systems) == ["one", "two"]
    assert list(files.load(base, sets=["systems.one=null"]).systems) == ["two"]
    assert files.load(json.dumps(found.resolved())).resolved() == found.resolved()
    again = f"{DROPS}budgets: {{other: {{systems: {{{TWO.strip().replace('two', 'one')}}}}}}}\n"
    assert list(files.load(again, budget="other").systems) == ["two", "one"]


def test_a_budget_may_drop_a_system(files: Files) -> None:
    text = SUITE.replace("training: {i", f"{TWO}training: {{i")
    text += "budgets: {less: {systems: {one: null}}}\n"
    assert list(files.load(text).systems) == ["one", "two"]
    assert list(files.load(text, budget="less").systems) == ["two"]
    named = text + "compare: {baseline: one}\n"
    assert files.errors(named, budget="less")[0].startswith(
        "s.yaml:11:21: compare.baseline: unknown system or baseline 'one'; "
    )
    swept = text + "sweep: {base: one, grid: {generator.layers: [4]}}\n"
    assert files.errors(swept, budget="less") == [
        "s.yaml:11:15: sweep.base: unknown system 'one'; valid: two"
    ]


@pytest.mark.parametrize("name", ["one", "onne"])
def test_a_system_that_is_not_inherited_cannot_be_dropped(files: Files, name: str) -> None:
    text = "must be a mapping; got null, and no system of this name is inherited, to drop; "
    files.write(BASE, "base.yaml")
    [found] = files.errors(DROPS.replace("one", "onne"))
    assert found == f"s.yaml:4:9: systems.onne: {text}did you mean 'one'? (valid: one)"
    plain = SUITE.partition("  one:")
    alone = f"{plain[0]}  {name}:\n{plain[2].partition(chr(10))[2]}"
    [found] = files.errors(alone)
    assert found == f"s.yaml:6:{len(name) + 4}: systems.{name}: {text}there are none"


def test_only_one_base(files: Files) -> None:
    files.write("suite: a\nextends: s.yaml\n" + SUITE.partition("\n")[2], "base.yaml")
    [found] = files.errors("suite: b\nextends: base.yaml\n")
    assert found == (
        "base.yaml:2:1: extends: s.yaml extends this file, so it cannot extend another itself"
    )
    # What the further base would have given is not said to be missing.
    files.write("suite: a\nextends: demo\n", "base.yaml")
    [found] = files.errors("suite: b\nextends: base.yaml\n")
    assert found.startswith("base.yaml:2:1: extends: s.yaml extends this file")
    [found] = files.errors(SUITE + "extends: s.yaml\n")
    assert "s.yaml:9:1: extends: s.yaml extends this file" in found


def test_extends_what_is_not_there(files: Files) -> None:
    [found] = files.errors("suite: b\nscale: 1\nextends: dem\n")
    assert found.startswith(
        "s.yaml:3:10: no file 'dem', nor a shipped suite of that name; did you mean 'demo'? (valid:"
    )
    files.write("a: [", "base.yaml")
    [found] = files.errors("suite: b\nextends: base.yaml\n")
    assert found.startswith("base.yaml:1:5: not valid YAML: ")
    assert files.errors("suite: b\nextends: 3\n")[-1].endswith(
        "must be text (put it in quotes); got 3"
    )


def test_extends_a_shipped_suite(files: Files) -> None:
    found = files.load("suite: mine\nextends: vcc2016\nscale: 0.25\nseeds: [7]\n")
    shipped = suite.load("vcc2016")
    assert found.resolved() == shipped.resolved() | {
        "suite": "mine",
        "question": None,
        "scale": 0.25,
        "seeds": [7],
    }


@pytest.mark.parametrize("name", ["dmeo", "demo.yaml", "no/such.yaml", "x" * 5000, "\0", ""])
def test_a_suite_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"nor a shipped suite of that name; .*demo, "):
        suite.load(name)


def test_the_file_beside_a_name_without_its_suffix_is_suggested(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files.folder)
    files.write(SUITE, "my-generator.yaml")
    with pytest.raises(UsageError) as caught:
        suite.load("my-generator")
    assert str(caught.value) == (
        "suite: no file 'my-generator', nor a shipped suite of that name; did you mean "
        "'my-generator.yaml'?"
    )


def test_a_file_wins_over_a_shipped_suite_of_the_name(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files.folder)
    assert suite.load("demo").name == "demo"
    files.write(SUITE, "demo")
    assert suite.load("demo").name == "test"
    (files.folder / "vcc2016").mkdir()
    assert suite.load("vcc2016").name == "vcc2016"
