"""The published JSON Schema: equal to the code, and it agrees with the code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
from suite_files import SUITE

from suites import shipped, shipped_path
from vcbench.suite.json_schema import json_schema
from vcbench.suite.positions import parse

COMMITTED = shipped_path("demo").with_name("suite.schema.json")


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(COMMITTED.read_text(encoding="utf-8")))


def plain(text: str) -> Any:
    root, problems = parse(text, source="s.yaml")
    assert problems == []
    return root.plain()


def test_the_committed_schema_is_what_the_code_says() -> None:
    again = "run `python -m vcbench.suite > suites/suite.schema.json`"
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == json_schema(), again


def test_the_command_that_writes_it() -> None:
    command = [sys.executable, "-m", "vcbench.suite"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == COMMITTED.read_text(encoding="utf-8")


def test_it_is_a_draft_07_schema(validator: jsonschema.Draft7Validator) -> None:
    jsonschema.Draft7Validator.check_schema(validator.schema)
    text = json.dumps(validator.schema)
    assert validator.schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    for newer in ('"$defs"', '"prefixItems"', '"dependentSchemas"', '"unevaluatedProperties"'):
        assert newer not in text


def test_every_key_is_described(validator: jsonschema.Draft7Validator) -> None:
    schema = validator.schema
    for keys in schema, *(d for d in schema["definitions"].values() if "properties" in d):
        for name, key in keys["properties"].items():
            assert key.get("description"), name
            # Draft-07 ignores everything beside a reference.
            assert "$ref" not in key, name


@pytest.mark.parametrize("name", [name for name, _ in shipped()])
def test_shipped_suites_are_valid_and_name_the_schema(
    validator: jsonschema.Draft7Validator, name: str
) -> None:
    path = shipped_path(name)
    assert path is not None
    text = path.read_text(encoding="utf-8")
    assert [error.message for error in validator.iter_errors(plain(text))] == []
    first, _, schema = text.partition("\n")[0].partition("=")
    assert first == "# yaml-language-server: $schema"
    assert schema.startswith(".")
    assert (path.parent / schema).resolve() == COMMITTED


def test_the_names_of_built_in_plugins_are_offered(validator: jsonschema.Draft7Validator) -> None:
    offered = {
        kind: {entry["const"]: entry["description"] for entry in names["anyOf"] if "const" in entry}
        for kind, names in validator.schema["definitions"].items()
        if "anyOf" in names
    }
    assert set(offered) == {"generator", "discriminator", "objective", "metric", "corpus"}
    assert {"cyclegan-vc-1d", "residual-pixelshuffle-2d"} <= set(offered["generator"])
    assert {"bce", "lsgan"} <= set(offered["objective"])
    assert {"mcd", "gv-distance", "f0-rmse", "log-f0-rmse", "vuv-error"} <= set(offered["metric"])
    assert {"vcc2016", "demo", "folder"} <= set(offered["corpus"])
    assert all(text for names in offered.values() for text in names.values())


@pytest.mark.parametrize(
    "text",
    [
        SUITE,  # plugins of other people
        SUITE + "budgets: {b: {training: {log_every: 5}, systems: {one: {generator: {a: 1}}}}}\n",
        SUITE.replace("-loss}", "-loss, training: {batch_size: 2}}"),
        "suite: more\nextends: demo\nsystems: {paper-1d: {training: {iterations: 3}}}\n",
        "suite: more\nextends: demo\ntraining: {log_every: 3}\n",
        "suite: more\nextends: demo\nsystems: {paper-1d: null}\n",
        SUITE + "budgets: {b: {systems: {one: null}}}\n",
        SUITE + "compare: {baseline: one, against: [source-copy], metric: test-score}\n",
        SUITE + "compare: null\nsweep: null\n",
        SUITE + "sweep: {base: one, grid: {generator: [a], training.lambda_cycle: [1, null]}}\n",
        SUITE + "budgets: {b: {sweep: {one_at_a_time: {}}, compare: {metric: a}}}\n",
    ],
)
def test_valid_suites(validator: jsonschema.Draft7Validator, text: str) -> None:
    assert [error.message for error in validator.iter_errors(plain(text))] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("suite: test\n", ""),
        ("corpus: test-voices\n", ""),
        ("pairs: [F1-M1]\n", ""),
        ("metrics: [test-score]\n", ""),
        ("iterations: 60", "batch_size: 1"),
        (", objective: test-loss", ""),
        ("generator: test-gen", "generator: {width: wide}"),
        ("metrics:", "scael: 1\nmetrics:"),
        ("metrics:", "scale: 0\nmetrics:"),
        ("metrics:", "features: {f0: reaper}\nmetrics:"),
        ("metrics:", "seeds: []\nmetrics:"),
        ("metrics:", "baselines: [copy]\nmetrics:"),
        ("metrics:", "budgets: {b: {suite: x}}\nmetrics:"),
        ("metrics:", "budgets: {b: {scale: x}}\nmetrics:"),
        ("60}", "60, adam_betas: [0.5]}"),
        ("60}", "60, itrations: 5}"),
        ("60}", "'60'}"),
        ("F1-M1", "F1"),
        ("  one:", "  a/b:"),
        ("  one:", "  none: null\n  one:"),
        ("-loss}", "-loss, training: {iterations: 0}}"),
        ("-loss}", "-loss, extra: 0}"),
        ("metrics:", "compare: {against: [one]}\nmetrics:"),
        ("metrics:", "compare: {baseline: one, against: []}\nmetrics:"),
        ("metrics:", "sweep: {grid: {}}\nmetrics:"),
        ("metrics:", "sweep: {base: one, grid: {lambda_cycle: [1]}}\nmetrics:"),
        ("metrics:", "sweep: {base: one, grid: {training.lambda_cycle: 1}}\nmetrics:"),
    ],
)
def test_invalid_suites(validator: jsonschema.Draft7Validator, old: str, new: str) -> None:
    assert SUITE.count(old) == 1
    assert not validator.is_valid(plain(SUITE.replace(old, new)))
