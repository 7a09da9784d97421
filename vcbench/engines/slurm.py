"""The engine for SLURM: an array of jobs, each of which runs one cell's command.

SLURM places, starts, limits and requeues the jobs; submitit writes them. A job that comes near its
time limit, or that SLURM wants out of the way, lets its cell save and is queued again, and the cell
goes on from its checkpoint. A job that fails changes nothing for the others. The jobs go on when
this process is killed: they need it only to be told about.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vcbench import child, paths
from vcbench.cell import STOPPED
from vcbench.engines import Engine, Outcome, Resources, TrainingTask, node
from vcbench.engines.cluster import at_least_one, outcome_on_node
from vcbench.errors import UsageError
from vcbench.interrupts import counted_interrupts
from vcbench.plugins import register_engine
from vcbench.terminal import say

POLL_S = 0.5
QUEUE_S = 10.0  # between two questions to SLURM, about all jobs in one
VISIBLE_S = 60.0  # in which a result appears on the shared file system when its job has ended
WARNING_S = 120  # before a job's time limit, for its cell to save
ARRAY_JOBS = 1000  # in one array; SLURM's MaxArraySize is 1001 unless configured otherwise
RETRIES = 2  # new jobs for one that SLURM lost and did not queue again itself
# States of SLURM in which a job is not over. All others are.
_GOING_ON = (
    *("PENDING", "RUNNING", "SUSPENDED", "STOPPED", "CONFIGURING", "COMPLETING", "RESIZING"),
    *("REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "SIGNALING", "STAGE_OUT"),
)
_PLACE_IS_GONE = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED")


@register_engine("slurm")
def on_slurm(*, jobs: int, device: str, resources: Resources, options: Mapping[str, str]) -> Engine:
    """Jobs of SLURM, one for each cell: --engine-option partition=..., time=..., and any of sbatch.

    Options: time (of one job, as for sbatch; a cell that needs longer is queued again), mem,
    max_parallel (jobs at a time). All others go to sbatch as they are: partition, account, qos,
    constraint, gres and so on.
    """
    del jobs, device  # SLURM decides how many run; the cell itself says where it computes
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--engine slurm needs submitit, which cannot be imported here ({error}): "
            "pip install 'vcbench[slurm]'"
        ) from None
    for program in ("sbatch", "srun", "squeue", "scancel"):
        if shutil.which(program) is None:
            raise UsageError(
                f"--engine slurm: there is no {program} on the PATH; run it where SLURM's commands "
                "are, on a login node"
            )
    return SlurmEngine(resources, options=options)


class SlurmEngine:
    """See `vcbench.engines.Engine`."""

    def __init__(
        self, resources: Resources, *, options: Mapping[str, str], cluster: str = "slurm"
    ) -> None:
        """cluster: submitit's name for it; "local" starts processes here, for tests. Raises
        `UsageError` where an option is wrong."""
        self.resources, self.cluster = resources, cluster
        given = dict(options)
        self.max_parallel = at_least_one(given, "max_parallel")
        given.pop("max_parallel", None)
        time_limit = given.pop("time", None)
        if time_limit is not None:
            self.minutes = minutes(time_limit)
        elif resources.time_s is not None:
            self.minutes = math.ceil((resources.time_s + 2 * WARNING_S) / 60)
        else:
            raise UsageError(
                "--engine slurm: say how long one job may run, for example --engine-option "
                "time=4:00:00; a cell that needs longer is queued again and goes on"
            )
        for name, value in given.items():
            if not re.fullmatch(r"[a-z][a-z-]*", name) or not value.isprintable():
                raise UsageError(f"--engine-option {name}={value!r}: not an option for sbatch")
        self.for_sbatch = given
        if "mem" not in given and resources.memory_bytes is not None:
            self.for_sbatch["mem"] = f"{math.ceil(resources.memory_bytes / 2**20)}M"

    def run(
        self,
        tasks: Sequence[TrainingTask],
        *,
        on_tick: Callable[[Sequence[TrainingTask]], None],
        on_end: Callable[[Outcome], None],
    ) -> None:
        """See `vcbench.engines.Engine.run`. Raises `UsageError` if SLURM takes no such job."""
        if not tasks:
            return
        with counted_interrupts() as interrupts:
            _Run(self, on_tick, on_end, interrupts).go(list(tasks))


@dataclass
class _Job:
    """A job and what is known of it.

    ended: when its end was first seen, in `time.monotonic`. refused: how often SLURM took no new
    job in its place. waits: with the next such question, until SLURM has answered another.
    """

    task: TrainingTask
    submitted: Any  # submitit's
    is_running: bool = False
    ended: float | None = None
    state: str = "PENDING"
    refused: int = 0
    waits: bool = False

    @property
    def id(self) -> str:
        return str(self.submitted.job_id)


@dataclass
class _Run:
    """One call of `SlurmEngine.run`."""

    engine: SlurmEngine
    on_tick: Callable[[Sequence[TrainingTask]], None]
    on_end: Callable[[Outcome], None]
    interrupts: Sequence[int]
    folder: Path = field(init=False)
    jobs: list[_Job] = field(default_factory=list)
    lost: dict[TrainingTask, int] = field(default_factory=dict)
    failed: bool = False

    def __post_init__(self) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.folder = paths.cache_dir() / "slurm" / f"{stamp}-{os.getpid()}"
        self.folder.mkdir(parents=True)
        self.abandoned = self.folder / "abandoned"
        self._asked = -math.inf

    def go(self, tasks: list[TrainingTask]) -> None:
        """All tasks to their ends."""
        try:
            for begin in range(0, len(tasks), ARRAY_JOBS):
                self._submit(tasks[begin : begin + ARRAY_JOBS])
            while self.jobs:
                self._ask()
                for job in list(self.jobs):
                    self._advance(job)
                self.on_tick([job.task for job in self.jobs if job.is_running])
                if self.interrupts:
                    raise KeyboardInterrupt
                time.sleep(POLL_S)
        except BaseException:
            self._stop()
            raise
        if not self.failed:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _submit(self, tasks: Sequence[TrainingTask]) -> None:
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError, cloudpickle

        engine, resources = self.engine, self.engine.resources
        node.send(cloudpickle)
        # Its limits on what may be requeued are counted in sittings; a cell is done when it is.
        executor = submitit.AutoExecutor(
            self.folder, cluster=engine.cluster, **{f"{engine.cluster}_max_num_timeout": 10**6}
        )
        executor.update_parameters(
            name="vcbench",
            timeout_min=engine.minutes,
            cpus_per_task=resources.cpus,
            stderr_to_stdout=True,
            slurm_signal_delay_s=WARNING_S,
            slurm_array_parallelism=engine.max_parallel or len(tasks),
            slurm_additional_parameters={"requeue": True, **engine.for_sbatch},
        )
        if resources.gpus and not {"gres", "gpus-per-node", "gpus"} & set(engine.for_sbatch):
            executor.update_parameters(gpus_per_node=math.ceil(resources.gpus))
        cells = []
        for task in tasks:
            self.lost.setdefault(task, 0)
            cells.append(
                node.SlurmCell(
                    task.command(resources.cpus),
                    task.output,
                    changes={
                        "PYTHONPATH": child.environment()["PYTHONPATH"],
                        "OMP_NUM_THREADS": str(resources.cpus),
                    },
                    abandoned=self.abandoned,
                    stopped=STOPPED,
                    time_s=resources.time_s,
                    memory_bytes=resources.memory_bytes,
                )
            )
        try:
            found = executor.submit_array(cells)
        except (FailedJobError, FailedSubmissionError, OSError) as error:
            raise UsageError(f"SLURM takes no such job: {_last_line(str(error))}") from None
        self.jobs += [_Job(task, job) for task, job in zip(tasks, found, strict=True)]
        first = str(found[0].job_id).partition("_")[0]
        say(
            f"slurm: {len(found)} jobs as array {first}; logs: {self.folder}/{first}_*_log.out "
            f"(`scancel {first}` gives them up)"
        )

    def _ask(self) -> None:
        """What SLURM says of all jobs, if it is time to ask."""
        if time.monotonic() - self._asked < QUEUE_S:
            return
        self._asked = time.monotonic()
        if self.engine.cluster == "slurm":
            # By user: a job that SLURM has forgotten would make a question by numbers an error.
            command = ["squeue", "-h", "-r", "-t", "all", "-u", str(os.getuid()), "-o", "%i|%T"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:  # its controller restarts, say: jobs go on, and so does this
                return
            states = dict(line.split("|") for line in done.stdout.split() if "|" in line)
        else:
            states = {job.id: job.submitted.state for job in self.jobs}
        for job in self.jobs:
            job.state = states.get(job.id, "FORGOTTEN")
            job.waits = False
            job.is_running = job.state == "RUNNING"
            if job.state in _GOING_ON:
                job.ended = None
            elif job.ended is None:
                job.ended = time.monotonic()

    def _advance(self, job: _Job) -> None:
        """Tell of a job that has ended, or begin it anew."""
        outcome = self._outcome(job)
        if outcome is not None:
            self.jobs.remove(job)
            self.failed |= outcome.status != "ok"
            self.on_end(outcome)

    def _outcome(self, job: _Job) -> Outcome | None:
        """None while it goes on, or is to be seen again as another job."""
        task, log = job.task, job.submitted.paths.stdout
        found = _result(job.submitted.paths.result_pickle)
        if found is None:
            if job.ended is None or time.monotonic() - job.ended < VISIBLE_S:
                return None
            return self._without_result(job)
        kind, result = found
        if kind == "success":
            return outcome_on_node(task, self.engine.resources, result)
        said = _last_line(str(result))
        if "scontrol" in said:  # SLURM does not let jobs requeue themselves
            return self._lose(job, said)
        if "checkpoint function returned None" in said:
            reason = (
                f"near the time limit of its job ({self.engine.minutes} minutes) it did not save "
                f"within {node.GRACE_S:g} s; if it hangs, {task.output} may tell where"
            )
            return Outcome(task, "timeout", reason)
        return Outcome(task, "failed", f"job {job.id}: {said}; see {log}")

    def _without_result(self, job: _Job) -> Outcome | None:
        task, log = job.task, job.submitted.paths.stdout
        if job.state in _PLACE_IS_GONE or job.state in ("COMPLETED", "FORGOTTEN", "FINISHED"):
            return self._lose(job, f"SLURM says {job.state}, and there is no result")
        reason = f"SLURM ended job {job.id}: {job.state}; see {log}"
        if job.state == "TIMEOUT":
            return Outcome(task, "timeout", f"{reason}; the cell had not saved in time")
        if job.state == "OUT_OF_MEMORY":
            return Outcome(task, "oom", f"{reason}; give more with --memory or mem=")
        return Outcome(task, "failed", reason)

    def _lose(self, job: _Job, reason: str) -> Outcome | None:
        """A new job for one whose node is gone. SLURM may take none now, as its controller is
        busy, say: that is this cell's trouble alone, and it is asked again."""
        if job.waits:
            return None
        task = job.task
        lost = self.lost[task] + (job.state != "PREEMPTED")
        if lost > RETRIES:
            return Outcome(task, "lost", f"job {job.id}, the last of {RETRIES + 1}: {reason}")
        try:
            self._submit([task])
        except UsageError as error:
            job.refused, job.waits = job.refused + 1, True
            if job.refused > RETRIES:
                why = f"job {job.id}: {reason}; asked {job.refused} times for a new one: {error}"
                return Outcome(task, "lost", why)
            say(f"{task.cell_id}: job {job.id} was lost ({reason}), and {error}; it is asked again")
            return None
        self.lost[task] = lost
        self.jobs.remove(job)
        say(f"{task.cell_id}: job {job.id} was lost ({reason}); a new one goes on where it was")
        return None

    def _stop(self) -> None:
        """Cancel what waits; let what runs save and end, or at once when there is one more
        interrupt, and cancel what is left."""
        patience = len(self.interrupts)
        self.abandoned.touch()
        self._scancel("--state=PENDING")
        self._scancel("--signal=TERM")
        running = [job for job in self.jobs if job.is_running]
        if running:
            say(
                f"stopping: {len(running)} running cells finish their iteration and save "
                f"(at most {node.GRACE_S:.0f} s; Ctrl-C again stops at once)"
            )
        deadline = time.monotonic() + node.GRACE_S
        while running and len(self.interrupts) == patience and time.monotonic() < deadline:
            time.sleep(POLL_S)
            self._ask()
            running = [
                job
                for job in running
                if job.ended is None and _result(job.submitted.paths.result_pickle) is None
            ]
        self._scancel()
        for job in running:
            say(f"{job.task.cell_id}: job {job.id} is cancelled; what it had saved is kept")

    def _scancel(self, *options: str) -> None:
        if self.engine.cluster == "slurm" and self.jobs:
            command = ["scancel", "--quiet", *options, *(job.id for job in self.jobs)]
            subprocess.run(command, check=False)


def _result(path: Path) -> tuple[str, Any] | None:
    """What submitit's job left: "success" and what was returned, or "error" and a traceback; None
    if there is nothing yet."""
    try:
        with path.open("rb") as file:
            kind, result = pickle.load(file)
    except (OSError, EOFError):
        return None
    return kind, result


def minutes(text: str) -> int:
    """A time as sbatch takes it: MINUTES, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS.

    >>> minutes("90"), minutes("4:00:00"), minutes("1-12"), minutes("30:30")
    (90, 240, 2160, 31)

    Raises `UsageError` for anything else.
    """
    form = r"(?:(?P<d>\d+)-)?(?P<a>\d+)(?::(?P<b>\d+))?(?::(?P<c>\d+))?"
    found = re.fullmatch(form, text, flags=re.ASCII)
    if found is None:
        raise UsageError(
            f"--engine-option time={text}: not a time; valid: minutes (90), HH:MM:SS (4:00:00) or "
            "D-HH:MM:SS (1-12:00:00)"
        )
    first, second, third = (int(found[name] or 0) for name in "abc")
    if found["d"] is not None:
        seconds = int(found["d"]) * 86400 + first * 3600 + second * 60 + third
    elif found["c"] is not None:
        seconds = first * 3600 + second * 60 + third
    else:
        seconds = first * 60 + second
    if seconds < 60:
        raise UsageError(f"--engine-option time={text}: must be a minute at least")
    return math.ceil(seconds / 60)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was said"
