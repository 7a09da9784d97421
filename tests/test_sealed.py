"""Files are whole or not there: any damage is seen, and no half-written file is ever met."""

from __future__ import annotations

import os
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from vcbench import audio, sealed

VALUES = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """Cut short, or with one byte changed, or with one more."""
    at = data.draw(st.integers(0, len(content) - 1))
    how = data.draw(st.sampled_from(["cut", "changed", "longer"]))
    if how == "cut":
        return content[:at]
    other = bytes([content[at] ^ data.draw(st.integers(1, 255))])
    return content[:at] + other + content[at + (how == "changed") :]


@ONE_FOLDER
@given(VALUES, st.data())
def test_json_comes_back_or_nothing_does(tmp_path: Path, value: dict, data: st.DataObject) -> None:
    value.pop("crc32", None)
    path = tmp_path / "a.json"
    sealed.write_json(path, value)
    assert sealed.read_json(path) == value
    path.write_bytes(damaged(path.read_bytes(), data))
    # White space carries nothing.
    assert sealed.read_json(path) in (None, value)


def test_json_without_a_checksum_or_too_deep_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("", "{}", "[]", '{"a": 1}', '{"a": 1, "crc32": "00000000"}', "[" * 100_000):
        path.write_text(text)
        assert sealed.read_json(path) is None
    assert sealed.read_json(tmp_path / "none.json") is None
    assert sealed.read_json(tmp_path) is None


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    audio.write(path, np.sin(np.arange(999) / 9), sample_rate=16000)
    sealed.seal_wav(path)
    return path.read_bytes()


@ONE_FOLDER
@given(st.data())
def test_any_damage_of_a_wav_is_seen(tmp_path: Path, wav: bytes, data: st.DataObject) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav)
    assert sealed.is_whole_wav(path)
    path.write_bytes(damaged(wav, data))
    assert not sealed.is_whole_wav(path)


def test_a_sealed_wav_is_one_for_every_reader(tmp_path: Path, wav: bytes) -> None:
    plain = tmp_path / "plain.wav"
    audio.write(plain, np.sin(np.arange(999) / 9), sample_rate=16000)
    assert not sealed.is_whole_wav(plain)
    expected = soundfile.read(str(plain), dtype="int16")[0]
    path = tmp_path / "a.wav"
    path.write_bytes(wav)
    np.testing.assert_array_equal(audio.read(path, sample_rate=16000) * 2**15, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy's for chunks that it does not know
        np.testing.assert_array_equal(wavfile.read(path)[1], expected)
    with wave.open(str(path)) as file:
        assert file.readframes(9999) == expected.tobytes()
    assert int.from_bytes(wav[4:8], "little") == len(wav) - 8  # the chunks fill the file


@ONE_FOLDER
@given(st.data())
def test_any_damage_of_an_archive_is_seen(tmp_path: Path, data: st.DataObject) -> None:
    """Of its directory too: an archive may then lack a record that was in it."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(5.0), b=np.ones((2, 2)))
    assert not sealed.is_whole_npz(path)
    sealed.seal_npz(path)
    assert sealed.is_whole_npz(path)
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["a"], np.arange(5.0))
    path.write_bytes(damaged(path.read_bytes(), data))
    assert not sealed.is_whole_npz(path)


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    sealed.write_text(path, "before")
    with pytest.raises(KeyboardInterrupt), sealed.replacing(path) as temporary:
        temporary.write_text("half")
        assert sealed.is_temporary(temporary)
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_durable_is_on_the_disk_before_and_after_its_name_is(
    durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    rename = Path.replace

    def renamed(source: Path, target: Path) -> Path:
        done.append("renamed")
        return rename(source, target)

    def synced(handle: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{handle}").readlink() == tmp_path else "file")

    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(os, "fsync", synced)
    sealed.write_json(tmp_path / "a.json", {}, durable=durable)
    assert done == (["file", "renamed", "folder"] if durable else ["renamed"])
