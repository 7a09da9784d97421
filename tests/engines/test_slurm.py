"""The engine for SLURM: with submitit's local executor, and with a real SLURM on this machine."""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from shell_tasks import COUNT, once, run_with, shell_tasks, starts
from slurm_on_one_machine import CannotStart
from slurm_on_one_machine import slurm as real_slurm
from tiny_cells import tiny_cell, write_cell

from vcbench.engines import Resources, TrainingTask, slurm
from vcbench.engines.slurm import SlurmEngine, minutes, on_slurm
from vcbench.errors import UsageError
from vcbench.training.files import CHECKPOINT, LOG
from vcbench.training.log import read_log

submitit = pytest.importorskip("submitit", reason="needs the extra: pip install 'vcbench[slurm]'")

ONE = Resources(1)
HOUR = {"time": "60"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "POLL_S", 0.05)
    monkeypatch.setattr(slurm, "QUEUE_S", 0.3)
    monkeypatch.setattr(slurm, "VISIBLE_S", 2.0)


# What needs no SLURM.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("90", 90), ("90:00", 90), ("4:00:00", 240), ("0:00:61", 2), ("1-12", 2160)),
        *(("1-00:30", 1470), ("2-01:00:30", 2941)),
    ],
)
def test_times_as_sbatch_takes_them(text: str, expected: int) -> None:
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["", "4h", "1:2:3:4", "-5", "1-", "0:30", "٣"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="time="):
        minutes(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "say how long one job may run"),
        ({**HOUR, "max_parallel": "0"}, "max_parallel=0: must be a whole number from 1 on"),
        ({**HOUR, "Partition": "x"}, "Partition='x': not an option for sbatch"),
        ({**HOUR, "qos": "a\n#SBATCH --uid=0"}, "not an option for sbatch"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SlurmEngine(ONE, options=options)


def test_a_job_has_time_for_the_cells_time_limit_and_its_memory() -> None:
    engine = SlurmEngine(Resources(2, 0, 8_000_000_000, 3600.0), options={"qos": "low"})
    assert engine.minutes == 64
    assert engine.for_sbatch == {"qos": "low", "mem": "7630M"}


def test_without_slurm_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="there is no sbatch on the PATH"):
        on_slurm(jobs=1, device="cpu", resources=ONE, options=HOUR)


def test_without_submitit_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(UsageError, match=r"pip install 'vcbench\[slurm\]'"):
        on_slurm(jobs=1, device="cpu", resources=ONE, options=HOUR)


# With submitit's local executor, which starts every job at once.


def local(resources: Resources = ONE, **options: str) -> SlurmEngine:
    return SlurmEngine(resources, options={**HOUR, **options}, cluster="local")


def test_how_each_job_ended(tmp_path: Path) -> None:
    work = shell_tasks(
        tmp_path,
        "echo $1 $OMP_NUM_THREADS > done",
        "echo the loss became nan >&2; exit 1",
        "kill -SEGV $$",
    )
    outcomes = run_with(work, local(Resources(3)))
    assert [outcomes[task].status for task in work] == ["ok", "failed", "failed"]
    assert outcomes[work[1]].reason == "the loss became nan"
    assert "SIGSEGV" in outcomes[work[2]].reason
    assert (work[0].folder / "done").read_text() == "3 3\n"


def test_a_cell_over_its_limits_is_stopped(tmp_path: Path) -> None:
    hungry = "python3 -c \"a = b'1' * 300_000_000; import time; time.sleep(60)\""
    late, large = shell_tasks(tmp_path, COUNT, hungry)
    first = run_with([late], local(Resources(1, time_s=1.0)))
    second = run_with([large], local(Resources(1, memory_bytes=100_000_000)))
    assert first[late].status == "timeout"
    assert (late.folder / "saved").exists()
    assert second[large].status == "oom"
    assert "over its limit of 0.09 GiB" in second[large].reason


@pytest.mark.slow
def test_near_its_jobs_time_limit_a_cell_saves_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "WARNING_S", 60 - 2)
    update = submitit.AutoExecutor.update_parameters

    def with_warning(self: submitit.AutoExecutor, **kwargs: object) -> None:
        self._executor.update_parameters(signal_delay_s=slurm.WARNING_S)
        update(self, **kwargs)

    monkeypatch.setattr(submitit.AutoExecutor, "update_parameters", with_warning)
    (task,) = shell_tasks(tmp_path, COUNT)
    outcomes = run_with([task], local(time="1:00"))
    assert outcomes[task].status == "ok"
    first, second, *_ = starts(task)
    assert first == 0
    assert 1 < second < 40


def test_an_interrupt_lets_jobs_save(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (task,) = shell_tasks(tmp_path, COUNT.replace("40", "4000"))
    on_tick = once((task.folder / "count").exists, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_with([task], local(), on_tick)
    assert (task.folder / "saved").exists()
    assert "stopping: 1 running cells" in capsys.readouterr().err


# Its job dies with its node, once.
NODE_IS_LOST = "test -e begun && echo > done && exit; touch begun; kill -KILL $PPID; sleep 60"


@pytest.mark.parametrize("refusals", [1, 99])
def test_a_lost_job_for_which_slurm_takes_no_other_now_costs_at_most_its_own_cell(
    refusals: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(slurm, "VISIBLE_S", 0.1)
    submit = submitit.AutoExecutor.submit_array
    asked: list[float] = []

    def busy(self: submitit.AutoExecutor, cells: Sequence[object]) -> list[object]:
        asked.append(time.monotonic())
        if 1 < len(asked) <= 1 + refusals:
            raise submitit.core.utils.FailedJobError("sbatch: error: Socket timed out")
        return submit(self, cells)

    monkeypatch.setattr(submitit.AutoExecutor, "submit_array", busy)
    unlucky, other = shell_tasks(tmp_path, NODE_IS_LOST, "sleep 2; echo > done")
    outcomes = run_with([unlucky, other], local())
    assert (outcomes[other].status, (other.folder / "done").exists()) == ("ok", True)
    said = capsys.readouterr().err
    assert "Socket timed out; it is asked again" in said
    if refusals == 1:
        assert (outcomes[unlucky].status, (unlucky.folder / "done").exists()) == ("ok", True)
        assert len(asked) == 3
        return
    assert outcomes[unlucky].status == "lost"
    assert "there is no result; asked 3 times for a new one: SLURM" in outcomes[unlucky].reason
    assert "Socket timed out" in outcomes[unlucky].reason
    assert len(asked) == 1 + 3
    between = [later - earlier for earlier, later in itertools.pairwise(asked[1:])]
    assert min(between) >= slurm.QUEUE_S / 2  # it is not asked at every turn


# With a real SLURM.


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    try:
        with real_slurm(folder) as environment:
            yield environment
    except CannotStart as reason:
        pytest.skip(f"no SLURM can be brought up here: {reason}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def on_path(cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, cluster[name])


def real(resources: Resources = ONE, **options: str) -> SlurmEngine:
    engine = on_slurm(jobs=1, device="cpu", resources=resources, options={**HOUR, **options})
    assert isinstance(engine, SlurmEngine)
    return engine


def jobs_of(state: str) -> list[str]:
    """Ids of jobs in a state, as SLURM tells."""
    command = ["squeue", "-h", "-r", "-t", state, "-o", "%i"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def job_of(number: int) -> str:
    """The running job of an array's task."""
    (found,) = [job for job in jobs_of("RUNNING") if job.endswith(f"_{number}")]
    return found


def control(*command: str) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True)


@pytest.mark.slow
def test_a_bad_job_stops_no_other(
    on_path: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = shell_tasks(tmp_path, "sleep 1; echo > done", "exit 3", "kill -KILL $$", "echo > done")
    outcomes = run_with(work, real(partition="short"))
    assert [outcomes[task].status for task in work] == ["ok", "failed", "oom", "ok"]
    assert all((work[number].folder / "done").exists() for number in (0, 3))
    said = capsys.readouterr().err
    assert "slurm: 4 jobs as array" in said
    logs = said.partition("logs: ")[2].partition(" ")[0]
    assert list(Path(logs).parent.glob(Path(logs).name))  # kept, as there were failures


@pytest.mark.slow
def test_at_most_so_many_jobs_at_a_time(on_path: None, tmp_path: Path) -> None:
    seen: list[int] = []
    work = shell_tasks(tmp_path, *4 * ["sleep 1"])
    outcomes = run_with(work, real(max_parallel="2"), lambda running: seen.append(len(running)))
    assert all(outcome.status == "ok" for outcome in outcomes.values())
    assert max(seen) == 2


@pytest.mark.slow
def test_sbatch_refuses_what_there_is_not(on_path: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"SLURM takes no such job: .*partition"):
        run_with(shell_tasks(tmp_path, "true"), real(partition="none"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["requeue", "TERM", "USR2"])
def test_a_preempted_job_goes_on_where_it_was(how: str, on_path: None, tmp_path: Path) -> None:
    """As SLURM preempts, as a site's own scripts do, and as SLURM warns before a time limit."""
    first, second = shell_tasks(tmp_path, COUNT, COUNT)

    def act() -> None:
        job = job_of(0)
        command = ["scontrol", "requeue", job] if how == "requeue" else ["scancel", "-s", how, job]
        subprocess.run(command, check=True)

    outcomes = run_with([first, second], real(), once((first.folder / "count").exists, act))
    assert [outcomes[task].status for task in (first, second)] == ["ok", "ok"]
    begun = starts(first)
    assert len(begun) == 2
    assert 0 < begun[1] < 40
    assert starts(second) == [0]  # untouched


@pytest.mark.slow
def test_a_training_that_is_requeued_ends_with_the_weights_of_one_that_is_not(
    on_path: None, tmp_path: Path
) -> None:
    import torch

    cells = tmp_path / "cache" / "cells"
    cell = tiny_cell(tmp_path, recipe={"iterations": 60, "checkpoint_every": 10, "log_every": 5})
    work = []
    for name in ("requeued", "undisturbed"):
        write_cell(cell, cells / name)
        work.append(TrainingTask(f"{name}/A-B/0", cells / name, cell.recipe.iterations))
    before: list[str] = []

    def act() -> None:
        subprocess.run(["scontrol", "requeue", job_of(0)], check=True)
        before.extend((cells / "requeued" / LOG).read_text().splitlines()[:3])

    ready = (cells / "requeued" / CHECKPOINT).exists
    outcomes = run_with(work, real(), once(ready, act))
    assert [outcomes[task].status for task in work] == ["ok", "ok"]
    # Lines hold the speed: these were written by the first sitting.
    assert (cells / "requeued" / LOG).read_text().splitlines()[: len(before)] == before
    assert len(before) == 3
    lines = [read_log(cells / name) for name in ("requeued", "undisturbed")]
    assert [line["iteration"] for line in lines[0]] == [line["iteration"] for line in lines[1]]
    hashes = [
        torch.load(cells / name / CHECKPOINT, weights_only=True)["generator_sha256"]
        for name in ("requeued", "undisturbed")
    ]
    assert hashes[0]
    assert hashes[0] == hashes[1]


@pytest.mark.slow
def test_ctrl_c_lets_running_cells_save_and_cancels_the_rest(on_path: None, tmp_path: Path) -> None:
    work = shell_tasks(tmp_path, *3 * [COUNT.replace("40", "4000")])
    running = [(task.folder / "count").exists for task in work[:2]]
    on_tick = once(
        lambda: all(is_there() for is_there in running),
        lambda: signal.raise_signal(signal.SIGINT),
    )
    with pytest.raises(KeyboardInterrupt):
        run_with(work, real(max_parallel="2"), on_tick)
    assert all((task.folder / "saved").exists() for task in work[:2])
    assert not (work[2].folder / "starts").exists()
    deadline = time.monotonic() + 20
    while left := jobs_of("RUNNING,PENDING"):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


@pytest.mark.slow
def test_a_cancelled_job_is_told_and_the_others_go_on(on_path: None, tmp_path: Path) -> None:
    first, second = shell_tasks(tmp_path, COUNT.replace("40", "4000"), COUNT)
    on_tick = once(
        (first.folder / "count").exists, lambda: subprocess.run(["scancel", job_of(0)], check=True)
    )
    outcomes = run_with([first, second], real(), on_tick)
    assert outcomes[first].status == "failed"
    assert "CANCELLED" in outcomes[first].reason
    assert starts(first) == [0]
    assert outcomes[second].status == "ok"
