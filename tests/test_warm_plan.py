"""Planning again what was planned before: what is known is neither built nor read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workplace import SUITE, Workplace

from vcbench import fingerprint, planning, system_check
from vcbench.errors import PluginError
from vcbench.plugins import Registry
from vcbench.training.cell import Cell

Checked = Callable[..., list[str]]


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "place")


@pytest.fixture
def checked(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """The systems that are built for a plan with these arguments of --set."""
    built: list[str] = []

    def check(cell: Cell, registry: Registry) -> None:
        built.append(cell.system)
        if cell.generator.options.get("kernel") == 4:
            raise PluginError("a kernel of 4")

    monkeypatch.setattr(system_check, "check_system", check)
    monkeypatch.setattr(planning, "map_processes", lambda f, items, **_: list(map(f, items)))

    def of_plan(*sets: str, **options: object) -> list[str]:
        built.clear()
        planning.check_systems(place.plan(*sets, **options), place.root / "cache")
        return list(built)

    return of_plan


def test_a_system_is_built_until_it_passes_and_then_no_more(checked: Checked) -> None:
    assert checked() == ["first", "second"]
    assert checked() == []
    # Whose speech it is, and which of the cells are left to train, changes nothing.
    assert checked("pairs=[F2-M1]", "seeds=[3,4]") == []
    assert checked(only="*/M1-F2/0") == []
    for _ in range(2):
        with pytest.raises(PluginError, match=r"systems\.first: a kernel of 4"):
            checked("systems.first.generator.kernel=4")
    assert checked() == []


CHANGES = {
    "generator": ("systems.first.generator.kernel=5", ["first"]),
    "discriminator": ("systems.second.discriminator.sigmoid=false", ["second"]),
    "recipe": ("systems.second.training.mask_frames=2", ["second"]),
    "scale": ("scale=0.04", ["first", "second"]),
    "coefficients": ("features.n_mcep=25", ["first", "second"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_may_break_a_system_has_it_built_again(change: str, checked: Checked) -> None:
    checked()
    setting, built = CHANGES[change]
    assert checked(setting) == built
    assert checked(setting) == []


def test_edited_code_has_a_system_built_again(place: Workplace, checked: Checked) -> None:
    checked()
    place.plugin.write_text(place.plugin.read_text() + "# an afterthought\n")
    assert checked() == ["first"]


def test_an_edited_check_has_all_systems_built_again(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked()
    real = fingerprint.of_file

    def edited(path: str | Path) -> str:
        return real(path) + ("edited" if Path(path).name == "system_check.py" else "")

    monkeypatch.setattr(fingerprint, "of_file", edited)
    assert checked() == ["first", "second"]


@pytest.mark.parametrize("seeds", [[0], list(range(9))])
def test_source_files_are_read_once_a_system_and_not_once_a_cell(
    seeds: list[int], place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """36 cells as much as 4; and each recording is read once."""
    modules: list[str] = []
    real = fingerprint.sources_of
    monkeypatch.setattr(
        fingerprint, "sources_of", lambda module: modules.append(module) or real(module)
    )
    opened: list[str] = []
    open_ = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, *how, **more: opened.append(path.name) or open_(path, *how, **more),
    )
    plan = place.plan(seeds=seeds)
    assert len(plan.cells) == 4 * len(seeds)
    assert len(modules) == 6  # three plugins of two systems
    assert sorted(opened).count("s0.wav") == 3  # of three speakers
    assert len([name for name in opened if name.endswith(".wav")]) == 24


def test_keys_are_those_of_a_cell_by_itself(place: Workplace) -> None:
    place.write(SUITE + "baselines: [source-copy]\n")
    plan = place.plan(seeds=[0, 5])
    for planned in plan.cells:
        assert planned.key == planned.cell.key(plan.suite.registry)
