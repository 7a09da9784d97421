"""VCC2016: both layouts, both splits, what is wrong with files, and fetching."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loopback import Served, Server
from small_files import Key, np_name, official_name, wav

from vcbench.corpora import FileProblem
from vcbench.corpora.vcc2016 import PARTS, Part, Vcc2016, published_sums
from vcbench.errors import DataError, UsageError
from vcbench.plugins import Registry

Write = Callable[[Path], Path]
PAIRS = ("SF1-TF2", "SF1-TM3", "SM1-TF2", "SM1-TM3")


def ids(corpus: Vcc2016, speaker: str, subset: Any) -> list[int]:
    return [int(u.id) for u in corpus.utterances(speaker, subset)]


def found(problems: list[FileProblem], root: Path) -> dict[str, str]:
    return {p.path.relative_to(root).as_posix(): p.kind for p in problems}


# --- layouts and splits


@pytest.mark.parametrize("below", ["npVCC2016", ".", "vcc2016/npVCC2016", "vcc2016"])
def test_np_layout(tmp_path: Path, write_np: Write, below: str) -> None:
    write_np(tmp_path / below)
    corpus = Vcc2016(tmp_path)
    assert corpus.speakers() == ("SF1", "SM1", "TF2", "TM3")
    assert ids(corpus, "SM1", "train") == list(range(100001, 100082))
    assert ids(corpus, "TM3", "train") == list(range(100082, 100163))
    assert ids(corpus, "TM3", "eval") == list(range(200001, 200055))
    expected = tmp_path / below / "trains/SF1/wavs/100001.wav"
    assert corpus.utterances("SF1", "train")[0].path == expected


@pytest.mark.parametrize("below", [".", "vcc2016"])
def test_official_layout(tmp_path: Path, below: str) -> None:
    speakers = ("SF2", "TM1")
    for speaker in speakers:
        for folder, numbers in (
            ("vcc2016_training", range(100001, 100163)),
            ("evaluation_all", range(200001, 200055)),
        ):
            (tmp_path / below / folder / speaker).mkdir(parents=True)
            for number in numbers:
                (tmp_path / below / folder / speaker / f"{number}.wav").touch()
    paper, full = Vcc2016(tmp_path, "paper"), Vcc2016(tmp_path, "full")
    assert paper.speakers() == speakers
    for speaker, first in zip(speakers, (100001, 100082), strict=True):
        assert ids(paper, speaker, "train") == list(range(first, first + 81))
        assert ids(full, speaker, "train") == list(range(100001, 100163))
        for corpus in (paper, full):
            assert ids(corpus, speaker, "eval") == list(range(200001, 200055))
    expected = tmp_path / below / "evaluation_all/SF2/200054.wav"
    assert paper.utterances("SF2", "eval")[-1].path == expected


def test_paper_split_is_disjoint_in_training_and_parallel_in_evaluation(
    tmp_path: Path, write_np: Write
) -> None:
    corpus = Vcc2016(write_np(tmp_path))
    for source, target in (pair.split("-") for pair in PAIRS):
        assert not set(ids(corpus, source, "train")) & set(ids(corpus, target, "train"))
        assert ids(corpus, source, "eval") == ids(corpus, target, "eval")


def test_official_copy_is_preferred(tmp_path: Path) -> None:
    for name in ("trains/SF1", "evals/SF1"):
        (tmp_path / "npVCC2016" / name).mkdir(parents=True)
    assert Vcc2016(tmp_path).speakers() == ("SF1",)
    for name in ("vcc2016_training/SF2", "evaluation_all/SF2", "evaluation_all/other"):
        (tmp_path / name).mkdir(parents=True)
    assert Vcc2016(tmp_path).speakers() == ("SF2",)


def test_full_split_needs_the_official_archives(tmp_path: Path, write_np: Write) -> None:
    write_np(tmp_path)
    with pytest.raises(DataError, match="data fetch vcc2016 --variant official") as caught:
        Vcc2016(tmp_path, "full").utterances("SF1", "train")
    assert "'full' needs all 162" in str(caught.value)


def test_missing_corpus_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        Vcc2016(tmp_path).speakers()
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        f"{tmp_path}/vcc2016_training",
        f"{tmp_path}/npVCC2016/trains",
        f"{tmp_path}/vcc2016/npVCC2016/trains",
        "VCBENCH_DATA_DIR",
        "--data",
        "vcbench data fetch vcc2016",
    ):
        assert part in message


def test_half_a_corpus_is_named(tmp_path: Path) -> None:
    (tmp_path / "vcc2016_training" / "SF1").mkdir(parents=True)
    with pytest.raises(DataError, match=r"incomplete: there is no folder .*/evaluation_all"):
        Vcc2016(tmp_path).speakers()


def test_missing_files_are_named(tmp_path: Path, write_np: Write) -> None:
    write_np(tmp_path)
    for number in range(200001, 200008):
        (tmp_path / f"evals/SF1/wavs/{number}.wav").unlink()
    corpus = Vcc2016(tmp_path)
    with pytest.raises(DataError, match="7 of 54 eval files of SF1 are missing") as caught:
        corpus.utterances("SF1", "eval")
    assert "evals/SF1/wavs/200001.wav" in str(caught.value)
    assert "and 2 more" in str(caught.value)
    assert len(corpus.utterances("SF1", "train")) == 81


@pytest.mark.parametrize(
    ("speaker", "hint"),
    [("SF9", "did you mean 'SF1'"), ("SF2", "fetch vcc2016 --variant official")],
)
def test_unknown_speakers(tmp_path: Path, write_np: Write, speaker: str, hint: str) -> None:
    with pytest.raises(DataError, match=hint):
        Vcc2016(write_np(tmp_path)).utterances(speaker, "train")


def test_plugin(tmp_path: Path, write_np: Write) -> None:
    write_np(tmp_path)
    plugin = Registry().get("corpus", "vcc2016")
    assert plugin.factory(data_dir=tmp_path, split="paper").speakers()[0] == "SF1"
    assert [(o.name, o.default) for o in plugin.options] == [("split", "paper")]
    assert plugin.details["licence"] == "CC BY 4.0"
    with pytest.raises(UsageError, match="split 'papr': did you mean 'paper'"):
        plugin.factory(data_dir=tmp_path, split="papr")


# --- checking


def test_intact_corpora_have_no_problems(
    tmp_path: Path, write_np: Write, write_official: Write, np_sums: dict[Any, str]
) -> None:
    assert Vcc2016(write_np(tmp_path / "a"), sums=np_sums).check() == []
    assert Vcc2016(write_official(tmp_path / "b"), sums=np_sums).check() == []


def test_every_kind_of_damage_is_found(
    tmp_path: Path, write_np: Write, np_sums: dict[Any, str]
) -> None:
    write_np(tmp_path)
    good = wav(1, seconds=0.2)
    damage = {
        "trains/SF1/wavs/100001.wav": ("missing", None),
        "trains/SF1/wavs/100002.wav": ("corrupt", b""),
        "trains/SF1/wavs/100003.wav": ("corrupt", good[:-500]),
        "trains/SF1/wavs/100004.wav": ("corrupt", good),  # readable, but not the published bytes
        "trains/SF1/wavs/100005.wav": ("corrupt", wav(1, channels=2)),
        "evals/TM3/wavs/200001.wav": ("wrong-rate", wav(1, rate=44100)),
        "evals/TM3/wavs/200002.wav": ("corrupt", b"RIFF but no more"),
    }
    for name, (_, content) in damage.items():
        (tmp_path / name).unlink()
        if content is not None:
            (tmp_path / name).write_bytes(content)
    problems = Vcc2016(tmp_path, sums=np_sums).check()
    assert found(problems, tmp_path) == {name: kind for name, (kind, _) in damage.items()}
    assert all(p.is_harmful for p in problems)
    details = {p.path.name: p.detail for p in problems}
    assert "44100 Hz" in details["200001.wav"]
    assert "truncated" in details["100003.wav"]
    assert "sha256" in details["100004.wav"]


def test_absent_speakers_are_one_problem_each(
    tmp_path: Path, write_official: Write, np_sums: dict[Any, str]
) -> None:
    shutil.rmtree(write_official(tmp_path) / "evaluation_all" / "SM2")
    problems = Vcc2016(tmp_path, sums=np_sums).check()
    assert found(problems, tmp_path) == {"evaluation_all/SM2": "missing"}


def test_altered_official_file_is_corrupt_where_others_have_the_known_sums(
    tmp_path: Path, write_official: Write, np_sums: dict[Any, str]
) -> None:
    write_official(tmp_path)
    altered = "vcc2016_training/SF1/100001.wav"
    (tmp_path / altered).write_bytes(wav(5))
    (tmp_path / "vcc2016_training/SF2/100001.wav").write_bytes(wav(5))  # no sum is known for it
    problems = Vcc2016(tmp_path, sums=np_sums).check()
    assert found(problems, tmp_path) == {altered: "corrupt"}


def test_official_files_of_another_edition_are_only_unverified(
    tmp_path: Path, write_official: Write, np_sums: dict[Any, str]
) -> None:
    write_official(tmp_path)
    (tmp_path / "evaluation_all/TF1/200054.wav").unlink()
    others = dict.fromkeys(np_sums, "0" * 64)
    problems = Vcc2016(tmp_path, sums=others).check()
    assert found(problems, tmp_path) == {
        ".": "unverified",
        "evaluation_all/TF1/200054.wav": "missing",
    }
    assert [p.is_harmful for p in problems] == [False, True]


def test_published_sums_cover_the_paper_split() -> None:
    sums = published_sums()
    assert len(sums) == 540
    assert len({key for key in sums if key[0] == "eval"}) == 4 * 54
    assert {key[1] for key in sums} == {"SF1", "SM1", "TF2", "TM3"}
    assert all(len(digest) == 64 for digest in sums.values())


def test_real_corpus(vcc2016_dir: Path) -> None:
    corpus = Vcc2016(vcc2016_dir)
    utterances = [
        u
        for s in ("SF1", "SM1", "TF2", "TM3")
        for t in ("train", "eval")
        for u in corpus.utterances(s, t)
    ]
    assert len(utterances) == 540
    assert [p for p in corpus.check() if p.is_harmful] == []
    # The sums that are shipped belong to these files, by a computation of the test's own.
    sums = published_sums()
    for utterance in utterances[::60]:
        subset = "train" if utterance.id.startswith("1") else "eval"
        digest = hashlib.sha256(utterance.path.read_bytes()).hexdigest()
        assert sums[subset, utterance.speaker, utterance.id] == digest


# --- fetching


def parts_at(server_url: str) -> dict[Any, tuple[Part, ...]]:
    """The real parts, downloaded from another server."""
    return {
        variant: tuple(
            replace(p, archive=replace(p.archive, url=f"{server_url}/{p.archive.file_name}"))
            for p in parts
        )
        for variant, parts in PARTS.items()
    }


@pytest.fixture
def fetching(server: Server, tmp_path: Path, np_sums: dict[Any, str]) -> Callable[..., Vcc2016]:
    """A corpus in an empty data folder that is fetched from the loopback server."""

    def make(split: Any = "paper", sums: Any = None) -> Vcc2016:
        known = np_sums if sums is None else sums
        return Vcc2016(tmp_path / "data", split, parts=parts_at(server.url), sums=known)

    return make


@pytest.mark.parametrize("prefix", ["", "npVCC2016/", "npVCC2016-1.0.0/deep/"])
def test_fetch_np(
    prefix: str,
    server: Server,
    tmp_path: Path,
    fetching: Callable[..., Vcc2016],
    np_files: dict[Key, bytes],
    zipped: Callable[[dict[str, bytes]], bytes],
) -> None:
    contents = {prefix + np_name(key): content for key, content in np_files.items()}
    server.files["/npVCC2016-1.0.0.zip"] = Served(zipped(contents))
    calls: list[str] = []
    corpus = fetching()
    folder = corpus.fetch(lambda *call: calls.append(call[0]))
    assert folder == tmp_path / "data" / "npVCC2016"
    assert corpus.check() == []
    assert len(corpus.utterances("SF1", "train")) == 81
    # Nothing else is left: no archive, no temporary folder; others may read what was unpacked.
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["npVCC2016"]
    assert list((tmp_path / "cache" / "downloads").iterdir()) == []
    (tmp_path / "reference").mkdir()
    assert folder.stat().st_mode == (tmp_path / "reference").stat().st_mode
    assert any("downloading" in c for c in calls)
    assert any("unpacking" in c for c in calls)
    # A second fetch finds everything there and asks the server nothing.
    requests = len(server.seen)
    assert corpus.fetch() == folder
    assert len(server.seen) == requests


def serve_official(
    server: Server, files: dict[Key, bytes], zipped: Callable[[dict[str, bytes]], bytes]
) -> None:
    for subset, name in (("train", "vcc2016_training"), ("eval", "evaluation_all")):
        chosen = {official_name(k): content for k, content in files.items() if k[0] == subset}
        server.files[f"/{name}.zip"] = Served(zipped(chosen))


@pytest.mark.parametrize(("split", "variant"), [("full", None), ("paper", "official")])
def test_fetch_official(
    split: str,
    variant: str | None,
    server: Server,
    tmp_path: Path,
    fetching: Callable[..., Vcc2016],
    official_files: dict[Key, bytes],
    zipped: Callable[[dict[str, bytes]], bytes],
) -> None:
    serve_official(server, official_files, zipped)
    corpus = fetching(split)
    assert corpus.fetch(variant=variant) == tmp_path / "data"
    assert {p.name for p in (tmp_path / "data").iterdir()} == {"vcc2016_training", "evaluation_all"}
    assert len(corpus.speakers()) == 10
    assert len(corpus.utterances("SF3", "train")) == (162 if split == "full" else 81)


def test_unknown_variant(fetching: Callable[..., Vcc2016]) -> None:
    with pytest.raises(UsageError, match="variant 'offical': did you mean 'official'"):
        fetching().fetch(variant="offical")


def test_official_of_another_edition_is_kept(
    server: Server,
    fetching: Callable[..., Vcc2016],
    official_files: dict[Key, bytes],
    np_sums: dict[Key, str],
    zipped: Callable[[dict[str, bytes]], bytes],
) -> None:
    serve_official(server, official_files, zipped)
    corpus = fetching("full", dict.fromkeys(np_sums, "0" * 64))
    corpus.fetch()
    assert [p.kind for p in corpus.check()] == ["unverified"]


def test_altered_download_is_discarded(
    server: Server,
    tmp_path: Path,
    fetching: Callable[..., Vcc2016],
    np_files: dict[Key, bytes],
    zipped: Callable[[dict[str, bytes]], bytes],
) -> None:
    contents = {np_name(key): content for key, content in np_files.items()}
    good = Served(zipped(contents))
    bad = {**contents, "trains/SF1/wavs/100007.wav": wav(7)}
    del bad["evals/TM3/wavs/200009.wav"]
    server.files["/npVCC2016-1.0.0.zip"] = Served(zipped(bad), etag='"bad"')
    corpus = fetching()
    with pytest.raises(DataError, match="2 files are not as published") as caught:
        corpus.fetch()
    assert "evals/TM3/wavs/200009.wav missing" in str(caught.value)
    assert "trains/SF1/wavs/100007.wav corrupt" in str(caught.value)
    assert list((tmp_path / "data").iterdir()) == []
    server.files["/npVCC2016-1.0.0.zip"] = good
    corpus.fetch()
    assert corpus.check() == []


@pytest.mark.parametrize("name", ["../../evil.wav", "/evil.wav"])
def test_evil_archive_changes_nothing(
    name: str,
    server: Server,
    tmp_path: Path,
    fetching: Callable[..., Vcc2016],
    zipped: Callable[[dict[str, bytes]], bytes],
) -> None:
    evil = {"trains/SF1/wavs/100001.wav": wav(0), "evals/x": b"", name: b"evil"}
    server.files["/npVCC2016-1.0.0.zip"] = Served(zipped(evil))
    with pytest.raises(DataError, match="may lie outside"):
        fetching().fetch()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_archive_of_something_else(
    server: Server,
    tmp_path: Path,
    fetching: Callable[..., Vcc2016],
    zipped: Callable[[dict[str, bytes]], bytes],
) -> None:
    server.files["/npVCC2016-1.0.0.zip"] = Served(zipped({"readme.txt": b"hello"}))
    with pytest.raises(DataError, match="no folder in it holds trains and evals"):
        fetching().fetch()
    assert list((tmp_path / "data").iterdir()) == []


def test_damaged_copy_is_not_overwritten(
    server: Server, tmp_path: Path, fetching: Callable[..., Vcc2016], write_np: Write
) -> None:
    mine = write_np(tmp_path / "data" / "npVCC2016") / "trains/SF1/wavs/100001.wav"
    mine.write_bytes(b"my own")
    with pytest.raises(DataError, match=r"npVCC2016: 1 files .*move it away and fetch again"):
        fetching().fetch()
    assert mine.read_bytes() == b"my own"
    assert server.seen == []


def test_half_a_copy_is_not_taken_for_a_whole_one(
    server: Server, tmp_path: Path, fetching: Callable[..., Vcc2016], write_np: Write
) -> None:
    shutil.rmtree(write_np(tmp_path / "data" / "npVCC2016") / "evals")
    with pytest.raises(DataError, match=r"files are not as published .* missing.* move it away"):
        fetching().fetch()
    assert server.seen == []


def test_unreachable_server_names_the_manual_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(DataError) as caught:
        Vcc2016(tmp_path / "data", parts=parts_at("http://127.0.0.1:9")).fetch()
    message = str(caught.value)
    assert "\n" not in message
    assert "http://127.0.0.1:9/npVCC2016-1.0.0.zip" in message
    assert "refused" in message
    assert f"By hand: download it with a browser and unpack it so that {tmp_path}" in message


def test_addresses_are_those_of_the_publishers() -> None:
    urls = [part.archive.url for parts in PARTS.values() for part in parts]
    assert [url.split("/")[2] for url in urls] == ["github.com", *["datashare.is.ed.ac.uk"] * 2]
    assert all(url.startswith("https://") for url in urls)
