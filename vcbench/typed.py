"""Whether a dataclass holds what its annotations say: for what was read from a stranger's file."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def is_typed(value: Any, kind: Any) -> bool:
    """Whether `value` is of the type `kind`, through tuples, mappings and dataclasses.

    As JSON has it: a whole number is a float too, a truth value is no number, and what is infinite
    or no number is none; nor is a whole number that takes more than 64 bits.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(is_typed(value, one) for one in inner)
    if origin is typing.Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        each = inner[:1] * len(value) if inner[1:] == (...,) else inner
        return len(value) == len(each) and all(map(is_typed, value, each))
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            is_typed(key, inner[0]) and is_typed(held, inner[1]) for key, held in value.items()
        )
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return isinstance(value, typing.cast(type, kind)) and all(
            is_typed(getattr(value, field.name), hints[field.name]) for field in fields(kind)
        )
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if isinstance(value, int) and kind in (int, float):
        return -(2**63) <= value < 2**63
    if kind is float:
        return isinstance(value, float) and math.isfinite(value)
    return isinstance(value, kind)
