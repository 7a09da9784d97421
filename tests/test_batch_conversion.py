"""Converting a whole plan: what lies where, what is done once, and what a failure takes along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import small_corpus

from vcbench import (
    audio,
    batch_conversion,
    conversion_tasks,
    features,
    fingerprint,
    planning,
    sealed,
    suite,
    world,
)
from vcbench.batch_conversion import convert_units
from vcbench.conversion import VoiceConverter, unchanged
from vcbench.corpora import Utterance
from vcbench.features import FeatureStore
from vcbench.normalization import SpeakerStatistics
from vcbench.planning import Plan
from vcbench.store import CellRecord
from vcbench.training.loop import train
from vcbench.units import Direction, Outputs, Unit, units_of
from vcbench.world import Array

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


def test_systems_that_share_a_training_share_what_it_says(
    converted: Converted, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal but for its name, a system has the same key and folder, and is converted once."""
    twins = converted.plan.suite.path.with_name("twins.yaml")
    one_d = small_corpus.SUITE.split("  one-d:\n")[1].split("  two-d:\n")[0]
    twins.write_text(small_corpus.SUITE.replace("  two-d:\n", f"  twin:\n{one_d}  two-d:\n"))
    cache = converted.cache
    plan = planning.make_plan(
        suite.load(str(twins)), data_dir=twins.parent, cache_dir=cache, device="cpu"
    )
    units = units_of(plan)[:2]
    assert [unit.record.system for unit in units] == ["one-d", "twin"]
    assert units[0].record.key == units[1].record.key
    train(units[0].planned.cell, units[0].planned.folder)
    calls: list[tuple[int, int | None]] = []
    outputs = convert_units(plan, units, cache, 1, lambda _, n, total: calls.append((n, total)))
    assert calls == [(1, 2), (2, 2)]
    assert {unit.record.status for unit in units} == {"ok"}
    assert len(outputs) == 4
    for direction in (UP, DOWN):
        said = outputs["one-d/LOW-HIGH/0", direction]
        assert outputs["twin/LOW-HIGH/0", direction] == said
        assert all(sealed.is_whole_wav(path) for path in said.values())
    assert capsys.readouterr().err == "conversion: 4 utterances converted, 0 cached\n"

    units[0].planned.folder.joinpath("checkpoint.pt").unlink()
    outputs["one-d/LOW-HIGH/0", UP]["s6"].unlink()
    again = convert_units(plan, units, cache, 1, None)
    assert {cell for cell, direction in again if direction == UP} == set()
    assert {unit.record.status for unit in units} == {"failed"}, "what fails for one, for both"
    assert "1 direction failed" in capsys.readouterr().err


def test_the_smoothed_target_is_the_target_with_less_movement(
    converted: Converted, tmp_path: Path
) -> None:
    plan, parameters = converted.plan, converted.plan.parameters
    record = CellRecord("smoothed-target/LOW-HIGH/-", "smoothed-target", "LOW-HIGH", None, "")
    outputs = convert_units(plan, [Unit(record, "LOW", "HIGH", None)], tmp_path, 1, None)
    for index, sentence in enumerate(("s6", "s7")):
        meant = features.load(plan.features[plan.speech.evaluation["HIGH"][index]])
        frames = range(len(meant.mcep))
        smooth = [meant.mcep[max(0, t - 2) : t + 3].mean(axis=0) for t in frames]
        expected = world.synthesize(replace(meant, mcep=np.array(smooth)), parameters)
        found = audio.read(outputs[record.cell, UP][sentence], sample_rate=16000)
        gain = min(1.0, 32767 / 32768 / np.max(np.abs(expected)))
        np.testing.assert_allclose(found, gain * expected, rtol=0, atol=1.5 / 32768)


def test_progress_is_counted_per_direction_of_a_unit(converted: Converted) -> None:
    calls: list[tuple[str, int, int | None]] = []
    convert_units(
        converted.plan, baselines(converted.plan), converted.cache, 1, lambda *c: calls.append(c)
    )
    assert calls == [("converting speech", n, 4) for n in (1, 2, 3, 4)]
    assert not list(converted.cache.rglob("*.tmp"))


class Recorder:
    """Stands for the GMM: remembers what it learnt from, and whose sentences it is asked for."""

    made: ClassVar[list[Recorder]] = []

    def __init__(self, pairs: Sequence[tuple[Array, Array]]) -> None:
        self.pairs, self.asked = list(pairs), []
        self.made.append(self)

    def __call__(self, normalized: Array) -> Array:
        self.asked.append(normalized)
        return normalized


def recorded(plan: Plan, cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """What `parallel-gmm` does in the direction LOW>HIGH of the plan."""
    monkeypatch.setattr(Recorder, "made", [])
    monkeypatch.setattr(conversion_tasks, "ParallelGmm", Recorder)
    # In this process, where the recorder is.
    monkeypatch.setattr(
        batch_conversion, "map_processes", lambda f, items, **_: list(map(f, items))
    )
    record = CellRecord("parallel-gmm/LOW-HIGH/-", "parallel-gmm", "LOW-HIGH", None, "baseline")
    outputs = convert_units(plan, [Unit(record, "LOW", "HIGH", None)], cache, 1, None)
    assert record.status == "ok", record.reason
    assert [len(wavs) for wavs in outputs.values()] == [2, 2]
    return Recorder.made[: len(Recorder.made) // 2]


def spoken(plan: Plan, speaker: str, utterances: Sequence[Utterance]) -> list[Array]:
    """Normalised mel-cepstra of each."""
    train = [features.load(plan.features[u]) for u in plan.speech.train[speaker]]
    statistics = SpeakerStatistics.from_features(train)
    return [statistics.normalize(features.load(plan.features[u]).mcep) for u in utterances]


def test_the_topline_learns_from_parallel_training_sentences(
    converted: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = converted.plan
    (gmm,) = recorded(plan, tmp_path, monkeypatch)
    for side, speaker in enumerate(("LOW", "HIGH")):
        expected = spoken(plan, speaker, plan.speech.train[speaker])
        for pair, mcep in zip(gmm.pairs, expected, strict=True):
            np.testing.assert_array_equal(pair[side], mcep)
    for asked, mcep in zip(
        gmm.asked, spoken(plan, "LOW", plan.speech.evaluation["LOW"]), strict=True
    ):
        np.testing.assert_array_equal(asked, mcep)


def test_where_training_is_disjoint_the_topline_never_converts_what_it_learnt_from(
    converted: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, high = (converted.plan.speech.train[s] for s in ("LOW", "HIGH"))
    disjoint = replace(converted.plan.speech, train={"LOW": low[:2], "HIGH": high[2:]})
    plan = replace(converted.plan, speech=disjoint)
    first, second = spoken(plan, "LOW", plan.speech.evaluation["LOW"])
    of_second, of_first = recorded(plan, tmp_path, monkeypatch)
    for gmm, learnt, asked in ((of_second, second, first), (of_first, first, second)):
        assert [len(gmm.pairs), len(gmm.asked)] == [1, 1]
        np.testing.assert_array_equal(gmm.pairs[0][0], learnt)
        np.testing.assert_array_equal(gmm.asked[0], asked)
