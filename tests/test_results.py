"""Rows of results, samples to listen to, and the manifest, from a plan and made-up scores."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from workplace import SUITE, Workplace

import vcbench
from vcbench import protocols, results
from vcbench.planning import Plan
from vcbench.scoring import ScoreItem, ScoreResult
from vcbench.store import RESULTS, TRAINING, RunFolder
from vcbench.units import Direction, Outputs, Unit, UtteranceLabels, units_of


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """One pair; the systems' names are those of files beside their samples."""
    place = Workplace(tmp_path / "place")
    text = SUITE.replace("F1-M1, M1-F2", "F1-M1").replace("first:", "source:")
    place.write(text.replace("second:", "target:").replace("[mcd]", "[mcd, f0-rmse]"))
    return place


@pytest.fixture
def plan(place: Workplace) -> Plan:
    return place.plan(seeds=[3, 5])


def labels(unit: Unit, utterance: str) -> UtteranceLabels:
    return UtteranceLabels(unit, unit.directions[1], utterance)


def test_a_score_is_a_row_per_metric_with_its_protocol_and_unit(plan: Plan) -> None:
    trained, *_, baseline = units_of(plan)
    wav = Path("a.wav")
    rows = results.score_rows(
        plan,
        [
            ScoreResult(ScoreItem(wav, wav, labels(trained, "s6")), {"mcd": 6.5, "f0-rmse": 9.0}),
            ScoreResult(ScoreItem(wav, wav, labels(baseline, "s7")), {}, "too short"),
        ],
    )
    assert all(list(row) == RESULTS for row in rows)
    common = ("small", "source", "F1-M1", "M1>F1", 3, "s6")
    assert [tuple(row.values()) for row in rows[:2]] == [
        (*common, "mcd", "vcbench-1", 6.5, "dB"),
        (*common, "f0-rmse", "vcbench-1", 9.0, "Hz"),
    ]
    # What could not be scored has a row without a value: it is missing, and not forgotten.
    assert [(row["system"], row["seed"], row["metric"]) for row in rows[2:]] == [
        ("resynthesis", None, "mcd"),
        ("resynthesis", None, "f0-rmse"),
    ]
    assert all(math.isnan(row["value"]) for row in rows[2:])


def test_a_line_of_the_log_is_a_row_per_number(plan: Plan) -> None:
    units = units_of(plan)
    planned = units[1].planned
    assert planned is not None
    planned.folder.mkdir(parents=True)
    lines = [
        {"iteration": 2, "cycle": 0.5, "discriminator": 0.7},
        {"iteration": 6, "validation": 1},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (planned.folder / "log.jsonl").write_text(text)
    rows = results.training_rows(units)
    assert all(list(row) == TRAINING for row in rows)
    assert [tuple(row.values()) for row in rows] == [
        ("source", "F1-M1", 5, 2, "cycle", 0.5),
        ("source", "F1-M1", 5, 2, "discriminator", 0.7),
        ("source", "F1-M1", 5, 6, "validation", 1),
    ]


def converted(units: Sequence[Unit], folder: Path) -> Outputs:
    """A file for each sentence of each unit and direction that tells what it is."""
    outputs: Outputs = {}
    folder.mkdir()
    for unit in units:
        for direction in unit.directions:
            wavs = {}
            for sentence in ("s6", "s7"):
                name = f"{unit.record.cell.replace('/', '_')} {direction.file_name} {sentence}"
                wavs[sentence] = folder / f"{name}.wav"
                wavs[sentence].write_text(name)
            outputs[unit.record.cell, direction] = wavs
    return outputs


def test_samples_are_the_same_sentences_by_every_system(plan: Plan, tmp_path: Path) -> None:
    units = units_of(plan)
    outputs = converted(units, tmp_path / "wavs")
    del outputs["resynthesis/F1-M1/-", Direction("M1", "F1")]  # a cell that failed
    folder = RunFolder(tmp_path / "reports", "small", "v1")
    samples = results.copy_samples(plan, units, outputs, folder)
    assert [(s["pair"], s["direction"], s["utterance"], s["seed"]) for s in samples] == [
        ("F1-M1", direction, sentence, 3)
        for direction in ("F1>M1", "M1>F1")
        for sentence in ("s6", "s7")
    ]
    files = set()
    for sample in samples:
        source, target = sample["direction"].split(">")
        sentence = sample["utterance"]
        number = sentence.removeprefix("s")
        assert (folder.path / sample["source"]).read_text() == f"{source} says {number}"
        assert (folder.path / sample["target"]).read_text() == f"{target} says {number}"
        systems = ["source", "target", "source-copy", "mean-variance"]
        assert list(sample["converted"]) == systems + ["resynthesis"] * (source == "F1")
        for system, path in sample["converted"].items():
            seed = 3 if system in ("source", "target") else "-"
            expected = f"{system}_F1-M1_{seed} {source}_to_{target} {sentence}"
            assert (folder.path / path).read_text() == expected
        files |= {sample["source"], sample["target"], *sample["converted"].values()}
    found = {str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file()}
    assert found == files


def test_the_sentence_that_is_converted_worst_is_played_first(
    place: Workplace, tmp_path: Path
) -> None:
    plan = place.plan("samples_per_direction=1", seeds=[3, 5])
    units = units_of(plan)
    trained = [u for u in units if u.record.kind == "trained"]
    # Seed 5 and the baselines, which score otherwise, are not heard.
    scores = [
        ScoreResult(
            ScoreItem(Path("a"), Path("a"), UtteranceLabels(unit, direction, sentence)),
            {"mcd": 9.0 if (sentence == "s7") == (unit in trained[::2]) else 8.0},
        )
        for unit in units
        for direction in unit.directions
        for sentence in ("s6", "s7")
    ]
    assert [u.record.seed for u in trained[::2]] == [3, 3]
    rows = results.score_rows(plan, scores)
    folder = RunFolder(tmp_path / "reports", "small", "v1")
    outputs = converted(units, tmp_path / "wavs")
    samples = results.copy_samples(plan, units, outputs, folder, rows)
    assert [sample["utterance"] for sample in samples] == ["s7", "s7"]
    assert all("/s7/" in sample["source"] for sample in samples)
    unscored = results.copy_samples(plan, units, outputs, folder)
    assert [sample["utterance"] for sample in unscored] == ["s6", "s6"]


def test_a_sample_keeps_the_suffix_of_what_it_is(place: Workplace, tmp_path: Path) -> None:
    for speaker in ("F1", "F2", "M1"):
        place.wav(speaker, "s7").rename(place.wav(speaker, "s7").with_suffix(".flac"))
    plan = place.plan()
    folder = RunFolder(tmp_path / "reports", "small", "v1")
    copied = results.copy_samples(plan, [], {}, folder)
    for part in ("source", "target"):
        assert [Path(sample[part]).suffix for sample in copied] == [".wav", ".flac"] * 2


def test_no_samples_are_asked_for(place: Workplace, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "reports", "small", "v1")
    plan = place.plan("samples_per_direction=0")
    assert results.copy_samples(plan, units_of(plan), {}, folder) == []
    assert not list(folder.path.iterdir())


def test_the_manifest_tells_all_that_the_numbers_depend_on(plan: Plan) -> None:
    units = units_of(plan)
    for unit in units:
        if unit.record.kind == "trained":
            unit.record.crop_stream_sha256 = f"hash of {unit.record.seed}"
    state = {"sha": "0" * 40, "dirty": False}
    found = results.manifest(plan, units, state, ["vcbench", "run", "small.yaml"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["vcbench"] == vcbench.__version__
    assert (found["suite_name"], found["suite"]) == ("small", plan.suite.resolved())
    assert (found["git"], found["command"]) == (state, ["vcbench", "run", "small.yaml"])
    counts = {"train": 5, "validation": 1, "eval": 2}
    assert found["data"] == {
        "corpus": "folder",
        "fingerprint": plan.data_fingerprint,
        "utterances": {"F1": counts, "M1": counts},
    }
    assert found["protocols"] == {"vcbench-1": protocols.get("vcbench-1").text}
    assert found["metrics"].keys() == {"mcd", "f0-rmse"}
    mcd = found["metrics"]["mcd"]
    assert (mcd["unit"], mcd["better"]) == ("dB", "lower")
    assert mcd["summary"] and mcd["paper"]
    assert found["crop_streams"] == {
        f"F1-M1/{seed}": {"source": f"hash of {seed}", "target": f"hash of {seed}"}
        for seed in (3, 5)
    }
    assert found["created_utc"].endswith("+00:00")
    assert found["machine"]["cpu_count"] >= 1 and "torch" in found["packages"]
