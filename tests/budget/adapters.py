"""The smallest adapters there can be: one connection of the user's own, and everything that is sent on it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle


class PsycopgAdapter:
    """Transactions on one psycopg connection."""

    dialect: DialectName = "postgresql"
    paramstyle: ParamStyle = "format"

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.sent: list[str] = []
        self._mutex = threading.Lock()

    def ambient(self) -> psycopg.Connection[Any] | None:
        return None

    @contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[psycopg.Connection[Any]]:
        with self._mutex, self.connection.transaction():
            for sql in plan.after:
                self.execute(self.connection, sql)
            yield self.connection

    def execute(
        self, handle: psycopg.Connection[Any], sql: str, params: Sequence[Parameter] = ()
    ) -> list[tuple[Any, ...]]:
        self.sent.append(sql)
        cursor = handle.execute(sql.encode(), params)
        return cursor.fetchall() if cursor.description else []

    def run(self, sql: str) -> None:
        """A statement of the user's."""
        self.execute(self.connection, sql)

    def close(self) -> None:
        self.connection.close()


class Sqlite3Adapter:
    """Transactions on one sqlite3 connection."""

    dialect: DialectName = "sqlite"
    paramstyle: ParamStyle = "qmark"

    def __init__(self, path: str) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.sent: list[str] = []

    def ambient(self) -> sqlite3.Connection | None:
        return None

    @contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[sqlite3.Connection]:
        self.connection.execute(plan.begin)
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def execute(self, handle: sqlite3.Connection, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        self.sent.append(sql)
        return handle.execute(sql, params).fetchall()

    def run(self, sql: str) -> None:
        """A statement of the user's."""
        self.execute(self.connection, sql)

    def close(self) -> None:
        self.connection.close()
