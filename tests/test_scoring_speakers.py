"""What a metric may ask for beside the pair: speakers' training speech, and the waveforms."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_corpus
import soundfile
from numpy.typing import NDArray
from voices import voice

from vcbench import audio, protocols
from vcbench.cli import main
from vcbench.errors import DataError, UsageError
from vcbench.plugins import Registry
from vcbench.scoring import ScoreItem, ScoreResult, score, score_all

Array = NDArray[np.float64]

SIMILARITY = "speaker-similarity"
VOICES = {"LOW": (110.0, 1.0), "MIDDLE": (150.0, 1.1), "HIGH": (210.0, 1.2)}


def spoken(name: str, *, seed: int, seconds: float = 0.5, sample_rate: int = 16000) -> Array:
    f0_hz, formant_scale = VOICES[name]
    options = {"formant_scale": formant_scale, "seed": seed, "sample_rate": sample_rate}
    return voice(seconds, f0_hz=f0_hz + 3 * seed, **options)


def write(path: Path, waveform: Array, *, sample_rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), waveform, sample_rate, subtype="PCM_16")
    return path


@pytest.fixture
def speakers(tmp_path: Path) -> dict[str, list[Path]]:
    """Three sentences each of three voices."""
    return {
        name: [write(tmp_path / name / f"{n}.wav", spoken(name, seed=n)) for n in range(3)]
        for name in VOICES
    }


@pytest.fixture
def item(tmp_path: Path) -> ScoreItem:
    """LOW's speech, meant to be HIGH's."""
    reference = write(tmp_path / "r" / "1.wav", spoken("HIGH", seed=8))
    return ScoreItem(reference, write(tmp_path / "c" / "1.wav", spoken("LOW", seed=8)), "1", "HIGH")


def scored(*items: ScoreItem, **options: object) -> list[ScoreResult]:
    arguments = {"metrics": [SIMILARITY], "registry": Registry(), "jobs": 1, **options}
    return score_all(items, protocol="vcbench-1", **arguments)


def expected(converted: Path, speakers: dict[str, list[Path]], target: str) -> float:
    """The definition, put together anew."""

    def embedding(path: Path) -> Array:
        analysis = protocols.get("vcbench-1").analyze(audio.read(path, sample_rate=16000), 16000)
        mcep = analysis.mcep[analysis.speech, 1:]
        return np.r_[np.mean(mcep, axis=0), np.std(mcep, axis=0)]

    by_speaker = {name: np.array(list(map(embedding, files))) for name, files in speakers.items()}
    every = np.vstack(list(by_speaker.values()))
    voice, said = (
        (x - every.mean(axis=0)) / every.std(axis=0)
        for x in (by_speaker[target].mean(axis=0), embedding(converted))
    )
    return float(voice @ said / np.sqrt((voice @ voice) * (said @ said)))


def test_the_similarity_is_that_to_the_targets_training_speech(
    item: ScoreItem, speakers: dict[str, list[Path]]
) -> None:
    swapped = ScoreItem(item.converted, item.reference, "2", "HIGH")
    back = ScoreItem(item.reference, item.converted, "3", "LOW")
    far, near, same = scored(item, swapped, back, speakers=speakers)
    for result in (far, near, same):
        found = expected(result.item.converted, speakers, result.item.target)
        assert result.values == pytest.approx({SIMILARITY: found}, rel=1e-9)
    assert far.values[SIMILARITY] < 0 < min(near.values[SIMILARITY], same.values[SIMILARITY])


def test_processes_and_the_disk_give_what_one_process_gives(
    item: ScoreItem, speakers: dict[str, list[Path]]
) -> None:
    items = [item, ScoreItem(item.reference, item.reference, "2", "LOW")]
    first = scored(*items, speakers=speakers, jobs=2)
    cache = Path(os.environ["VCBENCH_CACHE_DIR"])
    kept = list(cache.glob("speech/*/*.npz"))
    assert len(kept) == 9
    for path in cache.glob("scores/*/*.json"):
        path.unlink()
    kept[0].write_bytes(kept[0].read_bytes()[:100])  # torn
    kept[1].unlink()
    for one, again in zip(first, scored(*items, speakers=speakers), strict=True):
        # BLAS has more threads here than in a worker, and rounds otherwise.
        assert again.values == pytest.approx(one.values, rel=1e-9)
        assert again.problems == one.problems == ()


@pytest.fixture
def analyses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each waveform that is analysed in this process."""
    calls: list[int] = []
    original = protocols.Protocol.analyze

    def counting(self: protocols.Protocol, waveform: Array, rate: int) -> object:
        calls.append(len(waveform))
        return original(self, waveform, rate)

    monkeypatch.setattr(protocols.Protocol, "analyze", counting)
    return calls


def test_scores_are_kept_with_the_speech_and_the_target_that_they_are_of(
    item: ScoreItem, speakers: dict[str, list[Path]], analyses: list[int]
) -> None:
    (first,) = scored(item, speakers=speakers)
    assert len(analyses) == 9 + 2
    assert scored(item, speakers=speakers) == [first]
    assert len(analyses) == 11
    (other,) = scored(ScoreItem(item.reference, item.converted, "1", "LOW"), speakers=speakers)
    assert other.values[SIMILARITY] > first.values[SIMILARITY]
    assert len(analyses) == 13
    analyses.clear()
    fewer = {name: speakers[name] for name in ("LOW", "HIGH")}
    (two,) = scored(item, speakers=fewer)
    assert len(analyses) == 2
    assert two.values[SIMILARITY] == pytest.approx(expected(item.converted, fewer, "HIGH"))
    write(speakers["HIGH"][0], spoken("MIDDLE", seed=7))
    (changed,) = scored(item, speakers=speakers)
    assert changed.values[SIMILARITY] == pytest.approx(expected(item.converted, speakers, "HIGH"))
    assert changed.values != first.values


def test_metrics_that_ask_for_nothing_do_not_look_at_speakers(
    item: ScoreItem, analyses: list[int]
) -> None:
    nowhere = {"HIGH": [Path("/nowhere.wav")]}
    (result,) = scored(item, metrics=["mcd"], speakers=nowhere)
    assert result.values == scored(item, metrics=["mcd"])[0].values
    assert len(analyses) == 2


@pytest.mark.parametrize(
    ("names", "target", "message"),
    [
        ([], "HIGH", "training speech of the target and of other speakers, and none is given"),
        (["HIGH"], "HIGH", r"two speakers at least; given: 'HIGH' \(3 recordings\)"),
        (["LOW", "HIGH"], "MIDDLE", "the target 'MIDDLE' is none of them: LOW, HIGH"),
    ],
)
def test_too_little_speech_is_refused_before_anything_is_analysed(
    item: ScoreItem,
    speakers: dict[str, list[Path]],
    analyses: list[int],
    names: list[str],
    target: str,
    message: str,
) -> None:
    asked = ScoreItem(item.reference, item.converted, "1", target)
    with pytest.raises(UsageError, match=f"^{SIMILARITY}: .*{message}"):
        scored(asked, speakers={name: speakers[name] for name in names})
    waveforms = {n: [audio.read(p, sample_rate=16000) for p in speakers[n]] for n in names}
    waves = (spoken("HIGH", seed=1), spoken("LOW", seed=1))
    arguments = {"speakers": waveforms, "target": target, "metrics": [SIMILARITY]}
    with pytest.raises(UsageError, match=message):
        score(*waves, sample_rate=16000, **arguments)
    assert analyses == []


def test_unusable_training_speech_is_named(
    item: ScoreItem, speakers: dict[str, list[Path]], tmp_path: Path
) -> None:
    silent = write(tmp_path / "silent.wav", np.zeros(8000))
    for bad, message in (
        (silent, f"cannot be analysed:\n  {silent}: silent"),
        (tmp_path / "gone.wav", "gone.wav: cannot be read"),
        (
            write(
                tmp_path / "fast.wav", spoken("LOW", seed=1, sample_rate=48000), sample_rate=48000
            ),
            r"must have one sampling rate; found 48000 Hz \(.*fast.wav\) and 16000 Hz",
        ),
    ):
        with pytest.raises(DataError, match=message):
            scored(item, speakers={**speakers, "LOW": [bad]})


def test_a_pair_at_another_rate_than_the_speakers_is_named(
    speakers: dict[str, list[Path]], tmp_path: Path
) -> None:
    wave = spoken("LOW", seed=1, sample_rate=48000)
    file = write(tmp_path / "fast.wav", wave, sample_rate=48000)
    (result,) = scored(ScoreItem(file, file, "1", "LOW"), speakers=speakers)
    assert result.values == {}
    assert "48000 Hz, but the speakers' training speech has 16000 Hz" in result.failure
    assert result.failure.startswith(str(file))


def test_arrays_give_what_files_give(item: ScoreItem, speakers: dict[str, list[Path]]) -> None:
    def read(path: Path) -> Array:
        return audio.read(path, sample_rate=16000)

    waveforms = {name: [read(path) for path in files] for name, files in speakers.items()}
    table = score(
        read(item.reference),
        read(item.converted),
        sample_rate=16000,
        speakers=waveforms,
        target="HIGH",
    )
    values = dict(zip(table["metric"], table["value"], strict=True))
    assert values[SIMILARITY] == scored(item, speakers=speakers)[0].values[SIMILARITY]
    assert "mcd" in values


PLUGIN = '''
from vcbench.plugins import register_metric

@register_metric("asking", unit="recordings", better="neither")
def asking(pair, *, speakers, target, waveforms, sample_rate):
    """What it was given, as one number."""
    reference, converted = waveforms
    assert speakers.names == ("LOW", "MIDDLE", "HIGH") and sample_rate == 16000
    assert all(a.mcep.shape[1] == 25 and a.speech.all() for a in speakers.analyses(target))
    return len(reference) - len(converted) + 0.1 * len(list(speakers.analyses(target)))
'''


def test_a_plugins_metric_is_given_what_it_names(
    item: ScoreItem, speakers: dict[str, list[Path]], tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    longer = write(tmp_path / "longer.wav", spoken("LOW", seed=1, seconds=0.6))
    items = [item, ScoreItem(item.reference, longer, "2", "HIGH")]
    arguments = {"metrics": ["asking"], "registry": Registry([plugin]), "speakers": speakers}
    results = scored(*items, jobs=2, **arguments)
    assert [r.problems for r in results] == [(), ()]
    difference = (0.5 - 0.6) * 16000
    found = [r.values["asking"] for r in results]
    assert found == pytest.approx([0.3, difference + 0.3])


def test_the_command_takes_training_speech(
    item: ScoreItem,
    speakers: dict[str, list[Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pair = ["score", "--reference", tmp_path / "r", "--converted", tmp_path / "c", "--jobs", 1]

    def run(*more: object) -> tuple[int, str]:
        code = main([str(part) for part in (*pair, *more)])
        out, err = capsys.readouterr()
        return code, " ".join((out + err).split())

    target = ("--target-speech", tmp_path / "HIGH")
    others = ("--other-speech", tmp_path / "LOW", "--other-speech", f"{tmp_path}/MIDDLE/*.wav")
    code, said = run(*target, *others)
    assert code == 0
    value = expected(item.converted, speakers, "HIGH")
    assert f"{SIMILARITY} │ {value:.3f}" in said and "│ mcd │" in said
    code, said = run()
    assert code == 0 and SIMILARITY not in said
    code, said = run("--metrics", SIMILARITY)
    assert code == 2 and "--target-speech FILES --other-speech FILES" in said
    assert run(*target) == (
        2,
        "vcbench score: --other-speech is missing: a voice is told by training speech of the "
        "target and of at least one other speaker",
    )


def test_a_run_has_the_training_speech_of_its_speakers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCBENCH_REPORTS_DIR", str(tmp_path / "reports"))
    text = small_corpus.SUITE.replace("[mcd, f0-rmse]", f"[mcd, {SIMILARITY}]")
    suite = small_corpus.write(tmp_path, text)
    main(["run", str(suite), "--data", str(tmp_path), "--only", "*/-", "--jobs", "1"])
    results = pd.read_csv(tmp_path / "reports" / "small" / "latest" / "results.csv")
    found = results[results.metric == SIMILARITY].groupby(["system", "direction"])["value"].mean()
    for direction in ("LOW>HIGH", "HIGH>LOW"):
        assert found["resynthesis", direction] > 0 > found["source-copy", direction]
