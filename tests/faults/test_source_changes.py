"""A plugin that is edited under a run: nothing that it computes is kept under the name of what it
was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import small_corpus
from place import PLUGIN, Place, cells, tables

from vcbench.plugins import Registry
from vcbench.scoring import ScoreItem, score_all

EDITS_ITSELF = '''\
from pathlib import Path

from vcbench.plugins import register_metric

with Path(__file__).open("a") as file:
    file.write("# imported\\n")


@register_metric("restless", unit="", better="neither")
def restless(pair):
    """One."""
    return 1.0
'''


@pytest.mark.slow
def test_a_generator_that_is_edited_while_a_cell_trains(
    place: Callable[..., Place], undisturbed: Callable[[Place], Path]
) -> None:
    here = place({"any": {"mood": "any"}, "fine": {}})
    here.tell("trained-edits-the-plugin")
    done = here.run()
    assert done.returncode == 1, done.stderr
    for cell in cells(here.latest).values():
        if cell["system"] != "source-copy":
            assert cell["status"] == "failed"
            assert "has changed since the run was planned" in cell["reason"]
    assert not list(here.cache.glob("cells/*/converted/**/*.wav"))
    here.tell()
    # What was trained was trained with what had been planned: it counts, once that is there again.
    n_trained = len(list(here.cache.glob("cells/*/status.json")))
    (here.folder / "moody.py").write_text(PLUGIN, encoding="utf-8")
    again = here.run()
    assert again.returncode == 0, again.stderr
    assert n_trained >= 1
    assert f"{2 - n_trained} cell{'s' * (n_trained != 1)} trained, {n_trained} c" in again.stderr
    assert tables(here.latest) == tables(undisturbed(here))


@pytest.mark.slow
def test_a_generator_that_is_edited_before_a_cell_begins(place: Callable[..., Place]) -> None:
    """The process that trains it is started later than the run has looked at the source."""
    here = place({"any": {"mood": "any"}, "fine": {}})
    here.tell("checked-edits-the-plugin")
    done = here.run("--jobs", "1")
    assert done.returncode == 1, done.stderr
    assert not list(here.cache.glob("cells/*/status.json"))
    for cell in cells(here.latest).values():
        if cell["system"] != "source-copy":
            assert "has changed since the run was planned" in cell["reason"]


def test_a_metric_that_is_edited_between_planning_and_scoring(tmp_path: Path) -> None:
    small_corpus.write(tmp_path)
    low, high = (sorted(tmp_path.rglob(f"{s}/**/*.wav"))[:2] for s in ("LOW", "HIGH"))
    plugin = tmp_path / "restless.py"
    plugin.write_text(EDITS_ITSELF)
    results = score_all(
        [ScoreItem(a, b) for a, b in zip(high, low, strict=True)],
        protocol="vcbench-1",
        metrics=["restless"],
        registry=Registry([plugin]),
        jobs=2,
    )
    for result in results:
        assert not result.values
        assert "the source of a metric, or of vcbench's scoring, has changed" in result.failure
