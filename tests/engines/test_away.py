"""Files that are fetched from a node that does not see the store, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vcbench import locks, sealed
from vcbench.engines import TrainingTask
from vcbench.engines.away import Away
from vcbench.training.files import CHECKPOINT


def node(read: Callable[[int], bytes]) -> Any:
    """An actor that has one checkpoint, whose next piece `read` gives."""

    def remote(call: Callable[..., object]) -> SimpleNamespace:
        return SimpleNamespace(remote=call)

    return SimpleNamespace(
        make_folder=remote(lambda: "/there"),
        append=remote(lambda name, piece: None),
        files=remote(lambda folder: {CHECKPOINT: (6, 1)}),
        open=remote(lambda path: None),
        read=remote(read),
    )


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = SimpleNamespace(get=lambda found: found)
    monkeypatch.setitem(__import__("sys").modules, "ray", ray)


def fetched(folder: Path, read: Callable[[int], bytes]) -> None:
    folder.mkdir()
    task = TrainingTask("one/A-B/0", folder, 1)
    away = Away(task, node(read), {}, stop_requested=lambda: False)
    try:
        away._folder = away.actor.make_folder.remote()
        away.fetch(is_done=True)
    finally:
        away.close()


def test_what_is_half_fetched_is_called_as_what_is_half_written(tmp_path: Path) -> None:
    """So that `vcbench cache gc` finds it if this process is killed now."""
    folder = tmp_path / "cell"
    pieces = [b"123", b"456", b""]
    seen: list[Path] = []

    def read(_: int) -> bytes:
        seen.extend(path for path in folder.iterdir() if not locks.is_lock(path))
        return pieces.pop(0)

    fetched(folder, read)
    assert seen
    assert all(sealed.is_temporary(path) for path in seen)
    assert (folder / CHECKPOINT).read_bytes() == b"123456"
    assert {path for path in folder.iterdir() if not locks.is_lock(path)} == {folder / CHECKPOINT}


def test_a_node_that_is_lost_while_it_sends_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cell"
    pieces = iter([b"123"])
    with pytest.raises(StopIteration):
        fetched(folder, lambda _: next(pieces))
    assert [path for path in folder.iterdir() if not locks.is_lock(path)] == []
