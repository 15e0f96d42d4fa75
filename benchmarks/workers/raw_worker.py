"""The floor: the bare driver doing the commits of a workflow, and nothing else of what makes one durable.

``python -m benchmarks.workers.raw_worker URL PLAN``. A workflow is an INSERT, each step an INSERT, the outcome an
UPDATE, each committed by itself: no fence, no history, no serialization, no batches.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from benchmarks.measure import Plan, Subject, measure, tell

#: Connections to PostgreSQL; its default limit is 100 in all.
POOL = 32

_TABLES = (
    "CREATE TABLE workflows (id text PRIMARY KEY, status text NOT NULL, input text, output text)",
    "CREATE TABLE steps (workflow text, step integer, output text, PRIMARY KEY (workflow, step))",
)
_START = "INSERT INTO workflows (id, status, input) VALUES (?, 'PENDING', '[]')"
_STEP = "INSERT INTO steps (workflow, step, output) VALUES (?, ?, '1')"
_OUTCOME = "UPDATE workflows SET status = 'SUCCESS', output = ? WHERE id = ?"

Execute = Callable[[str, tuple[Any, ...]], object]


def workflow_of(steps: int, commit: Execute) -> Callable[[], int]:
    """A workflow of so many steps; ``commit`` executes and commits one statement."""

    def run() -> int:
        workflow_id = str(uuid4())
        commit(_START, (workflow_id,))
        for step in range(1, steps + 1):
            commit(_STEP, (workflow_id, step))
        commit(_OUTCOME, (str(steps), workflow_id))
        return steps

    return run


@contextlib.contextmanager
def postgresql(url: str) -> Iterator[Execute]:
    """A connection for each caller, up to POOL of them; every statement is prepared."""
    import psycopg

    with contextlib.ExitStack() as stack:
        idle: queue.SimpleQueue[psycopg.Connection[Any]] = queue.SimpleQueue()
        for _ in range(POOL):
            connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
            idle.put(stack.enter_context(contextlib.closing(connection)))

        def execute(sql: str, params: tuple[Any, ...]) -> None:
            connection = idle.get()
            try:
                connection.execute(sql.replace("?", "%s").encode(), params)
            finally:
                idle.put(connection)

        for table in _TABLES:
            execute(table, ())
        yield execute


@contextlib.contextmanager
def sqlite(url: str) -> Iterator[Execute]:
    """One connection, since one may write at a time; settings that survive a power cut."""
    path = url.partition("sqlite:///")[2]
    mutex = threading.Lock()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with contextlib.closing(connection):
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *_TABLES):
            connection.execute(statement)

        def execute(sql: str, params: tuple[Any, ...]) -> None:
            with mutex:
                connection.execute(sql, params)

        yield execute


def _driver(url: str) -> str:
    if url.startswith("sqlite"):
        return f"SQLite {sqlite3.sqlite_version}"
    import psycopg

    return f"psycopg {psycopg.__version__}"


def main(url: str, plan: str) -> None:
    """Measure, and report."""
    with (sqlite if url.startswith("sqlite") else postgresql)(url) as commit:
        subject = Subject(workflow_of(1, commit), workflow_of(2, commit), workflow_of(10, commit))
        figures = measure(subject, Plan.from_json(plan))
    tell(_driver(url), figures)


if __name__ == "__main__":
    main(*sys.argv[1:])
