"""`vcbench compare`: its page, its tables, and its gate."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[1] / "reporting"))

from page_reader import read
from test_compare import HEADER, run_folder, score_document

from vcbench.cli import main
from vcbench.statistics import SignFlip


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Eight seeds; in B, `new` is worse in both metrics, and one utterance is missing."""
    folder = tmp_path_factory.mktemp("two")
    a = run_folder(folder / "a", seeds=8)
    gone = ("old", "A>B", "3", "u4", "mcd")
    keys = ("system", "direction", "seed", "utterance", "metric")
    b = run_folder(
        folder / "b", seeds=8, gain=0.5, keep=lambda row: tuple(row[k] for k in keys) != gone
    )
    return a, b


def test_every_pair_of_scores_is_in_the_table(two: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = two
    names = [tmp_path / f"t.{kind}" for kind in ("csv", "parquet")]
    tables = [argument for name in names for argument in ("--table", str(name))]
    assert main(["compare", str(a), str(b), *tables]) == 3
    written = pd.read_csv(names[0], dtype={"seed": str})
    pd.testing.assert_frame_equal(written, pd.read_parquet(names[1]), check_dtype=False)
    keys = HEADER.split(",")[1:8]
    sides = [
        pd.read_csv(folder / "results.csv", dtype={"seed": str}).set_index(keys)["value"]
        for folder in two
    ]
    assert len(written) == len(sides[1]) == len(sides[0]) - 1
    for side, name in zip(sides, "ab", strict=True):
        mine = written.rename(columns={"system_a": "system"}).set_index(keys)[name]
        np.testing.assert_array_equal(side.loc[mine.index], mine)
    np.testing.assert_allclose(written["b"] - written["a"], written["b_minus_a"])


def test_a_baseline_stands_beside_every_seed(tmp_path: Path) -> None:
    lines = ["system,pair,direction,seed,utterance,metric,protocol,value,unit"]
    trained = [f"x,A-B,A>B,{s},u{i},mcd,p,{7 + i + s},dB" for s in (0, 1) for i in range(7)]
    untrained = [f"x,A-B,A>B,,u{i},mcd,p,{5 + i},dB" for i in range(7)]
    (tmp_path / "a.csv").write_text("\n".join([*lines, *trained]))
    (tmp_path / "b.csv").write_text("\n".join([*lines, *untrained]))
    table = tmp_path / "t.csv"
    arguments = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--table", str(table)]
    assert main(["compare", *arguments]) in (0, 3)
    written = pd.read_csv(table)
    assert sorted(zip(written["seed"], written["b_minus_a"], strict=True)) == sorted(
        [(0, -2.0)] * 7 + [(1, -3.0)] * 7
    )


def test_the_page_tells_what_the_json_holds(
    two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two
    file = tmp_path / "page.html"
    assert main(["compare", str(a), str(b), "--json", "--html", str(file)]) == 3
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert f"written: {file}" in captured.err
    page = read(file.read_text(encoding="utf-8"))
    assert page.one("p", class_="answer").words.startswith(
        "Of 4 comparisons of a system in a metric, B is worse in 2: new (MCD) and new (F0 RMSE)"
    )
    assert document["unpaired"][0] in page.one("section", id="gaps").text
    for entry in document["compared"]:
        mean = f"{entry['b_minus_a']['mean']:+.3f}".replace("-", "−")
        if entry["b"] == "new":
            assert mean in page.text and entry["decision"] == "worse"
    identifiers = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(identifiers) == len(set(identifiers)) and len(page.all("figure")) == 2
    for element in page.all():
        for name in ("src", "href", "xlink:href"):
            assert not re.match(r"(?i)(?:[a-z]+:)?//", element.attributes.get(name, ""))


def test_the_pages_cells_and_utterances_are_means_of_the_pairs(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    a, b = two
    page_file, table_file = tmp_path / "p.html", tmp_path / "t.csv"
    main(["compare", str(a), str(b), "--html", str(page_file), "--table", str(table_file)])
    scores = pd.read_csv(table_file, dtype={"seed": str})
    scores = scores[scores["metric"] == "mcd"]
    page = read(page_file.read_text(encoding="utf-8"))
    cells, utterances = (details.one("table") for details in page.all("details")[:2])
    for table, keys in (
        (cells, ["system_b", "pair", "direction", "seed"]),
        (utterances, ["system_b", "direction", "utterance"]),
    ):
        expected = scores.groupby(keys)["b_minus_a"].agg(["mean", "size"])
        rows = table.one("tbody").all("tr")
        assert len(rows) == len(expected)
        for row in rows:
            texts = [cell.attributes["data-sort"] for cell in row.children]
            found = expected.loc[tuple(texts[: len(keys)])]
            assert float(texts[-2]) == pytest.approx(found["mean"])
            assert int(texts[-1]) == found["size"]


def test_hostile_names_are_text_on_the_page(tmp_path: Path) -> None:
    name = '"><script>alert(1)</script>'
    a, b = (
        score_document(tmp_path / f"{side}.json", {name: scores, "x": scores})
        for side, scores in (
            ("a", {f"<b>u{i}": 1.0 + i for i in range(8)}),
            ("b", {f"<b>u{i}": 1.5 + i for i in range(8)}),
        )
    )
    file = tmp_path / "page.html"
    assert main(["compare", str(a), str(b), "--html", str(file)]) == 0
    page = read(file.read_text(encoding="utf-8"))
    (script,) = page.all("script")
    assert "alert" not in script.text and page.all("b", id="u0") == []
    assert name in {e.text for e in page.all("span", class_="system")}


@pytest.mark.parametrize("kind", ["md", "tex"])
def test_the_summary_is_a_table_for_people(
    two: tuple[Path, Path], tmp_path: Path, kind: str
) -> None:
    a, b = two
    file = tmp_path / f"t.{kind}"
    main(["compare", str(a), str(b), "--table", str(file)])
    text = file.read_text(encoding="utf-8")
    start = "| new | " if kind == "md" else "\nnew & "
    assert text.count(start) == 2 and "worse (p = 0.031)" in text
    assert text.replace("\\", "").count("1 scored only in the first") >= 1
    if kind == "tex":
        assert text.count(r"\toprule") == text.count(r"\bottomrule") == 2
        assert text.count("{") == text.count("}")


def test_other_endings_and_places_are_refused(
    two: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two
    assert main(["compare", str(a), str(b), "--table", str(tmp_path / "t.xls")]) == 2
    assert "ends with one of .md, .tex, .csv, .parquet" in capsys.readouterr().err
    for option, name in (("--table", "no/t.md"), ("--table", "no/t.csv"), ("--html", "no/t.html")):
        assert main(["compare", str(a), str(b), option, str(tmp_path / name)]) == 2
        assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("gain", "code"), [(0.5, 1), (-0.5, 0), (0.0, 0)])
def test_the_gate_closes_only_where_b_is_worse(
    tmp_path: Path, gain: float, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run_folder(tmp_path / "a", seeds=8)
    b = run_folder(tmp_path / "b", seeds=8, gain=gain)
    assert main(["compare", str(a), str(b), "--fail-if-worse"]) == code
    err = capsys.readouterr().err
    assert ("WORSE new, mcd: +0.4" in err) == (code == 1) and "cannot see" not in err
    assert main(["compare", str(a), str(b)]) == 0, "only where it is asked for"


def test_the_gate_is_corrected_for_all_systems_and_metrics_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 7 sentences the smallest p is 2 / 2 ** 7 = 0.016: enough for 3 comparisons, not for 4."""
    same = {f"u{i}": 7.0 + i for i in range(7)}
    assert SignFlip.of_rows(np.full(7, 0.5), list(same)).p == pytest.approx(2 / 2**7)

    def document(path: Path, n_metrics: int, gain: float) -> str:
        """B is worse in the first metric, and differs a little both ways in the others."""
        values = [
            {f"m{k}": v + (gain if k == 0 else 0.01 * gain * (-1) ** i) for k in range(n_metrics)}
            for i, v in enumerate(same.values())
        ]
        described = {f"m{k}": {"unit": "dB", "better": "lower"} for k in range(n_metrics)}
        utterances = [{"id": u, "values": v} for u, v in zip(same, values, strict=True)]
        head = {"protocol": "p", "protocol_text": "t", "metrics": described}
        path.write_text(json.dumps({**head, "utterances": utterances}))
        return str(path)

    for n_metrics, code in ((1, 1), (3, 1), (4, 3)):
        a, b = (
            document(tmp_path / f"{side}.json", n_metrics, gain)
            for side, gain in (("a", 0.0), ("b", 0.5))
        )
        assert main(["compare", a, b, "--fail-if-worse", "--json"]) == code
        captured = capsys.readouterr()
        found = json.loads(captured.out)
        first = next(entry for entry in found["compared"] if entry["metric"] == "m0")
        assert first["decision"] == ("worse" if code == 1 else "undecided")
        assert [w["metric"] for w in found["worse_in_any"]] == ["m0"] * (code == 1)
        assert ("cannot see 4 comparisons" in captured.err) == (code == 3)


def many_comparisons(folder: Path, *, seeds: int, gain: float = 0.0) -> Path:
    """A run of 7 systems in 4 metrics; `gain` is added to the scores of `s0`."""
    rng = np.random.default_rng(8)
    better = {"mcd": "lower", "f0-rmse": "lower", "vuv-error": "lower", "f0-correlation": "higher"}
    keys = ["system", "metric", "seed", "utterance"]
    index = pd.MultiIndex.from_product(
        [[f"s{i}" for i in range(7)], better, map(str, range(seeds)), [f"u{i}" for i in range(12)]],
        names=keys,
    )
    table = index.to_frame(index=False)
    own = np.random.default_rng(round(10 * gain)).normal(0, 0.05, len(table))
    table["value"] = 7 + rng.normal(0, 0.3, len(table)) + own
    sign = table["metric"].map(lambda m: -1 if better[m] == "higher" else 1)
    table["value"] += gain * (table["system"] == "s0") * sign
    fixed = {"suite": "s", "pair": "A-B", "direction": "A>B", "protocol": "p", "unit": "dB"}
    folder.mkdir()
    table.assign(**fixed)[HEADER.split(",")].to_csv(folder / "results.csv", index=False)
    (folder / "cells.jsonl").write_text("")
    about = {"metrics": {m: {"better": way} for m, way in better.items()}}
    (folder / "manifest.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize(("seeds", "code"), [(9, 3), (11, 1)])
def test_the_table_never_claims_what_the_gate_cannot_see(
    seeds: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The least p of 9 seeds, 0.0039, times 28 comparisons is 0.11; that of 11 seeds is 0.027."""
    a = many_comparisons(tmp_path / "a", seeds=seeds)
    b = many_comparisons(tmp_path / "b", seeds=seeds, gain=0.6)
    table = tmp_path / "t.md"
    assert main(["compare", str(a), str(b), "--fail-if-worse", "--table", str(table)]) == code
    captured = capsys.readouterr()
    told = captured.out.count("worse (p")
    assert told == table.read_text().count("worse (p") == captured.err.count("WORSE s0, ")
    assert told == (4 if code == 1 else 0)
    err = " ".join(captured.err.split())
    assert ("cannot see 28 comparisons (s0, mcd" in err) == (code == 3)
    assert ("any claim about 28 comparisons, which needs 11 of each" in err) == (code == 3)
    assert ("too few seeds" in captured.out) == (code == 3)
    assert "interval over sentences alone" not in captured.out, "9 seeds are in the interval"


def test_a_gate_that_cannot_close_says_so_and_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = run_folder(tmp_path / "a"), run_folder(tmp_path / "b", gain=5.0)
    assert main(["compare", str(a), str(b), "--fail-if-worse"]) == 3
    err = " ".join(capsys.readouterr().err.split())
    assert "--fail-if-worse cannot see 2 comparisons (new, mcd and new, f0-rmse)" in err
    assert main(["compare", str(a), str(b)]) == 0, "only where it is asked for"


def tables_of(
    folder: Path, gain: float, rename: dict[str, str] | None = None
) -> tuple[str, str, str, str]:
    """Two runs of 14 seeds and the tables of their scores, with metrics under other names."""
    paths = []
    for side, moved in (("a", 0.0), ("b", gain)):
        run = run_folder(folder / side, seeds=14, gain=moved)
        table = pd.read_csv(run / "results.csv", dtype=str)
        table["metric"] = table["metric"].replace(rename or {})
        (folder / f"{side}.csv").write_text(table.to_csv(index=False))
        paths += [str(run), str(folder / f"{side}.csv")]
    return paths[0], paths[2], paths[1], paths[3]


def test_the_gate_sees_in_tables_what_it_sees_in_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_a, run_b, table_a, table_b = tables_of(tmp_path, 0.6)
    said = []
    for a, b in ((run_a, run_b), (table_a, table_b)):
        assert main(["compare", a, b, "--fail-if-worse", "--json"]) == 1
        captured = capsys.readouterr()
        found = json.loads(captured.out)
        said.append((found["compared"], found["worse_in_any"], captured.err))
    assert said[0] == said[1] and "WORSE new, mcd: +0.598 dB" in said[0][2]
    assert main(["compare", table_b, table_a, "--fail-if-worse"]) == 0


def test_the_gate_does_not_pass_where_no_way_is_known_to_be_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"mcd": "nobodys-metric", "f0-rmse": "voiced-frames"}
    _, _, a, b = tables_of(tmp_path, 0.6, names)
    assert main(["compare", a, b, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["compared"]
    ways = {entry["metric"]: entry["better"] for entry in found}
    assert ways == {"nobodys-metric": None, "voiced-frames": "neither"}
    assert {e["decision"] for e in found if e["b"] == "new"} == {"different"}
    assert main(["compare", a, b, "--fail-if-worse"]) == 3
    err = " ".join(capsys.readouterr().err.split())
    assert "cannot see 1 comparison (new, nobodys-metric): which way is better stands in" in err
    assert main(["compare", a, a, "--fail-if-worse"]) == 0, "equal scores are no worse"


def test_worse_comes_before_incomplete(two: tuple[Path, Path]) -> None:
    a, b = map(str, two)
    assert main(["compare", a, b, "--fail-if-worse"]) == 1
    assert main(["compare", b, a, "--fail-if-worse"]) == 3
