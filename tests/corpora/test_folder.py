"""The folder corpus: the split by rule, and folders that are not what they should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import wav

from vcbench.corpora.folder import folder
from vcbench.errors import DataError, UsageError
from vcbench.plugins import Registry


def make(root: Path, speakers: dict[str, list[str]]) -> Path:
    """Empty files ROOT/SPEAKER/NAME: the split never looks into them."""
    for speaker, names in speakers.items():
        (root / speaker).mkdir(parents=True)
        for name in names:
            (root / speaker / name).touch()
    return root


IDS = st.sets(st.from_regex(r"[a-z0-9_]{1,3}", fullmatch=True), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None)
@given(
    common=IDS,
    extras=st.lists(IDS, min_size=2, max_size=3),
    fraction=st.floats(0.01, 0.99),
    flac=st.booleans(),
)
def test_split_rule(
    tmp_path_factory: pytest.TempPathFactory,
    common: set[str],
    extras: list[set[str]],
    fraction: float,
    flac: bool,
) -> None:
    # An id of each speaker's own, so that something is always left to train on.
    speakers = {f"S{n}": common | more | {f"own{n}"} for n, more in enumerate(extras)}
    suffix = ".flac" if flac else ".wav"
    root = make(
        tmp_path_factory.mktemp("root"),
        {speaker: [i + suffix for i in ids] for speaker, ids in speakers.items()},
    )
    corpus = folder(data_dir=root, eval_fraction=fraction)
    shared = sorted(set.intersection(*speakers.values()))
    assert corpus.speakers() == tuple(sorted(speakers))
    for speaker, ids in speakers.items():
        train = [u.id for u in corpus.utterances(speaker, "train")]
        held_out = [u.id for u in corpus.utterances(speaker, "eval")]
        assert sorted(train + held_out) == sorted(ids)
        assert (train, held_out) == (sorted(train), sorted(held_out))
        assert held_out == shared[len(shared) - max(1, round(fraction * len(shared))) :]


def test_root_is_absolute_or_below_the_data_folder(tmp_path: Path) -> None:
    mine = make(tmp_path / "mine", {"A": ["1.wav", "2.wav"]})
    for root in ("mine", str(mine)):
        utterance = folder(data_dir=tmp_path, root=root).utterances("A", "train")[0]
        assert utterance.path == mine / "A" / "1.wav"


def test_ids_are_matched_exactly(tmp_path: Path) -> None:
    make(tmp_path, {"A": ["x1.wav", "y.wav", "z.wav"], "B": ["X1.wav", "y.wav", "z.wav"]})
    corpus = folder(data_dir=tmp_path)
    assert [u.id for u in corpus.utterances("A", "eval")] == ["z"]
    assert [u.id for u in corpus.utterances("A", "train")] == ["x1", "y"]
    assert [u.id for u in corpus.utterances("B", "train")] == ["X1", "y"]


def test_what_is_no_audio_is_ignored(tmp_path: Path) -> None:
    make(tmp_path, {"A": ["1.wav", "2.WAV", "notes.txt", ".hidden.wav"], "empty": ["x.txt"]})
    (tmp_path / "readme.txt").touch()
    corpus = folder(data_dir=tmp_path)
    assert corpus.speakers() == ("A",)
    assert [u.id for u in corpus.utterances("A", "train")] == ["1"]
    assert [u.id for u in corpus.utterances("A", "eval")] == ["2"]


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        ({"A": ["1.wav"], "B": ["1.wav"], "C": ["c1.wav"]}, r"'C' \(c1\) shares no file name"),
        ({"A": ["1.wav", "2.wav"], "B": ["2.wav", "3.wav"], "C": ["3.wav", "1.wav"]}, "each sen"),
        ({"A": ["1.wav", "1.flac"]}, "1.flac and 1.wav are the same sentence"),
        ({"A-B": ["1.wav"]}, "a speaker's name holds letters"),
        ({"A": ["1.txt"]}, "no folder with audio files"),
        ({"A": ["1.wav"], "B": ["1.wav", "2.wav"]}, "none is left for training"),
    ],
)
def test_unusable_folders(tmp_path: Path, speakers: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        folder(data_dir=make(tmp_path, speakers)).utterances("A", "train")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_root_and_unknown_speaker(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder; expected ROOT/SPEAKER"):
        folder(data_dir=tmp_path, root="nowhere").speakers()
    make(tmp_path, {"anna": ["1.wav", "2.wav"]})
    with pytest.raises(DataError, match="no speaker 'ana': did you mean 'anna'"):
        folder(data_dir=tmp_path).utterances("ana", "train")


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0])
def test_eval_fraction_is_a_fraction(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(UsageError, match="0 < it < 1"):
        folder(data_dir=tmp_path, eval_fraction=fraction)


def test_check_finds_what_cannot_be_used(tmp_path: Path) -> None:
    make(tmp_path, {"A": ["empty.wav"], "B": []})
    good = wav(1)
    for name, content in {
        "A/good.wav": good,
        "A/fast.wav": wav(2, rate=44100),
        "A/stereo.wav": wav(3, channels=2),
        "B/truncated.wav": good[:-900],
        "B/text.wav": b"hello",
    }.items():
        (tmp_path / name).write_bytes(content)
    soundfile.write(tmp_path / "B/good.flac", np.full(1600, 0.1), 16000)
    corpus = folder(data_dir=tmp_path)
    kinds = {p.path.relative_to(tmp_path).as_posix(): p.kind for p in corpus.check()}
    assert kinds == {
        "A/empty.wav": "corrupt",
        "A/fast.wav": "wrong-rate",
        "A/stereo.wav": "corrupt",
        "B/truncated.wav": "corrupt",
        "B/text.wav": "corrupt",
    }
    at_44100 = [p.path.name for p in corpus.check(sample_rate=44100) if p.kind == "wrong-rate"]
    assert at_44100 == ["good.wav", "stereo.wav", "good.flac"]


def test_plugin(tmp_path: Path) -> None:
    make(tmp_path, {"A": ["1.wav", "2.wav"]})
    plugin = Registry().get("corpus", "folder")
    assert plugin.factory(data_dir=tmp_path, eval_fraction=0.5).speakers() == ("A",)
    assert [o.name for o in plugin.options] == ["root", "eval_fraction"]
    with pytest.raises(UsageError, match="cannot be downloaded"):
        plugin.factory(data_dir=tmp_path).fetch()
