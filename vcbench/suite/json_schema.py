"""The JSON Schema of suite files, with which editors complete and check them.

It is made from the models of `vcbench.suite.schema` and the names of vcbench's own plugins. The
committed copy is suites/suite.schema.json; `python -m vcbench.suite` prints it anew.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any

from vcbench.plugins import ENTRY_POINT_GROUPS, Kind, Registry
from vcbench.suite.schema import NOT_IN_A_BUDGET, SYSTEM_PARTS, SuiteKeys

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The schema in draft-07, the newest that yaml-language-server reads.

    It is looser than `vcbench.suite.load`: other people's plugins and all options are accepted
    unseen, and a file that extends another one may leave out what its base has.
    """
    schema = _draft07(SuiteKeys.model_json_schema(ref_template="#/definitions/{model}"))
    keys, definitions = schema["properties"], schema.pop("$defs")
    system, training = definitions["SystemKeys"], definitions["Training"]
    system_keys = system["properties"]

    definitions |= {kind: _names(kind) for kind in ("corpus", "metric", *SYSTEM_PARTS.values())}
    keys["metrics"]["items"] = {"$ref": "#/definitions/metric"}
    for holder, key, kind in [
        (keys, "corpus", "corpus"),
        *((system_keys, part, kind) for part, kind in SYSTEM_PARTS.items()),
    ]:
        holder[key] = _component(kind, holder[key]["description"])
    del definitions["ComponentKeys"]

    system_keys["training"] = {
        "allOf": [{"$ref": "#/definitions/Training"}],
        "description": system_keys["training"]["description"],
    }
    budget_keys = {k: {"$ref": f"#/properties/{k}"} for k in keys if k not in NOT_IN_A_BUDGET}
    [(pattern, budget)] = keys["budgets"]["patternProperties"].items()
    keys["budgets"]["patternProperties"][pattern] = budget | {
        "properties": budget_keys,
        "additionalProperties": False,
    }

    # A system's training, a budget and a file with a base hold any part of what they change: what
    # is required stands in one place, for files without a base.
    whole = {
        "required": schema.pop("required"),
        "properties": {
            "corpus": {"required": ["name"]},
            "training": {"required": training.pop("required")},
            "sweep": {"required": definitions["SweepKeys"].pop("required")},
            "compare": {"required": definitions["CompareKeys"].pop("required")},
            "systems": {
                "additionalProperties": {
                    "type": "object",  # there is none to drop
                    "required": system.pop("required"),
                    "properties": {part: {"required": ["name"]} for part in SYSTEM_PARTS},
                }
            },
        },
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **schema,
        "required": ["suite"],
        "if": {"not": {"required": ["extends"]}},
        "then": whole,
        "definitions": definitions,
    }


def _draft07(schema: Any) -> Any:
    """Pydantic's schema without its titles, and as draft-07 reads it.

    Draft-07 ignores what stands beside a `$ref`. A pattern for keys forbids no other key.
    """
    if isinstance(schema, list):
        return [_draft07(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    # A title that is not text is the description of a key of that name.
    kept = {k: _draft07(v) for k, v in schema.items() if k != "title" or not isinstance(v, str)}
    if "$ref" in kept and len(kept) > 1:
        kept["allOf"] = [{"$ref": kept.pop("$ref")}]
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    return kept


def _component(kind: Kind, description: str) -> Schema:
    """A plugin as a suite names it: its name, or a mapping of its name and its options."""
    name = {"$ref": f"#/definitions/{kind}"}
    mapping = {"type": "object", "properties": {"name": name}}
    return {"anyOf": [name, mapping], "description": description}


def _names(kind: Kind) -> Schema:
    """Any text; the names of vcbench's own plugins of a kind are what an editor offers."""
    entry_points = metadata.distribution("vcbench").entry_points
    own = {entry.value for entry in entry_points if entry.group in ENTRY_POINT_GROUPS}
    known = {
        declaration.name: {"const": declaration.name, "description": declaration.summary}
        for declaration in Registry().declarations(kind)
        if declaration.module in own and not declaration.name.startswith("(")
    }
    return {"anyOf": [*known.values(), {"type": "string"}]}
