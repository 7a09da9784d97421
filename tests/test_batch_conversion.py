"""Converting a whole plan: what lies where, what is done once, and what a failure takes along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import small_corpus

from vcbench import audio, features, fingerprint, planning, suite, world
from vcbench.batch_conversion import convert_units
from vcbench.conversion import VoiceConverter, unchanged
from vcbench.features import FeatureStore
from vcbench.normalization import SpeakerStatistics
from vcbench.planning import Plan
from vcbench.units import Direction, Outputs, Unit, units_of

UP, DOWN = Direction("LOW", "HIGH"), Direction("HIGH", "LOW")


@dataclass(frozen=True)
class Converted:
    """The small suite's plan, with its baselines converted once."""

    plan: Plan
    cache: Path
    outputs: Outputs

    def again(self, *, jobs: int = 1, units: Sequence[Unit] | None = None) -> Outputs:
        chosen = baselines(self.plan) if units is None else units
        return convert_units(self.plan, chosen, self.cache, jobs, None)


def baselines(plan: Plan) -> list[Unit]:
    return [unit for unit in units_of(plan) if unit.record.kind == "baseline"]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    root = tmp_path_factory.mktemp("small")
    loaded = suite.load(str(small_corpus.write(root)))
    cache = root / "cache"
    plan = planning.make_plan(loaded, data_dir=root, cache_dir=cache, device="cpu")
    FeatureStore(cache, plan.parameters).extract(plan.speech.all(), jobs=2)
    return Converted(plan, cache, convert_units(plan, baselines(plan), cache, 2, None))


def test_units_are_cells_and_baselines(converted: Converted) -> None:
    units = units_of(converted.plan)
    assert [(u.record.cell, u.record.kind, u.record.seed) for u in units] == [
        ("one-d/LOW-HIGH/0", "trained", 0),
        ("two-d/LOW-HIGH/0", "trained", 0),
        ("source-copy/LOW-HIGH/-", "baseline", None),
        ("mean-variance/LOW-HIGH/-", "baseline", None),
        ("resynthesis/LOW-HIGH/-", "baseline", None),
    ]
    for unit in units:
        assert [str(d) for d in unit.directions] == ["LOW>HIGH", "HIGH>LOW"]
        assert (unit.planned is None) == (unit.record.kind == "baseline")
        assert (unit.record.status, unit.record.cached) == ("ok", False)
    assert units[0].record.key == converted.plan.cells[0].key
    assert Path(units[0].record.log) == converted.plan.cells[0].folder / "output.log"
    assert UP.file_name == "LOW_to_HIGH"


def test_every_baseline_says_every_sentence_in_both_directions(converted: Converted) -> None:
    assert converted.outputs.keys() == {
        (f"{name}/LOW-HIGH/-", direction)
        for name in ("source-copy", "mean-variance", "resynthesis")
        for direction in (UP, DOWN)
    }
    made = set()
    for (cell, direction), wavs in converted.outputs.items():
        assert list(wavs) == ["s6", "s7"]
        if cell.startswith("source-copy"):
            spoken = converted.plan.speech.evaluation[direction.source]
            assert wavs == {u.id: u.path for u in spoken}
        else:
            assert all(path.is_relative_to(converted.cache) for path in wavs.values())
            made |= set(wavs.values())
    assert len(made) == 8
    assert {p for p in (converted.cache / "baselines").rglob("*") if p.is_file()} == made


@pytest.mark.parametrize("direction", [UP, DOWN], ids=str)
def test_each_baseline_does_what_it_says(converted: Converted, direction: Direction) -> None:
    """Statistics are those of the training speech: no held-out and no evaluation sentence."""
    plan, parameters = converted.plan, converted.plan.parameters
    source, target = (
        SpeakerStatistics.from_features(
            [features.load(plan.features[u]) for u in plan.speech.train[speaker]]
        )
        for speaker in (direction.source, direction.target)
    )
    assert {len(u) for u in plan.speech.train.values()} == {5}
    matched = VoiceConverter(unchanged, source, target, parameters)
    for index, sentence in enumerate(("s6", "s7")):
        said, meant = (
            features.load(plan.features[plan.speech.evaluation[speaker][index]])
            for speaker in (direction.source, direction.target)
        )
        for name, expected in (
            ("mean-variance", matched(said)),
            ("resynthesis", world.synthesize(meant, parameters)),
        ):
            path = converted.outputs[f"{name}/LOW-HIGH/-", direction][sentence]
            found = audio.read(path, sample_rate=16000)
            gain = min(1.0, 32767 / 32768 / np.max(np.abs(expected)))
            np.testing.assert_allclose(found, gain * expected, rtol=0, atol=1.5 / 32768)


def times(outputs: Outputs) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for wavs in outputs.values() for p in wavs.values()}


def test_the_second_time_nothing_is_converted(
    converted: Converted, capsys: pytest.CaptureFixture[str]
) -> None:
    before = times(converted.outputs)
    assert converted.again() == converted.outputs
    assert times(converted.outputs) == before
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "conversion: 0 utterances converted, 8 cached\n")


def test_editing_the_conversion_converts_anew(
    converted: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = convert_units(converted.plan, baselines(converted.plan), tmp_path, 1, None)
    used: list[str] = []

    def edited(sources: Sequence[str]) -> str:
        used.extend(sources)
        return "edited" * 10

    monkeypatch.setattr(fingerprint, "of_sources", edited)
    after = convert_units(converted.plan, baselines(converted.plan), tmp_path, 1, None)
    assert {"vcbench.conversion", "vcbench.normalization", "vcbench.world"} <= set(used)
    assert len(list(tmp_path.rglob("*.wav"))) == 16
    shared = set(times(after)) & set(times(before))
    assert shared == {u.path for part in converted.plan.speech.evaluation.values() for u in part}


def test_a_cell_that_cannot_convert_is_named_and_the_others_go_on(
    converted: Converted, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first cell failed in training; the second one's checkpoint is gone."""
    units = units_of(converted.plan)
    units[0].record.fail("oom", "killed by SIGKILL")
    assert converted.again(units=units) == converted.outputs
    assert (units[0].record.status, units[0].record.reason) == ("oom", "killed by SIGKILL")
    record = units[1].record
    assert record.status == "failed"
    folder = converted.plan.cells[1].folder
    assert record.reason == f"conversion LOW>HIGH: {folder}/checkpoint.pt: no such checkpoint"
    assert {unit.record.status for unit in units[2:]} == {"ok"}
    said = capsys.readouterr().err
    assert f"FAILED {record.cell}: {record.reason}" in said
    assert "one-d" not in said, "it was not even tried"


def test_progress_is_counted_per_direction_of_a_unit(converted: Converted) -> None:
    calls: list[tuple[str, int, int | None]] = []
    convert_units(
        converted.plan, baselines(converted.plan), converted.cache, 1, lambda *c: calls.append(c)
    )
    assert calls == [("converting speech", n, 4) for n in (1, 2, 3, 4)]
    assert not list(converted.cache.rglob("*.tmp"))
