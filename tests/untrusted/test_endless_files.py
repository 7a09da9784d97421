"""A pipe, a device or a terabyte in the place of a file is named and refused, and not waited for.

Without the protection, each of these hangs or fills the memory.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workplace import Workplace

from vcbench import features, fingerprint
from vcbench.cli import main
from vcbench.discovery import source_text
from vcbench.errors import DataError, UsageError
from vcbench.plugins import Registry
from vcbench.regular_files import content
from vcbench.scoring import utterances
from vcbench.training.cell import Cell

SECONDS = 60.0  # far more than any of it takes


def a_terabyte(path: Path) -> None:
    """Which takes no room on the disk."""
    path.touch()
    os.truncate(path, 2**40)


ENDLESS: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terabyte": a_terabyte,
}
NOT_READ = {
    "pipe": "a pipe or a device, and no file",
    "device": "a pipe or a device, and no file",
    "terabyte": "1099511627776 bytes; at most ",
}
TOO_DEEP = "-" * 200_000 + "1"


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    """What hangs is a failure of one test."""

    def late(*_: object) -> None:
        raise AssertionError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=ENDLESS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def plan(place: Workplace) -> int:
    suite_file = str(place.root / "suite.yaml")
    return main(["plan", suite_file, "--data", str(place.root), "--device", "cpu"])


def test_a_recording_of_a_corpus(
    kind: str, place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    wav = place.wav("F1", "s0")
    wav.unlink()
    ENDLESS[kind](wav)
    assert plan(place) == 2
    said = capsys.readouterr().err
    assert f"{wav}: cannot be read ({NOT_READ[kind]}" in said


def test_a_recording_that_is_scored(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("reference", "converted"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "s1.wav").write_bytes(b"RIFF")
    (tmp_path / "converted" / "s1.wav").unlink()
    ENDLESS[kind](tmp_path / "converted" / "s1.wav")
    folders = [str(tmp_path / name) for name in ("reference", "converted")]
    assert main(["score", "--reference", folders[0], "--converted", folders[1]]) == 1
    said = capsys.readouterr().err
    assert f"s1.wav: cannot be read ({NOT_READ[kind]}" in said


def test_a_list_of_what_is_scored(tmp_path: Path) -> None:
    """Pipes and devices are told to be no list."""
    a_terabyte(tmp_path / "list")
    with pytest.raises(UsageError, match=r"cannot be read \(1099511627776 bytes"):
        utterances(str(tmp_path / "list"))


def test_a_cell(kind: str, tmp_path: Path) -> None:
    ENDLESS[kind](tmp_path / "cell.json")
    with pytest.raises(DataError, match=rf"cannot be read \({NOT_READ[kind]}"):
        Cell.read(tmp_path / "cell.json")


def test_a_feature_file_that_a_cell_names(kind: str, tmp_path: Path) -> None:
    ENDLESS[kind](tmp_path / "f.npz")
    with pytest.raises(DataError, match=rf"damaged feature file .*{NOT_READ[kind]}"):
        features.load(tmp_path / "f.npz")


def test_a_file_of_which_the_hash_is_asked(kind: str, tmp_path: Path) -> None:
    ENDLESS[kind](tmp_path / "file")
    with pytest.raises(OSError, match=NOT_READ[kind]):
        fingerprint.of_file(tmp_path / "file")


def test_links_to_files_are_followed_and_folders_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"four")
    (tmp_path / "link").symlink_to("file")
    assert content(tmp_path / "link", maximum_bytes=4) == b"four"
    with pytest.raises(OSError, match="4 bytes; at most 3"):
        content(tmp_path / "link", maximum_bytes=3)
    with pytest.raises(IsADirectoryError):
        content(tmp_path, maximum_bytes=3)


@pytest.mark.parametrize("command", ["show", "check"])
@pytest.mark.parametrize("source", [*ENDLESS, TOO_DEEP], ids=[*ENDLESS, "deep"])
def test_a_file_beside_which_a_plugin_is_looked_for(
    source: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    a_plugin = tmp_path / "a.py"
    ENDLESS[source](a_plugin) if source in ENDLESS else a_plugin.write_text(source)
    assert main([command, "nosuch"]) == 2
    said = capsys.readouterr().err
    assert "no plugin 'nosuch'" in said or "no generator or discriminator 'nosuch'" in said
    assert "a.py" not in said


def test_one_that_names_the_plugin_and_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep.py").write_text(f"# nosuch\nx = {TOO_DEEP}\n")
    (tmp_path / "large.py").write_text(f"# nosuch\n{'#' * 2**20}\n")
    assert main(["show", "nosuch"]) == 2
    said = capsys.readouterr().err
    assert "deep.py: ValueError: nested too deep" in said
    assert "large.py: ValueError: larger than 1048576 characters" in said


def test_the_text_of_a_plugin(kind: str, tmp_path: Path) -> None:
    """What a suite names is a file; what `--plugin` names may be anything."""
    ENDLESS[kind](tmp_path / "p.py")
    with pytest.raises((OSError, ValueError), match=r"pipe|1099511627776 bytes"):
        source_text(tmp_path / "p.py")
    declared = Registry([tmp_path / "p.py"], trusted=False).declarations("generator")
    assert [d.is_named for d in declared if d.problem] == [False]


def test_a_helper_of_a_plugin_is_too_long_to_be_hashed(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    place.plugin.write_text(place.plugin.read_text() + "from .layers import Block\n")
    a_terabyte(place.root / "layers.py")
    assert plan(place) == 2
    assert "layers.py" in capsys.readouterr().err
