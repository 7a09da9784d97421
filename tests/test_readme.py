"""The README's example works as it is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from vcbench import architecture_table, suite
from vcbench.cli import main
from vcbench.errors import UsageError
from vcbench.plugins import Registry
from vcbench.training.cell import ComponentSpec
from vcbench.training.models import build_module

README = Path(__file__).parents[1] / "README.md"
GUIDE = README.parent / "docs" / "your-architecture.md"
METRICS = README.parent / "docs" / "metrics.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.S)


def test_the_architecture_in_20_lines(tmp_path: Path) -> None:
    (python,), (yaml, _) = blocks("python"), blocks("yaml")
    (tmp_path / "my_generator.py").write_text(python, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(yaml, encoding="utf-8")
    loaded = suite.load(str(tmp_path / "mine.yaml"), trust_plugins=True)
    assert list(loaded.systems)[-1] == "mine"
    assert len(loaded.systems) == 5
    component = loaded.systems["mine"].generator
    spec = ComponentSpec(component.name, component.options)
    generator = build_module(loaded.registry, "generator", spec, n_mcep=24, scale=0.125)
    assert generator(torch.zeros(2, 24, 37)).shape == (2, 24, 37)


def test_the_question_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "my_generator.py").write_text(blocks("python")[0], encoding="utf-8")
    (tmp_path / "mine.yaml").write_text("".join(blocks("yaml")), encoding="utf-8")
    found = suite.load(str(tmp_path / "mine.yaml"), trust_plugins=True)
    assert found.compare is not None
    assert found.compare.baseline == "mine"
    kernels = [found.systems[name].generator.options["kernel"] for name in found.compare.against]
    assert kernels == [3, 15]


def test_the_example_is_about_20_lines() -> None:
    assert sum(bool(line.strip()) for line in blocks("python")[0].splitlines()) <= 20


def links(page: Path) -> list[tuple[Path, str]]:
    return [(page, to) for to in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "path"), [*links(README), *links(GUIDE), *links(METRICS)])
def test_links_lead_somewhere(page: Path, path: str) -> None:
    file, _, anchor = path.partition("#")
    assert (page.parent / file).exists()
    if anchor:
        text = (page.parent / file if file else page).read_text(encoding="utf-8")
        assert f'<a id="{anchor}"></a>' in text


def test_the_table_of_architectures_is_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")
    wrong = "run: python -m vcbench.architecture_table README.md"
    assert architecture_table.with_table(text) == text, wrong


def test_the_table_has_a_row_for_each_built_in() -> None:
    rows = architecture_table.table().splitlines()[2:]
    registry = Registry()
    names = [n for kind in ("generator", "discriminator") for n in registry.names(kind)]
    assert [row.split("`")[1] for row in rows] == names
    (row,) = [row for row in rows if "`cyclegan-vc-1d`" in row]
    assert "38,055,704 | 1,328 M | `width`: wide, narrow" in row
    assert "`sigmoid`: false, true" in next(row for row in rows if "`patchgan`" in row)


def test_text_around_the_table_stays_and_markers_are_needed() -> None:
    begin, end = architecture_table.BEGIN, architecture_table.END
    text = f"before\n{begin}\nold\n{end}\nafter\n"
    written = architecture_table.with_table(text)
    assert written.startswith(f"before\n{begin}\n\n| name |")
    assert written.endswith(f" |\n\n{end}\nafter\n")
    assert architecture_table.with_table(written) == written
    with pytest.raises(UsageError, match="no place for the table"):
        architecture_table.with_table("before")


def test_the_guide_shows_the_files_that_new_writes(tmp_path: Path) -> None:
    """Whatever the page quotes of them stands in them."""
    assert main(["new", "architecture", "my-generator", "-o", str(tmp_path)]) == 0
    text = GUIDE.read_text(encoding="utf-8")
    blocks = [*re.findall(r"```python\n(.*?)```", text, re.S)]
    blocks += re.findall(r"```yaml\n(.*?)```", text, re.S)
    assert len(blocks) >= 2
    written = "".join(path.read_text() for path in sorted(tmp_path.iterdir()))
    assert all(block in written for block in blocks)
