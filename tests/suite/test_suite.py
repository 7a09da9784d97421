"""A suite as a whole: what it resolves to, its cells, its plugin files, and no tracebacks."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suite_files import PLUGINS, SUITE, Files

from suites import shipped
from vcbench import suite
from vcbench.errors import UsageError
from vcbench.suite import Cell, Pair, Suite
from vcbench.suite.positions import parse
from vcbench.training.cell import Recipe
from vcbench.world import FeatureParameters

# Writing and reading a file again for each example is what these tests are about.
per_example = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

WHOLE = """\
suite: whole
question: Which one?
plugins: [plug.py]
corpus: {name: test-voices, root: somewhere}
pairs: [F1-M1, F2-M2]
features: {n_mcep: 30, f0: dio}
systems:
  two: {generator: {name: test-gen, width: narrow}, discriminator: test-disc, objective: test-loss}
  one:
    generator: test-gen
    discriminator: {name: test-disc, sigmoid: false}
    objective: test-loss
    training: {iterations: 30}
baselines: [mean-variance, source-copy]
training: {iterations: 60, adam_betas: [0.4, 0.9]}
scale: 0.5
seeds: [3, 1]
metrics: [test-score]
eval_utterances: 5
samples_per_direction: 1
budgets: {quick: {scale: 0.125, seeds: [1]}}
"""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_defaults_fill_what_a_file_leaves_out(files: Files) -> None:
    assert files.load().resolved() == {
        "suite": "test",
        "question": None,
        "plugins": ["plug.py"],
        "corpus": {"name": "test-voices", "root": "."},
        "pairs": ["F1-M1"],
        "features": {"kind": "world", **_without_bounds(FeatureParameters())},
        "systems": {
            "one": {
                "generator": {
                    "name": "test-gen",
                    "width": "wide",
                    "layers": 3,
                    "rate": 0.5,
                    "causal": False,
                    "kernels": [3, 5],
                    "names": None,
                    "window": None,
                    "size": 4,
                    "free": None,
                    "anything": 1,
                    "home": "a",
                    "stacks": 1,
                    "edges": "same",
                },
                "discriminator": {"name": "test-disc", "sigmoid": True},
                "objective": {"name": "test-loss"},
                "training": _recipe(Recipe(iterations=60, decay_start=30)),
            }
        },
        "compare": None,
        "baselines": ["source-copy", "mean-variance", "resynthesis"],
        "external": {},
        "training": _recipe(Recipe(iterations=60, decay_start=30)),
        "scale": 1.0,
        "seeds": [0],
        "metrics": ["test-score"],
        "eval_utterances": None,
        "protocol": "vcbench-1",
        "samples_per_direction": 2,
    }


def _recipe(recipe: Recipe) -> dict[str, Any]:
    return dict(json.loads(json.dumps(dataclasses.asdict(recipe))))


def _without_bounds(parameters: FeatureParameters) -> dict[str, Any]:
    values = parameters.to_json()
    return {k: v for k, v in values.items() if k not in ("f0_floor_hz", "f0_ceil_hz")}


def test_features_and_training_are_what_the_harness_takes(files: Files) -> None:
    found = files.load(WHOLE)
    parameters = FeatureParameters(**found.features.model_dump(exclude={"kind"}))
    assert (parameters.n_mcep, parameters.f0, parameters.mel_cepstrum) == (30, "dio", "world-codec")
    recipe = Recipe(**found.systems["one"].training.model_dump())
    assert (recipe.iterations, recipe.decay_start, recipe.adam_betas) == (30, 15, (0.4, 0.9))


def test_a_resolved_suite_is_a_suite(files: Files) -> None:
    first = files.load(WHOLE, budget="quick", sets=["training.log_every=7"])
    again = files.load(json.dumps(first.resolved()))
    assert again.resolved() == first.resolved()
    assert json.loads(json.dumps(first.resolved(), allow_nan=False)) == first.resolved()
    assert again.cells() == first.cells()


@given(st.randoms(use_true_random=False))
@per_example
def test_the_order_of_keys_changes_nothing(tmp_path: Path, random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    files = Files(tmp_path)
    data = parse(WHOLE, source="whole")[0].plain()
    found = files.load(json.dumps(shuffled(data))).resolved()
    again = files.load(json.dumps(shuffled(data))).resolved()
    assert json.dumps(found, sort_keys=True) == json.dumps(again, sort_keys=True)


def test_cells_are_systems_by_pairs_by_seeds(files: Files) -> None:
    found = files.load(WHOLE)
    assert [cell.id for cell in found.cells()] == [
        "two/F1-M1/3",
        "two/F1-M1/1",
        "two/F2-M2/3",
        "two/F2-M2/1",
        "one/F1-M1/3",
        "one/F1-M1/1",
        "one/F2-M2/3",
        "one/F2-M2/1",
    ]
    assert [cell.id for cell in found.baseline_cells()] == [
        "mean-variance/F1-M1/-",
        "mean-variance/F2-M2/-",
        "source-copy/F1-M1/-",
        "source-copy/F2-M2/-",
    ]
    assert found.pairs[1] == Pair("F2", "M2")


def test_only_selects_cells_by_their_ids(files: Files) -> None:
    found = files.load(WHOLE)
    cells = found.cells() + found.baseline_cells()
    assert [cell.id for cell in suite.select(cells, "one/*")] == [
        cell.id for cell in cells if cell.system == "one"
    ]
    assert suite.select(cells, "*/F2-M2/1") == (cells[3], cells[7])
    assert suite.select(cells, "two/F1-M1/3") == cells[:1]
    assert len(suite.select(cells, "*/-")) == 4
    with pytest.raises(UsageError) as caught:
        suite.select(cells, "one/F1-M2/1")
    assert str(caught.value).startswith(
        "--only 'one/F1-M2/1' matches no cell; did you mean 'one/F2-M2/1'? (valid: mean-variance/"
    )
    assert all(cell.id in str(caught.value) for cell in cells)


@given(
    st.lists(st.sampled_from("abc"), min_size=1, unique=True),
    st.lists(st.integers(0, 5), min_size=1, unique=True),
)
def test_cell_ids_are_unique(systems: list[str], seeds: list[int]) -> None:
    pairs = [Pair("F1", "M1"), Pair("F2", "M1")]
    cells = [Cell(s, p, n) for s in systems for p in pairs for n in [*seeds, None]]
    assert len({cell.id for cell in cells}) == len(cells)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "'{path}' is not a file"),
        (
            "x = (\n",
            "'{path}' cannot be used: SyntaxError: '(' was never closed (plug2.py, line 1)",
        ),
        ("x = 1\n", "'{path}' cannot be used: it registers no plugin"),
        (
            "import no_such_package\n",
            "'{path}' cannot be used: it needs the package 'no_such_package', which is not "
            "installed",
        ),
        ("1 / 0\n", "'{path}' cannot be used: plugin file {path} cannot be imported: Zero"),
    ],
)
def test_a_plugin_file_that_cannot_be_used(files: Files, content: str | None, message: str) -> None:
    if content is not None:
        (files.folder / "plug2.py").write_text(content)
    [found] = files.errors(SUITE.replace("[plug.py]", "[plug.py, plug2.py]"))
    assert found.startswith(f"s.yaml:2:20: plugins[1]: {message.format(path='plug2.py')}")


def test_a_plugin_file_ends_in_py(files: Files) -> None:
    [found] = files.errors(SUITE.replace("[plug.py]", "[plug.py, plug.yaml]"))
    assert found == "s.yaml:2:20: plugins[1]: 'plug.yaml' must be a .py file"


def test_a_plugin_that_raises_when_imported_is_reported_where_it_is_named(files: Files) -> None:
    (files.folder / "plug.py").write_text(PLUGINS + "\n\nraise RuntimeError('no\\n  GPU')\n")
    found = files.errors(SUITE)
    assert len(found) == 5  # corpus, generator, discriminator, objective, metric
    for line in found:
        assert line.endswith("cannot be imported: RuntimeError: no; GPU")
    assert found[0].startswith("s.yaml:3:9: corpus: corpus 'test-voices' (plug.py:")


def test_two_plugins_of_one_name_show_both_origins(files: Files) -> None:
    (files.folder / "plug2.py").write_text(PLUGINS)
    found = files.errors(SUITE.replace("[plug.py]", "[plug.py, plug2.py]"))
    generator = next(line for line in found if "generator 'test-gen'" in line)
    assert "is declared twice: plug.py:" in generator
    assert " and plug2.py:" in generator


def test_the_registry_of_a_suite_finds_its_plugins(files: Files) -> None:
    found = files.load()
    generator = found.registry.get("generator", found.systems["one"].generator.name)
    assert generator.summary == "A generator with options of every type."
    assert generator.source_files == {files.folder / "plug.py"}


def test_loading_a_suite_imports_neither_torch_nor_numpy() -> None:
    script = (
        "import sys, vcbench.suite; "
        "print([m for m in ('torch', 'numpy', 'pandas', 'pyworld') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_listing_suites_needs_no_pydantic() -> None:
    script = (
        "import sys; from suites import shipped; shipped(); "
        "print([m for m in ('torch', 'numpy', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name, _ in shipped()])
def test_shipped_suites_load_with_every_budget(name: str) -> None:
    found = suite.load(name)
    assert found.name == name.rpartition("/")[2]
    budgets = parse(found.path.read_text(encoding="utf-8"), source=name)[0].entries("budgets")
    for budget in budgets:
        assert len(suite.load(name, budget=budget).cells()) <= len(found.cells())


def test_the_shipped_suites_compare_what_they_promise() -> None:
    paper, demo, smoke = (
        suite.load("vcc2016"),
        suite.load("demo"),
        suite.load("vcc2016", budget="smoke"),
    )
    systems = ["paper-1d", "paper-1d-lsgan", "residual-2d-bce", "residual-2d"]
    assert list(paper.systems) == list(demo.systems) == systems
    assert [str(pair) for pair in paper.pairs] == ["SF1-TF2", "SF1-TM3", "SM1-TF2", "SM1-TM3"]
    assert len(paper.cells()) == 4 * 4 * 3
    for system in paper.systems.values():
        # Kaneko and Kameoka, 2018, section 4.1.
        assert (system.training.iterations, system.training.decay_start) == (400_000, 200_000)
        assert (system.training.lambda_cycle, system.training.lambda_identity) == (10, 5)
        assert system.discriminator.options["sigmoid"] is (system.objective.name == "bce")
    assert (smoke.systems["paper-1d"].training.iterations, smoke.scale) == (60, 0.125)
    assert len(smoke.cells()) == 4 * 4
    assert demo.baselines == (
        *("source-copy", "mean-variance", "parallel-gmm", "smoothed-target", "resynthesis"),
    )


TOKENS = [
    *"[]{}:,-#&*!|>'\"%@`?\n ~",
    "\n  ",
    ": ",
    *("suite", "corpus", "pairs", "systems", "training", "metrics", "budgets", "seeds", "plugins"),
    *("sweep", "compare", "base", "grid", "baseline"),
    *("generator", "name", "test-gen", "plug.py", "F1-M1", "extends", "demo", "0", "1e9", "null"),
]


@given(st.lists(st.sampled_from(TOKENS), max_size=30).map("".join) | st.text(max_size=30))
@per_example
def test_random_text_is_a_usage_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "random.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(UsageError) as caught:
        suite.load(str(path))
    assert all(line.startswith(str(tmp_path)) for line in str(caught.value).split("\n"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 70) | st.floats(-1, 1) | st.sampled_from(TOKENS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(TOKENS), inner),
    max_leaves=4,
)


@given(st.data())
@per_example
def test_a_suite_with_any_value_replaced_loads_or_is_a_usage_error(
    tmp_path: Path, data: st.DataObject
) -> None:
    tree = parse(WHOLE, source="whole")[0].plain()
    node, key = tree, data.draw(st.sampled_from(sorted(tree)))
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
        node = node[key]
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
        )
    node[key] = data.draw(JSON)
    files = Files(tmp_path)
    path = files.write(json.dumps(tree))
    try:
        found = suite.load(path)
    except UsageError as error:
        assert all(line.startswith(f"{path}:") for line in str(error).split("\n"))
    else:
        assert isinstance(found, Suite)
        assert suite.load(files.write(json.dumps(found.resolved()))).resolved() == found.resolved()


@given(st.text(max_size=30), st.lists(st.text(max_size=20), max_size=2))
@per_example
def test_random_command_lines_are_usage_errors_or_load(
    tmp_path: Path, budget: str, sets: list[str]
) -> None:
    path = Files(tmp_path).write(WHOLE)
    with pytest.raises(UsageError) as caught:
        suite.load(path, budget=budget, sets=sets)
    assert "has no such budget" in str(caught.value)
