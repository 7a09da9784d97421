"""What an engine runs on another machine: one command, watched, and the files that it needs there.

It imports nothing but Python's own modules and `vcbench.processes`, and both are sent along (`send`
says so to cloudpickle): they run in any Python of the same version that has Ray or submitit. What
is missing there, the command itself says.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import IO, Literal

from vcbench import processes
from vcbench.processes import group_memory_bytes, kill_group

# The exit code, the limit at which it was stopped, and what it held in memory then.
Limit = Literal["", "time", "memory"]
Ending = tuple[int, Limit, int]

MEMORY_POLL_S = 1.0  # every process of the machine is looked at
GRACE_S = 60.0  # for a cell to finish its iteration and save

# Run in place of the command, which takes its place. If the process that watches it is killed (out
# of memory, a driver that is gone), the command is told to save and end: nobody else would stop it.
# SLURM's warning goes to every process of a job, and ends those that do not expect it; and Ray's
# workers have signals blocked.
_LAUNCH = """
import ctypes, os, signal, sys
for name in ("SIGUSR1", "SIGUSR2"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != int(sys.argv[1]):
        sys.exit(130)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]}: cannot be started ({error.strerror})")
"""


def send(cloudpickle: ModuleType) -> None:
    """Have what stands here travel with what uses it."""
    for module in (sys.modules[__name__], processes):
        cloudpickle.register_pickle_by_value(module)


class Command:
    """One command, in a session of its own, whose output goes to a file.

    time_s: how long it may take; then it is told to save and end. memory_bytes: what it and all
    that it starts may hold; then they are killed. limit: which of the two it was, "" if none.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        output: Path,
        *,
        environment: dict[str, str],
        time_s: float | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        """Start it; raises OSError if that fails."""
        self.limit: Limit = ""
        self.held_bytes, self.was_killed = 0, False
        self._memory_bytes, self._measured = memory_bytes, time.monotonic()
        self._deadline = None if time_s is None else time.monotonic() + time_s
        self._kill_at: float | None = None
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid())]
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [*launch, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,
            )

    def code(self) -> int | None:
        """Its exit code, None while it runs; to be asked often, since limits are kept here."""
        code = self._process.poll()
        if code is not None:
            return code
        now = time.monotonic()
        if self._kill_at is not None and now > self._kill_at:
            self.kill()
        elif self._deadline is not None and now > self._deadline and not self.limit:
            self.limit = "time"
            self.stop()
        if self._memory_bytes is not None and now - self._measured > MEMORY_POLL_S:
            self._measured = now
            held_bytes = group_memory_bytes(self._process.pid)
            if held_bytes > self._memory_bytes and not self.was_killed:
                self.limit, self.held_bytes = "memory", held_bytes
                self.kill()
        return None

    def ending(self) -> Ending | None:
        """How it ended; None while it runs."""
        code = self.code()
        return None if code is None else (code, self.limit, self.held_bytes)

    def stop(self) -> None:
        """Let it save and end; it is killed if it does not within the grace period."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + GRACE_S
            if self._process.poll() is None:
                self._process.terminate()

    def wait(self) -> int:
        """Until it has ended: its exit code."""
        while (code := self.code()) is None:
            time.sleep(0.1)
        return code

    def kill(self) -> None:
        """End it, and what it has started, at once."""
        self.was_killed = True
        kill_group(self._process.pid)


class RemoteCell:
    """A Ray actor: one cell's command on the node where Ray put it.

    Files are sent and fetched in pieces, by their names in a folder of this node that `make_folder`
    makes; a node that sees the store needs none.
    """

    def __init__(self) -> None:
        self._command: Command | None = None
        self._folder: Path | None = None
        self._reading: IO[bytes] | None = None

    def here(self, marker: str, packages: Sequence[str]) -> tuple[str, bool, dict[str, str]]:
        """The node's name, whether it sees the file `marker`, and its versions of `packages`."""
        versions = {}
        for package in packages:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = "none"
        return os.uname().nodename, Path(marker).exists(), versions

    def make_folder(self) -> str:
        """A new folder on this node."""
        self._folder = Path(tempfile.mkdtemp(prefix="vcbench-"))
        return str(self._folder)

    def append(self, name: str, piece: bytes) -> None:
        """Write a piece of a file behind what it holds."""
        assert self._folder is not None
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(piece)

    def start(
        self,
        arguments: Sequence[str],
        output: str,
        threads: int,
        time_s: float | None,
        memory_bytes: int | None,
    ) -> None:
        """Start the command in this node's Python and with its packages."""
        found = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        environment = {**os.environ, "PYTHONPATH": found, "OMP_NUM_THREADS": str(threads)}
        self._command = Command(
            arguments,
            Path(output),
            environment=environment,
            time_s=time_s,
            memory_bytes=memory_bytes,
        )

    def python(self) -> str:
        """The node's Python."""
        return sys.executable

    def look(self) -> Ending | None:
        """How the command ended; None while it runs."""
        assert self._command is not None
        return self._command.ending()

    def files(self, folder: str) -> dict[str, tuple[int, int]]:
        """Every whole file below a folder, by its name: size in bytes, time in ns."""
        found = {}
        for path in sorted(Path(folder).rglob("*")):
            try:
                if path.is_file() and path.suffix != ".tmp":
                    state = path.stat()
                    found[str(path.relative_to(folder))] = (state.st_size, state.st_mtime_ns)
            except FileNotFoundError:  # replaced, or removed, at this moment
                continue
        return found

    def open(self, path: str) -> None:
        """Begin to read a file: `read` gives what it was now, whatever takes its place."""
        self._reading = Path(path).open("rb")  # noqa: SIM115

    def read(self, size: int) -> bytes:
        """The next piece; an empty one at the end."""
        assert self._reading is not None
        piece = self._reading.read(size)
        if not piece:
            self._reading.close()
        return piece

    def stop(self) -> None:
        """Let the command save and end."""
        if self._command is not None:
            self._command.stop()

    def clean(self) -> None:
        """Kill the command if it still runs, and remove the node's folder."""
        if self._command is not None and self._command.code() is None:
            self._command.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


class SlurmCell:
    """What submitit runs in a job: one cell's command, queued again with what it saved.

    changes: of the job's environment. abandoned: a file that says, once it is there, that nobody
    wants the result. stopped: the code with which a command ends that has saved and is not done.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        output: Path,
        *,
        changes: dict[str, str],
        abandoned: Path,
        stopped: int,
        time_s: float | None,
        memory_bytes: int | None,
    ) -> None:
        self.arguments, self.output, self.changes = tuple(arguments), output, changes
        self.abandoned, self.stopped = abandoned, stopped
        self.time_s, self.memory_bytes = time_s, memory_bytes
        self._command: Command | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_command": None}

    def __call__(self) -> Ending:
        """How the command ended.

        A command that was told to stop, and not by us, was so by SLURM, which wants the node for
        somebody else: the job is queued again.
        """
        command = self._command = Command(
            self.arguments,
            self.output,
            environment={**os.environ, **self.changes},
            time_s=self.time_s,
            memory_bytes=self.memory_bytes,
        )
        asked = time.monotonic()
        while (ending := command.ending()) is None:
            time.sleep(0.2)
            if time.monotonic() - asked > 2:
                asked = time.monotonic()
                if self.abandoned.exists():
                    command.stop()
        was_told = ending[0] in (self.stopped, -signal.SIGTERM)  # the latter: not begun yet
        if was_told and not ending[1] and not self.abandoned.exists():
            self._queue_again()
        return ending

    def checkpoint(self) -> object:
        """What submitit calls before it queues the job again, as its time limit draws near: lets
        the command save. One that does not would hang in the next sitting too: None, which gives
        it up."""
        from submitit.helpers import DelayedSubmission

        if self._command is not None:
            self._command.stop()
            self._command.wait()
            if self._command.was_killed:
                return None
        return DelayedSubmission(self)

    def _queue_again(self) -> None:
        """Ends this process, without a result: SLURM ends the job, to run it again or since it was
        cancelled. If it does not, the job itself asks to be run again."""
        job = os.environ.get("SLURM_JOB_ID", "")
        if job and shutil.which("scontrol"):
            time.sleep(1)  # the state may be set behind the signal
            ask = ["squeue", "-h", "-j", job, "-o", "%T"]
            state = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=False)
            if state.stdout.strip() == "RUNNING":
                subprocess.run(["scontrol", "requeue", job], timeout=60, check=False)
        sys.exit(0)
