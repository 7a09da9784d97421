"""Watching cells train: a live view on a terminal, one plain line per event elsewhere.

What is shown is read from the cells' logs, so that it is what was measured, wherever they run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vcbench.terminal import count_of, is_watched, say
from vcbench.training.files import LOG
from vcbench.training.log import last_line
from vcbench.training_time import clock, ends_after

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from vcbench.engines import Outcome, TrainingTask

_LOSSES = {
    "generator_adversarial": "G",
    "cycle": "cycle",
    "identity": "identity",
    "discriminator": "D",
}
_BAR = 20  # columns


class Watcher(Protocol):
    """What an engine's `on_tick` calls, and what is told of every task that has ended."""

    def __call__(self, running: Sequence[TrainingTask]) -> None:
        """Now and then, with the tasks that are running."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """Once for each task."""
        ...


@contextmanager
def watcher(tasks: Sequence[TrainingTask]) -> Iterator[Watcher]:
    """Yields the watcher of an engine that is about to run `tasks`."""
    if not is_watched():
        yield PlainWatcher(len(tasks))
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    view = View(tasks, console)
    # Drawn at the engine's ticks and by no thread: nothing changes while it is drawn.
    drawing = Live(get_renderable=view.drawn, console=console, auto_refresh=False, transient=True)

    def refresh() -> None:
        with suppress(OSError):  # the terminal was closed: training goes on
            drawing.refresh()

    view.refresh = refresh
    drawing.start()
    try:
        yield view
    finally:
        with suppress(OSError):
            drawing.stop()


class PlainWatcher:
    """One line when a cell begins, one per quarter of its iterations, and one when it has ended."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._ended = 0
        self._quarters: dict[TrainingTask, int] = {}
        self._since: dict[TrainingTask, float] = {}

    def __call__(self, running: Sequence[TrainingTask]) -> None:
        """See `Watcher`."""
        for task in running:
            line = last_line(task.folder)
            quarter = 4 * int(line.get("iteration", 0)) // task.iterations
            if task not in self._quarters:
                self._since[task] = time.monotonic()
                begun = ", begun before" if line else ""
                say(f"training {len(self._since)} of {self._total}: {task.cell_id}{begun} ...")
                say(f"  log: {task.folder / LOG}")
            elif self._quarters[task] < quarter < 4:
                speed = line.get("iterations_per_second", 0.0)
                at = f"{line['iteration']}/{task.iterations}"
                say(f"  {task.cell_id}: {at} {_losses(line)} {speed:.1f} it/s")
            self._quarters[task] = quarter

    def ended(self, outcome: Outcome) -> None:
        """See `Watcher`; that a cell failed, and why, is told by who knows all that it costs."""
        self._ended += 1
        if outcome.status == "ok":
            task = outcome.task
            seconds = time.monotonic() - self._since.get(task, time.monotonic())
            left = self._total - self._ended
            say(f"  {task.cell_id}: trained ({seconds:.0f} s); {count_of(left, 'cell')} left")


@dataclass
class _Seen:
    """What was seen of a running cell: the newest line of its log, and how fast it goes.

    since: when and at which iteration the first new line came, from which speed is measured: what
    stands in the log before that is another sitting's.
    """

    task: TrainingTask
    line: dict[str, Any]
    is_new: bool = False
    since: tuple[float, int] | None = None
    newest: float = 0.0

    def look(self, now: float) -> None:
        line = last_line(self.task.folder)
        if line == self.line or not line:
            return
        self.line, self.is_new, self.newest = line, True, now
        if self.since is None or self.iteration <= self.since[1]:
            self.since = (now, self.iteration)

    @property
    def iteration(self) -> int:
        return int(self.line.get("iteration", 0))

    @property
    def speed(self) -> float | None:
        """Iterations per second, validations and checkpoints included as soon as there were two
        lines; at the first, what that line says."""
        if self.since is None:
            return None
        if self.iteration > self.since[1]:
            return (self.iteration - self.since[1]) / max(self.newest - self.since[0], 1e-9)
        return float(self.line.get("iterations_per_second", 0.0)) or None

    def seconds_left(self, now: float) -> float | None:
        if self.speed is None:
            return None
        left = (self.task.iterations - self.iteration) / self.speed
        return max(0.0, left - (now - self.newest))


class View:
    """The live view: counts, the time left of all training, and the cells that are running."""

    def __init__(self, tasks: Sequence[TrainingTask], console: Console) -> None:
        self._console = console
        self._total = len(tasks)
        self._waiting = {task: task.iterations - _done(task) for task in tasks}
        self._work = sum(task.iterations for task in tasks)
        self._running: dict[TrainingTask, _Seen] = {}
        self._speeds: dict[str, float] = {}  # the last measured, by system
        self._at_a_time = 1
        self._ok = self._failed = 0
        self._iterations_ended = 0
        self._begun = self._now = time.monotonic()
        self.refresh: Callable[[], None] = lambda: None

    def __call__(self, running: Sequence[TrainingTask]) -> None:
        """See `Watcher`."""
        self._now = time.monotonic()
        self._at_a_time = max(self._at_a_time, len(running))
        for task in running:
            self._waiting.pop(task, None)
            if task not in self._running:
                self._running[task] = _Seen(task, last_line(task.folder))
            seen = self._running[task]
            seen.look(self._now)
            if seen.speed is not None:
                self._speeds[_system(task)] = seen.speed
        for task in self._running.keys() - set(running):
            del self._running[task]
        self.refresh()

    def ended(self, outcome: Outcome) -> None:
        """See `Watcher`."""
        self._ok += outcome.status == "ok"
        self._failed += outcome.status != "ok"
        self._iterations_ended += outcome.task.iterations
        self._waiting.pop(outcome.task, None)
        self._running.pop(outcome.task, None)
        self.refresh()

    def seconds_left(self) -> float | None:
        """Of all training, at the speeds measured so far; None before there is one.

        A system none of whose cells has run here yet counts as fast as the mean of the others.
        """
        if not self._speeds:
            return None
        mean = sum(self._speeds.values()) / len(self._speeds)
        running = []
        for task, seen in self._running.items():
            speed = self._speeds.get(_system(task), mean)
            left = seen.seconds_left(self._now)
            running.append((task.iterations - seen.iteration) / speed if left is None else left)
        speeds = [self._speeds.get(_system(task), mean) for task in self._waiting]
        waiting = [n / speed for n, speed in zip(self._waiting.values(), speeds, strict=True)]
        return ends_after(running, waiting, at_a_time=self._at_a_time)

    def drawn(self) -> RenderableType:
        """As much as fits the terminal: details go first, then cells."""
        from rich.console import Group
        from rich.text import Text

        head = self._head()
        # Last, and short: the terminal writes "^C" behind it, which must not begin another line.
        hint = Text("Ctrl-C stops and saves", style="dim")
        cells = list(self._running.values())
        height = max(3, self._console.height - 1)
        for is_detailed in (True, False):
            body = [self._cell(seen, is_detailed) for seen in cells]
            if self._height(head, *body, hint) <= height:
                return Group(head, *body, hint)
        while body and self._height(head, *body, hint) + 1 > height:
            body.pop()
        return Group(head, *body, f"  and {len(cells) - len(body)} more running", hint)

    def _height(self, *parts: RenderableType) -> int:
        return sum(len(self._console.render_lines(part)) for part in parts)

    def _head(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        counts = Text(f"training {count_of(self._total, 'cell')}: {self._ok} done")
        counts.append(f", {len(self._running)} running")
        if self._failed:
            counts.append(f", {self._failed} failed", style="red")
        counts.append(f", {len(self._waiting)} waiting")
        left = self.seconds_left()
        running = sum(seen.iteration for seen in self._running.values())
        waiting = sum(task.iterations - n for task, n in self._waiting.items())
        done = self._iterations_ended + running + waiting
        clocks = f"{clock(self._now - self._begun)} so far"
        clocks += "" if left is None else f", about {clock(left)} of training left"
        return Group(counts, *self._row("", done, self._work, Text(clocks)))

    def _cell(self, seen: _Seen, is_detailed: bool) -> RenderableType:
        """One line where it fits, else the name on a line of its own; and, if detailed, losses and
        the log's path."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        task = seen.task
        said = Text(f"{seen.iteration}/{task.iterations}")
        if seen.speed is None:
            said.append("  starting")
        else:
            said.append(f"  {seen.line.get('iterations_per_second', seen.speed):.1f} it/s")
            said.append(f"  {clock(seen.seconds_left(self._now) or 0.0)} left")
        losses = _losses(seen.line) if seen.is_new else ""
        wide = said.copy().append(f"  {losses}") if losses and is_detailed else said
        lines = self._row(task.cell_id, seen.iteration, task.iterations, wide)
        if len(lines) > 1:
            lines = self._row(task.cell_id, seen.iteration, task.iterations, said)
            if losses and is_detailed:
                lines.append(Padding(Text(losses), (0, 0, 0, 2)))
        if is_detailed:
            path = Text(str(task.folder / LOG), overflow="fold", style="dim")
            lines.append(Padding(path, (0, 0, 0, 2)))
        return Padding(Group(*lines), (0, 0, 0, 2))

    def _row(self, name: str, done: int, total: int, said: Text) -> list[RenderableType]:
        """The name, a bar and what is said: on one line where it fits, else the name on a line of
        its own, and where it still does not fit, without the bar."""
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        bar = ProgressBar(total=total, completed=done, width=_BAR)
        above: list[RenderableType] = [Text(name, overflow="fold")] if name else []
        one: list[RenderableType] = [Text(name), bar, said]
        for cells, before in ((one, []), (one[1:], above)):
            row = Table.grid(*([""] * len(cells)), padding=(0, 2, 0, 0))
            for column in row.columns:
                column.no_wrap = True
            row.add_row(*cells)
            if self._console.measure(row).maximum + 4 <= self._console.width:  # and its indent
                return [*before, Padding(row, (0, 0, 0, 2 * len(before)))]
        return [*above, Padding(said, (0, 0, 0, 2 * len(above)))]


def _losses(line: dict[str, Any]) -> str:
    return " ".join(f"{short} {line[name]:.3g}" for name, short in _LOSSES.items() if name in line)


def _done(task: TrainingTask) -> int:
    """Iterations that an earlier sitting left in the log."""
    return min(int(last_line(task.folder).get("iteration", 0)), task.iterations)


def _system(task: TrainingTask) -> str:
    return task.cell_id.partition("/")[0]
