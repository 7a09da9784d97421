"""What the files of a run may hold, as far as the report looks at it: types, and sizes.

A run's folder may be a stranger's, or damaged. What is checked here before anything is computed
cannot raise anything later; keys that are not named here are passed over.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from vcbench.errors import DataError

MAXIMUM_SYSTEMS = 1000  # a suite has 500 at the most
MAXIMUM_COLUMNS = 200  # metrics, under each of their protocols

Text = Annotated[str, StringConstraints(max_length=100_000)]
Name = Annotated[str, StringConstraints(max_length=2_000)]
Value = str | int | float | bool | None


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Training(_Shape):
    # What systems are fed (`vcbench.reporting.crops.DATA_SETTINGS`), which is compared.
    batch_size: Value = None
    segment_frames: Value = None
    crops: Value = None
    pairing: Value = None
    sentences: Value = None


class _System(_Shape):
    training: _Training | None = None


class _Compare(_Shape):
    baseline: Name
    against: Annotated[list[Name], Field(min_length=1)]
    metric: Name | None = None


class _Named(_Shape):
    name: Name


class _Suite(_Shape):
    suite: Name | None = None
    systems: dict[Name, _System | None] | None = None
    baselines: list[Name] | None = None
    metrics: list[Name | _Named] | None = None
    training: _Training | None = None
    compare: _Compare | None = None


class _Counts(_Shape):
    train: int | None = None
    eval: int | None = None


class _Data(_Shape):
    corpus: Text | None = None
    fingerprint: Text | None = None
    utterances: dict[Name, _Counts] | None = None


class _Machine(_Shape):
    cpu: Text | None = None
    isa: Text | None = None
    gpu: Text | None = None
    platform: Text | None = None
    cpu_count: int | None = None
    memory_gib: float | None = None


class _Metric(_Shape):
    unit: Name | None = None
    better: Name | None = None
    summary: Text | None = None
    paper: Text | None = None


class _Git(_Shape):
    sha: Name | None = None
    dirty: bool | None = None


class _Manifest(_Shape):
    vcbench: Name | None = None
    suite_name: Name | None = None
    suite: _Suite | None = None
    budget: Name | None = None
    question: Text | None = None
    created_utc: Name | None = None
    command: list[Text] | None = None
    git: _Git | None = None
    machine: _Machine | None = None
    packages: dict[Name, Name | None] | None = None
    data: _Data | None = None
    protocols: dict[Name, Text] | None = None
    metrics: dict[Name, _Metric | None] | None = None


class CellLine(_Shape):
    """A line of cells.jsonl."""

    cell: Name
    system: Name
    pair: Name
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None
    kind: Name
    status: Name
    reason: Text = ""
    iterations: int | None = None
    health: list[Text] | None = None
    crop_stream_sha256: Name | None = None
    log: Text = ""


class SampleEntry(_Shape):
    """An entry of samples.json."""

    pair: Name
    direction: Name
    utterance: Name
    seed: int | None
    source: Text
    target: Text
    converted: dict[Name, Text]
    pictures: Text = ""


SAMPLES = TypeAdapter(list[SampleEntry])
MANIFEST = TypeAdapter(_Manifest)
CELL = TypeAdapter(CellLine)


def checked(shape: TypeAdapter[Any], value: Any, *, where: str, what: str) -> Any:
    """`value` as the shape has it; raises `DataError` naming the first thing that is wrong."""
    try:
        return shape.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(str(step) for step in first["loc"])
        said = "missing" if first["type"] == "missing" else first["msg"]
        raise DataError(
            f"{where}: {what}: {f'{at}: ' if at else ''}{said}; run the suite again to "
            "write it anew"
        ) from None
    except RecursionError:
        raise DataError(f"{where}: {what}: nested too deep") from None
