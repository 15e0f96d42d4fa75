"""Named places where a process may die: free while nothing is armed, used by crash tests and users alike.

``reach(name)`` is called once at each place. Arming installs a hook that gets the name; the usual hook kills
the process with SIGKILL at the nth pass of one point.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

#: Every point, in the order in which one workflow meets them.
POINTS: tuple[str, ...] = (
    "workflow_row.before",
    "workflow_row.after",
    "claim.before",
    "claim.after",
    "step.body.before",
    "step.body.after",
    "checkpoint.before",
    "checkpoint.after",
    "transaction.body.before",
    "transaction.commit.before",
    "transaction.commit.after",
    "echo.before",
    "echo.after",
    "send.before",
    "send.after",
    "send_bulk.before",
    "send_bulk.after",
    "receive.before",
    "receive.after",
    "event.before",
    "event.after",
    "stream.before",
    "stream.after",
    "child.before",
    "child.after",
    "cancel.before",
    "cancel.after",
    "resume.before",
    "resume.after",
    "fork.before",
    "fork.after",
    "delete.before",
    "delete.after",
    "attributes.before",
    "attributes.after",
    "deadline.before",
    "deadline.after",
    "outcome.before",
    "outcome.after",
    "migration.statement",
)

_hook: Callable[[str], None] | None = None


def reach(point: str) -> None:
    """Say that execution is at ``point``. A no-op unless a hook is armed."""
    if _hook is not None:
        _hook(point)


def arm(hook: Callable[[str], None] | None) -> None:
    """Install ``hook`` (None disarms)."""
    global _hook
    _hook = hook


def kill_at(point: str, nth: int = 1) -> None:
    """Arm a SIGKILL of this process at the ``nth`` pass of ``point``."""
    if point not in POINTS:
        raise ValueError(f"unknown crash point {point!r}; there are: {', '.join(POINTS)}")
    lock = threading.Lock()
    passes = 0

    def hook(name: str) -> None:
        nonlocal passes
        if name != point:
            return
        with lock:
            passes += 1
            if passes == nth:
                os.kill(os.getpid(), signal.SIGKILL)

    arm(hook)
