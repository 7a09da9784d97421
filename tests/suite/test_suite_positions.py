"""YAML with positions: types of the core schema, places, bounds, and nothing but UsageError."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcbench.errors import UsageError
from vcbench.suite.positions import (
    MAX_BYTES,
    MAX_PROBLEMS_SHOWN,
    Node,
    Place,
    Problem,
    merge,
    parse,
    read,
    usage_error,
)

SCALARS = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(-1e300, 1e300)
KEYS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=12)
DATA = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner)
)


def value_of(text: str) -> Any:
    root, problems = parse(text, source="s.yaml")
    assert problems == []
    return root.plain()


def error_of(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(text, source="s.yaml")
    return str(caught.value)


def problems_of(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, source="s.yaml")[1]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 1e-4),
        ("2E+3", 2000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-0.0", 0.0),
        ("12", 12),
        ("+3", 3),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("on", "on"),
        ("Off", "Off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("10:30", "10:30"),
        ("190:20:30.15", "190:20:30.15"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2001-12-14", "2001-12-14"),
        ("=", "="),
        ("~", None),
        ("", None),
        ("null", None),
        ("nULL", "nULL"),
        ("'3'", "3"),
        ('"true"', "true"),
        ("SF1-TM3", "SF1-TM3"),
        ("!!str 3", "3"),
        ("!!float 3", 3.0),
        ("!!int '3'", 3),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_scalars_have_the_types_of_the_core_schema(text: str, expected: object) -> None:
    value = value_of(f"key: {text}")["key"]
    assert value == expected
    assert type(value) is type(expected)


@given(DATA)
def test_json_is_read_as_json(data: object) -> None:
    assert value_of(json.dumps(data, ensure_ascii=False)) == data


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, SCALARS | TEXTS, min_size=1), min_size=1))
def test_every_place_is_where_the_value_stands(data: dict[str, dict[str, Any]]) -> None:
    text = json.dumps(data, indent=3, ensure_ascii=False)
    lines = text.split("\n")
    root, _ = parse(text, source="s.yaml")

    def text_at(place: Place) -> str:
        assert place.source == "s.yaml"
        return lines[place.line - 1][place.column - 1 :]

    for outer, inner in data.items():
        for key, value in inner.items():
            node = root.find(outer, key)
            assert node is not None
            assert node.key is not None
            assert text_at(node.key).startswith(json.dumps(key, ensure_ascii=False) + ": ")
            assert text_at(node.place).startswith(json.dumps(value, ensure_ascii=False))


def test_places_in_block_style_with_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes("\ufeffa: é\r\nb:\r\n  - x\r\n  - y: ü z\r\n".encode())
    root, problems = read(path)
    assert problems == []
    assert root.plain() == {"a": "é", "b": ["x", {"y": "ü z"}]}
    node = root.find("b", 1, "y")
    assert node is not None
    assert (node.key, node.place) == (Place(str(path), 4, 5), Place(str(path), 4, 8))
    assert root.find("b", 2) is None
    assert root.find("a", "deeper") is None


def test_duplicate_keys_are_all_found_with_both_places() -> None:
    text = "a: 1\nb: {c: 1, c: 2}\n'a': 3\n"
    assert problems_of(text) == [
        "s.yaml:2:11: key 'c' stands twice in this mapping; the first is at s.yaml:2:5",
        "s.yaml:3:1: key 'a' stands twice in this mapping; the first is at s.yaml:1:1",
    ]
    assert problems_of("1: a\n'1': b\n") != []  # keys are text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("? [a]\n: 1", "s.yaml:1:3: a key is a word, not a list or a mapping"),
        (
            "a: 1\n<<: {b: 1}",
            "s.yaml:2:1: merge key '<<' is not supported; write the keys out or use 'extends:'",
        ),
        (
            "a: !!python/object/apply:os.system [ls]",
            "s.yaml:1:4: tag 'tag:yaml.org,2002:python/object/apply:os.system' is not supported; "
            "leave it out",
        ),
        ("a: !!set {b}", "s.yaml:1:4: tag 'tag:yaml.org,2002:set' is not supported; leave it out"),
        ("a: !mine b", "s.yaml:1:4: tag '!mine' is not supported; leave it out"),
        ("a: !!int b", "s.yaml:1:4: not a int; got 'b'"),
        ("a: .inf", "s.yaml:1:4: not a finite number; got '.inf'"),
        ("a: -.INF", "s.yaml:1:4: not a finite number; got '-.INF'"),
        ("a: .nan", "s.yaml:1:4: not a finite number; got '.nan'"),
        ("a: 1e999", "s.yaml:1:4: not a finite number; got '1e999'"),
        (
            "a: 9223372036854775808",
            "s.yaml:1:4: number is too large; got '9223372036854775808'; valid: below 2**63",
        ),
        (
            'a: "\\ud800"',
            "s.yaml:1:4: text holds a NUL or half of a surrogate pair; got '\\ud800'",
        ),
        ('a: "b\\0"', "s.yaml:1:4: text holds a NUL or half of a surrogate pair; got 'b\\x00'"),
        ('"a\\nb": 1', "s.yaml:1:1: a key is at most 200 printable characters; got 'a\\nb'"),
    ],
)
def test_what_no_suite_can_mean_is_a_problem(text: str, expected: str) -> None:
    assert problems_of(text) == [expected]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: b: c", "s.yaml:1:5: not valid YAML: mapping values are not allowed here"),
        ("a:\n  - b\n c: d", "s.yaml:3:2: not valid YAML: "),
        ("a: [1,\nb: 2", "s.yaml:2:"),
        ("a: 'x", "s.yaml:1:6: not valid YAML: found unexpected end of stream"),
        ("a:\n\t- b", "s.yaml:2:1: not valid YAML: found character '\\t'"),
        ("a: *b", "s.yaml:1:4: not valid YAML: found undefined alias"),
        ("--- a\n--- b", "s.yaml:2:1: not valid YAML: "),
        ("%YAML 3.0\n--- a", "s.yaml:1:1: not valid YAML: "),
        ("a: b\nc: \x07", "s.yaml:2:4: character U+0007 is not allowed in YAML"),
        ('"\\UFFFFFFFF"', "s.yaml:1:4: not valid YAML: "),
        ("a: @b", "s.yaml:1:4: not valid YAML: found character '@'"),
    ],
)
def test_syntax_errors_name_line_and_column(text: str, start: str) -> None:
    message = error_of(text)
    assert message.startswith(start)
    assert "\n" not in message


def test_tabs_come_with_advice() -> None:
    assert error_of("a:\n\t- b").endswith("; indent with spaces, not tabs")


def test_an_inline_text_has_one_place() -> None:
    root, problems = parse("{a: [1, 2]}", source="--set x={a: [1, 2]}", inline=True)
    assert problems == []
    assert root.places() == {Place("--set x={a: [1, 2]}")}
    with pytest.raises(UsageError, match=r"^--set x: not valid YAML: "):
        parse("[1", source="--set x", inline=True)


def test_aliases_are_copied() -> None:
    assert value_of("a: &x {b: [1]}\nc: *x\n") == {"a": {"b": [1]}, "c": {"b": [1]}}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "? " * 100_000,
        "[" + "a," * 100_000,
        "".join(f"k{i}: 1\n" for i in range(100_000)),
        "a: &a [*a]",
        "a: &a {b: *a, c: *a}",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefg")),
    ],
    ids=["flow", "mapping", "block", "complex", "list", "keys", "cycle", "bush", "laughs"],
)
def test_size_depth_and_aliases_are_bounded(text: str) -> None:
    begin = time.monotonic()
    message = error_of(text)
    assert "nested more than 32 deep, or more than 10000 values" in message
    assert time.monotonic() - begin < 10


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    large, latin = tmp_path / "large.yaml", tmp_path / "latin.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    latin.write_bytes("a: 1\nb: Müller".encode("latin-1"))
    for path, message in [
        (large, f"{large}: larger than {MAX_BYTES} bytes, which no suite file needs"),
        (latin, f"{latin}:2:5: not UTF-8: byte 0xfc"),
        (tmp_path, f"{tmp_path}: cannot be read: Is a directory"),
        (tmp_path / "absent", f"{tmp_path / 'absent'}: cannot be read: No such file or directory"),
    ]:
        with pytest.raises(UsageError) as caught:
            read(path)
        assert str(caught.value) == message


def test_empty_files_are_null(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("# nothing\n")
    assert read(tmp_path / "s.yaml")[0].plain() is None


def _merged(base: Any, over: Any) -> Any:
    """The definition of a deep merge, on plain data."""
    if isinstance(base, dict) and isinstance(over, dict):
        keys = [*base, *(key for key in over if key not in base)]
        return {
            key: _merged(base[key], over[key])
            if key in base and key in over
            else over.get(key, base.get(key))
            for key in keys
        }
    return over


TREES = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=12
)


@given(TREES, TREES)
def test_merge_is_a_deep_merge_that_keeps_places(base: Any, over: Any) -> None:
    a, _ = parse(json.dumps(base), source="base")
    b, _ = parse(json.dumps(over), source="over")
    merged = merge(a, b)
    assert merged.plain() == _merged(base, over)
    assert list(merged.entries()) == list(_merged(base, over) if merged.entries() else [])
    for key, node in b.entries().items():
        if not isinstance(node.value, dict):
            found = merged.find(key)
            assert found is not None
            assert found.place == node.place
    assert a.plain() == base  # nothing is changed in place


def test_a_whole_mapping_replaces() -> None:
    a, _ = parse("x: {name: old, k: 1}\ny: {name: old, k: 1}", source="a")
    b, _ = parse("x: {name: new}\ny: {name: new}", source="b")
    merged = merge(a, b, whole=lambda path, _: path == ("x",))
    assert merged.plain() == {"x": {"name": "new"}, "y": {"name": "new", "k": 1}}


def test_problems_are_sorted_single_and_not_endless() -> None:
    places = [Place("s.yaml", line, 1) for line in range(200, 0, -1)]
    problems = [Problem(place, "bad") for place in places]
    lines = str(usage_error(problems + problems)).splitlines()
    assert lines[:2] == ["s.yaml:1:1: bad", "s.yaml:2:1: bad"]
    assert len(lines) == MAX_PROBLEMS_SHOWN + 1
    assert lines[-1] == f"s.yaml: and {200 - MAX_PROBLEMS_SHOWN} more problems"


YAMLISH = st.text(
    st.sampled_from(list("ab01:-?[]{},#&*!|>'\"%@`\\ \t\n\r.~<=eU\x00\x85\u2028\ud800é")),
    max_size=60,
)


@given(YAMLISH | st.text(max_size=40))
def test_random_text_raises_nothing_but_usage_errors(text: str) -> None:
    try:
        root, problems = parse(text, source="s.yaml")
    except UsageError as error:
        assert str(error).startswith("s.yaml:")
    else:
        assert isinstance(root, Node)
        json.dumps(root.plain(), allow_nan=False).encode()
        assert all(problem.place.line >= 1 for problem in problems)


@given(st.binary(max_size=60))
def test_random_bytes_raise_nothing_but_usage_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.yaml"
    path.write_bytes(content)
    try:
        read(path)
    except UsageError as error:
        assert str(error).startswith(str(path))
