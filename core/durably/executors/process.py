"""The identity of a process, such that another process on the same machine can prove it dead.

A process id alone is used again by the system; with the machine's boot, the process-id namespace (containers have
their own) and the start time of the process it is not. Where these cannot be compared nothing is proved, and the lease
decides.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

_PROC = Path("/proc")


def identity(pid: int | None = None) -> str:
    """``machine|pid|start``: who a process is, for the executors' table."""
    pid = os.getpid() if pid is None else pid
    return f"{_machine()}|{pid}|{_start(pid) or ''}"


def proved_dead(process: str | None) -> bool:
    """Whether the process of that identity certainly does not run any more. False: alive, or it cannot be told."""
    parts = (process or "").split("|")
    if len(parts) != 3 or not parts[0] or parts[0] != _machine():
        return False
    pid, start = parts[1], parts[2]
    if not pid.isdigit():
        return False
    if start:
        return _start(int(pid)) != start
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    """This boot of this machine and this process-id namespace; elsewhere, the host's name."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return platform.node()


def _start(pid: int) -> str | None:
    """When a process started, in ticks since boot; None if it does not run, or there is no /proc."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold anything; the fields after it are state, …, start time (the 22nd of all).
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
