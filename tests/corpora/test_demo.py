"""The demo corpus: what it holds, that it is the same every time, and what can go wrong."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from vcbench import dtw, world
from vcbench.corpora import demo
from vcbench.corpora.demo import VOICES, Demo, sentences
from vcbench.errors import DataError, PluginError, UsageError
from vcbench.plugins import Registry


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The corpus, synthesised once for all tests, which must not change it."""
    prepared = Demo(tmp_path_factory.mktemp("demo"))
    prepared.prepare()
    return prepared


@pytest.fixture
def copying(corpus: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Synthesis is replaced by copying the corpus that is there, which is fast."""
    source = corpus.fetch()
    monkeypatch.setattr(demo, "_run_synthesis", lambda folder, *_: shutil.copytree(source, folder))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_sentences() -> None:
    held_out = [sentences(speaker, "eval") for speaker in VOICES]
    assert all(s == held_out[0] for s in held_out)
    assert len(held_out[0]) == 12
    # No sentence is in two training sets, by id or by text, and none is in the evaluation set.
    training = [sentences(speaker, "train") for speaker in VOICES]
    assert [len(t) for t in training] == [20] * len(VOICES)
    everything = [text for part in (*training, held_out[0]) for text in part.values()]
    assert len(set(everything)) == len(everything)
    assert len({i for part in training for i in part}) == 20 * len(VOICES)


def test_in_the_full_split_everyone_reads_what_two_read_in_the_other() -> None:
    parts = [set(sentences(speaker, "train").items()) for speaker in ("DF1", "DF2")]
    full = [sentences(speaker, "train", "full") for speaker in VOICES]
    assert all(part == full[0] for part in full)
    assert set(full[0].items()) == set().union(*parts)
    assert list(full[0]) == sorted(full[0])
    assert sentences("DF1", "eval", "full") == sentences("DF1", "eval")


def test_the_full_split_adds_parallel_speech_and_changes_nothing_else(
    corpus: Demo, tmp_path: Path
) -> None:
    factory = Registry().get("corpus", "demo").factory
    full = Demo(tmp_path, "full")
    full.prepare()
    spoken = {s: full.utterances(s, "train") for s in full.speakers()}
    ids = [[u.id for u in utterances] for utterances in spoken.values()]
    assert ids == [[f"t{n:03}" for n in range(1, 41)]] * 4
    assert full.check() == []
    before, after = contents(corpus.fetch()), contents(full.fetch())
    wavs = {name for name in before if name.endswith(".wav")}
    assert {name: after[name] for name in wavs} == {name: before[name] for name in wavs}
    assert (
        len({content for name, content in after.items() if name.endswith(".wav")})
        == 128 + 2 * 20 + 2 * 40
    )
    assert full.fetch().name != corpus.fetch().name
    with pytest.raises(UsageError, match="split 'parallel': "):
        factory(data_dir=tmp_path, split="parallel")
    with pytest.raises(DataError, match=r"make it: vcbench data fetch demo --set split=full$"):
        Demo(tmp_path / "nothing", "full").check()


def test_files(corpus: Demo) -> None:
    assert corpus.speakers() == ("DF1", "DF2", "DM1", "DM2")
    for speaker in corpus.speakers():
        train, held_out = (corpus.utterances(speaker, s) for s in ("train", "eval"))
        assert (len(train), len(held_out)) == (20, 12)
        for utterance in (*train, *held_out):
            samples, rate = soundfile.read(utterance.path, dtype="int16")
            assert rate == 16000
            assert samples.ndim == 1
            assert 2.0 < len(samples) / rate < 4.0
            assert np.abs(samples).max() < 32767  # nothing clips
            # Pauses are not digital zero: no 2 ms of the same value.
            runs = [len(list(group)) for _, group in itertools.groupby(samples.tolist())]
            assert max(runs) < 32
    assert corpus.check() == []


def test_same_bytes_in_another_process(corpus: Demo, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vcbench.corpora.demo", str(tmp_path / "again")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert contents(tmp_path / "again") == contents(corpus.fetch())


def test_nothing_is_synthesised_twice(corpus: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        pytest.fail("it was there already")

    monkeypatch.setattr(demo, "_run_synthesis", fail)
    corpus.prepare()


def mel_cepstra(corpus: Demo, speaker: str, subset: str) -> list[NDArray[np.float64]]:
    """c1 to c24 of the loud frames of four utterances, and their pitch is checked in passing."""
    found = []
    for utterance in corpus.utterances(speaker, subset)[:4]:
        waveform, rate = soundfile.read(utterance.path)
        f0_hz, times_s = world.estimate_f0(
            waveform, sample_rate=rate, frame_period_ms=5.0, method="dio", floor_hz=50, ceil_hz=500
        )
        assert (np.median(f0_hz[f0_hz > 0]) > 150) == (speaker[1] == "F")
        power = world.spectral_envelope(waveform, f0_hz, times_s, sample_rate=rate)
        level_db = 10 * np.log10(power.mean(axis=1) / power.mean())
        found.append(world.mel_cepstrum(power, order=24, alpha=0.41)[level_db > -20, 1:])
    return found


def distortion(reference: list[NDArray[np.float64]], converted: list[NDArray[np.float64]]) -> float:
    """Mean distance along the DTW path, averaged over utterances."""
    distances = []
    for a, b in zip(reference, converted, strict=True):
        path = dtw.dtw_path(a, b)
        distances.append(np.linalg.norm(a[path[:, 0]] - b[path[:, 1]], axis=1).mean())
    return float(np.mean(distances))


@pytest.mark.parametrize(("source", "target"), [("DM2", "DF1"), ("DF2", "DM1")])
def test_voices_differ_in_what_conversion_can_change(
    corpus: Demo, source: str, target: str
) -> None:
    """Matching means and variances must help, or the demo could show nothing."""
    pooled = {s: np.concatenate(mel_cepstra(corpus, s, "train")) for s in (source, target)}
    spoken, reference = (mel_cepstra(corpus, s, "eval") for s in (source, target))
    converted = [
        (c - pooled[source].mean(0)) / pooled[source].std(0) * pooled[target].std(0)
        + pooled[target].mean(0)
        for c in spoken
    ]
    assert distortion(reference, converted) < 0.97 * distortion(reference, spoken)


@pytest.mark.usefixtures("copying")
def test_two_processes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)
    publish = demo._publish
    monkeypatch.setattr(demo, "_publish", lambda *paths: (both.wait(), publish(*paths)))
    corpora = [Demo(tmp_path), Demo(tmp_path)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda c: c.prepare(), corpora))
    assert corpora[0].check() == []
    assert list((tmp_path / "corpora").iterdir()) == [corpora[0].fetch()]


@pytest.mark.usefixtures("copying")
def test_deleted_files_are_made_again(tmp_path: Path) -> None:
    corpus = Demo(tmp_path)
    with pytest.raises(DataError, match=r"12 files are not there .* vcbench data fetch demo"):
        corpus.utterances("DF1", "eval")
    with pytest.raises(DataError, match="not made yet"):
        corpus.check()
    corpus.prepare()
    victim = corpus.utterances("DF1", "eval")[3].path
    victim.unlink()
    assert [(p.path, p.kind) for p in corpus.check()] == [(victim, "missing")]
    corpus.prepare()
    assert corpus.check() == []
    assert list((tmp_path / "corpora").iterdir()) == [corpus.fetch()]


@pytest.mark.usefixtures("copying")
def test_changed_files_are_found(tmp_path: Path) -> None:
    corpus = Demo(tmp_path)
    corpus.prepare()
    first, second = (u.path for u in corpus.utterances("DM1", "train")[:2])
    shutil.copy(second, first)
    assert [(p.path, p.kind) for p in corpus.check()] == [(first, "corrupt")]


def test_failed_synthesis_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho DF1/train/t001.wav\necho it broke >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(PluginError, match=r"could not be synthesised: it broke$"):
        Demo(tmp_path / "cache").prepare()
    assert list((tmp_path / "cache" / "corpora").iterdir()) == []


def test_without_the_synthesiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert "demo" in Registry().names("corpus")
    corpus = Registry().get("corpus", "demo").factory(data_dir=tmp_path)
    with pytest.raises(PluginError) as caught:
        corpus.prepare()
    assert "pip install 'vcbench[demo]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "corpora").write_text("in the way")
    with pytest.raises(DataError, match="cannot write the demo corpus"):
        Demo(tmp_path).prepare()


def test_unknown_speaker(corpus: Demo) -> None:
    with pytest.raises(DataError, match="no speaker 'DF3': did you mean 'DF"):
        corpus.utterances("DF3", "train")
