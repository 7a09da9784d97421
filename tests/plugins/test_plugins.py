"""Registration and discovery of plugins: entry points, files, and what goes wrong with them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from plugin_files import GENERATOR, only

from vcbench import plugins
from vcbench.plugins import ENTRY_POINT_GROUPS, KINDS, PLURALS, Registry


def test_listing_imports_no_plugin() -> None:
    script = (
        "import sys; from vcbench.plugins import Registry; r = Registry(); "
        "print(r.names('generator'), r.names('metric')); "
        "heavy = {'torch', 'numpy', 'pandas', 'architectures.cyclegan_vc'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "cyclegan-vc-1d" in done.stdout
    assert "mcd" in done.stdout


def test_the_built_ins_come_through_entry_points() -> None:
    registry = Registry()
    assert {"cyclegan-vc-1d", "residual-pixelshuffle-2d"} <= set(registry.names("generator"))
    assert {"gated-patchgan", "patchgan"} <= set(registry.names("discriminator"))
    assert {"bce", "lsgan"} <= set(registry.names("objective"))
    assert {"mcd", "gv-distance", "f0-rmse", "log-f0-rmse", "vuv-error"} <= set(
        registry.names("metric")
    )
    assert {"vcc2016", "folder", "demo"} <= set(registry.names("corpus"))
    assert set(PLURALS.values()) == set(KINDS)


def test_every_built_in_declaration_is_what_its_module_holds() -> None:
    registry = Registry()
    for declared in registry.declarations():
        if declared.problem or not declared.module.startswith(("architectures.", "metrics.")):
            continue
        plugin = registry.get(declared.kind, declared.name)
        assert plugin.summary == declared.summary != ""
        assert dict(plugin.details) == {"paper": ""} | dict(declared.details)
        assert Path(declared.origin.rpartition(":")[0]) in plugin.source_files


def test_a_declaration_is_read_from_the_source(write: Callable[..., Path]) -> None:
    path = write("raise RuntimeError('imported')\n" + GENERATOR.replace("{name}", "read"))
    [found] = only(Registry([path]), path)
    assert (found.kind, found.name, found.problem) == ("generator", "read", "")
    assert (found.summary, found.paper) == ("What it is, in one line.", "Doe et al., 2026")
    origin, _, line = found.origin.rpartition(":")
    assert origin == str(path)
    assert "def make" in "\n".join(path.read_text().splitlines()[int(line) - 1 : int(line) + 1])


def test_decorators_may_be_attributes_and_stand_on_classes(write: Callable[..., Path]) -> None:
    path = write(
        "from vcbench import plugins\n"
        "import vcbench.plugins as p\n"
        "@plugins.register_metric('m', unit='dB', better='lower')\ndef m(pair): 'M.'\n"
        "@p.register_corpus('c', licence='free')\nclass C:\n    'C.'\n"
        "@p.register_engine('e')\ndef e(*, jobs, device, resources, options): 'E.'\n"
    )
    found = {d.name: d for d in only(Registry([path]), path)}
    assert {name: d.kind for name, d in found.items()} == {
        "m": "metric",
        "c": "corpus",
        "e": "engine",
    }
    assert dict(found["m"].details) == {"unit": "dB", "better": "lower"}
    assert dict(found["c"].details) == {"licence": "free"}
    plugin = Registry([path]).get("metric", "m")
    assert dict(plugin.details) == {"paper": "", "unit": "dB", "better": "lower"}


def test_getting_a_plugin_of_a_file(write: Callable[..., Path]) -> None:
    path = write(GENERATOR.replace("{name}", "got"))
    registry = Registry([str(path)])
    plugin = registry.get("generator", "got")
    assert (plugin.kind, plugin.name) == ("generator", "got")
    assert plugin.factory(n_mcep=24, scale=0.5) == 12
    assert plugin.summary == "What it is, in one line."
    assert plugin.source_files == {path}
    assert registry.get("generator", "got") == plugin  # the file is imported once


def test_two_files_of_one_name_are_two_modules(write: Callable[..., Path]) -> None:
    first = write(GENERATOR.replace("{name}", "first"), "a/mine.py")
    second = write(GENERATOR.replace("{name}", "second"), "b/mine.py")
    registry = Registry([first, second])
    assert registry.get("generator", "first").source_files == {first}
    assert registry.get("generator", "second").source_files == {second}


def test_dataclasses_work_in_a_plugin_file(write: Callable[..., Path]) -> None:
    path = write(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Size:\n    n: int = 3\n"
        + GENERATOR.partition("\n")[2].replace("{name}", "d")
    )
    assert Registry([path]).get("generator", "d").factory(n_mcep=2, scale=1) == 2


def test_options_are_what_the_harness_does_not_pass(write: Callable[..., Path]) -> None:
    path = write(
        GENERATOR.replace("{name}", "o").replace(
            "scale: float,\n", "scale: float,\n    must: str,\n"
        )
    )
    options = {o.name: o for o in Registry([path]).get("generator", "o").options}
    assert list(options) == ["must", "width", "depth"]
    assert options["width"].annotation == Literal["wide", "narrow"]
    assert options["depth"].annotation == int | None
    assert options["must"].annotation is str
    assert options["must"].default is inspect.Parameter.empty
    assert (options["width"].default, options["depth"].default) == ("wide", None)


@pytest.mark.parametrize(
    ("kind", "reserved"),
    [
        ("generator", "n_mcep, scale"),
        ("discriminator", "n_mcep, scale"),
        ("objective", "sigmoid"),
        ("metric", "pair"),
        ("corpus", "data_dir"),
        ("engine", "jobs, device, resources, options"),
    ],
)
def test_each_kind_has_its_reserved_arguments(kind: Any, reserved: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def factory({reserved}, extra=1): ...", namespace)
    plugin = plugins.Plugin(kind, "x", namespace["factory"], "here:1", {})
    assert [(o.name, o.annotation, o.default) for o in plugin.options] == [("extra", Any, 1)]


def test_an_installed_package_is_found(install: Callable[..., Path]) -> None:
    path = install("vcb_third_party", GENERATOR.replace("{name}", "third"))
    registry = Registry()
    [found] = only(registry, "vcb_third_party")
    assert (found.name, found.origin.rpartition(":")[0]) == ("third", str(path))
    assert registry.get("generator", "third").factory(n_mcep=3, scale=2) == 6


def test_one_name_of_two_kinds_is_no_conflict(write: Callable[..., Path]) -> None:
    path = write(
        "from vcbench.plugins import register_discriminator, register_generator\n"
        "@register_generator('x')\ndef g(*, n_mcep, scale): return 'g'\n"
        "@register_discriminator('x')\ndef d(*, n_mcep, scale): return 'd'\n"
    )
    registry = Registry([path])
    assert registry.get("generator", "x").factory(n_mcep=1, scale=1) == "g"
    assert registry.get("discriminator", "x").factory(n_mcep=1, scale=1) == "d"


def test_one_module_named_twice_is_one_plugin(
    install: Callable[..., Path], write: Callable[..., Path]
) -> None:
    install("vcb_once", GENERATOR.replace("{name}", "once"))
    install("vcb_again", None, group=ENTRY_POINT_GROUPS[1])
    info = write("", "site/vcb_again-1.0.dist-info/entry_points.txt")
    info.write_text(f"[{ENTRY_POINT_GROUPS[1]}]\nagain = vcb_once\n")
    assert Registry().get("generator", "once").name == "once"


def test_plugins_that_the_source_does_not_show_are_found_by_importing(
    write: Callable[..., Path],
) -> None:
    path = write(
        "from vcbench.plugins import register_generator\n\n\n"
        "def make(*, n_mcep: int, scale: float, depth: int = 1):\n"
        '    """Made in a loop."""\n\n\n'
        "def variant(size):\n"
        "    def factory(*, n_mcep: int, scale: float):\n"
        '        """One size of many."""\n'
        "        return size\n"
        "    return register_generator(f'net-{size}')(factory)\n\n\n"
        "small, large = variant(1), variant(2)\n"
    )
    registry = Registry([path])
    found = only(registry, path)
    assert [(d.kind, d.name, d.summary) for d in found] == [
        ("generator", "net-1", "One size of many."),
        ("generator", "net-2", "One size of many."),
    ]
    assert registry.get("generator", "net-2").factory(n_mcep=1, scale=1) == 2


def test_a_decorator_changes_only_what_it_marks() -> None:
    def factory(*, n_mcep: int, scale: float) -> float:
        return n_mcep * scale

    before = Registry().names("generator")
    assert plugins.register_generator("unseen")(factory) is factory
    assert factory(n_mcep=2, scale=3) == 6
    assert Registry().names("generator") == before


def test_declarations_are_sorted_and_stable(write: Callable[..., Path]) -> None:
    path = write(GENERATOR.replace("{name}", "aaa"))
    first, second = Registry([path]).declarations(), Registry([path]).declarations()
    assert first == second
    keys = [(KINDS.index(d.kind), d.name, d.origin) for d in first]
    assert keys == sorted(keys)
    assert Registry([path]).declarations("generator")[0].name == "aaa"


def test_importing_a_plugin_of_another_module_does_not_declare_it_again(
    write: Callable[..., Path],
) -> None:
    path = write("from architectures.objectives import bce\n")
    assert Registry([path]).get("objective", "bce").name == "bce"


def test_open_ended_arguments_are_no_options(write: Callable[..., Path]) -> None:
    source = GENERATOR.replace("{name}", "open")
    path = write(source.replace("= None,\n", "= None,\n    **further: int,\n"))
    options = Registry([path]).get("generator", "open").options
    assert [o.name for o in options] == ["width", "depth"]


def test_a_class_may_be_the_factory(write: Callable[..., Path]) -> None:
    path = write(
        "from __future__ import annotations\n"
        "from vcbench.plugins import register_generator\n"
        "@register_generator('class')\nclass Net:\n    'N.'\n"
        "    def __init__(self, *, n_mcep: int, scale: float, depth: int = 2): ...\n"
    )
    [option] = Registry([path]).get("generator", "class").options
    assert (option.name, option.annotation, option.default) == ("depth", int, 2)


def test_what_the_source_hides_is_found_beside_what_it_shows(write: Callable[..., Path]) -> None:
    path = write(
        GENERATOR.replace("{name}", "shown")
        + "\n\nfrom functools import partial\n"
        + "hidden = register_generator('hid' + 'den')(partial(make))\n"
    )
    registry = Registry([path])
    assert {d.name for d in only(registry, path)} == {"shown", "hidden"}
    assert registry.get("generator", "hidden").factory(n_mcep=2, scale=2) == 4
