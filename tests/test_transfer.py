"""Results travel: what arrives is what was sent, whole, and compared with what is here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import small_corpus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sent_results import IDENTITY, SCORE, WAV, Sent, rewritten, send, tree, written

from vcbench import fingerprint, locks, protocols, sealed
from vcbench.cli import main
from vcbench.errors import DataError, UsageError, VcbenchError
from vcbench.failures import Failure, failure_of
from vcbench.plugins import Registry
from vcbench.training.cell import Cell
from vcbench.training.checkpoint import Checkpoint
from vcbench.training.files import has_result, read_status, write_json
from vcbench.training.loop import train
from vcbench.transfer import MANIFEST
from vcbench.transfer.archive import MAX_FILES, Archive, _maximum_bytes
from vcbench.transfer.cells import portable
from vcbench.transfer.contents import of_archive, of_run
from vcbench.transfer.pack import pack
from vcbench.transfer.unpack import unpack


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return send(tmp_path_factory.mktemp("there"))


@pytest.mark.parametrize("with_checkpoints", [True, False])
def test_what_arrives_is_what_was_sent(with_checkpoints: bool, sent: Sent, tmp_path: Path) -> None:
    path = sent.pack(tmp_path / "a.zip", with_checkpoints=with_checkpoints)
    here = tmp_path / "here"
    here.mkdir()
    found = unpack(path, cache_dir=here, data_fingerprint="f" * 64)
    assert (found.done, found.there, found.problems) == ([sent.cell.id], [], [])
    folder = here / "cells" / sent.folder.name
    assert has_result(folder)
    assert read_status(folder) == read_status(sent.folder)
    for name in (WAV, "log.jsonl", "status.json"):
        assert (folder / name).read_bytes() == (sent.folder / name).read_bytes()
    assert (here / SCORE).read_bytes() == (sent.cache / SCORE).read_bytes()
    assert (folder / "checkpoint.pt").exists() == with_checkpoints
    assert Cell.read(folder / "cell.json").identity() == sent.cell.identity()
    paths = Cell.read(folder / "cell.json").train_features["SF1"]
    assert all(path.startswith(f"{here}/features/") for path in paths)
    assert not list(here.glob("import*"))
    before = tree(here)
    again = unpack(path, cache_dir=here)
    assert (again.done, again.there, again.files) == ([], [sent.cell.id], 0)
    assert tree(here) == before


def test_the_same_results_are_the_same_file(sent: Sent, tmp_path: Path) -> None:
    one, other = (sent.pack(tmp_path / f"{n}.zip", with_checkpoints=True) for n in "ab")
    assert one.read_bytes() == other.read_bytes()
    with Archive(one) as archive:
        assert str(sent.cache) not in (archive._text(f"cells/{sent.folder.name}/cell.json", 9**9))


def test_a_checkpoint_that_comes_later_is_taken(sent: Sent, tmp_path: Path) -> None:
    light, whole = (
        sent.pack(tmp_path / f"{both}.zip", with_checkpoints=both) for both in (False, True)
    )
    here = tmp_path / "here"
    here.mkdir()
    unpack(light, cache_dir=here)
    assert unpack(whole, cache_dir=here).done == [sent.cell.id]
    folder = here / "cells" / sent.folder.name
    assert not (folder / "elsewhere.json").exists()
    assert Checkpoint.load(folder / "checkpoint.pt").iteration == 2
    assert unpack(light, cache_dir=here).there == [sent.cell.id]
    assert (folder / "checkpoint.pt").exists()


def test_what_was_begun_here_gives_way_to_a_result(sent: Sent, tmp_path: Path) -> None:
    """Above all its checkpoint, which is not the result's."""
    here = tmp_path / "here"
    folder = here / "cells" / sent.folder.name
    folder.mkdir(parents=True)
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        shutil.copy(sent.folder / "checkpoint.pt", folder / name)
    unpack(sent.pack(tmp_path / "a.zip"), cache_dir=here)
    assert has_result(folder)
    assert not list(folder.glob("checkpoint*"))


def test_a_cell_that_is_trained_here_is_left_alone(sent: Sent, tmp_path: Path) -> None:
    here = tmp_path / "here"
    folder = here / "cells" / sent.folder.name
    lock = locks.try_to_take(folder)
    assert lock is not None
    with lock:
        found = unpack(sent.pack(tmp_path / "a.zip"), cache_dir=here)
    assert found.done == []
    assert "trains it here" in found.problems[0]
    assert not (folder / "status.json").exists()


def test_what_cannot_be_converted_there_is_not_sent(sent: Sent, tmp_path: Path) -> None:
    lacking = replace(sent.contents, wavs={sent.folder: [sent.folder / "converted" / "none.wav"]})
    with pytest.raises(DataError, match="1 utterances are not converted"):
        pack(lacking, tmp_path / "a.zip", cache_dir=sent.cache)
    assert not list(tmp_path.iterdir())
    pack(lacking, tmp_path / "a.zip", cache_dir=sent.cache, with_checkpoints=True)
    nothing = replace(sent.contents, cells={sent.cache / "cells" / ("0" * 65): sent.cell}, wavs={})
    with pytest.raises(DataError, match="no cell is done"):
        pack(nothing, tmp_path / "b.zip", cache_dir=sent.cache)


def test_a_full_disk_is_told_and_leaves_nothing(
    sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vcbench.transfer.pack._add_file", full)
    with pytest.raises(UsageError, match=r"not written .*No space left on device"):
        sent.pack(tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


# --- differences ---


def test_other_code_is_told_with_both_values_and_not_mixed(sent: Sent, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    packages = {**sent.cell.packages(Registry()), "torch": "1.2.3+gpu"}
    there = sent.of_other_code(tmp_path / "there", "0" * 64, packages)
    path = there.pack(tmp_path / "b.zip", with_checkpoints=True)
    with pytest.raises(UsageError) as caught:
        unpack(path, cache_dir=here)
    torch_here = sent.cell.packages(Registry())["torch"]
    assert f"torch: there 1.2.3+gpu, here {torch_here}\n" in str(caught.value)
    assert str(caught.value).endswith("--accept code")
    assert not list(here.iterdir())
    assert unpack(path, cache_dir=here, accept=["code"]).done == [sent.cell.id]
    status = read_status(here / "cells" / sent.folder.name) or {}
    assert status["packages"]["torch"] == "1.2.3+gpu"  # it is not forgotten
    # Nor where it is taken from here: it is called by the code that it was trained with.
    folder = here / "cells" / sent.folder.name
    accepted = replace(there.contents, cells={folder: sent.cell}, wavs={folder: None}, shared=[])
    pack(accepted, tmp_path / "c.zip", cache_dir=here, with_checkpoints=True)
    with Archive(tmp_path / "c.zip") as archive:
        assert set(archive.manifest.cells) == {there.folder.name}
    with pytest.raises(UsageError, match=r"torch: there 1\.2\.3\+gpu"):
        unpack(tmp_path / "c.zip", cache_dir=here)
    of_source = sent.of_other_code(tmp_path / "too", "0" * 64, sent.cell.packages(Registry()))
    with pytest.raises(
        UsageError, match=r"source of system 'one-d' .*: there 0{12}, here [0-9a-f]"
    ):
        unpack(of_source.pack(tmp_path / "d.zip"), cache_dir=here)


@pytest.mark.parametrize("with_checkpoints", [True, False])
def test_what_lies_under_a_key_is_what_gives_the_key(
    with_checkpoints: bool, sent: Sent, tmp_path: Path
) -> None:
    """Else another training's result would count as this cell's, where nothing can tell."""
    path = sent.pack(tmp_path / "a.zip", with_checkpoints=with_checkpoints)
    there = f"cells/{sent.folder.name}/"
    other = replace(sent.cell, seed=7)
    changes: tuple[dict[str, bytes | None], ...] = (
        {f"{there}cell.json": json.dumps(portable(other)).encode()},
        {f"{there}status.json": sealed.json_text(sent.status_with(code="0" * 64)).encode()},
    )
    (tmp_path / "here").mkdir()
    for change in changes:
        forged = rewritten(path, tmp_path / "b.zip", change)
        with pytest.raises(DataError, match=f"under its key {sent.folder.name} is another cell's"):
            unpack(forged, cache_dir=tmp_path / "here", accept=["code"])
    wrong = replace(sent.contents, cells={sent.folder: other})
    with pytest.raises(DataError, match="no cell is done"):
        pack(wrong, tmp_path / "c.zip", cache_dir=sent.cache)
    damaged = sent.of_other_code(tmp_path / "there", sent.code, sent.cell.packages(Registry()))
    (damaged.folder / "cell.json").write_text("{")  # which an accident may do
    assert pack(damaged.contents, tmp_path / "d.zip", cache_dir=damaged.cache).done == 1


def test_other_data_and_another_protocol_are_told_with_both_values(
    sent: Sent, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    other = replace(sent.contents, protocol={**IDENTITY, "sha256": "e" * 64})
    pack(other, tmp_path / "a.zip", cache_dir=sent.cache)
    with pytest.raises(UsageError) as caught:
        unpack(tmp_path / "a.zip", cache_dir=here, data_fingerprint="0" * 64)
    said = str(caught.value)
    now = fingerprint.of_bytes(protocols.get("vcbench-1").text.encode())[:12]
    assert f"protocol 'vcbench-1': there {'e' * 12}, here {now}\n" in said
    assert f"data fingerprint: there {'f' * 12}, here {'0' * 12}\n" in said
    assert said.endswith("--accept protocol --accept data")
    assert not list(here.iterdir())
    unpack(
        tmp_path / "a.zip",
        cache_dir=here,
        data_fingerprint="0" * 64,
        accept=["protocol", "data"],
    )
    unknown = replace(sent.contents, protocol={"id": "nobodys-1", "sha256": "e" * 64})
    pack(unknown, tmp_path / "b.zip", cache_dir=sent.cache)
    with pytest.raises(UsageError, match="there 'nobodys-1', here unknown protocol"):
        unpack(tmp_path / "b.zip", cache_dir=here)


def test_a_file_that_is_not_the_one_that_was_noted_is_refused(sent: Sent, tmp_path: Path) -> None:
    """As whole as it may be."""
    plain = sent.pack(tmp_path / "a.zip")
    with zipfile.ZipFile(plain) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    other = tmp_path / "other.json"
    sealed.write_json(other, {"values": {"mcd": 2.0, "f0-rmse": None}, "notes": []})
    assert len(other.read_bytes()) == len(files[SCORE])
    path = written(tmp_path / "b.zip", {**files, SCORE: other.read_bytes()}.items())
    with pytest.raises(DataError, match="its SHA-256 is not the one that was noted"):
        unpack(path, cache_dir=tmp_path)


def test_a_checkpoint_of_another_cell_is_refused(sent: Sent, tmp_path: Path) -> None:
    path = sent.pack(tmp_path / "a.zip", with_checkpoints=True)
    name = f"cells/{sent.folder.name}/checkpoint.pt"
    checkpoint = Checkpoint.load(sent.folder / "checkpoint.pt")
    replace(checkpoint, cell=replace(checkpoint.cell, seed=7)).save(tmp_path / "c.pt")
    forged = rewritten(path, tmp_path / "b.zip", {name: (tmp_path / "c.pt").read_bytes()})
    with pytest.raises(DataError, match="its checkpoint is another cell's"):
        unpack(forged, cache_dir=tmp_path)


# --- failures ---


def failed(cell: Cell, folder: Path, log: str) -> Failure:
    write_json(folder / "cell.json", cell.to_json())
    (folder / "output.log").write_text(log)
    failure = Failure("failed", "a loss became nan", str(folder / "output.log"), "2026-01-01", 2)
    sealed.write_json(folder / "failure.json", asdict(failure))
    return failure


def test_how_a_cell_failed_travels(sent: Sent, tmp_path: Path) -> None:
    other = replace(sent.cell, seed=3)
    there = tmp_path / "there"
    folder = there / "cells" / other.key(Registry())
    failure = failed(other, folder, "x" * (1 << 17) + "the end\n")
    contents = replace(sent.contents, cells={folder: other}, wavs={folder: None}, shared=[])
    packed = pack(contents, tmp_path / "a.zip", cache_dir=there)
    assert (packed.failed, packed.missing, packed.done) == ([other.id], [], 0)
    here = tmp_path / "here"
    here.mkdir()
    assert unpack(tmp_path / "a.zip", cache_dir=here).failed == [other.id]
    placed = here / "cells" / folder.name
    assert failure_of(placed) == replace(failure, log=str(placed / "output.log"))
    assert (placed / "output.log").read_text() == "x" * ((1 << 16) - 8) + "the end\n"
    assert not has_result(placed)
    assert Cell.read(placed / "cell.json").identity() == other.identity()
    assert str(there) not in (placed / "failure.json").read_text()
    before = tree(here)
    assert unpack(tmp_path / "a.zip", cache_dir=here).there == [other.id]
    assert tree(here) == before


def test_a_failure_changes_nothing_where_the_cell_has_come_further(
    sent: Sent, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    folder = there / "cells" / sent.folder.name
    failed(sent.cell, folder, "")
    pack(
        replace(sent.contents, cells={folder: sent.cell}, shared=[]),
        tmp_path / "a.zip",
        cache_dir=there,
    )
    here = tmp_path / "here"
    here.mkdir()
    unpack(sent.pack(tmp_path / "b.zip", with_checkpoints=True), cache_dir=here)
    before = tree(here)
    assert unpack(tmp_path / "a.zip", cache_dir=here).there == [sent.cell.id]
    assert tree(here) == before
    # And the other way round, a result is the end of the failure.
    unpack(sent.pack(tmp_path / "b.zip", with_checkpoints=True), cache_dir=there)
    assert has_result(folder)
    assert failure_of(folder) is None


# --- a run's folder ---


def run_of(sent: Sent, folder: Path, **changes: object) -> Path:
    """A run of another cache: its files were named as they lay there."""
    described = portable(sent.cell)
    for part in ("train_features", "validation_features"):
        described[part] = {s: [f"/gone/{n}" for n in names] for s, names in described[part].items()}
    entry = {"key": sent.folder.name, "config": described, **changes}
    manifest = {
        "suite_name": "small",
        "suite": {"protocol": "vcbench-1"},
        "budget": None,
        "data": {"fingerprint": "f" * 64},
    }
    write_json(folder / "manifest.json", manifest)
    write_json(folder / "plan.json", [entry])
    return folder


def test_a_run_of_another_cache(sent: Sent, tmp_path: Path) -> None:
    contents = of_run(run_of(sent, tmp_path / "run"), sent.cache)
    assert pack(contents, tmp_path / "a.zip", cache_dir=sent.cache).done == 1
    with Archive(tmp_path / "a.zip") as archive:
        assert set(archive.manifest.cells) == {sent.folder.name}
    here = tmp_path / "here"
    elsewhere = of_run(tmp_path / "run", here)
    with pytest.raises(DataError, match="feature files it is trained on are not there yet"):
        pack(elsewhere, tmp_path / "b.zip", cache_dir=here, to_train=True)
    shutil.copytree(sent.cache / "features", here / "features")
    assert pack(elsewhere, tmp_path / "b.zip", cache_dir=here, to_train=True).to_train == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(data=st.data(), value=JSON)
def test_a_run_of_anything_is_taken_or_refused(
    sent: Sent, tmp_path: Path, data: st.DataObject, value: object
) -> None:
    run = run_of(sent, tmp_path / "run")
    name = data.draw(st.sampled_from(["manifest.json", "plan.json"]))
    found = json.loads((run / name).read_text())
    place = found[0] if name == "plan.json" else found
    while data.draw(st.booleans()) and isinstance(place, dict) and place:
        inner = place[data.draw(st.sampled_from(sorted(place)))]
        if not isinstance(inner, dict) or not inner:
            break
        place = inner
    place[data.draw(st.sampled_from(sorted(place)))] = value
    write_json(run / name, data.draw(st.sampled_from([found, value])))
    with suppress(VcbenchError):
        pack(of_run(run, sent.cache), tmp_path / "a.zip", cache_dir=sent.cache)


def test_links_of_a_run_are_not_followed(sent: Sent, tmp_path: Path) -> None:
    run = run_of(sent, tmp_path / "run")
    (run / "plan.json").rename(tmp_path / "plan.json")
    (run / "plan.json").symlink_to(tmp_path / "plan.json")
    with pytest.raises(DataError, match="leads out of the run's folder"):
        of_run(run, sent.cache)


@pytest.mark.parametrize("name", ["back\\slash", "a" * 201, "line\n", "half \udcff"])
def test_what_nobody_could_take_over_is_not_written(name: str, sent: Sent, tmp_path: Path) -> None:
    wav = sent.folder / "converted" / ("0" * 16) / "A_to_B" / f"{name}.wav"
    contents = replace(sent.contents, shared=[wav])
    with pytest.raises(DataError, match="cannot be taken anywhere under this name"):
        pack(contents, tmp_path / "a.zip", cache_dir=sent.cache)
    assert not list(tmp_path.iterdir())


def test_nor_what_is_too_large(sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vcbench.transfer.archive.MAX_LOG_BYTES", 100)
    with pytest.raises(
        DataError, match=r"could take it over: '.*log.jsonl' has \d+ bytes, at most"
    ):
        sent.pack(tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


def test_what_hundreds_of_cells_say_is_not_too_large() -> None:
    """Each with a hundred sentences, converted and scored; and a cell of a large corpus."""
    wav = f"cells/{'a' * 16}-{'b' * 48}/converted/{'c' * 16}/VCC2SF1_to_VCC2TM1/20001.wav"
    of_each = {"bytes": 123_456, "sha256": "d" * 64}
    per_cell = 54 * 2 * 2
    n_files = 500 * per_cell
    said = len(json.dumps({wav: of_each}, indent=1)) * n_files
    assert n_files < MAX_FILES
    assert said < _maximum_bytes(MANIFEST, n_files) <= 1 << 26
    names = len(json.dumps([f"{'a' * 64}.npz"], indent=4)) * 2 * 20_000
    assert names < _maximum_bytes("cells/x/cell.json", 1)


# --- another machine trains ---

BLOCKED = """\
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {names}:
            raise ImportError('not on this machine: ' + name)
sys.meta_path.insert(0, Blocked())
from vcbench.cli import main
sys.exit(main(sys.argv[1:]))
"""
SPEECH = ("pydantic", "pandas", "pyworld", "pysptk", "nnmnkwii", "soundfile", "scipy", "yaml")


def test_a_machine_without_speech_packages_trains_and_sends_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it sends back is found done where the speech is."""
    suite = small_corpus.write(tmp_path)
    here, there = tmp_path / "here", tmp_path / "there"
    monkeypatch.setenv("VCBENCH_CACHE_DIR", str(here))
    of_suite = ["--data", str(tmp_path), "--only", "two-d/*", "--jobs", "1"]
    asked = ["results", "export", str(suite), *of_suite, "-o", str(tmp_path / "work.zip")]
    assert main(asked) == 2  # nothing is done
    assert main([*asked, "--to-train"]) == 0
    program = BLOCKED.format(names=repr(SPEECH))
    environment = {"VCBENCH_CACHE_DIR": str(there), "PYTHONPATH": ":".join(sys.path)}

    def on_the_other(*arguments: str) -> str:
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = on_the_other("results", "import", str(tmp_path / "work.zip")).split()
    assert command[:3] == ["python", "-m", "vcbench.cell"]
    cell = Cell.read(Path(command[3]))
    assert train(cell, Path(command[3]).parent) is not None
    back = ["results", "export", str(tmp_path / "work.zip"), "-o", str(tmp_path / "done.zip")]
    on_the_other(*back, "--with-checkpoints")
    capsys.readouterr()
    taken = ["results", "import", str(tmp_path / "done.zip"), "--suite", str(suite), *of_suite]
    assert main([*taken[:4], str(suite), "--data", str(tmp_path)]) == 3
    assert f"{suite}: 1 of 2 cells done" in capsys.readouterr().err
    assert main(taken) == 0
    assert f"{suite}: 1 of 1 cell done" in capsys.readouterr().err
    # And once more from there, as what is done.
    with Archive(tmp_path / "done.zip") as archive:
        assert {cell["state"] for cell in archive.manifest.cells.values()} == {"done"}
    again = of_archive(tmp_path / "done.zip", here, ())
    assert [has_result(folder) for folder in again.cells] == [True]
    assert main([*asked[:-2], "-o", str(tmp_path / "x.zip")]) == 2  # not converted yet
    assert "give --with-checkpoints" in capsys.readouterr().err


def test_what_is_no_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    for name, told in (("a.zip", "manifest.json is missing"), ("b.zip", "no such file")):
        assert main(["results", "import", str(tmp_path / name)]) == 2
        assert told in capsys.readouterr().err
