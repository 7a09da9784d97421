"""What `utterances` takes for a list of files, and every way in which that can be refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcbench.errors import UsageError
from vcbench.scoring import refuse_repeated_files, utterances


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with some files that nobody opens."""
    for name in ("t/u1.wav", "t/u10.WAV", "t/u2.flac", "t/notes.txt", "t/._u1.wav", "t/sub/u3.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "t" / "gone.wav").symlink_to("nowhere.wav")
    (tmp_path / "t" / "folder.wav").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_gives_all_that_has_an_audio_files_name() -> None:
    """Also what turns out to be none: it is scoring that names it, so that it is not lost."""
    assert utterances("t") == {
        name.partition(".")[0]: Path("t") / name
        for name in ("folder.wav", "gone.wav", "u1.wav", "u10.WAV", "u2.flac")
    }


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [("t/u*.wav", ["u1"]), ("t/**/u*.wav", ["u1", "u3"]), ("t/u[12].*", ["u1", "u2"])],
)
def test_a_pattern_gives_what_it_matches(here: Path, pattern: str, ids: list[str]) -> None:
    assert list(utterances(pattern)) == ids
    assert list(utterances(f"{here}/{pattern}")) == ids


def test_a_kaldi_list(here: Path) -> None:
    (here / "wav.scp").write_text("u10 t/u10.WAV\n\nu1\tt/a b.wav \r\n  u2   /x/u2.flac\n")
    assert utterances("wav.scp") == {
        "u1": Path("t/a b.wav"),
        "u10": Path("t/u10.WAV"),
        "u2": Path("/x/u2.flac"),
    }


def test_a_csv_by_its_columns(here: Path) -> None:
    text = '\ufeffspeaker,path,id\nTM3,t/u1.wav,u1\nTM3,"t/a,b.wav",a b\n'
    (here / "list.csv").write_text(text, encoding="utf-8")
    assert utterances("list.csv") == {"a b": Path("t/a,b.wav"), "u1": Path("t/u1.wav")}


SAFE = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)


@given(st.dictionaries(SAFE, SAFE.filter(lambda path: not path.endswith("|")), min_size=1))
def test_any_list_comes_back_with_exactly_its_ids(entries: dict[str, str]) -> None:
    Path("any.scp").write_text("".join(f"{i} {p}\n" for i, p in entries.items()), "utf-8")
    assert utterances("any.scp") == {i.removeprefix("\ufeff"): Path(p) for i, p in entries.items()}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, "nowhere: no such folder, list or pattern; valid: a folder"),
        ("t/*.ogg", None, r"t/\*.ogg: matches no file"),
        ("empty", "folder", r"empty: holds no audio files \(.wav, .flac\)"),
        ("a.scp", b"", "a.scp: lists no utterances"),
        ("a.scp", b"u1\n", "a.scp:1: must be an id and a path; got 'u1'"),
        ("a.scp", b"u1 x\n\nu1 y\n", "'u1' stands there twice: a.scp:1 and a.scp:3"),
        ("a.scp", b"u1 sox x.wav -t wav - |\n", "a.scp:1: 'u1' is the output of a command"),
        ("a.scp", b"u1 \xff\n", "a.scp: not UTF-8 text: byte 0xff at 3"),
        ("a.scp", b"u1 x\0\n", "a.scp: not text: holds NUL"),
        ("a.wav", b"RIFF", "a.wav: one audio file"),
        ("a.csv", b"", "a.csv:1: needs the columns id and path; found nothing"),
        ("a.csv", b"utt,path\nu1,x\n", "needs the columns id and path; found utt, path"),
        ("a.csv", b"id,path\nu1\n", "a.csv:2: has no path"),
        ("a.csv", b"id,path\n,x\n", "a.csv:2: has no id"),
        ("a.csv", b"id,path\nu1,x\nu1,y\n", "twice: a.csv:2 and a.csv:3"),
        ("a.csv", b'id,path\n"u1,x\n', "a.csv:1: not CSV"),
    ],
)
def test_what_is_no_list_is_refused_in_words(
    here: Path, name: str, content: bytes | str | None, message: str
) -> None:
    if content == "folder":
        (here / name).mkdir()
    elif isinstance(content, bytes):
        (here / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        utterances(name)


def test_one_name_with_two_suffixes_is_refused(here: Path) -> None:
    (here / "t" / "u1.flac").touch()
    with pytest.raises(UsageError, match=r"t: .*'u1' stands there twice: t/u1.flac and t/u1.wav"):
        utterances("t")
    with pytest.raises(UsageError, match="stands there twice"):
        utterances("t/**/u1.*")


def test_a_folder_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may be allowed to read everything."""

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UsageError, match=r"^t: cannot be read \(Permission denied\)$"):
        utterances("t")


def test_one_file_under_two_ids_is_refused() -> None:
    files = {"u1": Path("x.wav"), "u2": Path("y.wav")}
    refuse_repeated_files(files, "list.csv")
    with pytest.raises(UsageError, match=r"list.csv: 'u1' and 'u3' are the same file, x.wav"):
        refuse_repeated_files(files | {"u3": Path("x.wav")}, "list.csv")
