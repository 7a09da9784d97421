"""What is told of a plugin that cannot be used, or whose name is not one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_files import GENERATOR, error_of, only

from vcbench.plugins import ENTRY_POINT_GROUPS, Registry


def test_an_unknown_name_gets_the_nearest_and_all(write: Callable[..., Path]) -> None:
    registry = Registry([write(GENERATOR.replace("{name}", "narrow-net"))])
    message = error_of(lambda: registry.get("generator", "narow-net"))
    assert message.startswith("unknown generator 'narow-net': did you mean 'narrow-net'? (valid: ")
    assert "cyclegan-vc-1d, " in message
    assert error_of(lambda: registry.get("engine", "narrow-net")).startswith("unknown engine ")


def test_one_name_twice_is_an_error_that_shows_both_origins(
    write: Callable[..., Path], install: Callable[..., Path]
) -> None:
    first = install("vcb_twice", GENERATOR.replace("{name}", "twin"))
    second = write(GENERATOR.replace("{name}", "twin"))
    registry = Registry([second])
    message = error_of(lambda: registry.get("generator", "twin"))
    assert message.startswith("generator 'twin' is declared twice: ")
    assert f"{first}:" in message
    assert f"{second}:" in message
    assert registry.names("generator").count("twin") == 1
    assert registry.get("generator", "cyclegan-vc-1d").name == "cyclegan-vc-1d"  # others still work


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        (
            "vcb_needs",
            "import no_such_package.deep\n" + GENERATOR,
            "it needs the package 'no_such_package', which is not installed",
        ),
        (
            "vcb_from",
            "from no_such_package import thing\n" + GENERATOR,
            "it needs the package 'no_such_package', which is not installed",
        ),
    ],
)
def test_a_plugin_that_needs_a_missing_package_is_listed_with_the_reason(
    install: Callable[..., Path], name: str, source: str, reason: str
) -> None:
    # A future import must stand first; the rest of the module stays as it is.
    install(
        name, source.replace("from __future__ import annotations\n", "").replace("{name}", name)
    )
    registry = Registry()
    [found] = only(registry, name)
    assert (found.name, found.summary, found.problem) == (name, "What it is, in one line.", reason)
    message = error_of(lambda: registry.get("generator", name))
    assert message == f"generator '{name}' ({found.origin}) cannot be used: {reason}"


def test_an_optional_import_is_no_missing_package(write: Callable[..., Path]) -> None:
    path = write(
        "try:\n    import no_such_package\nexcept ImportError:\n    no_such_package = None\n"
        + GENERATOR.partition("\n")[2].replace("{name}", "optional")
    )
    assert Registry([path]).get("generator", "optional").name == "optional"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def broken(:\n", "SyntaxError: "),
        ("x = '\0'\n", "Error: "),
        ("import no_such_package\n", "it needs the package 'no_such_package'"),
        ("1 / 0\n", "cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_shows_no_plugins_and_fails_is_listed(
    install: Callable[..., Path], source: str, reason: str
) -> None:
    install("vcb_fails", source)
    registry = Registry()
    [found] = only(registry, "vcb_fails")
    assert reason in found.problem
    assert "vcb_fails" in found.name + found.origin
    # Others can be used; who looks for a plugin of that module learns why it is not there.
    assert registry.get("objective", "bce").name == "bce"
    assert reason in error_of(lambda: registry.get("generator", "of-that-module"))


def test_entry_points_to_nothing_are_listed(install: Callable[..., Path]) -> None:
    install("vcb_absent", None)
    [found] = only(Registry(), "vcb_absent")
    assert found.problem == "ImportError: no module named 'vcb_absent'"


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    binary = tmp_path / "binary.py"
    binary.write_bytes(b"\xff\xfe\x00")
    registry = Registry([tmp_path / "absent.py", binary])
    [absent] = only(registry, tmp_path / "absent.py")
    assert absent.problem.startswith("FileNotFoundError: ")
    [unreadable] = only(registry, binary)
    assert unreadable.problem.startswith("UnicodeDecodeError: ")


def test_a_plugin_that_raises_on_import_is_listed_and_tells_why_when_used(
    write: Callable[..., Path],
) -> None:
    path = write(GENERATOR.replace("{name}", "raises") + "\nraise RuntimeError('needs a GPU')\n")
    registry = Registry([path])
    [found] = only(registry, path)
    assert (found.name, found.problem) == ("raises", "")
    for _ in range(2):  # a failed import leaves nothing behind that would hide the second
        message = error_of(lambda: registry.get("generator", "raises"))
        assert message == (
            f"generator 'raises' ({found.origin}) cannot be imported: RuntimeError: needs a GPU"
        )


def test_a_plugin_in_a_branch_not_taken_is_explained(write: Callable[..., Path]) -> None:
    path = write(GENERATOR.replace("{name}", "gone") + "\n\ndel make\n")
    message = error_of(lambda: Registry([path]).get("generator", "gone"))
    assert "importing that module does not define it" in message


def test_a_package_that_raises_when_looked_into_is_listed(
    install: Callable[..., Path], write: Callable[..., Path]
) -> None:
    install("vcb_boom", None)
    write("raise RuntimeError('boom')\n", "site/vcb_boom/__init__.py")
    write(GENERATOR.replace("{name}", "inner"), "site/vcb_boom/inner.py")
    write(
        f"[{ENTRY_POINT_GROUPS[0]}]\ninner = vcb_boom.inner\n",
        "site/vcb_boom-1.0.dist-info/entry_points.txt",
    )
    [found] = only(Registry(), "vcb_boom.inner")
    assert found.problem == "RuntimeError: boom"
    assert not found.is_named
    assert found.name not in Registry().names("generator")


def test_annotations_that_cannot_be_evaluated_are_a_plugin_error(
    write: Callable[..., Path],
) -> None:
    path = write(GENERATOR.replace("{name}", "typed").replace("int | None", "Missing | None"))
    plugin = Registry([path]).get("generator", "typed")
    message = error_of(lambda: plugin.options)
    assert message == (
        f"generator 'typed' ({plugin.origin}) cannot be used: its signature: "
        "NameError: name 'Missing' is not defined"
    )
