"""The log file beside the databases: what bodies did and what callers were told, appended and fsynced line by line."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """One line. ``at``: nanoseconds since the Unix epoch."""

    #: ``body``: a step's body begins; ``accepted``: a start returned; ``told``: a caller got the outcome ``token``.
    kind: str
    workflow_id: str
    step: int
    attempt: int
    pid: int
    at: int
    token: str


def write(path: str, kind: str, workflow_id: str, *, step: int = 0, attempt: int = 0, token: str = "") -> str:
    """Append one line; its token, by default a new one."""
    at = time.time_ns()
    token = token or f"{os.getpid()}:{at}"
    line = "\t".join((kind, workflow_id, str(step), str(attempt), str(os.getpid()), str(at), token)) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)
    return token


def read(path: Path) -> list[Entry]:
    """All lines, in the order in which they were written."""
    if not path.exists():
        return []
    entries = []
    for line in path.read_text().splitlines():
        kind, workflow_id, step, attempt, pid, at, token = line.split("\t")
        entries.append(Entry(kind, workflow_id, int(step), int(attempt), int(pid), int(at), token))
    return entries
