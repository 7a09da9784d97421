"""Content keys: what they depend on, and what they do not."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcbench import fingerprint

LEAVES = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
VALUES = st.recursive(
    LEAVES.filter(lambda v: v not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict, random: object) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert fingerprint.of_json(dict(items)) == fingerprint.of_json(value)


@given(VALUES, VALUES)
def test_values_are_equal_where_their_keys_are(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint.of_json(one) == fingerprint.of_json(other)) == same


def test_what_json_cannot_hold_has_no_key() -> None:
    """NaN is equal to nothing, so a key of it would promise what it cannot keep."""
    with pytest.raises(ValueError, match="JSON"):
        fingerprint.of_json({"a": float("nan")})


def test_of_file_is_its_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(256)) * 1000)
    assert fingerprint.of_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_sources_count_by_name_and_content_and_not_by_place(tmp_path: Path) -> None:
    """In the second folders the files sort the other way round."""
    here = [write(tmp_path / "1" / "b.py", "x = 1\n"), write(tmp_path / "2" / "a.py", "y = 2\n")]
    there = [write(tmp_path / "4" / "b.py", "x = 1\n"), write(tmp_path / "3" / "a.py", "y = 2\n")]
    key = fingerprint.of_sources(here)
    assert fingerprint.of_sources(there) == key
    assert fingerprint.of_sources(here[::-1]) == key
    assert fingerprint.of_sources([*here, str(here[0])]) == key
    write(here[0], "x = 1  # a comment\n")
    edited = fingerprint.of_sources(here)
    assert edited != key
    here[0] = here[0].rename(here[0].with_name("c.py"))
    assert fingerprint.of_sources(here) not in (key, edited)


def test_where_one_file_ends_and_the_next_begins_counts(tmp_path: Path) -> None:
    one = [write(tmp_path / "1" / "a.py", "1\n"), write(tmp_path / "1" / "b.py", "2\n")]
    other = [write(tmp_path / "2" / "a.py", "1\n2\n"), write(tmp_path / "2" / "b.py", "")]
    assert fingerprint.of_sources(one) != fingerprint.of_sources(other)


def test_modules_are_read_and_not_imported() -> None:
    assert "antigravity" not in sys.modules  # importing it opens a web browser
    found = fingerprint.of_sources(["antigravity", "vcbench.fingerprint"])
    assert "antigravity" not in sys.modules
    spec = sys.modules["importlib.util"].find_spec("antigravity")
    assert fingerprint.of_sources([Path(spec.origin), Path(fingerprint.__file__)]) == found
    with pytest.raises(ModuleNotFoundError, match="'vcbench_nowhere'"):
        fingerprint.of_sources(["vcbench_nowhere"])
