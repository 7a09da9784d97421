"""The engine for a Ray cluster: each cell is a command on the node where Ray finds room for it.

Ray places the cells, by the processors, GPUs and memory that each asks for, and tells when a node
is gone; training and its state stay with the command. A cell whose node is lost, or ran out of
memory, is put elsewhere and goes on from its checkpoint. One that fails is not tried again.

Nodes that see the store (a shared file system) work in it. To any other the cell's folder and its
features are sent, and each checkpoint is fetched as it is written, so that the loss of that node
costs no more than the loss of any.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcbench.cell import STOPPED
from vcbench.engines import Engine, Outcome, Resources, Status, TrainingTask, busy, node
from vcbench.engines.cluster import at_least_one, check_names, outcome_on_node
from vcbench.engines.node import Ending
from vcbench.errors import UsageError, VcbenchError
from vcbench.interrupts import counted_interrupts
from vcbench.plugins import register_engine
from vcbench.terminal import say

if TYPE_CHECKING:
    from vcbench.engines.away import Away

POLL_S = 0.2
RETRIES = 2  # times that a cell is put elsewhere
OBJECT_STORE_BYTES = 128 * 2**20  # of a cluster that is started here: next to nothing goes into it
# What a cell's key covers: with other versions its result would not be the one that was asked for.
PACKAGES = ("vcbench", "torch", "numpy")
OPTIONS = ("address", "max_parallel")


@register_engine("ray")
def on_ray(*, jobs: int, device: str, resources: Resources, options: Mapping[str, str]) -> Engine:
    """A Ray cluster: --engine-option address=..., RAY_ADDRESS, or one started on this machine.

    Options: address (auto: the one that runs here), max_parallel (cells at a time).
    """
    del device  # the cell itself says where it computes
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--engine ray needs Ray, which cannot be imported here ({error}): "
            "pip install 'vcbench[ray]'"
        ) from None
    check_names("ray", options, OPTIONS)
    return RayEngine(
        resources,
        address=options.get("address") or os.environ.get("RAY_ADDRESS") or "local",
        max_parallel=at_least_one(options, "max_parallel"),
        jobs=jobs,
    )


@dataclass
class _Seat:
    """A task that Ray has a place for, or will have. stage: what `answer`, a reference, is of."""

    task: TrainingTask
    actor: Any
    answer: Any = None
    is_running: bool = False
    place: str = "a node"
    away: Away | None = None  # the files, where the node does not see the store


class RayEngine:
    """See `vcbench.engines.Engine`."""

    def __init__(
        self,
        resources: Resources,
        *,
        address: str = "local",
        max_parallel: int | None = None,
        jobs: int = 1,
    ) -> None:
        """jobs: how many cells at a time a cluster that is started here has room for."""
        self.resources, self.address = resources, address
        self.max_parallel, self.jobs = max_parallel, jobs

    def run(
        self,
        tasks: Sequence[TrainingTask],
        *,
        on_tick: Callable[[Sequence[TrainingTask]], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        """See `vcbench.engines.Engine.run`. Raises `UsageError` if there is no such cluster."""
        if not tasks:
            return
        # Ray prints what its nodes say to stdout, which is for results.
        with (
            counted_interrupts() as interrupts,
            redirect_stdout(io.StringIO()),
            self._connected(),
            _marker(tasks) as marker,
        ):
            _Run(self, tasks, marker, on_tick, on_end, interrupts).go()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Connected to the cluster. Only what was started here is stopped again."""
        import ray

        if ray.is_initialized():
            yield
            return
        here = self.address == "local"
        _refuse_unreachable(self.address)
        started: dict[str, Any] = {
            "num_cpus": self.jobs * self.resources.cpus,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
        # Ray replaces the handler of SIGTERM, and tells its makers about each cluster it starts.
        handler = signal.getsignal(signal.SIGTERM)
        told = os.environ.get("RAY_USAGE_STATS_ENABLED")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(
                address=self.address,
                log_to_driver=False,
                configure_logging=False,
                **(started if here else {}),
            )
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            fix = "see the files in /tmp/ray/session_latest/logs" if here else _START_ONE
            raise UsageError(
                f"no Ray cluster at address {self.address}: {_first_line(error)}; {fix}"
            ) from None
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)
            if told is None:
                del os.environ["RAY_USAGE_STATS_ENABLED"]
        try:
            yield
        finally:
            ray.shutdown()


class _Run:
    """One call of `RayEngine.run`."""

    def __init__(
        self,
        engine: RayEngine,
        tasks: Sequence[TrainingTask],
        marker: Path,
        on_tick: Callable[[Sequence[TrainingTask]], None],
        on_end: Callable[[Outcome], None],
        interrupts: Sequence[int],
    ) -> None:
        import ray
        from ray import cloudpickle

        self.resources, self.marker = engine.resources, str(marker)
        self.limit = engine.max_parallel or len(tasks)
        self.waiting, self.seats = list(tasks), list[_Seat]()
        self.lost = dict.fromkeys(tasks, 0)
        self.on_tick, self.on_end, self.interrupts = on_tick, on_end, interrupts
        self.sent: dict[str, Any] = {}  # features in Ray's object store, by path
        node.send(cloudpickle)
        needs = {"num_cpus": engine.resources.cpus, "num_gpus": engine.resources.gpus}
        memory = engine.resources.memory_bytes
        self.actor = ray.remote(node.RemoteCell).options(
            **needs, **({} if memory is None else {"memory": memory}), max_restarts=0
        )
        self._say_if_too_large(needs)

    def go(self) -> None:
        """All tasks to their ends."""
        try:
            while self.waiting or self.seats:
                while self.waiting and len(self.seats) < self.limit and not self.interrupts:
                    self._seat(self.waiting.pop(0))
                for seat in self._answered():
                    self._advance(seat)
                self.on_tick([seat.task for seat in self.seats if seat.is_running])
                if self.interrupts:
                    raise KeyboardInterrupt
        except BaseException:
            self._stop()
            raise

    def _say_if_too_large(self, needs: Mapping[str, float]) -> None:
        import ray

        wanted = {"CPU": needs["num_cpus"], "GPU": needs["num_gpus"]}
        nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]
        if not any(all(one.get(k, 0) >= v for k, v in wanted.items()) for one in nodes):
            asked = " and ".join(f"{value:g} {name}" for name, value in wanted.items() if value)
            say(f"ray: no node has {asked} for a cell; cells wait until the cluster has one")

    def _seat(self, task: TrainingTask) -> None:
        seat = _Seat(task, self.actor.remote())
        seat.answer = seat.actor.here.remote(self.marker, PACKAGES)
        self.seats.append(seat)

    def _answered(self, timeout_s: float | None = None) -> list[_Seat]:
        import ray

        timeout_s = POLL_S if timeout_s is None else timeout_s
        begun, answers = time.monotonic(), [seat.answer for seat in self.seats]
        if answers:
            ready, _ = ray.wait(answers, num_returns=len(answers), timeout=timeout_s)
        time.sleep(max(0.0, timeout_s - (time.monotonic() - begun)))
        return [seat for seat in self.seats if seat.answer in ready] if answers else []

    def _advance(self, seat: _Seat) -> None:
        """Take what a node has answered, and ask it the next thing."""
        import ray
        from ray.exceptions import ActorUnavailableError, RayActorError, RayError

        try:
            found = ray.get(seat.answer)
            if not seat.is_running:
                self._start(seat, *found)
                return
            self._look(seat, found)
        except ActorUnavailableError:  # a broken connection: it may come back
            self._ask(seat)
        except RayActorError as error:
            self._lose(seat, _first_line(error))
        except RayError as error:
            self._end(seat, Outcome(seat.task, "failed", f"on {seat.place}: {_first_line(error)}"))
        except (VcbenchError, OSError) as error:
            self._end(seat, Outcome(seat.task, "failed", f"on {seat.place}: {error}"))

    def _ask(self, seat: _Seat) -> None:
        if seat.is_running:
            seat.answer = seat.actor.look.remote()
        else:
            seat.answer = seat.actor.here.remote(self.marker, PACKAGES)

    def _start(self, seat: _Seat, place: str, is_shared: bool, versions: Mapping[str, str]) -> None:
        import ray

        seat.place, task = place, seat.task
        other = [p for p in PACKAGES if versions[p] != metadata.version(p)]
        if other:
            found = ", ".join(f"{p} {versions[p]} (here {metadata.version(p)})" for p in other)
            reason = f"node {place} has {found}: install the same versions on every node"
            self._end(seat, Outcome(task, "failed", reason))
            return
        folder = str(task.folder)
        if not is_shared:
            from vcbench.engines.away import Away

            seat.away = Away(task, seat.actor, self.sent, stop_requested=self._is_stopping)
            owner = seat.away.owner
            if owner is not None:
                self._end(seat, busy(task, owner))
                return
            folder = seat.away.send()
        python, *arguments = task.command(self.resources.cpus)
        if python == sys.executable:
            python = ray.get(seat.actor.python.remote())
        arguments = [
            folder + one[len(str(task.folder)) :] if one.startswith(str(task.folder)) else one
            for one in arguments
        ]
        output = str(Path(folder) / task.output.relative_to(task.folder))
        limits = (self.resources.cpus, self.resources.time_s, self.resources.memory_bytes)
        ray.get(seat.actor.start.remote([python, *arguments], output, *limits))
        seat.is_running = True
        self._ask(seat)

    def _is_stopping(self) -> bool:
        return bool(self.interrupts)

    def _look(self, seat: _Seat, ending: Ending | None) -> None:
        if seat.away is not None:
            seat.away.fetch(is_done=ending is not None)
            if seat.away.is_lost:
                self._end(seat, busy(seat.task, None))
                return
        if ending is None:
            self._ask(seat)
            return
        outcome = outcome_on_node(seat.task, self.resources, ending)
        code, limit, _ = ending
        if code in (STOPPED, -signal.SIGTERM) and not limit:  # its node is being taken away
            self._lose(seat, "the cell was told to stop there")
        elif outcome.status == "oom" and not limit and self.lost[seat.task] < RETRIES:
            self._lose(seat, outcome.reason)
        else:
            self._end(seat, outcome)

    def _lose(self, seat: _Seat, reason: str) -> None:
        """A node is gone, or was out of memory."""
        task = seat.task
        self.lost[task] += 1
        if self.lost[task] > RETRIES:
            status: Status = "oom" if "memory" in reason.lower() else "lost"
            times = f"the last of {self.lost[task]} nodes, {seat.place}"
            self._end(seat, Outcome(task, status, f"{times}, was lost: {reason}"))
            return
        say(
            f"{task.cell_id}: {seat.place} was lost ({reason}); it goes on elsewhere from its "
            f"checkpoint ({self.lost[task]} of {RETRIES})"
        )
        self._leave(seat)
        self.waiting.append(task)

    def _end(self, seat: _Seat, outcome: Outcome) -> None:
        self._leave(seat)
        self.on_end(outcome)

    def _leave(self, seat: _Seat) -> None:
        import ray
        from ray.exceptions import RayError

        self.seats.remove(seat)
        with suppress(RayError, OSError):
            ray.get(seat.actor.clean.remote(), timeout=10)
        if seat.away is not None:
            seat.away.close()
        ray.kill(seat.actor)

    def _stop(self) -> None:
        """Ask all to save and end; kill those that do not within the grace period, or at once when
        there is one more interrupt."""
        import ray
        from ray.exceptions import RayError

        patience, running = len(self.interrupts), [s for s in self.seats if s.is_running]
        if running:
            say(
                f"stopping: {len(running)} running cells finish their iteration and save "
                f"(at most {node.GRACE_S:.0f} s; Ctrl-C again stops at once)"
            )
        for seat in running:
            seat.actor.stop.remote()
        for seat in [seat for seat in self.seats if not seat.is_running]:
            self.seats.remove(seat)
            ray.kill(seat.actor)
        deadline = time.monotonic() + node.GRACE_S
        while self.seats and len(self.interrupts) == patience and time.monotonic() < deadline:
            for seat in self._answered(0.05):
                try:
                    ending = ray.get(seat.answer)
                    if seat.away is not None:
                        seat.away.fetch(is_done=ending is not None)
                    if ending is None:
                        self._ask(seat)
                    else:
                        self._leave(seat)
                except (RayError, OSError):
                    self._leave(seat)
        for seat in list(self.seats):
            self._leave(seat)
            say(f"{seat.task.cell_id}: stopped at once; what it had saved is kept")


_START_ONE = (
    "`ray start --head` starts one; without address and RAY_ADDRESS, one is started for the run"
)


def _refuse_unreachable(address: str) -> None:
    """Raises `UsageError` where nobody answers at `address`: Ray itself would try for minutes."""
    if "://" in address:
        raise UsageError(
            f"--engine-option address={address}: Ray's client is not supported; run vcbench on a "
            "node of the cluster, with address=auto"
        )
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdigit()):  # auto, local
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"no Ray cluster at address {address}: {error}; {_START_ONE}") from None


@contextmanager
def _marker(tasks: Sequence[TrainingTask]) -> Iterator[Path]:
    """A file beside the cells' folders that nobody can have seen before: who sees it sees the
    store, and not another that has the same path."""
    path = tasks[0].folder.parent / f".ray.{uuid.uuid4().hex}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _first_line(error: BaseException) -> str:
    """What an error of Ray says, in a line; it tells in several where the actor was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if ": " not in line[:20] and not line.startswith("The actor ")]
    return (kept or lines or [type(error).__name__])[0][:300]
