"""Connections to a system database on PostgreSQL: opened at first use, dropped when they break, opened again."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from durably.ledger.backend import Observer
from durably.sql.dialect import POSTGRESQL, render

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")


@functools.lru_cache(maxsize=256)
def query(sql: str) -> bytes:
    """A statement as psycopg takes it; bytes, since its types want text to be written out in the program."""
    return render(sql, POSTGRESQL, "format").encode()


class PostgresSession:
    """Statements on one PostgreSQL connection."""

    def __init__(self, connection: psycopg.Connection[Any], observe: Observer | None) -> None:
        self._connection = connection
        self._observe = observe

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._observe is not None:
            self._observe(sql, 1)
        cursor = self._connection.execute(query(sql), params)
        # ``description`` would tell as well, but makes an object of each column; ``rownumber`` is wrong in 3.1.0.
        return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


class Server(Protocol):
    """Where connections lead, and how they are used."""

    observe: Observer | None
    pipelines: bool

    def connect(self, *, one_plan: bool = False) -> psycopg.Connection[Any]:
        """A new connection in autocommit."""
        ...


class PostgresConnection:
    """One connection: opened at first use, dropped after an error that broke it, opened again at the next use."""

    def __init__(self, server: Server, *, one_plan: bool = False) -> None:
        self._server = server
        self._one_plan = one_plan
        self._raw: psycopg.Connection[Any] | None = None
        self._mutex = threading.Lock()

    def change(self, work: Callable[[PostgresSession], T]) -> T:
        def in_transaction(session: PostgresSession) -> T:
            session.execute("BEGIN")
            result = work(session)
            session.execute("COMMIT")
            return result

        return self.read(in_transaction)

    def each(self, work: Callable[[PostgresSession], T]) -> T:
        return self.read(work)

    def read(self, work: Callable[[PostgresSession], T]) -> T:
        with self._mutex:
            raw = self._opened()
            try:
                return work(PostgresSession(raw, self._server.observe))
            except BaseException:
                self._recover(raw)
                raise

    def pipeline(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Run ``work`` between BEGIN and COMMIT, all in one round trip where pipelines are on."""
        with self._mutex:
            raw = self._opened()
            try:
                if not self._server.pipelines:
                    raw.execute("BEGIN")
                    result = work(raw)
                    raw.execute("COMMIT")
                    return result
                # What a pipeline sends before its one Sync is a transaction, without BEGIN and COMMIT.
                with raw.pipeline():
                    return work(raw)
            except BaseException:
                self._recover(raw)
                raise

    def _opened(self) -> psycopg.Connection[Any]:
        if self._raw is None or self._raw.closed:
            self._raw = self._server.connect(one_plan=self._one_plan)
        return self._raw

    @property
    def pid(self) -> int:
        """The server's process for it; 0 if it is not open."""
        raw = self._raw
        return raw.pgconn.backend_pid if raw is not None and not raw.closed else 0

    def _recover(self, raw: psycopg.Connection[Any]) -> None:
        """After an error: back to idle, or closed so that the next use connects afresh."""
        try:
            if not raw.closed and raw.info.transaction_status != _IDLE:
                raw.rollback()
        except Exception:  # the connection is beyond use, which is all that matters here
            raw.close()

    def close(self) -> None:
        with self._mutex:
            if self._raw is not None:
                self._raw.close()
                self._raw = None


_IDLE = 0
