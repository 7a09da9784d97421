"""A real Slurm on this one machine: munged, slurmctld and slurmd in a folder of their own.

`with slurm(folder) as environment:` starts them as this user, on free ports, and stops them. Raises
`CannotStart` with the reason where that cannot be done; Debian has what is needed in the packages
`slurmctld slurmd slurm-client munge`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "srun")
# Debian installs daemons where the path of an ordinary user may not lead.
SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
PATIENCE_S = 30

# cpus: told, not found: jobs of a test may outnumber the processors. cred_expire: how long a job
# that is queued again waits, two minutes if nothing is said. No cgroups, which a container has not:
# processes are found by their parents.
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
KillWait=20
MinJobAge=300
SlurmdTimeout=30
InactiveLimit=0
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=short Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class CannotStart(Exception):
    """Why there is no Slurm."""


@contextmanager
def slurm(folder: Path, *, cpus: int = 4) -> Iterator[dict[str, str]]:
    """Yields the environment in which `sbatch` and the others find it.

    folder: empty, with a short path: sockets lie in it.
    """
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]
    if missing:
        raise CannotStart(f"not installed: {', '.join(missing)}")
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o700)
    configuration = folder / "slurm.conf"
    (control_port, node_port), host = _free_ports(2), socket.gethostname().partition(".")[0]
    text = CONFIGURATION.format(
        host=host,
        folder=folder,
        user=pwd.getpwuid(os.getuid()).pw_name,
        control_port=control_port,
        node_port=node_port,
        cpus=cpus,
    )
    configuration.write_text(text)
    # The node must not believe a machine that has fewer processors or less memory than it is told.
    environment = {**os.environ, "PATH": SEARCHED, "SLURM_CONF": str(configuration)}
    with ExitStack() as running:
        _start_munge(folder / "munge", environment, running)
        _start(["slurmctld", "-D", "-i"], folder, environment, running)
        _start(["slurmd", "-D", "-N", host], folder, environment, running)
        deadline = time.monotonic() + PATIENCE_S
        while "idle" not in (state := _output(["sinfo", "-h", "-o", "%T"], environment)):
            if time.monotonic() > deadline:
                raise CannotStart(f"no node became idle: {state}\n{_logs(folder)}")
            time.sleep(0.2)
        try:
            yield environment
        finally:  # what still runs would be left behind
            _output(["scancel", "--quiet", "--user", str(os.getuid())], environment)
            deadline = time.monotonic() + PATIENCE_S
            while _output(["squeue", "-h"], environment) and time.monotonic() < deadline:
                time.sleep(0.2)


def _start_munge(folder: Path, environment: dict[str, str], running: ExitStack) -> None:
    key = folder / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    command = ["munged", "--foreground", "--force", f"--key-file={key}"]
    names = {"socket": "socket", "pid": "pid-file", "log": "log-file", "seed": "seed-file"}
    _start(
        [*command, *(f"--{option}={folder / name}" for name, option in names.items())],
        folder,
        environment,
        running,
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "socket").exists():
        if time.monotonic() > deadline:
            raise CannotStart(f"munged does not answer\n{_logs(folder)}")
        time.sleep(0.05)


def _start(
    command: list[str], folder: Path, environment: dict[str, str], running: ExitStack
) -> None:
    program = str(shutil.which(command[0], path=SEARCHED))
    with (folder / f"{command[0]}.out").open("wb") as output:
        process = subprocess.Popen(
            [program, *command[1:]], stdout=output, stderr=output, env=environment
        )
    running.callback(_stop, process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _logs(folder: Path) -> str:
    """The ends of all logs."""
    found = [*folder.glob("*.log"), *folder.glob("*.out"), *folder.glob("log")]
    return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-600:]}" for path in found)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
