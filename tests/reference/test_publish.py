"""What `publish` refuses, keeps and says of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from published_runs import curves, made, with_kind
from reporting.synthetic_run import SyntheticRun

from vcbench import sealed
from vcbench.errors import UsageError
from vcbench.reference import findings
from vcbench.reference.__main__ import main
from vcbench.reference.publish import UNKNOWN, _command, publish
from vcbench.reference.stored import stored_runs
from vcbench.reporting import levelling
from vcbench.reporting.expectations import checks
from vcbench.reporting.leaderboard import build
from vcbench.reporting.run_files import read_run
from vcbench.training.files import ELSEWHERE, write_status


def test_publishing_again_leaves_what_lies_below(tmp_path: Path) -> None:
    run, top = made(tmp_path / "run", figures=False), tmp_path / "reference"
    publish(run, top / "small", cache_dir=tmp_path)
    publish(run, top / "small" / "glu", cache_dir=tmp_path)
    below = sorted(path for path in (top / "small" / "glu").rglob("*") if path.is_file())
    (top / "small" / "tables" / "old.csv").write_text("of an earlier run\n")
    publish(run, top / "small", cache_dir=tmp_path)
    assert sorted(p for p in (top / "small" / "glu").rglob("*") if p.is_file()) == below
    assert not (top / "small" / "tables" / "old.csv").exists()


def test_a_run_is_called_by_where_it_lies(tmp_path: Path) -> None:
    asked = SyntheticRun(compare={"baseline": "paper-1d", "against": ["residual-2d"]})
    run, top = made(tmp_path / "run", asked, figures=False), tmp_path / "reference"
    for budget in ("small", "large"):
        publish(run, top / budget / "glu", cache_dir=tmp_path)
    text = findings.page(top, root=tmp_path)
    for name, anchor in (("large/glu", "large-glu"), ("small/glu", "small-glu")):
        assert f'## {name}\n\n<a id="{anchor}"></a>' in text
        assert text.count(f'<a id="{anchor}-made"></a>') == 1
        assert f"reports/reference/{name} --cell" in text


def test_the_largest_study_is_the_readmes(tmp_path: Path) -> None:
    top = tmp_path / "reference"
    for name, width, hours in (("narrow", 0.25, 99), ("wide", 1, 2)):
        publish(made(tmp_path / name, figures=False), top / name, cache_dir=tmp_path)
        path = top / name / "summary.json"
        summary = json.loads(path.read_text()) | {"width": width, "training_hours": hours}
        path.write_text(json.dumps(summary))
    assert "(docs/findings.md#wide)" in findings.readme_block(
        top, tmp_path / "docs" / "findings.md", root=tmp_path
    )


def test_machines_are_told_with_how_many_cells_each_trained(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SyntheticRun(effects={"a": -1.0}, seeds=(0, 1)), figures=False)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["machine"] = {"cpu": "Some CPU", "gpu": None}
    (run / "manifest.json").write_text(json.dumps(manifest))
    cells = [json.loads(line) for line in (run / "cells.jsonl").read_text().splitlines()]
    keys = [cell["key"] for cell in cells if cell["kind"] == "trained"]
    machines: tuple[tuple[str, dict[str, object] | None], ...] = (
        ("cpu", None),
        ("cuda", {"gpu": "A GPU", "cpu": "Other CPU", "cells_at_once": 2}),
        ("cpu", {"gpu": None, "cpu": "Other CPU"}),
    )  # and of the fourth nothing is left
    for key, (device, machine) in zip(keys, machines, strict=False):
        folder = tmp_path / "cache" / "cells" / key
        write_status(folder, {"device": device, "threads": 1})
        if machine:
            sealed.write_json(folder / ELSEWHERE, {"cell": "x", "machine": machine})
    publish(run, tmp_path / "ref", cache_dir=tmp_path / "cache")
    summary = json.loads((tmp_path / "ref" / "summary.json").read_text())
    assert summary["machines"] == {"Some CPU": 1, "A GPU": 1, "Other CPU": 1, UNKNOWN: 1}
    assert summary["trained_elsewhere"] == 1
    page = findings.page(tmp_path / "ref", root=tmp_path)
    assert "A GPU (1 trainings)" in page and f"{UNKNOWN} (1 trainings)" in page
    assert "1 of its cells were trained elsewhere" in page


def test_curves_of_another_run_or_unit_are_refused(tmp_path: Path) -> None:
    run = made(tmp_path / "run", figures=False)
    points = curves(tmp_path / "curves.csv")
    publish(run, tmp_path / "ref", cache_dir=tmp_path, curves=points)
    table = pd.read_csv(points)
    wrong = {
        "'other' ends at iteration 2000, which no cell": table.replace({"paper-1d": "other"}),
        "'paper-1d' ends at iteration 1800, which no cell": table[table["iteration"] < 2000],
        "scores are not mcd under vcbench-1 alone": table.assign(metric="f0-rmse"),
        "holds no point": table[:0],
    }
    for reason, curve in wrong.items():
        curve.to_csv(points, index=False)
        with pytest.raises(UsageError, match=reason):
            publish(run, tmp_path / "ref", cache_dir=tmp_path, curves=points)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/opt/x/vcbench", "run", "s", "--data", "/a b/c"], "vcbench run s --data DATA"),
        (["vcbench", "run", "s", "--data=/a b/c"], "vcbench run s --data=DATA"),
        (["vcbench", "run", "s", "--set", "a.b=two words"], "vcbench run s --set 'a.b=two words'"),
        (["vcbench", "run", "/x/s.yaml", "--only", "x/*"], "vcbench run s.yaml --only 'x/*'"),
    ],
)
def test_a_command_is_told_as_it_can_be_typed(command: Sequence[str], said: str) -> None:
    assert _command(command) == said


def test_a_run_without_a_report_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = SyntheticRun().write(tmp_path / "run")
    assert main(["publish", str(run), str(tmp_path / "ref")]) == UsageError.exit_code
    assert f"run `vcbench report {run}` first" in capsys.readouterr().err


def test_an_external_system_is_no_training(tmp_path: Path) -> None:
    run = SyntheticRun(effects={"learnt": -1.0, "theirs": 1.0}, seeds=(0,), n_sentences=16)
    folder = with_kind(made(tmp_path / "run", run, figures=False), "theirs", "external")
    publish(folder, tmp_path / "ref", cache_dir=tmp_path)
    summary = json.loads((tmp_path / "ref" / "summary.json").read_text())
    assert summary["systems"] == ["learnt"]
    assert (summary["cells_ok"], summary["cells"]) == (2, 2)
    text = findings.page(tmp_path / "ref", root=tmp_path)
    assert "† in this run worse than the untrained mean-variance" in text
    known = pd.read_csv(tmp_path / "ref" / "checks.csv")
    assert set(known[known["rule"].isin(["trained", "full-size"])]["system"]) == {"learnt"}
    # Behind source-copy, but nobody says that it was trained too little.
    behind = known[(known["rule"] == "ceiling") & (known["system"] == "theirs")]
    assert list(behind["said"].fillna("")) == [""]


def test_a_verdict_on_another_metric_is_not_set_beside_mcd(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", figures=False)
    table = pd.read_csv(folder / "results.csv")
    first = table["metric"] == "f0-rmse"
    pd.concat([table[first], table[~first]]).to_csv(folder / "results.csv", index=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    names = manifest["suite"]["metrics"]
    manifest["suite"]["metrics"] = sorted(names, key=lambda name: name != "f0-rmse")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    run = read_run(folder)
    board = build(run)
    assert board.ranked_by is not None and board.ranked_by.metric == "f0-rmse"
    found = {check.rule for check in checks(run, board)}
    assert "ceiling" in found and "trained" not in found


def test_a_metric_in_which_a_system_passes_the_target_itself_is_named(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", figures=False)
    rows = pd.read_csv(folder / "results.csv")
    passing = (rows["system"] == "residual-2d") & (rows["metric"] == "vuv-error")
    rows.loc[passing, "value"] = -100.0
    rows.loc[(rows["system"] == "paper-1d") & (rows["metric"] == "f0-rmse"), "value"] = None
    rows.to_csv(folder / "results.csv", index=False)
    run = read_run(folder)
    board = build(run)
    found = {check.system: check for check in checks(run, board) if check.rule == "limit"}
    limit = board.row("resynthesis").scores["vuv-error"].mean
    assert found.pop("residual-2d").said == f"VUV error −100.00 against {limit:.2f}"
    assert set(found) == {row.system for row in board.rows} - {"residual-2d", "resynthesis"}
    assert {check.outcome for check in found.values()} == {"agrees"}


def test_how_the_curves_were_made_is_told_from_the_run_and_their_table(tmp_path: Path) -> None:
    run = made(tmp_path / "run", figures=False)
    manifest = json.loads((run / "manifest.json").read_text())
    options = "--budget small --no-throughput --timeout 6h --set a.b=1 --data=/x --jobs 2"
    manifest["command"] = ["vcbench", "run", "synthetic", *options.split()]
    (run / "manifest.json").write_text(json.dumps(manifest))
    table = curves(tmp_path / "curves.csv")
    publish(run, tmp_path / "ref", cache_dir=tmp_path, curves=table)
    points = pd.read_csv(table)
    every = points["iteration"].min()
    (sentences,) = set(points.groupby(levelling.POINT)["utterance"].nunique())
    made_by = findings.page(tmp_path / "ref", root=tmp_path).partition("with learning curves, ")[2]
    assert made_by.startswith(
        "with `python -m vcbench.reference curves synthetic --budget small --set a.b=1 "
        f"--data=DATA --jobs 2 --every {every} --sentences {sentences} -o CURVES`"
    )


def test_nothing_is_said_of_saturation_before_it_could_have_come(tmp_path: Path) -> None:
    described = {"objective": {"name": "lsgan"}, "discriminator": {"name": "d", "sigmoid": False}}
    for iterations, outcome in ((2000, "does not apply"), (400_000, "agrees")):
        run = SyntheticRun(
            effects={"linear": -1.0}, systems={"linear": described}, iterations=iterations
        )
        found = read_run(run.write(tmp_path / str(iterations)))
        (said,) = (c for c in checks(found, build(found)) if c.rule == "saturation")
        assert said.outcome == outcome


def test_what_is_missing_is_a_dash_and_no_traceback(tmp_path: Path) -> None:
    folder = made(tmp_path / "run", figures=False)
    publish(folder, tmp_path / "ref", cache_dir=tmp_path, curves=curves(tmp_path / "curves.csv"))
    levels = pd.read_csv(tmp_path / "ref" / "levelling.csv")
    levels.loc[0, "last"] = None
    levels.to_csv(tmp_path / "ref" / "levelling.csv", index=False)
    path = tmp_path / "ref" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"width": None}))
    text = findings.page(tmp_path / "ref", root=tmp_path)
    assert "| paper-1d | 2 | – (2,000 iterations) |" in text


def test_an_answer_names_what_is_under_trained_and_what_weakens_it(tmp_path: Path) -> None:
    run = SyntheticRun(
        effects={"one": 0.5, "other": 0.3, "good": -1.0},
        compare={"baseline": "one", "against": ["other", "good"]},
        question="Does it matter?",
    )
    publish(made(tmp_path / "run", run, figures=False), tmp_path / "ref", cache_dir=tmp_path)
    answers = findings._answer(stored_runs(tmp_path / "ref")[0].leaderboard)
    assert any(text.startswith("† under-trained: ") and "one" in text for text in answers)
    assert any("seeds" in text for text in answers[1:])


def test_a_gpus_cell_is_not_checked_without_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made(tmp_path / "run", SyntheticRun(effects={"a": -1.0}, seeds=(0,)), figures=False)
    publish(run, tmp_path / "ref", cache_dir=tmp_path)
    trainings = pd.read_csv(tmp_path / "ref" / "trainings.csv").assign(device="cuda")
    trainings.to_csv(tmp_path / "ref" / "trainings.csv", index=False)
    assert main(["check", str(tmp_path / "ref"), "--cell", "a/SF1-TM3/0"]) == UsageError.exit_code
    assert "PyTorch finds no CUDA device here" in capsys.readouterr().err
