"""`vcbench compare`: two runs or two results of `vcbench score`, score by score."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vcbench.cli import main
from vcbench.statistics import SignFlip

HEADER = "suite,system,pair,direction,seed,utterance,metric,protocol,value,unit"


def run_folder(
    folder: Path,
    *,
    gain: float = 0.0,
    seeds: int = 1,
    sentences: int = 12,
    protocol: str = "vcbench-1",
    text: str = "exact DTW",
    keep: Callable[[dict[str, Any]], bool] = lambda row: True,
) -> Path:
    """A run of two systems, in which `gain` is added to the scores of the second, `new`."""
    rng = np.random.default_rng(3)
    rows = []
    for system in ("old", "new"):
        for seed in range(seeds):
            for direction in ("A>B", "B>A"):
                for i in range(sentences):
                    for metric, unit in (("mcd", "dB"), ("f0-rmse", "Hz")):
                        value = 7 + 0.1 * i + rng.normal(0, 0.1)
                        moved = gain * (1 + rng.normal(0, 0.1)) * (system == "new")
                        rows.append(
                            {
                                "suite": "s",
                                "system": system,
                                "pair": "A-B",
                                "direction": direction,
                                "seed": str(seed),
                                "utterance": f"u{i}",
                                "metric": metric,
                                "protocol": protocol,
                                "value": f"{value + moved:.6f}",
                                "unit": unit,
                            }
                        )
    folder.mkdir(parents=True)
    table = pd.DataFrame([row for row in rows if keep(row)])[HEADER.split(",")]
    table.to_csv(folder / "results.csv", index=False)
    (folder / "cells.jsonl").write_text("")
    metrics = {"mcd": {"better": "lower"}, "f0-rmse": {"better": "lower"}}
    manifest = {"metrics": metrics, "protocols": {protocol: text}, "data": {"fingerprint": "x"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def score_document(path: Path, values: dict[str, dict[str, float | None]], **head: str) -> Path:
    """What `vcbench score --json` writes, of one system or several."""

    def one(scores: dict[str, float | None]) -> dict[str, Any]:
        utterances = [
            {"id": i, "status": "scored", "values": {"mcd": v}} for i, v in scores.items()
        ]
        return {"metrics": {"mcd": {"unit": "dB", "better": "lower"}}, "utterances": utterances}

    document: dict[str, Any] = {"protocol": "vcbench-1", "protocol_text": "exact DTW", **head}
    if len(values) == 1:
        document |= one(*values.values())
    else:
        document["systems"] = {name: one(scores) for name, scores in values.items()}
    path.write_text(json.dumps(document))
    return path


def compared(
    capsys: pytest.CaptureFixture[str], a: Path, b: Path, *, code: int = 0
) -> dict[str, Any]:
    assert main(["compare", str(a), str(b), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def by_name(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(e["b"], e["metric"]): e for e in document["compared"]}


def test_a_run_is_equal_to_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "a")
    document = compared(capsys, folder, folder)
    assert len(document["compared"]) == 4
    assert {e["decision"] for e in document["compared"]} == {"equal"}
    assert {e["b_minus_a"]["mean"] for e in document["compared"]} == {0.0}
    assert document["unpaired"] == []


def test_with_seeds_enough_a_changed_system_is_found_and_the_other_is_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run_folder(tmp_path / "a", seeds=8)
    b = run_folder(tmp_path / "b", seeds=8, gain=0.5)
    found = by_name(compared(capsys, a, b))
    new, old = found["new", "mcd"], found["old", "mcd"]
    assert (new["decision"], old["decision"]) == ("worse", "equal")
    assert new["b_minus_a"]["mean"] == pytest.approx(0.5, abs=0.02)
    assert new["mean_b"] - new["mean_a"] == pytest.approx(new["b_minus_a"]["mean"])
    assert new["b_minus_a"]["covers"] == ["sentences", "seeds"]
    assert new["b_minus_a"]["p_holm"] == pytest.approx(4 * 2 / 2**8), "of 4 comparisons"
    assert (new["b_minus_a"]["n"], new["b_minus_a"]["expected"], new["seeds"]) == (24, 24, 8)


def test_with_one_seed_the_difference_is_shown_and_nothing_claimed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = run_folder(tmp_path / "a"), run_folder(tmp_path / "b", gain=0.5)
    new = by_name(compared(capsys, a, b))["new", "mcd"]
    assert new["decision"] == "undecided"
    assert new["b_minus_a"]["claimable"] is False and new["b_minus_a"]["p_holm"] is None
    assert new["b_minus_a"]["ci"][0] > 0
    assert main(["compare", str(a), str(b)]) == 0
    assert "too few seeds" in " ".join(capsys.readouterr().out.split())


def test_scores_of_two_folders_are_compared_over_sentences_whatever_they_are_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    first = {f"u{i}": 7 + rng.normal() for i in range(9)}
    second = {name: value - 0.4 + 0.05 * rng.normal() for name, value in first.items()}
    a = score_document(tmp_path / "a.json", {"mine": first})
    b = score_document(tmp_path / "b.json", {"yours": second})
    (entry,) = compared(capsys, a, b)["compared"]
    gaps = np.array([second[u] - first[u] for u in first])
    by_hand = SignFlip.of_rows(gaps, list(first))
    assert entry["decision"] == "better"
    assert entry["b_minus_a"]["p"] == by_hand.p == 2 / 2**9
    assert entry["b_minus_a"]["ci"] == pytest.approx(by_hand.interval(0.05))


def test_a_csv_of_several_systems_is_read_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["system,utterance,metric,protocol,value,unit"]
    lines += [f"{s},u{i},mcd,vcbench-1,{7 + i / 10},dB" for s in "ab" for i in range(8)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))
    other = score_document(
        tmp_path / "b.json", {s: {f"u{i}": 6 + i / 9 for i in range(8)} for s in "ab"}
    )
    document = compared(capsys, path, other)
    decided = {e["a"]: e["decision"] for e in document["compared"]}
    assert decided == {"a": "better", "b": "better"}
    path.write_text("\n".join([*lines, lines[1]]))
    assert main(["compare", str(path), str(other)]) == 2
    assert "1 scores stand twice, the first for system a, utterance u0" in capsys.readouterr().err


def test_what_stands_on_one_side_only_is_named_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run_folder(tmp_path / "a", seeds=2)
    b = run_folder(
        tmp_path / "b",
        seeds=3,
        keep=lambda r: r["system"] == "new" and r["utterance"] != "u1" and r["metric"] == "mcd",
    )
    document = compared(capsys, a, b, code=3)
    assert document["unpaired"] == [
        f"old: only in {a}",
        f"f0-rmse (vcbench-1): only in {a}",
        "new, mcd: 4 scored only in the first (such as A-B A>B 0 u1)",
        "new, mcd: 22 scored only in the second (such as A-B A>B 2 u0)",
    ]
    (entry,) = document["compared"]
    assert (entry["b_minus_a"]["n"], entry["b_minus_a"]["expected"]) == (22, 24)
    assert main(["compare", str(a), str(b)]) == 3
    assert f"old: only in {a}" in capsys.readouterr().err


def test_an_undefined_score_is_left_out_of_both_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores: dict[str, float | None] = {f"u{i}": 7.0 + i for i in range(8)}
    a = score_document(tmp_path / "a.json", {"x": scores})
    b = score_document(tmp_path / "b.json", {"x": {**scores, "u7": None}})
    document = compared(capsys, a, b, code=3)
    (entry,) = document["compared"]
    assert entry["mean_a"] == entry["mean_b"] == 10.0
    assert (entry["b_minus_a"]["n"], entry["b_minus_a"]["expected"]) == (7, 8)
    assert document["unpaired"] == ["mcd: 1 scored only in the first (such as u7)"]
    assert document["notes"] == []


def test_scores_undefined_on_both_sides_are_counted_once_and_no_gap(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no frame is voiced there is no F0 error, whichever way the run is looked at."""
    folder = run_folder(tmp_path / "run", sentences=24)
    table = pd.read_csv(folder / "results.csv", dtype=str)
    unvoiced = (table["metric"] == "f0-rmse") & (table["utterance"] == "u3")
    table.loc[unvoiced, "value"] = ""
    table.to_csv(folder / "results.csv", index=False)
    document = compared(capsys, folder, folder)
    assert document["unpaired"] == []
    assert document["notes"] == [
        "f0-rmse: scores undefined on both sides are left out: 2 of old and 2 of new"
    ]
    of_f0 = by_name(document)["new", "f0-rmse"]["b_minus_a"]
    assert (of_f0["n"], of_f0["expected"]) == (46, 48), "what is missing and the note agree"
    assert main(["compare", str(folder), str(folder), "--fail-if-worse"]) == 0


def test_a_score_that_one_side_lacks_wholly_is_no_gap_where_the_other_is_undefined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores: dict[str, float | None] = {f"u{i}": 7.0 + i for i in range(8)}
    a = score_document(tmp_path / "a.json", {"x": {**scores, "u9": None}})
    b = score_document(tmp_path / "b.json", {"x": scores})
    document = compared(capsys, a, b)
    assert document["unpaired"] == [] and "1" in document["notes"][0]


def test_different_protocols_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run_folder(tmp_path / "a")
    for other, expected in (
        ({"protocol": "sprocket"}, "was scored under vcbench-1 in"),
        ({"text": "another"}, "protocol vcbench-1 is not the same in"),
    ):
        b = run_folder(tmp_path / "-".join(other), **other)
        assert main(["compare", str(a), str(b)]) == 2
        assert expected in capsys.readouterr().err


def test_nothing_in_common_and_nothing_there_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = score_document(tmp_path / "a.json", {"x": {"u1": 1.0}})
    b = score_document(tmp_path / "b.json", {"x": {"u2": 1.0}})
    assert main(["compare", str(a), str(b)]) == 2
    assert "share no score" in capsys.readouterr().err
    assert main(["compare", str(a), str(tmp_path / "nowhere")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    b.write_text("[1]")
    assert main(["compare", str(a), str(b)]) == 2
    assert "not what vcbench score --json writes" in capsys.readouterr().err


def test_runs_of_other_data_are_compared_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = run_folder(tmp_path / "a"), run_folder(tmp_path / "b")
    manifest = b / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"x"', '"y"'))
    assert "did not use the same data" in compared(capsys, a, b)["notes"][0]


def test_the_table_says_what_the_json_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")  # no cell wraps
    a = run_folder(tmp_path / "a", seeds=8)
    b = run_folder(tmp_path / "b", seeds=8, gain=-0.5)
    entry = by_name(compared(capsys, a, b))["new", "mcd"]
    assert main(["compare", str(a), str(b)]) == 0
    text = " ".join(capsys.readouterr().out.split()).replace("−", "-")
    low, high = entry["b_minus_a"]["ci"]
    assert f"{entry['b_minus_a']['mean']:.3f} [{low:.3f}, {high:.3f}]" in text
    assert "better (p = 0.031)" in text and "24/24" in text and "every score is equal" in text
    assert "MCD ↓ (dB, vcbench-1)" in text
    assert math.isfinite(entry["b_minus_a"]["detectable_at_80_percent_power"])


def test_help_needs_no_torch_and_no_pandas() -> None:
    import subprocess

    code = (
        "import sys; from vcbench.cli import main\n"
        "try: main(['compare', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0
