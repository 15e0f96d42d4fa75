"""Ends a throw-away database server when the program that started it is gone, even if it was killed.

Run as a program of its own, in its own session, by ``durably.testing._private``: ``HOME keep|remove SIGNAL``, the
signal being the server's way to end at once. Its standard input is a pipe that only the starter holds: end of file
means that the starter has gone. A child that the starter forked may hold the pipe too, so the parent's process id is
watched as well. The server's process id is in ``HOME/server.pid``, written by the starter: the servers write theirs
late.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 10.0  # seconds that the server gets for an immediate shutdown


def main(home: Path, how: signal.Signals, *, remove: bool) -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], 1.0)
        if readable:  # nothing is ever written: this is the end of the file
            break
    end_server(home, how)
    if remove:
        _remove(home)


def end_server(home: Path, how: signal.Signals) -> None:
    """Shut down the server whose folder this is, if it runs."""
    pid = _server_pid(home)
    if pid is None:
        return
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            return
        if time.monotonic() > deadline:
            how = signal.SIGKILL
        time.sleep(0.05)
        if _server_pid(home) != pid:
            return


def _server_pid(home: Path) -> int | None:
    """The running server's process id; None if there is none, or if its id has gone to another program."""
    try:
        pid = int((home / "server.pid").read_text())
    except (OSError, ValueError):
        return None
    return pid if str(home / "data") in _command_line(pid) else None


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        if Path("/proc/self").exists():
            return ""
    ps = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607
    return ps.stdout


def _remove(home: Path) -> None:
    # A server or the making of its files that was under way may still be writing: try again for a while.
    for _ in range(20):
        shutil.rmtree(home, ignore_errors=True)
        if not home.exists():
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), signal.Signals[sys.argv[3]], remove=sys.argv[2] == "remove")
