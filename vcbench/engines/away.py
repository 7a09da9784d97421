"""A cell on a node that does not see the store: its files, sent there and fetched again.

The cell's own folder here stays the store's: it is locked while the cell is away, its checkpoint
and log are brought up to date while it trains, and everything when it has ended.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from vcbench import locks, sealed
from vcbench.discovery import Kind
from vcbench.engines import TrainingTask
from vcbench.plugins import Registry
from vcbench.signatures import source_files_of
from vcbench.training.cell import Cell
from vcbench.training.files import CELL, CHECKPOINT, LOG, STATUS, write_json

FETCH_S = 5.0  # between two looks whether there is a new checkpoint
PIECE_BYTES = 32 * 2**20
_KINDS: tuple[Kind, ...] = ("generator", "discriminator", "objective")


class Away:
    """One task's files on a node. owner: who trains the cell, if that is another process already.
    is_lost: whether another has taken the cell over since."""

    def __init__(
        self,
        task: TrainingTask,
        actor: Any,
        sent: dict[str, Any],
        *,
        stop_requested: Callable[[], bool],
    ) -> None:
        """Lock the cell's folder. sent: features that Ray holds, by path; `send` adds to it."""
        self.task, self.actor, self._sent = task, actor, sent
        self.is_lost = False
        taken = locks.take(task.folder, on_lost=self._lose, stop_requested=stop_requested)
        self.owner = taken if isinstance(taken, locks.Owner) else None
        self._lock = taken if isinstance(taken, locks.Lock) else None
        self._folder = ""
        self._known: dict[str, tuple[int, int]] = {}  # the node's files that are here too
        self._fetched = time.monotonic()

    def _lose(self) -> None:
        self.is_lost = True

    def send(self) -> str:
        """Everything that the cell needs; returns the node's folder."""
        import ray

        self._folder = ray.get(self.actor.make_folder.remote())
        for path in _files(self.task.folder):
            name = path.relative_to(self.task.folder).as_posix()
            if name != CELL:
                self._send_file(path, name)
        if (self.task.folder / CELL).exists():
            self._send_cell(Cell.read(self.task.folder / CELL))
        self._known = ray.get(self.actor.files.remote(self._folder))
        return self._folder

    def _send_file(self, path: Path, name: str) -> None:
        import ray

        ray.get(self.actor.append.remote(name, b""))
        for piece in _pieces(path):
            ray.get(self.actor.append.remote(name, piece))

    def _send_cell(self, cell: Cell) -> None:
        """The features and plugins that the cell names, and itself with their new places."""
        import ray

        there, sending = {}, []
        for paths in (*cell.train_features.values(), *cell.validation_features.values()):
            for path in paths:
                if path in there:
                    continue
                name = f"features/{Path(path).name}"  # a hash of its content
                if path not in self._sent:
                    self._sent[path] = ray.put(Path(path).read_bytes())
                there[path] = f"{self._folder}/{name}"
                sending.append(self.actor.append.remote(name, self._sent[path]))
        ray.get(sending)
        moved = {
            what: {speaker: tuple(there[p] for p in paths) for speaker, paths in named.items()}
            for what, named in (
                ("train_features", cell.train_features),
                ("validation_features", cell.validation_features),
            )
        }
        plugins = self._send_plugins(cell)
        cell = replace(cell, plugin_files=plugins, **moved)  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            write_json(Path(folder) / CELL, cell.to_json())
            self._send_file(Path(folder) / CELL, CELL)

    def _send_plugins(self, cell: Cell) -> tuple[str, ...]:
        """Each plugin file with what it imports from beside it."""
        registry = Registry(cell.plugin_files)
        sources = set()
        if cell.plugin_files:
            for kind in _KINDS:
                sources |= source_files_of(registry, kind, getattr(cell, kind).name)
        placed: dict[Path, str] = {}
        found: list[str] = []
        for file in map(Path, cell.plugin_files):
            for path in sorted({file, *sources}):
                if path.is_relative_to(file.parent) and path not in placed:
                    inside = path.relative_to(file.parent).as_posix()
                    placed[path] = f"plugins/{len(found)}/{inside}"
                    self._send_file(path, placed[path])
            found.append(f"{self._folder}/{placed[file]}")
        return tuple(found)

    def fetch(self, *, is_done: bool) -> None:
        """Bring what is new here: now and then the checkpoint and the log, in the end everything,
        the status last, since it says that the rest is there."""
        import ray

        if self.is_lost or not (is_done or time.monotonic() - self._fetched > FETCH_S):
            return
        found = ray.get(self.actor.files.remote(self._folder))
        changed = {name for name in found if found[name] != self._known.get(name)}
        changed = {name for name in changed if _is_ours(name)}
        if not is_done:
            changed &= {CHECKPOINT, LOG}
        for name in sorted(changed, key=lambda name: (name == STATUS, name)):
            self._fetch_file(name)
            self._known[name] = found[name]
        if is_done:
            for name in filter(_is_ours, self._known.keys() - found.keys()):
                (self.task.folder / name).unlink(missing_ok=True)
        self._fetched = time.monotonic()

    def _fetch_file(self, name: str) -> None:
        import ray

        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            raise OSError(f"the node names a file outside of the cell's folder: {name}")
        path = self.task.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = sealed.temporary_of(path)
        try:
            ray.get(self.actor.open.remote(f"{self._folder}/{name}"))
            with temporary.open("wb") as file:
                while piece := ray.get(self.actor.read.remote(PIECE_BYTES)):
                    file.write(piece)
            if not self.is_lost:
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the cell's folder."""
        if self._lock is not None:
            with suppress(OSError):
                self._lock.__exit__(None, None, None)
            self._lock = None


def _is_ours(name: str) -> bool:
    """Whether a file of the node is fetched: not the lock there, nor what was only sent."""
    return name != CELL and not name.startswith(("lock.", "features/", "plugins/"))


def _files(folder: Path) -> Iterator[Path]:
    """What of a cell's folder goes along: not the locks, nor what is half written."""
    for path in sorted(folder.rglob("*")):
        is_kept = not (sealed.is_temporary(path) or path.name.startswith("lock."))
        if path.is_file() and is_kept:
            yield path


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
