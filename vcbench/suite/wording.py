"""How errors of a suite file's values are worded, and where in the file they are placed.

Pydantic finds them; here its errors become vcbench's own, with the place of the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from inspect import isclass
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from vcbench.errors import did_you_mean
from vcbench.suite.positions import KeyPath, Node, Problem, show
from vcbench.suite.schema import PATTERN_WORDS, ComponentKeys


def model_problems(
    model: type[BaseModel], root: Node, *, prefix: KeyPath = ()
) -> tuple[Any, list[Problem]]:
    """(the validated model or None, all problems) of the mapping at `root`.

    `prefix` is the path that messages put before the paths of the mapping.
    """
    try:
        # As JSON, a list is accepted where the model has a tuple, and still no '3' for an int.
        return model.model_validate_json(json.dumps(root.plain())), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        return None, [_describe(d, root, model, prefix) for d in details if not _is_echo(d)]


def _is_echo(error: ErrorDetails) -> bool:
    """A list is also called too short when it is long enough and an entry of it is wrong."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def option_value(annotation: Any, node: Node, path: KeyPath) -> tuple[Any, list[Problem]]:
    """(the value at `node` as plain JSON values, what keeps it from being an `annotation`).

    Where the annotation is float, 5 becomes 5.0: it is the same option.
    """
    try:
        config = ConfigDict(strict=True, arbitrary_types_allowed=True)
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=config)
    except PydanticUserError:
        return node.plain(), []  # a type that pydantic cannot check is left to the plugin
    try:
        return to_jsonable_python(adapter.validate_json(json.dumps(node.plain()))), []
    except ValidationError as error:
        details = error.errors(include_url=False)
        if all(node.find(*detail["loc"]) for detail in details):
            return None, [_describe(d, node, None, path) for d in details if not _is_echo(d)]
        # Each member of a union has its own complaint, under the member's name.
        words = str(annotation).replace("typing.", "")
        text = f"{label(path)}must be {words}; got {_found(node.plain())}"
        return None, [Problem(node.place, text)]


def _describe(
    error: ErrorDetails, root: Node, model: type[BaseModel] | None, prefix: KeyPath
) -> Problem:
    """One error of pydantic in vcbench's words, at the place in the file that it is about."""
    loc = tuple(error["loc"])
    about_key = loc[-1:] == ("[key]",)
    loc = loc[:-1] if about_key else loc
    kind = error["type"]
    if kind == "missing":
        place = (root.find(*loc[:-1]) or root).place
        return Problem(place, f"{label((*prefix, *loc[:-1]))}missing key '{loc[-1]}'")
    node = root.find(*loc) or root
    if kind == "extra_forbidden" and model is not None:
        hint = did_you_mean(str(loc[-1]), _fields_at(model, loc[:-1]))
        text = f"{label((*prefix, *loc[:-1]))}unknown key {show(loc[-1])}; {hint}"
        return Problem(node.key or node.place, text)
    place = (node.key if about_key else None) or node.place
    found = loc[-1] if about_key else error["input"]
    return Problem(place, f"{label((*prefix, *loc))}{_complaint(error, found)}")


def label(path: KeyPath) -> str:
    """How messages begin: `training.adam_betas[1]: `; nothing for the root."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{text.removeprefix('.')}: " if text else ""


def _complaint(error: ErrorDetails, found: object) -> str:
    """What is valid and what was found instead."""
    if error["type"] == "literal_error":
        return f"unknown value {show(found)}; {_choices(error['ctx']['expected'], found)}"
    return f"{_expectation(error)}; got {_found(found)}"


def _choices(expected: str, found: object) -> str:
    """The valid values; pydantic tells of them as `'wide' or 'narrow'`, or `1 or 2`."""
    text = "'([^']*)'"
    if re.fullmatch(rf"({text}(, | or )?)+", expected):
        return did_you_mean(str(found), re.findall(text, expected))
    return f"valid: {expected}"


def _found(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    return "an empty list" if value == [] else show(value)


def _expectation(error: ErrorDetails) -> str:
    """What is valid, in words."""
    kind = error["type"]
    context: dict[str, Any] = error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return f"must be {PATTERN_WORDS.get(pattern, f'text that matches {pattern}')}"
    if kind == "string_type" and isinstance(error["input"], int | float):
        return "must be text (put it in quotes)"
    if context.get("class_name") == ComponentKeys.__name__:
        return "must be a plugin's name, or a mapping with its name and its options"
    return _EXPECTATIONS.get(kind, error["msg"]).format(**context)


_EXPECTATIONS = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
}


def _fields_at(annotation: Any, loc: KeyPath) -> Iterable[str]:
    """Names of the keys that the mapping at `loc` below a value of that type may have."""
    if isclass(annotation) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        return _fields_at(fields[str(loc[0])].annotation, loc[1:]) if loc else fields
    inner = [a for a in get_args(annotation) if a not in (NoneType, Ellipsis)]
    if get_origin(annotation) in (dict, tuple):
        return _fields_at(inner[-1], loc[1:])
    return _fields_at(inner[0], loc)  # an optional value
