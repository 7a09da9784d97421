"""Archives of results that a stranger sends: refused, or such that all later runs can read them."""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sent_results import SCORE, WAV, Sent, rewritten, send, tree

from vcbench import cache, features, sealed
from vcbench.errors import DataError, VcbenchError
from vcbench.training.checkpoint import cell_of, iteration_of
from vcbench.training.files import read_status
from vcbench.training.log import last_line, read_log
from vcbench.transfer import ALLOWED, Manifest
from vcbench.transfer.unpack import unpack


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return send(tmp_path_factory.mktemp("there"))


HOSTILE = (
    "../evil",
    "/etc/evil",
    "cells/../../evil",
    f"cells/{'0' * 16}-{'a' * 48}/../../../evil",
    f"cells/{'0' * 16}-{'a' * 48}/evil.py",
    f"features/ab/{'0' * 64}.npz/../../evil",
    "features\\ab\\evil.npz",
    "C:/evil",
    f"baselines/x/{'0' * 16}/../A_to_B/s.wav",
    f"baselines/x/{'0' * 16}/.._to_/..\\x.wav",
    f"cells/{'0' * 16}-{'a' * 48}/converted/{'0' * 16}/A_to_B/s\x00.wav",
    f"cells/{'0' * 16}-{'a' * 48}/converted/{'0' * 16}/A_to_B/",
    "",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_is_written_but_into_its_place(name: str, sent: Sent, tmp_path: Path) -> None:
    path = rewritten(sent.pack(tmp_path / "a.zip"), tmp_path / "b.zip", {})
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name  # past zipfile's own tidying
        archive.writestr(info, b"evil")
    here = tmp_path / "deep" / "here"
    here.mkdir(parents=True)
    with pytest.raises(DataError, match="not taken over"):
        unpack(path, cache_dir=here)
    assert not list(here.iterdir())
    assert not [found for found in tmp_path.rglob("*evil*") if found.is_file()]


SEGMENT = st.text(
    st.characters(exclude_characters="/\\\0"), min_size=1, max_size=8
) | st.sampled_from(["..", ".", "cells", "features", "ab", "0" * 64 + ".npz", "status.json"])


@given(st.lists(SEGMENT, min_size=1, max_size=7).map("/".join))
def test_allowed_names_stay_below_the_cache(name: str) -> None:
    if ALLOWED.fullmatch(name):
        below = (Path("/cache") / name).resolve()
        assert below.is_relative_to("/cache")
        assert below.suffix in (".npz", ".json", ".jsonl", ".log", ".pt", ".wav")


def test_links_bombs_and_doubles_are_refused(sent: Sent, tmp_path: Path) -> None:
    plain = sent.pack(tmp_path / "a.zip")

    def with_(name: str, content: bytes, *, attributes: int = 0, kind: int = 0) -> str:
        path = Path(shutil.copy(plain, tmp_path / "b.zip"))
        info = zipfile.ZipInfo(name)
        info.external_attr, info.compress_type = attributes, kind
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(info, content)
        with pytest.raises(DataError) as caught:
            unpack(path, cache_dir=tmp_path / "here")
        return str(caught.value)

    (tmp_path / "here").mkdir()
    speech = f"speech/ab/{'0' * 64}.npz"
    other_score = f"scores/ab/{'1' * 64}.json"
    assert "is not a plain file" in with_(speech, b"/etc/passwd", attributes=0o120777 << 16)
    assert "is compressed" in with_(speech, bytes(999), kind=zipfile.ZIP_DEFLATED)
    log = f"cells/{'0' * 16}-{'a' * 48}/log.jsonl"
    assert "would become" in with_(log, bytes(60_000_000), kind=zipfile.ZIP_DEFLATED)
    assert "at most 67108864" in with_(log, bytes(70_000_000), kind=zipfile.ZIP_DEFLATED)
    assert "at most 1048576" in with_(other_score, bytes(1 << 21), kind=zipfile.ZIP_DEFLATED)
    with pytest.warns(UserWarning, match="Duplicate"):
        assert "is there twice" in with_(SCORE, b"{}")
    assert f"'{other_score}' is not in its manifest.json" in with_(other_score, b"{}")
    assert not list((tmp_path / "here").iterdir())


def test_it_must_fit_on_the_disk(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match="where 1000 are free"):
        unpack(sent.pack(tmp_path / "a.zip"), cache_dir=tmp_path)


FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)


@pytest.fixture(scope="module")
def archive(sent: Sent, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sent.pack(tmp_path_factory.mktemp("zip") / "a.zip").read_bytes()


@FUZZ
@given(data=st.data())
def test_a_damaged_archive_is_refused_or_carries_the_same(
    archive: bytes, sent: Sent, tmp_path: Path, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(archive) - 1))
    cut = data.draw(st.booleans())
    other = bytes([archive[at] ^ data.draw(st.integers(1, 255))])
    path = tmp_path / "a.zip"
    path.write_bytes(archive[:at] if cut else archive[:at] + other + archive[at + 1 :])
    here = tmp_path / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    try:
        unpack(path, cache_dir=here)
    except VcbenchError as error:
        assert str(path) in str(error) or sent.cell.id in str(error)
        assert not list(here.iterdir())
    else:
        folder = here / "cells" / sent.folder.name
        assert read_status(folder) == read_status(sent.folder)
        assert (folder / WAV).read_bytes() == (sent.folder / WAV).read_bytes()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@FUZZ
@given(
    field=st.sampled_from(["cells", "files", "protocol", "suite", "vcbench", "budget", "more"]),
    value=JSON,
)
def test_a_manifest_of_anything_is_refused_or_read(field: str, value: object) -> None:
    plain = Manifest("1", "small", None, None, None).to_json()
    try:
        found = Manifest.from_json({**plain, field: value})
    except ValueError:
        return
    assert found.suite.isprintable()
    assert Manifest.from_json(json.loads(json.dumps(found.to_json()))) == found


@settings(FUZZ, max_examples=20)
@given(data=st.data(), value=JSON)
def test_a_cell_of_anything_is_refused(
    archive: bytes, sent: Sent, tmp_path: Path, data: st.DataObject, value: object
) -> None:
    described = sent.cell.to_json()
    name = data.draw(st.sampled_from(sorted(described)))
    inner = described[name]
    if isinstance(inner, dict) and data.draw(st.booleans()):
        inner[data.draw(st.sampled_from(sorted(inner)))] = value
    else:
        described[name] = value
    (tmp_path / "a.zip").write_bytes(archive)
    changed = json.dumps(described).encode()
    path = rewritten(
        tmp_path / "a.zip",
        tmp_path / "b.zip",
        {f"cells/{sent.folder.name}/cell.json": changed},
    )
    here = tmp_path / "here"
    here.mkdir(exist_ok=True)
    try:
        unpack(path, cache_dir=here)
    except VcbenchError as error:
        assert "\x1b" not in str(error)


# --- what later runs read ---


LOGS = [
    "[1]",
    "{}",
    '{"loss": 1}',
    '{"iteration": "1"}',
    '{"iteration": true}',
    '{"iteration": 1, "cycle": {"a": 1}}',
    '{"iteration": 1, "cycle": null}',
    '{"iteration": 1, "a\\ud800": 1}',
    f'{{"iteration": 1{"0" * 5000}}}',
    f'{{"iteration": 1{"0" * 50}}}',
    "[" * 9000,
    '{"iteration": 1, "discriminator": ' + "[" * 1000 + "]" * 1000 + "}",
    '{"iteration": 1' + " " * 20_000 + "}",
    "\xff",
]


@pytest.mark.parametrize("line", LOGS)
def test_a_log_that_no_training_writes_is_refused_and_passed_over(
    line: str, sent: Sent, tmp_path: Path
) -> None:
    good = (sent.folder / "log.jsonl").read_bytes()
    content = good + line.encode("latin-1") + b"\n" + good
    name = f"cells/{sent.folder.name}/log.jsonl"
    path = rewritten(sent.pack(tmp_path / "a.zip"), tmp_path / "b.zip", {name: content})
    (tmp_path / "here").mkdir()
    with pytest.raises(DataError, match=r"log\.jsonl holds what vcbench does not write"):
        unpack(path, cache_dir=tmp_path / "here")
    assert not list((tmp_path / "here").iterdir())
    (tmp_path / "log.jsonl").write_bytes(content)
    assert read_log(tmp_path) == 2 * read_log(sent.folder)
    assert last_line(tmp_path) == last_line(sent.folder)


STATUSES: list[dict[str, object]] = [
    {"health": 5},
    {"health": [{}]},
    {"health": ["\ud800"]},
    {"crop_stream_sha256": []},
    {"seconds": "1"},
    {"seconds": 10**400},
    {"seconds": None},
    {"packages": {"torch": 2}},
    {"packages": None},
    {"code": 5},
]


@pytest.mark.parametrize("change", STATUSES)
def test_a_status_that_no_training_writes_is_refused(
    change: dict[str, object], sent: Sent, tmp_path: Path
) -> None:
    name = f"cells/{sent.folder.name}/status.json"
    content = sealed.json_text(sent.status_with(**change)).encode()
    path = rewritten(sent.pack(tmp_path / "a.zip"), tmp_path / "b.zip", {name: content})
    (tmp_path / "here").mkdir()
    with pytest.raises(DataError, match=r"status\.json holds what vcbench does not write"):
        unpack(path, cache_dir=tmp_path / "here")
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("name", ["iterations", "seconds", "health", "crop_stream_sha256", "code"])
def test_a_status_that_lacks_something_is_refused(name: str, sent: Sent, tmp_path: Path) -> None:
    status = sent.status_with()
    del status[name]
    changes: dict[str, bytes | None] = {
        f"cells/{sent.folder.name}/status.json": sealed.json_text(status).encode()
    }
    path = rewritten(sent.pack(tmp_path / "a.zip"), tmp_path / "b.zip", changes)
    with pytest.raises(DataError, match=r"status\.json holds what vcbench does not write"):
        unpack(path, cache_dir=tmp_path)


@settings(FUZZ, max_examples=60)
@given(data=st.data(), value=JSON)
def test_what_is_taken_over_can_be_read(
    archive: bytes, sent: Sent, tmp_path: Path, data: st.DataObject, value: object
) -> None:
    """Whatever status, log, scores and notes say."""
    folder = f"cells/{sent.folder.name}"
    score = {"values": {"mcd": 1.0}, "notes": []}
    line = read_log(sent.folder)[0]
    name, plain = data.draw(
        st.sampled_from(
            [
                (f"{folder}/status.json", sent.status_with()),
                (f"{folder}/log.jsonl", line),
                (f"{folder}/code.json", {"generator": {}, "packages": {}}),
                (f"{folder}/suites.json", {"suites": ["a"]}),
                (SCORE, score),
            ]
        )
    )
    changed = {**plain, data.draw(st.sampled_from(sorted(plain)) | st.text(max_size=3)): value}
    is_sealed = not name.endswith(("code.json", "log.jsonl"))
    text = sealed.json_text(changed) if is_sealed else json.dumps(changed)
    (tmp_path / "a.zip").write_bytes(archive)
    path = rewritten(tmp_path / "a.zip", tmp_path / "b.zip", {name: text.encode()})
    here = tmp_path / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    try:
        unpack(path, cache_dir=here)
    except VcbenchError as error:
        assert str(path) in str(error)
        return
    status = read_status(here / folder)
    assert status is not None
    record = {"seconds": status["seconds"], "health": tuple(status["health"])}
    json.dumps(record, ensure_ascii=False).encode()
    for line in read_log(here / folder):
        values = [float(line.pop("iteration")), *map(float, line.values())]
        assert len(values) == 1 + len(line)
    found = json.loads((here / SCORE).read_text())
    assert all(value is None or float(value) == value for value in found["values"].values())


def packed_again(path: Path, to: Path) -> bytes:
    """The zip archive with its records compressed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return to.read_bytes()


def test_archives_in_the_archive_are_not_compressed(sent: Sent, tmp_path: Path) -> None:
    """Or some megabytes become gigabytes of memory."""
    path = sent.pack(tmp_path / "a.zip", with_checkpoints=True)
    speech = f"speech/ab/{'0' * 64}.npz"
    np.savez(tmp_path / "x.npz", mcep=np.zeros(9))
    packed_again(tmp_path / "x.npz", tmp_path / "y.npz")
    sealed.seal_npz(tmp_path / "y.npz")
    checkpoint = f"cells/{sent.folder.name}/checkpoint.pt"
    bombs = {
        speech: (tmp_path / "y.npz").read_bytes(),
        checkpoint: packed_again(sent.folder / "checkpoint.pt", tmp_path / "c.pt"),
    }
    for name, content in bombs.items():
        with pytest.raises(DataError, match=f"{name} unpacks to more than its size"):
            unpack(rewritten(path, tmp_path / "b.zip", {name: content}), cache_dir=tmp_path)
    with pytest.raises(DataError, match="it unpacks to more than its size"):
        features.load(tmp_path / "y.npz")
    with pytest.raises(DataError, match="unpacks to more than its size"):
        cell_of(tmp_path / "c.pt")
    assert iteration_of(tmp_path / "c.pt") is None


@settings(FUZZ, max_examples=30)
@given(data=st.data(), value=JSON)
def test_a_checkpoint_of_any_cell_is_refused_or_its_own(
    sent: Sent, tmp_path: Path, data: st.DataObject, value: object
) -> None:
    described = sent.cell.to_json()
    described[data.draw(st.sampled_from(sorted(described)))] = value
    torch.save({"format": "vcbench-checkpoint-2", "cell": described}, tmp_path / "c.pt")
    with suppress(DataError):
        assert cell_of(tmp_path / "c.pt").identity()


def test_a_manifest_is_as_long_as_its_files_are_many(sent: Sent, tmp_path: Path) -> None:
    """Parsed, it takes twenty times its size."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("manifest.json", b"[" + b"[]," * (1 << 20) + b"0]")
    with pytest.raises(DataError, match=r"'manifest.json' has \d+ bytes, at most 1049600 are read"):
        unpack(tmp_path / "a.zip", cache_dir=tmp_path)


def test_two_imports_have_a_folder_each(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was killed may have had the same number as a later one."""
    path = sent.pack(tmp_path / "a.zip")
    here = tmp_path / "here"
    here.mkdir()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("vcbench.transfer.unpack._place", killed)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                unpack(path, cache_dir=here)
    left = sorted(here.glob("import.*.tmp"))
    assert len(left) == 2
    assert cache.temporaries(here, now=time.time()) == []  # it may go on
    found = cache.temporaries(here, now=time.time() + 2 * cache.ABANDONED_S)
    assert [entry.path for entry in found] == left
    assert all(entry.n_bytes > 1000 for entry in found)
    cache.remove(found, here)
    assert tree(here) == {}
