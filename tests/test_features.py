"""The feature cache: nothing is computed twice, nothing stale is used, nothing bad gets in."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile
from voices import noise, voice

from vcbench import audio, features, fingerprint, sealed, world
from vcbench.corpora import Utterance
from vcbench.errors import DataError
from vcbench.features import FeatureStore
from vcbench.world import FeatureParameters

FAST = FeatureParameters(f0="dio")


@pytest.fixture
def utterances(tmp_path: Path) -> list[Utterance]:
    """Three recordings of 0.4 s."""
    found = []
    for number in range(3):
        path = tmp_path / "speech" / f"{number}.wav"
        audio.write(path, voice(0.4, f0_hz=120 + 40 * number), sample_rate=16000)
        found.append(Utterance("A", str(number), path))
    return found


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store", FAST)


def counts(
    store: FeatureStore, utterances: Sequence[Utterance], *, jobs: int = 1
) -> tuple[int, int]:
    """(extracted, cached)."""
    done = store.extract(utterances, jobs=jobs)
    return done.extracted, done.cached


def files(store: FeatureStore) -> dict[Path, bytes]:
    """Everything below the store's folder, temporary files too."""
    found = [path for path in store.folder.rglob("*") if path.is_file()]
    return {path.relative_to(store.folder): path.read_bytes() for path in found}


def test_the_second_time_nothing_is_extracted(
    store: FeatureStore, utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.extract(utterances, jobs=1)
    assert (first.extracted, first.cached) == (3, 0)
    assert list(first.paths) == utterances
    times = {path: path.stat().st_mtime_ns for path in first.paths.values()}
    monkeypatch.delattr(world, "analyze")
    second = FeatureStore(store.folder.parent, FAST).extract(utterances, jobs=1)
    assert (second.extracted, second.cached) == (0, 3)
    assert second.paths == first.paths
    assert {path: path.stat().st_mtime_ns for path in second.paths.values()} == times


def test_a_file_holds_the_analysis_of_its_recording(
    store: FeatureStore, utterances: list[Utterance]
) -> None:
    """F0 as WORLD needs it, the rest as float32, which is 24 bits of mantissa."""
    path = store.extract(utterances[:1], jobs=1).paths[utterances[0]]
    expected = world.analyze(soundfile.read(utterances[0].path)[0], FAST)
    found = features.load(path)
    np.testing.assert_array_equal(found.f0_hz, expected.f0_hz)
    for name in ("mcep", "coded_aperiodicity"):
        values = getattr(found, name)
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, getattr(expected, name), rtol=2**-23, atol=1e-30)


def test_the_name_is_the_hash_of_all_bytes_and_of_what_is_made_of_them(
    store: FeatureStore, tmp_path: Path
) -> None:
    """However they are read: what is in a cache stays valid."""
    decoder = f"soundfile {fingerprint.version_of('soundfile')}".encode()
    contents = {b"RIFF" + bytes(3_000_000): b"", b"fLaC": b"", b"ID3 1": decoder, b"RI": decoder}
    for content, more in contents.items():
        (tmp_path / "a.wav").write_bytes(content)
        expected = hashlib.sha256(content + more + store._version.encode()).hexdigest()
        assert store.path(tmp_path / "a.wav").name == f"{expected}.npz"


def test_what_decides_the_features_and_what_does_not(
    store: FeatureStore, utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert counts(store, utterances) == (3, 0)
    moved = utterances[0].path.rename(utterances[0].path.parent.parent / "other name.wav")
    utterances[0] = replace(utterances[0], path=moved, speaker="B", id="x")
    assert counts(store, utterances) == (0, 3)
    content = bytearray(utterances[1].path.read_bytes())
    content[-2] ^= 1  # the last sample, by one step
    utterances[1].path.write_bytes(content)
    assert counts(store, utterances) == (1, 2)
    for change in ({"n_mcep": 25}, {"mel_cepstrum": "sptk"}, {"f0_floor_hz": 72.0}):
        other = FeatureStore(store.folder.parent, replace(FAST, **change))
        assert counts(other, utterances) == (3, 0)
    used: list[str] = []

    def edited(sources: Sequence[str]) -> str:
        used.extend(sources)
        return "another hash"

    monkeypatch.setattr(fingerprint, "of_sources", edited)
    assert counts(FeatureStore(store.folder.parent, FAST), utterances) == (3, 0)
    assert {"vcbench.world", "vcbench.features", "vcbench.audio"} <= set(used)
    monkeypatch.undo()
    assert counts(store, utterances) == (0, 3)


def test_equal_recordings_are_analysed_once(
    store: FeatureStore, utterances: list[Utterance]
) -> None:
    copy = utterances[0].path.with_name("copy.wav")
    copy.write_bytes(utterances[0].path.read_bytes())
    done = store.extract([*utterances, Utterance("A", "copy", copy)], jobs=1)
    assert (done.extracted, done.cached) == (3, 1)
    assert done.paths[Utterance("A", "copy", copy)] == done.paths[utterances[0]]


def test_the_number_of_processes_does_not_show(tmp_path: Path, utterances: list[Utterance]) -> None:
    one, two = (FeatureStore(tmp_path / name, FAST) for name in ("one", "two"))
    reported: list[tuple[str, int, int | None]] = []
    one.extract(utterances, jobs=1, progress=lambda *call: reported.append(call))
    assert reported == [("extracting features", n, 3) for n in (1, 2, 3)]
    reported.clear()
    two.extract(utterances, jobs=2, progress=lambda *call: reported.append(call))
    assert reported == [("extracting features", n, 3) for n in (1, 2, 3)]
    assert files(one) == files(two)
    assert len(files(one)) == 3


def empty(path: Path) -> None:
    path.write_bytes(b"")


def silent(path: Path) -> None:
    audio.write(path, np.zeros(8000), sample_rate=16000)


def unvoiced(path: Path) -> None:
    audio.write(path, noise(0.5), sample_rate=16000)


def stereo(path: Path) -> None:
    soundfile.write(path, np.stack([voice(0.3)] * 2, axis=1), 16000)


def truncated(path: Path) -> None:
    audio.write(path, voice(0.3), sample_rate=16000)
    path.write_bytes(path.read_bytes()[:-2])


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def folder(path: Path) -> None:
    path.mkdir()


BAD: dict[Callable[[Path], None], str] = {
    empty: "not a readable audio file",
    silent: "silent: all 8000 samples are zero",
    unvoiced: "unvoiced: 2 frames with F0 between 71 and 800 Hz, at least 10 are needed",
    stereo: "2 channels; mono is needed",
    truncated: "truncated",
    missing: "cannot be read (No such file or directory)",
    folder: "cannot be read (Is a directory)",
}


def test_all_that_cannot_be_used_is_listed_and_the_rest_is_kept(
    store: FeatureStore, utterances: list[Utterance]
) -> None:
    """Two of each kind: files of equal content, such as empty ones, are each named."""
    expected = {}
    for make, words in BAD.items():
        for copy in (1, 2):
            path = utterances[0].path.with_name(f"{make.__name__}-{copy}.wav")
            make(path)
            utterances.append(Utterance("A", path.stem, path))
            expected[str(path)] = words
    with pytest.raises(DataError) as caught:
        store.extract(utterances, jobs=1)
    first, *lines = str(caught.value).split("\n  ")
    assert first.startswith("14 of 17 audio files cannot be used")
    assert len(lines) == 14
    named = {line.partition(".wav: ")[0] + ".wav": line.partition(".wav: ")[2] for line in lines}
    assert named.keys() == expected.keys()
    for name, reason in named.items():
        assert reason.startswith(expected[name])
    assert len(files(store)) == 3
    assert counts(store, utterances[:3]) == (0, 3)


def test_ten_voiced_frames_are_enough() -> None:
    def speech(voiced: int) -> world.WorldFeatures:
        f0_hz = np.where(np.arange(40) < voiced, 100.0, 0.0)
        return world.WorldFeatures(f0_hz, np.zeros((40, 24)), np.zeros((40, 1)))

    assert features.unvoiced(speech(10), FAST) == ""
    assert features.unvoiced(speech(9), FAST).startswith("unvoiced: 9 frames")


def test_a_damaged_feature_file_is_named_and_never_misread(tmp_path: Path) -> None:
    """Wherever the file ends, and whichever byte of it has changed."""
    path = tmp_path / "a.npz"
    f0_hz = np.linspace(80, 200, 7)
    whole = world.WorldFeatures(f0_hz, np.full((7, 3), 0.25), np.full((7, 1), -3.0))
    features.save(path, whole)
    content = path.read_bytes()
    damaged = [content[:length] for length in range(len(content))]
    for at, mask in itertools.product(range(len(content)), (1, 32, 255)):
        damaged.append(content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :])
    refused = 0
    for changed in damaged:
        path.write_bytes(changed)
        try:
            found = features.load(path)
        except DataError as error:
            assert str(error).startswith(f"{path}: damaged feature file (")
            assert str(error).endswith("); `vcbench run` computes it again")
            assert not sealed.is_whole_npz(path)  # and it does
            refused += 1
            continue
        # A byte that carries nothing, such as a date, is no damage.
        for name in ("f0_hz", "mcep", "coded_aperiodicity"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    assert refused > 0.7 * len(damaged)


def test_a_missing_feature_file_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such feature file"):
        features.load(tmp_path / "a.npz")


def test_an_interrupted_write_leaves_nothing_that_looks_whole(
    store: FeatureStore, utterances: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(file: IO[bytes], **_: np.ndarray) -> None:
        file.write(b"PK\x03\x04 half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", torn)
    with pytest.raises(KeyboardInterrupt):
        store.extract(utterances, jobs=1)
    assert not list(store.folder.rglob("*.npz"))
    monkeypatch.undo()
    assert counts(store, utterances) == (3, 0)


def test_writing_again_leaves_readers_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """The file is replaced and not written into: who has it open goes on reading what it was."""
    path = tmp_path / "a.npz"
    first = world.WorldFeatures(np.full(3, 90.0), np.zeros((3, 2)), np.zeros((3, 1)))
    features.save(path, first)
    before = path.read_bytes()
    with path.open("rb") as reader:
        features.save(path, replace(first, f0_hz=np.full(3, 180.0)))
        assert reader.read() == before
    assert features.load(path).f0_hz[0] == 180.0
    assert list(tmp_path.iterdir()) == [path]
