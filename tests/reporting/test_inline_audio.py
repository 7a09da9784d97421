"""Sounds in the page: the same samples, whatever the file."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from page_reader import read
from synthetic_run import SyntheticRun

from vcbench import reporting
from vcbench.cli import main
from vcbench.reporting import Leaderboard, render
from vcbench.reporting.inline_audio import as_data


def decoded(address: str) -> tuple[str, bytes]:
    head, _, content = address.partition(";base64,")
    return head.removeprefix("data:"), base64.b64decode(content)


@pytest.mark.parametrize("channels", [1, 2])
def test_16_bits_are_packed_without_loss(channels: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(-32768, 32768, (4000, channels), dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", noise, 22050, subtype="PCM_16")
    kind, content = decoded(as_data(tmp_path / "a.wav"))
    assert kind == "audio/flac"
    samples, rate = soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)
    np.testing.assert_array_equal(samples, noise)
    assert rate == 22050


def test_what_flac_would_change_goes_in_as_it_is(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.1, 1.5, -0.3]), 16000, subtype="FLOAT")
    (tmp_path / "b.wav").write_bytes(b"no sound at all")
    for name in ("a.wav", "b.wav"):
        kind, content = decoded(as_data(tmp_path / name))
        assert kind.startswith("audio/") and kind.endswith("wav")
        assert content == (tmp_path / name).read_bytes()


def test_every_player_of_the_page_holds_its_sound(tmp_path: Path) -> None:
    folder = SyntheticRun(pairs=("A-B",), seeds=(0,), n_sentences=2).write(tmp_path / "run")
    render(folder, inline_audio=True)
    players = read((folder / "index.html").read_text()).all("audio")
    assert len(players) == 2 * 2 * 7
    assert all(a.attributes["src"].startswith("data:audio/flac;base64,") for a in players)


def test_the_command_makes_such_a_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def page_alone(folder: Path, *, inline_audio: bool, jobs: int) -> Leaderboard:
        return render(folder, inline_audio=inline_audio)

    monkeypatch.setattr(reporting, "publish", page_alone)  # the other files are not asked about
    run = SyntheticRun(effects={"a": 0.0}, pairs=("A-B",), seeds=(0,), n_sentences=1)
    folder = run.write(tmp_path / "run")
    assert main(["report", str(folder), "--inline-audio"]) == 0
    assert (folder / "index.html").read_text().count('src="data:audio/flac') == 2 * 4
    assert main(["report", str(folder)]) == 0
    assert "data:audio" not in (folder / "index.html").read_text()
