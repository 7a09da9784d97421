"""A corpus that changes under a run: no number is told of other speech than the run names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import voices
from place import Place, cells, scored, tables

from vcbench import audio, features, scoring
from vcbench.corpora import Utterance
from vcbench.errors import DataError
from vcbench.features import FeatureStore
from vcbench.plugins import Registry
from vcbench.scoring import ScoreItem, batch
from vcbench.world import FeatureParameters


def write_voice(path: Path, seed: int) -> Path:
    audio.write(path, voices.voice(0.9, f0_hz=150.0, seed=seed), sample_rate=16000)
    return path


def replaces(place: Place, when: str, recording: Path, seed: int) -> None:
    """At that time in the next run, other speech takes the recording's name."""
    place.tell(f"{when}-changes-a-recording")
    write_voice(place.faults / "new.wav", seed)
    (place.faults / "replaces").symlink_to(recording)


@pytest.mark.slow
def test_recordings_that_are_replaced_while_a_run_is_under_way(
    tmp_path: Path, speech: Path, undisturbed: Callable[[Place], Path]
) -> None:
    mine = Path(shutil.copytree(speech, tmp_path / "speech"))
    place = Place(tmp_path / "place", mine, {"any": {"mood": "any"}, "fine": {}})

    # After planning, before anything is analysed.
    replaces(place, "checked", mine / "LOW" / "s0.wav", seed=1)
    done = place.run()
    assert done.returncode == 2
    assert f"{mine}/LOW/s0.wav: changed since the run began; run again" in done.stderr
    assert not place.reports.exists()

    # While it trains: of what is trained on the features are there, but this one is compared with.
    replaces(place, "trained", mine / "HIGH" / "s6.wav", seed=2)
    done = place.run()
    assert done.returncode == 1, done.stderr
    found = cells(place.latest)
    assert {cell["status"] for cell in found.values()} == {"failed"}
    for cell in found.values():
        assert f"{mine}/HIGH/s6.wav: changed since the run began; run again" in cell["reason"]
    # Two metrics of what became HIGH's s6, and for what is copied, of what it became too.
    assert scored(place.latest) == {"any": 6, "fine": 6, "source-copy": 4}

    place.tell()
    done = place.run()
    assert done.returncode == 0, done.stderr
    assert tables(place.latest) == tables(undisturbed(place))


def test_a_recording_that_is_replaced_while_it_is_analysed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its features must not be kept under the name of what it was."""
    wav = write_voice(tmp_path / "a.wav", seed=1)
    spoken = Utterance("A", "a", wav)
    store = FeatureStore(tmp_path / "cache", FeatureParameters(f0="dio"))
    before = wav.read_bytes()
    read = audio.read

    def late(path: Path, **options: int) -> audio.Waveform:
        write_voice(path, seed=2)
        return read(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(audio, "read", late)
        with pytest.raises(DataError, match=r"a\.wav: changed while it was analysed; run again"):
            store.extract([spoken], jobs=1)
    assert list(store.folder.rglob("*.npz")) == []

    wav.write_bytes(before)
    (path,) = store.extract([spoken], jobs=1).paths.values()
    other = FeatureStore(tmp_path / "other", store.parameters)
    (expected,) = other.extract([spoken], jobs=1).paths.values()
    assert (features.load(path).mcep == features.load(expected).mcep).all()


@pytest.mark.parametrize("which", ["reference", "converted"])
def test_a_recording_that_is_replaced_while_it_is_scored(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its score must not be kept as that of what it was."""
    wavs = {
        name: write_voice(tmp_path / f"{name}.wav", seed=1) for name in ("reference", "converted")
    }
    write_voice(wavs["converted"], seed=3)
    before = wavs[which].read_bytes()

    def score() -> scoring.ScoreResult:
        (result,) = scoring.score_all(
            [ScoreItem(wavs["reference"], wavs["converted"])],
            protocol="vcbench-1",
            metrics=["mcd"],
            registry=Registry(),
            jobs=1,
        )
        return result

    analyze = batch.analyze_file

    def late(path: Path, *args: object) -> object:
        write_voice(wavs[which], seed=7)
        return analyze(path, *args)

    with monkeypatch.context() as patch:
        patch.setattr(batch, "analyze_file", late)
        assert "changed while it was scored" in score().failure
    wavs[which].write_bytes(before)
    again = score()
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(tmp_path / "another"))
    assert not again.failure
    assert again.values == score().values
