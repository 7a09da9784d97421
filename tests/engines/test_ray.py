"""The engine for Ray, on a real cluster of several nodes on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from shell_tasks import COUNT, once, run_with, shell_tasks, starts
from tiny_cells import tiny_cell, write_cell

from vcbench.engines import Resources, TrainingTask, away, node
from vcbench.engines import ray as engine_module
from vcbench.engines.cluster import at_least_one, check_names
from vcbench.engines.node import Command
from vcbench.engines.ray import RayEngine, on_ray
from vcbench.errors import UsageError
from vcbench.locks import owner_of
from vcbench.training.cell import ComponentSpec
from vcbench.training.files import CELL, CHECKPOINT, LOG, read_status

ray = pytest.importorskip("ray", reason="needs the extra: pip install 'vcbench[ray]'")

STORE_BYTES = 80 * 2**20  # the least that Ray takes, or nearly


# A command on a node, without Ray.


def test_a_command_ends_when_its_watcher_is_killed(tmp_path: Path) -> None:
    """Nobody else would stop it: it would train on beside the one that takes its place."""
    (task,) = shell_tasks(tmp_path, COUNT.replace("40", "4000"))
    program = (
        "import sys, time; from pathlib import Path; from vcbench.engines.node import Command\n"
        "command = Command(sys.argv[2:], Path(sys.argv[1]), environment={})\n"
        "time.sleep(60)"
    )
    watcher = subprocess.Popen([sys.executable, "-c", program, task.output, *task.command(1)])
    wait_for(task.folder / "count")
    watcher.kill()
    watcher.wait()
    wait_for(task.folder / "saved")


def test_a_command_is_not_ended_by_slurms_warning(tmp_path: Path) -> None:
    (task,) = shell_tasks(tmp_path, "echo > count; sleep 0.5; exit 7")
    command = Command(task.command(1), task.output, environment=dict(os.environ))
    wait_for(task.folder / "count")
    os.killpg(command._process.pid, signal.SIGUSR2)
    assert command.wait() == 7


def test_a_command_that_does_not_save_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "GRACE_S", 0.3)
    (task,) = shell_tasks(tmp_path, "trap '' TERM; echo > count; sleep 60 & wait; sleep 60")
    command = Command(task.command(1), task.output, environment=dict(os.environ))
    wait_for(task.folder / "count")
    command.stop()
    assert command.wait() == -signal.SIGKILL
    assert command.was_killed


def test_a_command_that_is_not_there_says_so(tmp_path: Path) -> None:
    command = Command(["/nowhere/python"], tmp_path / "output", environment={})
    assert command.wait() == 1
    said = (tmp_path / "output").read_text()
    assert said == "/nowhere/python: cannot be started (No such file or directory)\n"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


# Options.


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UsageError, match="adress: not an option of ray; did you mean 'address'"):
        check_names("ray", {"adress": "auto"}, engine_module.OPTIONS)
    for value in ("0", "-1", "two", "1.5", "٣"):
        with pytest.raises(UsageError, match=r"max_parallel=.*: must be a whole number from 1 on"):
            at_least_one({"max_parallel": value}, "max_parallel")
    assert at_least_one({"max_parallel": "8"}, "max_parallel") == 8


@pytest.mark.parametrize(
    ("named", "variable", "expected"),
    [(None, None, "local"), (None, "10.0.0.1:6379", "10.0.0.1:6379"), ("auto", "x", "auto")],
)
def test_which_cluster(
    named: str | None, variable: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    options = {} if named is None else {"address": named}
    engine = on_ray(jobs=3, device="cpu", resources=Resources(1), options=options)
    assert isinstance(engine, RayEngine)
    assert (engine.address, engine.jobs, engine.max_parallel) == (expected, 3, None)


def test_without_ray_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'vcbench\[ray\]'"):
        on_ray(jobs=1, device="cpu", resources=Resources(1), options={})


def test_importing_the_engines_imports_neither_ray_nor_submitit_nor_torch() -> None:
    program = (
        "import sys, vcbench.engines.ray, vcbench.engines.slurm\n"
        "print(sorted({'ray', 'submitit', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", r"no Ray cluster at address 127.0.0.1:1: .*refused; `ray start --head`"),
        ("localhost:99999", "no Ray cluster at address localhost:99999: "),
        ("ray://127.0.0.1:10001", "run vcbench on a node of the cluster"),
    ],
)
def test_no_cluster_at_the_address(address: str, said: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(UsageError, match=said):
        run_with(shell_tasks(tmp_path, "true"), RayEngine(Resources(1), address=address))
    assert time.monotonic() - begun < 20


# On a cluster.


class Cluster:
    """A head that runs no cell, and nodes that come and go."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        common = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
        # A node that does not answer counts as lost after a second and a half, not after fifteen.
        often = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
        self.nodes = Nodes(
            initialize_head=True,
            head_node_args={**common, "num_cpus": 0, "_system_config": often},
        )

    def add(self, cpus: int = 2) -> Any:
        return self.nodes.add_node(num_cpus=cpus, object_store_memory=STORE_BYTES)

    def engine(self, resources: Resources | None = None, **options: Any) -> RayEngine:
        return RayEngine(resources or Resources(1), address=self.nodes.address, **options)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    made.add(2)
    yield made
    made.nodes.shutdown()


def processes_of(raylet: int) -> list[int]:
    """All that a node's Ray has started, and what that has started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"RAY_RAYLET_PID={raylet}".encode() in variables:
            found.append(int(process.name))
    return found


def pull_the_plug(raylet: int) -> None:
    """Ends a node at once: nothing there can save, or say anything."""
    doomed = [raylet, *processes_of(raylet)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in doomed:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def has_started(raylet: int, work: Sequence[TrainingTask]) -> list[TrainingTask]:
    """Those tasks whose command runs on a node."""
    found = []
    for pid in processes_of(raylet):
        with suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            found += [task for task in work if str(task.folder / CELL) in arguments]
    return found


@pytest.mark.slow
def test_how_each_task_ended(
    cluster: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    work = shell_tasks(
        tmp_path,
        "echo $1 $OMP_NUM_THREADS $(pwd) > done",
        "echo the loss became nan >&2; echo >> tries; exit 1",
        "kill -SEGV $$",
        "echo >> tries; kill -KILL $$",
    )
    outcomes = run_with(work, cluster.engine())
    assert [outcomes[task].status for task in work] == ["ok", "failed", "failed", "oom"]
    assert outcomes[work[1]].reason == "the loss became nan"
    assert "SIGSEGV" in outcomes[work[2]].reason
    # On the store itself, since the node sees it.
    assert (work[0].folder / "done").read_text() == f"1 1 {work[0].folder}\n"
    # What failed is not tried again; what the kernel may have killed for memory is.
    tries = [(work[number].folder / "tries").read_text().count("\n") for number in (1, 3)]
    assert tries == [1, 1 + engine_module.RETRIES]
    assert capfd.readouterr().out == ""  # is for results
    assert not ray.is_initialized()
    assert not list(tmp_path.glob("cells/.ray.*"))


@pytest.mark.slow
def test_limits(cluster: Cluster, tmp_path: Path) -> None:
    hungry = "exec python3 -c \"a = b'1' * 300_000_000; import time; time.sleep(60)\""
    late, large = shell_tasks(tmp_path, COUNT, "echo >> tries; " + hungry)
    limits = Resources(1, time_s=2.0, memory_bytes=100_000_000)
    outcomes = run_with([late, large], cluster.engine(limits))
    assert outcomes[late].status == "timeout"
    assert (late.folder / "saved").exists()
    assert outcomes[large].status == "oom"
    assert "over its limit of 0.09 GiB" in outcomes[large].reason
    assert (large.folder / "tries").read_text() == "\n"  # it would be too large again


@pytest.mark.slow
def test_ctrl_c_lets_running_cells_save_and_starts_no_other(
    cluster: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    work = shell_tasks(tmp_path, *3 * [COUNT.replace("40", "4000")])
    on_tick = once(
        lambda: all((task.folder / "count").exists() for task in work[:2]),
        lambda: signal.raise_signal(signal.SIGINT),
    )
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run_with(work, cluster.engine(max_parallel=2), on_tick)
    assert all((task.folder / "saved").exists() for task in work[:2])
    assert not (work[2].folder / "starts").exists()
    assert "stopping: 2 running cells" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is handler  # Ray sets its own


@pytest.mark.slow
def test_a_lost_node_costs_no_cell(
    cluster: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One node of two is killed with all that runs on it while both train. Its cell goes on on the
    other from its checkpoint, to the weights of an undisturbed training; the others begin once."""
    import torch

    cells = tmp_path / "cache" / "cells"
    cell = tiny_cell(tmp_path, recipe={"iterations": 60, "checkpoint_every": 10, "log_every": 5})
    names = ("one", "two")
    for name in names:
        write_cell(cell, cells / name)
    work: list[TrainingTask] = [TrainingTask(f"{n}/A-B/0", cells / n, 60) for n in names]
    counting = shell_tasks(tmp_path, COUNT)
    lost = cluster.add(2)
    (raylet,) = [one.process.pid for one in lost.all_processes["raylet"]]
    hit: list[TrainingTask] = []
    before: list[list[str]] = []

    def kill() -> None:
        hit.extend(has_started(raylet, work))
        before.extend((task.folder / LOG).read_text().splitlines()[:2] for task in hit)
        pull_the_plug(raylet)

    def are_under_way() -> bool:
        return all((task.folder / CHECKPOINT).exists() for task in work)

    outcomes = run_with([*work, *counting], cluster.engine(), once(are_under_way, kill))
    assert [outcomes[task].status for task in (*work, *counting)] == ["ok", "ok", "ok"]
    assert hit
    for task, lines in zip(hit, before, strict=True):
        # Lines hold the speed: these were written on the node that was lost.
        assert (task.folder / LOG).read_text().splitlines()[:2] == lines
        assert len(lines) == 2
    stored = [torch.load(cells / name / CHECKPOINT, weights_only=True) for name in names]
    assert stored[0]["generator_sha256"] == stored[1]["generator_sha256"]
    said = capfd.readouterr().err
    assert all(f"{task.cell_id}: " in said for task in hit)
    assert said.count("was lost") == len(hit) + sum(len(starts(task)) - 1 for task in counting)


@pytest.fixture
def hidden(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[[Path], int]]:
    """Adds a node of three processors to which a folder is empty; returns its raylet."""
    running: list[subprocess.Popen[bytes]] = []

    def add(folder: Path) -> int:
        ray_command = f"{sys.executable} -m ray.scripts.scripts"
        start = f"exec {ray_command} start --address={cluster.nodes.address} --num-cpus=3 --block"
        start += f" --object-store-memory={STORE_BYTES} --include-log-monitor=false"
        known = set(raylets())
        with (tmp_path / f"node-{len(running)}").open("wb") as output:
            command = ["unshare", "--mount", "/bin/sh", "-c"]
            command.append(f"mount -t tmpfs none {folder} && {start}")
            variables = {**os.environ, "TMPDIR": str(tmp_path)}
            running.append(subprocess.Popen(command, stdout=output, stderr=output, env=variables))
        deadline = time.monotonic() + 60
        while not (found := set(raylets()) - known):
            assert time.monotonic() < deadline, Path(output.name).read_text()
            time.sleep(0.1)
        return found.pop()

    yield add
    for process in running:
        process.terminate()
        process.wait()


def raylets() -> list[int]:
    """Process ids of all nodes on this machine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "exe").readlink().name == "raylet":
                found.append(int(process.name))
    return found


def can_hide() -> bool:
    """Whether this user may cover a folder for a process; root may."""
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(shutil.which("unshare")) and not subprocess.run(command, check=False).returncode


needs_hiding = pytest.mark.skipif(
    not can_hide(), reason="needs the right to mount: a folder is hidden from a node"
)

PLUGIN = """
from vcbench.plugins import register_generator
from .layers import narrow

@register_generator("brought-along")
def brought_along(*, n_mcep, scale):
    "A convolution."
    return narrow(n_mcep)
"""
LAYERS = """
import torch

def narrow(n_mcep):
    return torch.nn.Conv1d(n_mcep, n_mcep, 5, padding=2)
"""


@pytest.mark.slow
@needs_hiding
def test_a_node_that_does_not_see_the_store_is_brought_all_and_returns_all(
    cluster: Cluster, hidden: Callable[[Path], int], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    plugin = store / "plugins" / "brought.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(PLUGIN)
    plugin.with_name("layers.py").write_text(LAYERS)
    cell = tiny_cell(store, generator=ComponentSpec("brought-along"), plugin_files=(str(plugin),))
    folder = store / "cells" / "one"
    described = write_cell(cell, folder).read_bytes()
    task = TrainingTask("one/A-B/0", folder, cell.recipe.iterations)
    hidden(store)
    outcomes = run_with([task], cluster.engine(Resources(3)))
    assert (outcomes[task].status, outcomes[task].reason) == ("ok", "")
    status = read_status(folder)
    assert status is not None
    assert status["iterations"] == cell.recipe.iterations
    assert (folder / CHECKPOINT).exists()
    assert (folder / CELL).read_bytes() == described  # with the paths that hold here
    assert not (folder / "features").exists()
    assert owner_of(folder) is None
    assert list(tmp_path.glob("vcbench-*")) == []  # where its folder was


AWAY = """
n=$(cat checkpoint.pt 2>/dev/null || echo 0)
echo $n $PWD >> places
while [ $n -lt 40 ]; do
    n=$((n + 1)); echo $n > count.new; mv count.new checkpoint.pt; sleep 0.1
done
"""


@pytest.mark.slow
@needs_hiding
def test_a_lost_node_that_did_not_see_the_store_costs_no_cell(
    cluster: Cluster,
    hidden: Callable[[Path], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its checkpoint was fetched as it was written."""
    monkeypatch.setattr(away, "FETCH_S", 0.2)
    store = tmp_path / "store"
    store.mkdir()
    (task,) = shell_tasks(store, AWAY)
    raylet = hidden(store)

    def is_under_way() -> bool:
        found = task.folder / CHECKPOINT
        return found.exists() and int(found.read_text()) > 5

    def replace() -> None:
        assert owner_of(task.folder) is not None  # nobody else trains it meanwhile
        pull_the_plug(raylet)
        cluster.add(3)

    outcomes = run_with([task], cluster.engine(Resources(3)), once(is_under_way, replace))
    assert outcomes[task].status == "ok"
    begun, place = (task.folder / "places").read_text().split()  # the first is lost with its node
    assert 5 < int(begun) < 40
    assert place == str(task.folder)


@pytest.mark.slow
def test_a_cluster_that_is_started_is_stopped_again(tmp_path: Path) -> None:
    (task,) = shell_tasks(tmp_path, "echo $RAY_RAYLET_PID > raylet")
    outcomes = run_with([task], RayEngine(Resources(1), jobs=2))
    assert outcomes[task].status == "ok"
    assert int((task.folder / "raylet").read_text()) not in raylets()
    assert not ray.is_initialized()
