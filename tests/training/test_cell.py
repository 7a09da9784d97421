"""A cell: its JSON, its name, and what its content key depends on."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from tiny_cells import tiny_cell

from vcbench import fingerprint
from vcbench.discovery import Declaration
from vcbench.plugins import Registry
from vcbench.training.cell import Cell, ComponentSpec, LossStage, Recipe


def test_json_round_trip(tmp_path: Path) -> None:
    cell = tiny_cell(
        tmp_path,
        generator=ComponentSpec("cyclegan-vc-1d", {"width": "narrow"}),
        plugin_files=("a.py", "b.py"),
        recipe={"adam_betas": (0.4, 0.9), "decay_start": None},
    )
    stored = json.loads(json.dumps(cell.to_json()))
    assert Cell.from_json(stored) == cell
    assert isinstance(Cell.from_json(stored).recipe.adam_betas, tuple)


def test_names(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path, system="paper-1d", seed=3)
    assert (cell.pair, cell.id, cell.n_mcep) == ("SF1-TM3", "paper-1d/SF1-TM3/3", 24)


def test_the_recipe_of_the_paper_is_the_default() -> None:
    recipe = Recipe(iterations=400_000)
    assert (recipe.lambda_cycle, recipe.lambda_identity, recipe.identity_until) == (10, 5, 10_000)
    assert (recipe.learning_rate_generator, recipe.learning_rate_discriminator) == (2e-4, 1e-4)
    assert (recipe.batch_size, recipe.segment_frames, recipe.adam_betas) == (1, 128, (0.5, 0.999))


def moved(cell: Cell, folder: Path) -> Cell:
    """The same feature files elsewhere."""

    def elsewhere(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(folder / Path(path).name) for path in paths)

    return replace(
        cell,
        train_features={s: elsewhere(p) for s, p in cell.train_features.items()},
        validation_features={s: elsewhere(p) for s, p in cell.validation_features.items()},
    )


def test_the_key_does_not_depend_on_where_files_lie(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path)
    assert moved(cell, Path("/elsewhere")).key(Registry()) == cell.key(Registry())


OTHER: dict[str, Any] = {
    "source": "SF2",
    "target": "TM2",
    "seed": 1,
    "generator": ComponentSpec("cyclegan-vc-1d", {"width": "narrow"}),
    "discriminator": ComponentSpec("patchgan"),
    "objective": ComponentSpec("lsgan"),
    "recipe": Recipe(iterations=13),
    "scale": 0.04,
    "features": {"n_mcep": 25},
    "train_features": {"SF1": ("x.npz",), "TM3": ("y.npz",)},
    "validation_features": {"SF1": (), "TM3": ()},
    "device": "cuda",
    "deterministic": True,
}


@pytest.mark.parametrize("field", sorted(OTHER))
def test_every_field_changes_the_key(field: str, tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path)
    assert replace(cell, **{field: OTHER[field]}).key(Registry()) != cell.key(Registry())


def test_no_field_is_forgotten_above() -> None:
    assert {f.name for f in fields(Cell)} - set(OTHER) == {"plugin_files", "system"}


def test_what_a_system_is_called_does_not_change_the_key(tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path)
    assert replace(cell, system="renamed").key(Registry()) == cell.key(Registry())


@pytest.mark.parametrize("field", [f.name for f in fields(Recipe)])
def test_every_part_of_the_recipe_changes_the_key(field: str, tmp_path: Path) -> None:
    cell = tiny_cell(tmp_path)
    for other in other_values(field, getattr(cell.recipe, field)):
        changed = replace(cell, recipe=replace(cell.recipe, **{field: other}))
        assert changed.key(Registry()) != cell.key(Registry()), other


def other_values(field: str, value: Any) -> list[Any]:
    """Everything else that the field may be: all of its choices, or another number."""
    annotation = get_type_hints(Recipe)[field]
    if get_origin(annotation) is Literal:
        return [choice for choice in get_args(annotation) if choice != value]
    if field == "adam_betas":
        return [(0.1, 0.2)]
    if field == "loss_stages":
        stages = [LossStage(0.0, 1.0, 10.0, 5.0), LossStage(0.5, 1.0, 10.0, 0.0)]
        return [(stages[0],), (stages[1],), tuple(stages)]
    return [value + 1, None] if NoneType in get_args(annotation) else [value + 1]


PLUGIN = """\
from vcbench.plugins import register_generator


@register_generator("keyed")
def keyed(*, n_mcep, scale):
    "A generator."
"""


def key_with(plugin: Path, cell: Cell) -> str:
    cell = replace(cell, generator=ComponentSpec("keyed"), plugin_files=(str(plugin),))
    return cell.key(Registry([plugin]))


def test_a_plugin_files_text_changes_the_key_and_its_place_does_not(tmp_path: Path) -> None:
    # On either side of vcbench's own files in the order of paths.
    places = [tmp_path / "a" / "plug.py", tmp_path / "zz" / "plug.py"]
    for place in places:
        place.parent.mkdir()
        place.write_text(PLUGIN)
    cell = tiny_cell(tmp_path)
    first, second = (key_with(place, cell) for place in places)
    assert first == second
    edited = tmp_path / "edited.py"
    edited.write_text(PLUGIN + "\n# Another comment.\n")
    assert key_with(edited, cell) != first


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable package whose plugin needs two other files of it, and leaves one alone."""
    folder = tmp_path / "packages" / "stranger"
    (folder / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "plug.py").write_text("from stranger.helper import HELP\n" + PLUGIN)
    (folder / "helper.py").write_text("import math\n\nfrom .deep import far\n\nHELP = far.FAR\n")
    (folder / "deep" / "__init__.py").write_text("")
    (folder / "deep" / "far.py").write_text("FAR = 1\n")
    (folder / "unused.py").write_text("UNUSED = 1\n")
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == "stranger"]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.mark.parametrize(
    ("edited", "changes"),
    [("plug.py", True), ("helper.py", True), ("deep/far.py", True), ("unused.py", False)],
)
def test_what_a_plugin_imports_of_its_own_package_changes_the_key(
    edited: str, changes: bool, package: Path, tmp_path: Path
) -> None:
    registry = Registry()
    declared = Declaration("generator", "keyed", "stranger.plug", f"{package / 'plug.py'}:1")
    registry._declarations = (*registry.declarations(), declared)
    cell = tiny_cell(tmp_path, generator=ComponentSpec("keyed"))
    before = cell.key(registry)
    with (package / edited).open("a") as file:
        file.write("# An edit.\n")
    assert (cell.key(registry) != before) == changes


def test_the_built_ins_keys_cover_the_layers_that_they_share() -> None:
    files = {path.name for path in fingerprint.sources_of("architectures.cyclegan_vc")}
    assert files == {"__init__.py", "convolution.py", "cyclegan_vc.py", "layers.py", "padding.py"}
