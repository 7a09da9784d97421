"""Suite files of strangers: whatever they hold, an error with its place or a suite, and soon."""

from __future__ import annotations

import copy
import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suite_files import PLUGINS, SUITE, Files

from vcbench import suite
from vcbench.cli import main
from vcbench.errors import UsageError
from vcbench.suite.bounds import MAX_CELLS, MAX_ENTRIES

SECONDS = 20.0  # on a busy machine; each takes far less than one


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("suites"))


def test_cells_are_counted_before_any_is_made(files: Files) -> None:
    """A million cells in a file of 5 kB."""
    pairs = ", ".join(f"F{i}-M{i}" for i in range(1000))
    text = SUITE.replace("F1-M1", pairs) + f"seeds: {list(range(1000))}\n"
    [said] = files.errors(text)
    # 1000 pairs, of which each has a system with 1000 seeds and three baselines.
    assert said == (
        "s.yaml:1:1: 1003000 cells (1000 pairs, 1 systems, 1000 seeds, and what is not trained); "
        f"valid: {MAX_CELLS} at most; divide the suite into several"
    )
    few = SUITE + f"seeds: {list(range(1000))}\n"
    assert len(files.load(few).cells()) == 1000


def test_the_largest_suite_that_is_allowed_is_read(files: Files) -> None:
    pairs = ", ".join(f"F{i}-M{i}" for i in range(100))
    text = SUITE.replace("F1-M1", pairs) + f"seeds: {list(range(97))}\n"
    assert len(files.load(text).cells()) == 9700
    assert "10000 at most" in files.errors(text.replace("96]", "96, 97]"))[0]


@pytest.mark.parametrize("key", MAX_ENTRIES)
def test_lists_and_mappings_have_an_end(key: str, files: Files) -> None:
    n = MAX_ENTRIES[key] + 1
    mapping = key in ("systems", "external", "budgets")
    entries: Any = {f"k{i}": {} for i in range(n)} if mapping else [f"k{i}" for i in range(n)]
    document = yaml.safe_load(SUITE) | {key: entries}
    [said] = files.errors(json.dumps(document))
    assert said.endswith(f": {key}: {n} entries; valid: {n - 1} at most")


def test_sizes_that_no_training_needs_are_refused(files: Files) -> None:
    """They had ended in PyTorch's traceback, when a crop of that length was made."""
    recipe = "iterations: 2000000000, segment_frames: 1000000000000, batch_size: 4097"
    assert files.errors(SUITE.replace("iterations: 60", recipe)) == [
        "s.yaml:7:24: training.iterations: must be at most 1e+09; got 2000000000",
        "s.yaml:7:52: training.segment_frames: must be at most 8192; got 1000000000000",
        "s.yaml:7:79: training.batch_size: must be at most 4096; got 4097",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "sweep: {base: one, grid: {training.lambda_cycle: &a ["
        + ",".join(map(str, range(1000)))
        + "], training.lambda_identity: *a, training.batch_size: *a}}\n",
        "".join(f"unknown_key_{i}: {i}\n" for i in range(4000)),
        "budgets:\n" + "".join(f"  b{i}: {{seeds: [{i}], scale: x}}\n" for i in range(32)),
        "external:\n" + "".join(f"  e{i}: {{directory: '{{x{i}}}'}}\n" for i in range(200)),
        "question: " + "x" * 900_000 + "\n",
        "compare: {baseline: one, against: [" + ", ".join(f"s{i}" for i in range(4000)) + "]}\n",
        "seeds: [" + ", ".join(["1"] * 999) + "]\n",
        "protocol: " + "a" * 500_000 + "\n",
    ],
    ids=["sweep", "keys", "budgets", "external", "text", "against", "twice", "name"],
)
def test_long_suites_are_answered_soon(text: str, files: Files) -> None:
    begin = time.monotonic()
    try:
        files.load(SUITE + text)
    except UsageError as error:
        assert len(str(error)) < 100_000
    assert time.monotonic() - begin < SECONDS


def test_systems_by_the_hundred_are_answered_soon(files: Files) -> None:
    system = "{generator: test-gne, discriminator: test-disc, objective: test-loss}"
    more = "".join(f"  s{i}: {system}\n" for i in range(199))
    begin = time.monotonic()
    said = files.errors(SUITE.replace("training:", more + "training:"))
    assert "did you mean 'test-gen'?" in said[0] and "149 more problems" in said[-1]
    assert time.monotonic() - begin < SECONDS


def test_extends_cannot_go_in_a_circle(files: Files) -> None:
    files.write(SUITE + "extends: b.yaml\n", "a.yaml")
    b = files.write(SUITE + "extends: a.yaml\n", "b.yaml")
    own = files.write(SUITE + "extends: own.yaml\n", "own.yaml")
    for path in (b, own):
        with pytest.raises(UsageError, match="cannot extend another itself"):
            suite.load(path)


def test_only_files_are_read(files: Files) -> None:
    """A pipe would be waited for, and /dev/zero has no end."""
    os.mkfifo(files.folder / "pipe.yaml")
    os.mkfifo(files.folder / "pipe.py")
    for line, words in [
        ("extends: pipe.yaml", "no file 'pipe.yaml'"),
        ("extends: /dev/zero", "no file '/dev/zero'"),
        ("extends: /dev/stdin", "no file '/dev/stdin'"),
    ]:
        assert words in files.errors(SUITE + line + "\n")[0]
    said = files.errors(SUITE.replace("plug.py]", "plug.py, pipe.py, /dev/zero]"))
    assert any("pipe.py' is not a file" in line for line in said)
    with pytest.raises(UsageError, match="no file"):
        suite.load(str(files.folder / "pipe.yaml"))


def test_an_alias_bush_is_refused_where_it_stands(files: Files) -> None:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefg")
    )
    [said] = files.errors(laughs)
    assert said.startswith("s.yaml:") and "once its aliases are written out" in said


def test_a_strangers_suite_ends_with_two_and_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SUITE + "corpus: 2020-01-01\nseeds: [1e999]\n'\x1b[2J': 1\n")
    assert main(["plan", str(path)]) == 2
    said = capsys.readouterr().err
    assert "not allowed in YAML" in said and "\x1b" not in said and "Traceback" not in said


# Values that are wrong in most places and right in some.
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "x", "test-gen", "F1-M1", "F1-F1", "../x", "\x00", "\x1b[2J", "a" * 300])
    | st.sampled_from(
        ["one", "training.iterations", "2020-01-01", "\u202e", "{source}", "~", ".inf"]
    )
    | st.sampled_from(
        [[], {}, [[]], {"name": {}}, [1, "1"], {"name": "test-gen", "layers": {}}]
    ).map(copy.deepcopy)
)
NAMES = """
suite corpus pairs systems training metrics seeds sweep compare external budgets baselines features
scale extends protocol question generator one two name iterations loss_stages base grid against
one_at_a_time directory layers kernels b training.iterations x
"""
KEYS = st.sampled_from(NAMES.split())
WHOLE = {
    "suite": "test",
    "plugins": ["plug.py"],
    "corpus": "test-voices",
    "pairs": ["F1-M1"],
    "systems": {
        "one": {
            "generator": {"name": "test-gen", "layers": 3},
            "discriminator": "test-disc",
            "objective": "test-loss",
            "training": {"batch_size": 2},
        }
    },
    "sweep": {"base": "one", "grid": {"generator.layers": [4, 5]}},
    "compare": {"baseline": "one"},
    "training": {"iterations": 60, "loss_stages": []},
    "metrics": ["test-score"],
    "budgets": {"b": {"seeds": [1], "training": {"iterations": 6}}},
    "seeds": [0],
}


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A whole suite with up to three places of it replaced, added to or taken away."""
    document: Any = json.loads(json.dumps(WHOLE))
    for _ in range(draw(st.integers(1, 3))):
        holder = document
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            below = [k for k in keys if isinstance(holder[k], dict | list)]
            if not below or draw(st.integers(0, 2)) == 0:
                break
            holder = holder[draw(st.sampled_from(below))]
        if isinstance(holder, list):
            holder.append(draw(VALUES))
        elif keys and draw(st.booleans()):
            key = draw(st.sampled_from(keys))
            holder.pop(key) if draw(st.booleans()) else holder.__setitem__(key, draw(VALUES))
        else:
            holder[draw(KEYS)] = draw(VALUES | st.dictionaries(KEYS, VALUES, max_size=2))
    return json.dumps(document)


def check_any(folder: Path, text: str) -> None:
    """An error that names a place for each of its lines, or a suite that resolves to itself."""
    path = folder / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    begin = time.monotonic()
    try:
        loaded = suite.load(str(path), trust_plugins=False)
    except UsageError as error:
        assert all(line.startswith(str(folder)) for line in str(error).splitlines())
    else:
        (folder / "again.yaml").write_text(json.dumps(loaded.resolved()))
        again = suite.load(str(folder / "again.yaml"), trust_plugins=False)
        assert again.resolved() == loaded.resolved()
        assert len(loaded.cells()) <= MAX_CELLS
    assert time.monotonic() - begin < SECONDS


FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=800)


@FEW
@given(text=damaged())
def test_damaged_suites(files: Files, text: str) -> None:
    check_any(files.folder, text)


@pytest.mark.slow
@MANY
@given(text=damaged())
def test_many_damaged_suites(files: Files, text: str) -> None:
    check_any(files.folder, text)


def test_the_suite_that_is_damaged_is_whole(files: Files) -> None:
    (files.folder / "plug.py").write_text(PLUGINS)
    (files.folder / "whole.yaml").write_text(json.dumps(WHOLE))
    assert len(suite.load(str(files.folder / "whole.yaml")).cells()) == 3
