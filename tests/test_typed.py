"""Values and the types that dataclasses say they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from vcbench.typed import is_typed

KINDS = [
    int,
    float,
    bool,
    str,
    int | None,
    Literal[1, 2],
    Literal["a"],
    tuple[int, ...],
    tuple[float, str],
    Mapping[str, tuple[int, ...]],
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.sampled_from("ab"), inner)
    ),
    max_leaves=4,
)


@dataclass(frozen=True)
class Held:
    n: int
    rate: float
    options: Mapping[str, Any]


@given(kind=st.sampled_from(KINDS), value=VALUES)
def test_it_says_what_pydantic_says(kind: Any, value: object) -> None:
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
        expected = True
    except ValidationError:
        expected = False
    if kind == Literal[1, 2] and isinstance(value, bool | float):
        expected = False  # pydantic goes by equality: True is 1
    assert is_typed(value, kind) == expected


def test_dataclasses_are_looked_into() -> None:
    held = Held(1, 2, {"a": object()})
    assert is_typed(held, Held)
    assert not is_typed(replace(held, n=1.5), Held)
    assert not is_typed(replace(held, options={1: 2}), Held)
    assert not is_typed({"n": 1}, Held)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), True, 2**63, -(10**400)])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    """A whole number of any length would end whoever makes a float or a table's column of it."""
    assert not is_typed(value, float)
    assert not is_typed(value, int)


def test_whole_numbers_of_64_bits() -> None:
    assert is_typed(2**63 - 1, int)
    assert is_typed(-(2**63), float)
