"""Results that are committed: what is copied, what is left out, and the page made of them."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from home import Home
from page_changes import numbers, share_found
from page_numbers import stored_below, wrong_in_block, wrong_on_page
from published_runs import curves, made
from reporting.synthetic_run import SyntheticRun
from stored_results import shows

import vcbench
from vcbench import marked_text
from vcbench.errors import UsageError
from vcbench.reference import PAGE, README, STORED, findings
from vcbench.reference import publish as publishing
from vcbench.reference.__main__ import main
from vcbench.reference.publish import publish, thinned
from vcbench.reference.stored import stored_runs

ROOT = Path(vcbench.__file__).parents[1]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of published results: a study, and a comparison."""
    top = tmp_path_factory.mktemp("published")
    study = made(top / "runs" / "study")
    publish(study, top / "reference" / "study", cache_dir=top, curves=curves(top / "curves.csv"))
    asked = SyntheticRun(
        effects={"one": 0.1, "other": 0.3},
        compare={"baseline": "one", "against": ["other"], "metric": None},
        question="Does it matter?",
        n_sentences=8,
    )
    publish(
        made(top / "runs" / "asked", asked, figures=False),
        top / "reference" / "asked",
        cache_dir=top,
    )
    return top / "reference"


@pytest.fixture(scope="module")
def page(stored: Path) -> str:
    """The page of those results."""
    return findings.page(stored, root=stored.parent)


def test_what_is_published(stored: Path) -> None:
    study = stored / "study"
    names = {path.relative_to(study).as_posix() for path in study.rglob("*") if path.is_file()}
    for name in (
        *("leaderboard.md", "leaderboard.csv", "leaderboard.tex", "results.csv", "manifest.json"),
        *("cells.jsonl", "training.csv", "trainings.csv", "suite.json", "summary.json"),
        *("checks.csv", "learning_curves.csv", "levelling.csv", "learning_curves.svg"),
        *("tables/directions.csv", "figures/loss-cycle.svg"),
    ):
        assert name in names
    assert not {n for n in names if n.endswith((".wav", ".flac", ".pt", ".npz", ".html", ".pdf"))}
    levels = pd.read_csv(study / "levelling.csv").set_index("system")["verdict"]
    assert dict(levels) == {"paper-1d": "levelled off", "residual-2d": "still falling"}


def test_no_path_of_the_machine_is_published(stored: Path) -> None:
    for path in stored.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            for place in (str(stored.parent), "/home/", "/srv/", "/opt/"):
                assert place not in text, path
    summary = json.loads((stored / "study" / "summary.json").read_text())
    assert summary["command"] == "vcbench run synthetic --data DATA"
    cells = (stored / "study" / "cells.jsonl").read_text().splitlines()
    assert json.loads(cells[0])["log"].startswith("cells/")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("see /a/b/c.log", "see …/c.log"),
        ("'/a/b' is no folder", "'…/b' is no folder"),
        ("at 12 it/s, 3/4 of SF1-TM3/0", "at 12 it/s, 3/4 of SF1-TM3/0"),
        ("https://doi.org/10.7488/ds/1575", "https://doi.org/10.7488/ds/1575"),
        ("runs/x/y.csv", "runs/x/y.csv"),
        ('{"a": "/tmp/x"}', '{"a": "…/x"}'),
        ("one-d/LOW-HIGH/0: /x/y: damaged", "one-d/LOW-HIGH/0: …/y: damaged"),
    ],
)
def test_paths_from_the_root_are_cut(text: str, clean: str) -> None:
    assert publishing._clean(text) == clean


def test_nothing_else_is_replaced_and_stale_tables_are_refused(tmp_path: Path) -> None:
    run = made(tmp_path / "run", figures=False)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "mine.md").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        publish(run, tmp_path / "docs", cache_dir=tmp_path)
    assert (tmp_path / "docs" / "mine.md").read_text() == "mine"
    (run / "leaderboard.csv").write_text("rank,system\n")
    with pytest.raises(UsageError, match="run `vcbench report"):
        publish(run, tmp_path / "new", cache_dir=tmp_path)
    assert not (tmp_path / "new").exists()


def test_loss_curves_are_thinned_by_means_of_blocks() -> None:
    n = 100
    table = pd.DataFrame(
        {
            "system": "a",
            "pair": "F-M",
            "seed": "0",
            "iteration": np.arange(1, n + 1, dtype=float),
            "name": ["cycle"] * n,
            "value": np.arange(n, dtype=float),
        }
    )
    speed = table.assign(name="iterations_per_second")
    found = thinned(pd.concat([table, speed]), points=40)
    assert set(found["name"]) == {"cycle"}
    assert len(found) == 34  # blocks of three
    assert list(found["iteration"][:2]) == [3, 6]
    assert list(found["value"][:2]) == [1.0, 4.0]
    assert found["value"].iloc[-1] == 99


def test_every_number_on_the_page_is_stored_where_it_is_said_to_be(stored: Path, page: str) -> None:
    results = stored_below(stored)
    wrong = partial(wrong_on_page, stored=results, root=stored.parent)
    assert wrong(page) == []
    for prose, least in ((False, 400), (True, 100)):
        places = numbers(page, results, prose=prose)
        assert len(places) > least
        assert share_found(page, places, wrong, draws=150) >= 0.98  # measured: all
    assert wrong(f"{page}\n- Speech is 8.123 dB away.\n") != []
    assert wrong(page.replace("# Findings", "# Findings\n\nOf 12 systems.")) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("by 0.44 dB", "by −0.44 dB"),  # signs
        ("resynthesis (−3.76 dB)", "resynthesis (+3.76 dB)"),
        ("−0.53 [−0.54, −0.53]", "0.53 [−0.54, −0.53]"),
        ("−0.53 [−0.54, −0.53]", "−0.53 [−0.53, −0.54]"),  # ends of an interval
        ("other differs from one by +0.09 dB", "other differs from one by 0.09 dB"),
        ("| 9.51 M | 775 M |", "| 9.51 G | 775 M |"),  # units
        ("| 9.51 M | 775 M |", "| 9.51 M | 775 |"),
        ("0.18 dB below", "0.18 Hz below"),
        ("| 775 M | 4/4 |", "| 775 M | – |"),
        ("| 45.2 | 0.370 |", "| 0.370 | 45.2 |"),  # columns
        ("| SF1 → TM3 | TM3 → SF1 |", "| TM3 → SF1 | SF1 → TM3 |"),
        ("MCD ↓ (dB, vcbench-1) | F0 RMSE ↓ (Hz,", "MCD ↓ (Hz, vcbench-1) | F0 RMSE ↓ (dB,"),
        ("| 2 | paper-1d |", "| 2 | paper-1d-lsgan |"),  # systems
        ("paper-1d (+2.75 dB), paper-1d-lsgan (+2.79 dB)", "paper-1d (+2.79 dB)"),
        ("is at 8.19 dB [7.97, 8.39]", "is at 7.66 dB [7.42, 7.85]"),  # another study's
        ("p = 0.28,", "p = 0.28, with 95 % power,"),  # what is excused elsewhere
        ("for differences from 0.08 dB on", "for differences from 0.05 dB on"),
        ("Trained for 2,000 iterations", "Trained for 200,000 iterations"),
        ("| levelled off |", "| still falling |"),
        ("(reference/asked/results.csv)", "(reference/study/results.csv)"),
        ("## asked", "## study"),
    ],
)
def test_a_stored_number_in_another_place_is_found(
    stored: Path, page: str, old: str, new: str
) -> None:
    assert old in page
    assert wrong_on_page(page.replace(old, new, 1), stored_below(stored), root=stored.parent)


@pytest.mark.parametrize(
    ("text", "value", "sign", "shown"),
    [
        ("7.66", 7.6561, False, True),
        ("−0.04", -0.0369, False, True),
        ("0.04", -0.0369, False, False),
        ("+0.04", 0.0369, True, True),
        ("0.04", 0.0369, True, False),
        ("+0.04", 0.0369, False, False),
        ("0.00", -0.0013, True, True),
        ("9.51 M", 9513926.0, False, True),
        ("9.51 k", 9513926.0, False, False),
        ("9.51 X", 9.51, False, False),
        ("2,000", 2000, False, True),
        ("20,00", 2000, False, False),
        ("–", None, False, True),
        ("–", 0.0, False, False),
    ],
)
def test_a_number_is_shown_with_its_sign_and_its_unit(
    text: str, value: float | None, sign: bool, shown: bool
) -> None:
    assert shows(text, value, sign=sign) is shown


COMPARED = {"baseline": "base", "against": ["two-2", "three"], "metric": None}
EFFECTS = {"base": 0.1, "two-2": 0.3, "three": -0.5}
SATURATED = ("discriminator saturated since iteration 1200 (loss below 0.014)",)
RUNS = {
    "incomplete": SyntheticRun(
        failures={
            "paper-1d/SF1-TM3/0": ("failed", "a loss of 3.5 is no number"),
            "residual-2d/SM1-TF2/1": ("skipped", "left out by --only x"),
        },
        health={"residual-2d-bce/SF1-TM3/0": SATURATED},
        undefined=[("paper-1d-lsgan", "mcd")],
    ),
    "compared": SyntheticRun(
        effects=EFFECTS, compare=COMPARED, seeds=tuple(range(7)), luck=0.3, question="0.5 or 0.9?"
    ),
    "alike": SyntheticRun(
        effects={**{f"s-{c}": -1 + 0.002 * i for i, c in enumerate("abcdef")}, "same": 0.0},
        seeds=(0,),
        n_sentences=20,
    ),
    "saturated": SyntheticRun(
        effects=EFFECTS,
        compare=COMPARED | {"metric": "f0-rmse"},
        health={"two-2/SF1-TM3/0": SATURATED},
        n_sentences=3,
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_the_page_says_of_other_runs_is_stored(tmp_path: Path, name: str) -> None:
    run = made(tmp_path / "run", RUNS[name], figures=False)
    manifest = (run / "manifest.json").read_text()
    asked = manifest.replace('"suite_name": "synthetic"', '"suite_name": "glu"')
    (run / "manifest.json").write_text(asked)
    publish(run, tmp_path / "ref" / "sub" / f"{name}-2", cache_dir=tmp_path)
    text = findings.page(tmp_path / "ref", root=tmp_path)
    assert (f"At budget [sub/{name}-2]" in text) == (RUNS[name].compare is not None)
    results = stored_below(tmp_path / "ref")
    assert wrong_on_page(text, results, root=tmp_path) == []
    places = numbers(text, results, prose=True)
    wrong = partial(wrong_on_page, stored=results, root=tmp_path)
    assert share_found(text, places, wrong, draws=60) >= 0.95


def test_the_readme_gets_the_main_table_and_what_it_says(stored: Path, tmp_path: Path) -> None:
    page, readme = tmp_path / "docs" / "findings.md", tmp_path / "README.md"
    page.parent.mkdir()
    asked = ["findings", str(stored), str(page), str(readme)]
    readme.write_text("before\nafter\n")
    assert main(asked) == UsageError.exit_code
    assert not page.exists()
    begin, end = findings.README_MARKS
    readme.write_text(f"before\n\n{begin}\n{end}\n\nafter\n")
    part = findings.readme_block(stored, page, root=tmp_path)
    for _ in range(2):  # and again over what is there
        assert main(asked) == 0
        assert readme.read_text() == f"before\n\n{begin}\n\n{part}\n\n{end}\n\nafter\n"
    said = [line for line in part.splitlines() if line.startswith("- ")]
    assert len(said) == 3
    assert said[1].startswith("- Generators of what beats mean-variance: ")
    assert said[2].endswith(
        " Over the last third of training, the learning curves of paper-1d have levelled off; "
        "those of residual-2d fell."
    )
    assert "| rank | system | MCD ↓ (dB, vcbench-1) |" in part
    assert part.endswith("(docs/findings.md#study).")
    results = stored_below(stored)
    assert wrong_in_block(part, results) == []
    for prose in (False, True):
        places = numbers(part, results, prose=prose)
        wrong = partial(wrong_in_block, stored=results)
        assert share_found(part, places, wrong, draws=60) >= 0.98


def test_the_stored_tables_are_means_of_the_stored_scores(stored: Path) -> None:
    for folder in (path.parent for path in stored.rglob("summary.json")):
        rows = pd.read_csv(folder / "results.csv")
        board = pd.read_csv(folder / "leaderboard.csv").set_index("system")
        means = rows.groupby(["system", "metric"])["value"].mean()
        for (system, metric), mean in means.items():
            assert board.loc[system, f"{metric}_mean"] == pytest.approx(mean, abs=1e-12)
        directions = pd.read_csv(folder / "tables" / "directions.csv")
        each = rows.groupby(["system", "direction", "metric"])["value"].mean()
        for row in directions.itertuples():
            assert row.mean == pytest.approx(each[row.system, row.direction, row.metric], abs=1e-12)
        summary = json.loads((folder / "summary.json").read_text())
        cells = [json.loads(line) for line in (folder / "cells.jsonl").read_text().splitlines()]
        seconds = sum(c["seconds"] for c in cells if c["kind"] == "trained")
        assert summary["training_hours"] == pytest.approx(seconds / 3600, abs=0.005)


def test_from_every_sentence_lead_links_to_files_that_are_there(stored: Path, page: str) -> None:
    text = page
    assert "reference check reports/reference/study --cell paper-1d/SF1-TM3/0" in text
    links = re.findall(r"\[(\w+)\]\(([^)#]+)\)", text)
    assert {"table", "rows", "suite"} <= {name for name, _ in links}
    for _, link in links:
        assert (stored.parent / link).exists(), link
    anchors = set(re.findall(r'<a id="([^"]+)">', text))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
    study = text[text.index("## study") : text.index("## The field's questions")]
    said = [line for line in study.splitlines() if line.startswith("- ") and "beats" in line]
    assert all("[command](#study-made)" in line for line in said[:1])
    assert said
    assert "`vcbench run synthetic --data DATA`" in study


def test_the_page_says_what_is_known_and_what_contradicts_it(tmp_path: Path) -> None:
    run = SyntheticRun(
        effects={"good": -0.6, "awful": 3.0},
        baselines={"source-copy": 1.5, "mean-variance": 0.0, "resynthesis": -6.0},
        seeds=(0,),
        systems={"good": {"training": {"decay_start": 1000}}},
    )
    points = curves(tmp_path / "curves.csv", {"good": 0.0, "awful": -0.8})
    publish(
        made(tmp_path / "run", run, figures=False),
        tmp_path / "ref",
        cache_dir=tmp_path,
        curves=points,
    )
    text = findings.page(tmp_path / "ref", root=tmp_path)
    assert wrong_on_page(text, stored_below(tmp_path / "ref"), root=tmp_path) == []
    known = text[text.index("### Against what is expected") :]
    ceiling = next(line for line in known.splitlines() if "No conversion scores above" in line)
    assert re.search(r"\*\*Contradicted\*\* by awful \(\+0\.\d+ dB; under-trained\)\.", ceiling)
    assert "Holds for good (" in ceiling
    floor = next(line for line in known.splitlines() if "Nothing scores below" in line)
    assert "Contradicted" not in floor
    trained = next(line for line in known.splitlines() if "A trained system" in line)
    assert "**Contradicted** by awful" in trained
    assert "Learning rates fall to zero from iteration 1,000 on" in known
    assert "Does not apply to good (" in known
    rows = pd.read_csv(tmp_path / "ref" / "checks.csv")
    assert set(rows[rows["outcome"] == "contradicts"]["system"]) == {"awful"}


def test_the_page_without_results_claims_nothing(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    text = findings.page(tmp_path / "none", root=tmp_path)
    assert "**Nothing has been measured yet**: `vcbench run reference --budget cpu-small`; " in text
    assert text.count("Not measured yet: `vcbench run ") == 21  # questions
    assert wrong_on_page(text, {}, root=tmp_path) == []
    assert wrong_on_page(f"{text}\n7.5 dB\n", {}, root=tmp_path) != []
    assert main(["findings", str(tmp_path / "absent"), str(tmp_path / "x.md")]) == 2


def test_the_committed_page_is_what_the_committed_results_say() -> None:
    """Until results are committed there is neither."""
    results, page = ROOT / STORED, ROOT / PAGE
    runs = stored_runs(results) if results.is_dir() else []
    assert page.is_file() == bool(runs)
    if runs:
        text = page.read_text(encoding="utf-8")
        wrong = f"run: {findings.COMMAND}"
        assert findings.page(results, root=page.parent) == text, wrong
        stored = stored_below(results)
        assert wrong_on_page(text, stored, root=page.parent) == []
        readme = (ROOT / README).read_text(encoding="utf-8")
        part = findings.readme_block(results, page, root=ROOT)
        assert marked_text.replaced(readme, findings.README_MARKS, by=part) == readme, wrong
        assert wrong_in_block(part, stored) == []


@pytest.mark.slow
def test_a_cell_that_is_trained_again_gives_the_same_scores(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = Path(home.environment["VCBENCH_CACHE_DIR"])
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(cache))
    folder = tmp_path / "ref"
    assert main(["publish", str(home.first_run), str(folder)]) == 0
    asked = ["check", str(folder), "--cell", "two-d/LOW-HIGH/0", "--data", str(home.data)]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "two-d/LOW-HIGH/0: 8 of 8 scores are equal to the last bit" in said
    table = (folder / "results.csv").read_text().splitlines()
    line = next(i for i, row in enumerate(table) if row.startswith("small,two-d,") and "mcd" in row)
    cells = table[line].split(",")
    table[line] = ",".join([*cells[:-2], str(float(cells[-2]) + 0.25), cells[-1]])
    (folder / "results.csv").write_text("\n".join(table) + "\n")
    assert main(asked) == 1
    assert "mcd: largest difference 0.25" in capsys.readouterr().out
    assert main([*asked, "--tolerance", "0.3"]) == 0
    assert main(["check", str(folder), "--cell", "two-d/LOW-HIGH/1"]) == 2
    assert "no scores of a cell 'two-d/LOW-HIGH/1'; valid: " in capsys.readouterr().err
