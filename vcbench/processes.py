"""Processes of this machine: which live, and what a group of them holds in memory.

Linux tells it in /proc; elsewhere nothing is known, and who asks must do without.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_DEAD = ("Z", "X")  # a zombie has ended: only its parent has not asked yet
# Where the fields of /proc/PID/stat stand behind the command's name, which may hold anything.
_STATE, _GROUP, _STARTED, _RSS_PAGES = 0, 2, 19, 21


def this_machine() -> str:
    """What a process id means something in: this boot and this namespace of ids; "" if unknown.

    Equal strings are one machine, whatever it is called: hosts and containers may share a name.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def are_known() -> bool:
    """Whether this system tells."""
    return (_PROC / "self/stat").exists()


def started(pid: int) -> int | None:
    """When the process was started, in clock ticks after boot, which no change of the clock moves;
    None if it has ended. With its id this names a process: ids are used again."""
    fields = _stat(_PROC / str(pid))
    return None if fields is None or fields[_STATE] in _DEAD else int(fields[_STARTED])


def age_s(pid: int) -> float:
    """Seconds since the process was started; 0 if it has ended."""
    ticks = started(pid)
    if ticks is None:
        return 0.0
    up_s = float((_PROC / "uptime").read_text(encoding="ascii").split()[0])
    return up_s - ticks / os.sysconf("SC_CLK_TCK")


def group_memory_bytes(group: int) -> int:
    """Resident memory of all processes of a group, what they share counted for each.

    Resident and not virtual, which is what RLIMIT_AS bounds: a process that uses CUDA reserves
    far more addresses than it ever fills.
    """
    pages = 0
    for folder in _PROC.glob("[0-9]*"):
        fields = _stat(folder)
        if fields is not None and int(fields[_GROUP]) == group:
            pages += int(fields[_RSS_PAGES])
    return pages * os.sysconf("SC_PAGE_SIZE")


def kill_group(group: int) -> None:
    """End all processes of a group at once, those that a cell started and left behind too."""
    with suppress(ProcessLookupError, PermissionError):  # macOS: of zombies alone
        os.killpg(group, signal.SIGKILL)


def _stat(folder: Path) -> list[str] | None:
    try:
        text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
