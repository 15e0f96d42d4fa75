"""The system database on SQLite, through the standard library: WAL, BEGIN IMMEDIATE, one writer per process.

``synchronous=FULL``: a commit that was acknowledged survives a power cut, as on PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar
from weakref import WeakSet

from durably.drive import drive
from durably.errors import ConfigurationError
from durably.ledger import sqlite_batch
from durably.ledger.attributes import contains
from durably.ledger.backend import Observer
from durably.ledger.commands import Answer, Command
from durably.ledger.listening import SqliteListener
from durably.sql.dialect import SQLITE, render
from durably.sql.gate import Gate, file_gate

T = TypeVar("T")

BUSY_SECONDS = 5.0
#: How long a connection waits for a chance to turn a file to WAL, which is done once in the file's life.
WAL_SECONDS = 0.2
#: The first SQLite with RETURNING and MATERIALIZED.
OLDEST = (3, 35, 0)


class SqliteSession:
    """Statements on one SQLite connection."""

    def __init__(self, connection: sqlite3.Connection, observe: Observer | None) -> None:
        self._connection = connection
        self._observe = observe

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._observe is not None:
            self._observe(sql, 0)
        # Closed in any case: a statement that is not read to its end keeps its lock on the file.
        with contextlib.closing(self._connection.cursor()) as cursor:
            return cursor.execute(render(sql, SQLITE, "qmark"), params).fetchall()


class SqliteConnection:
    """One connection and its transactions. All of a process's writers pass the file's gate, in order."""

    def __init__(self, backend: SqliteBackend) -> None:
        self._backend = backend
        self._raw: sqlite3.Connection | None = None
        self._mutex = threading.Lock()
        #: How often it was opened.
        self._opens = 0
        with _forking:
            _connections.add(self)

    def change(self, work: Callable[[SqliteSession], T]) -> T:
        drive(_pass(self._backend.gate))
        try:
            with self._mutex:
                return self._in_transaction(work)
        finally:
            self._backend.gate.release()

    def each(self, work: Callable[[SqliteSession], T]) -> T:
        drive(_pass(self._backend.gate))
        try:
            return self.read(work)
        finally:
            self._backend.gate.release()

    def try_to_write(self) -> None:
        """Find out that the file can be written, without waiting for a writer who is there: it has found out.

        It may be the caller, whose first start of a workflow launches the engine inside its own transaction.
        """
        with self._mutex:
            raw = self._opened()
            with _patience(raw, 0.0), _content_if_busy():
                raw.execute("BEGIN IMMEDIATE")
                raw.execute("COMMIT")

    def _in_transaction(self, work: Callable[[SqliteSession], T]) -> T:
        raw = self._opened()
        session = SqliteSession(raw, self._backend.observe)
        try:
            session.execute("BEGIN IMMEDIATE")
            result = work(session)
            session.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
        return result

    def read(self, work: Callable[[SqliteSession], T]) -> T:
        with self._mutex:
            return work(SqliteSession(self._opened(), self._backend.observe))

    def foreign_version(self) -> tuple[int, int]:
        """Another one after each commit on another connection than this."""
        version = self.read(lambda session: session.execute("PRAGMA data_version"))
        return self._opens, int(version[0][0])

    def _opened(self) -> sqlite3.Connection:
        if self._raw is None:
            self._raw = connect(self._backend.path)
            self._opens += 1
        return self._raw

    def close(self) -> None:
        with self._mutex:
            self._drop()

    def _drop(self) -> None:
        if self._raw is not None:
            self._raw.close()
            self._raw = None

    # SQLite keeps its locks of a file in the process's memory, which a forked child would take for its own: it could
    # meet a writer that never ends, or none where there is one. So nothing is open while the process forks.

    def before_fork(self) -> None:
        """Close, as soon as nobody uses it, and let nobody open it."""
        self._mutex.acquire()
        self._drop()

    def after_fork(self) -> None:
        """Let it be used again; the next use opens it."""
        self._mutex.release()


_connections: WeakSet[SqliteConnection] = WeakSet()
_held: list[SqliteConnection] = []
_forking = threading.Lock()


def _before_fork() -> None:
    _forking.acquire()
    for connection in list(_connections):
        connection.before_fork()
        _held.append(connection)


def _after_fork() -> None:
    while _held:
        _held.pop().after_fork()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


async def _pass(gate: Gate) -> None:
    await gate.acquire()


class SqliteBackend:
    """A system database in one SQLite file. ``url`` is only for messages."""

    dialect = SQLITE

    def __init__(self, path: str) -> None:
        self.path = path
        self.gate = file_gate(path)
        self.observe: Observer | None = None
        self._writer = SqliteConnection(self)
        self._readers: list[SqliteConnection] = []
        self._all: list[SqliteConnection] = [self._writer]
        self._mutex = threading.Lock()

    def open(self) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise ConfigurationError(
                f"this Python's SQLite is {sqlite3.sqlite_version}; Durably needs {'.'.join(map(str, OLDEST))} or newer"
            )
        self._writer.try_to_write()

    def write(self, batch: Sequence[Command]) -> list[Answer]:
        return self._writer.change(lambda session: sqlite_batch.write(session, batch))

    def change(self, work: Callable[[SqliteSession], T]) -> T:
        return self._writer.change(work)

    def each(self, work: Callable[[SqliteSession], T]) -> T:
        return self._writer.each(work)

    def read(self, work: Callable[[SqliteSession], T]) -> T:
        with self._mutex:
            reader = self._readers.pop() if self._readers else None
        if reader is None:
            reader = self.connection()
        try:
            return reader.read(work)
        finally:
            with self._mutex:
                self._readers.append(reader)

    def connection(self) -> SqliteConnection:
        connection = SqliteConnection(self)
        with self._mutex:
            self._all.append(connection)
        return connection

    def listener(self) -> SqliteListener:
        return SqliteListener(self.path, self._writer.foreign_version)

    def disconnect(self) -> None:
        with self._mutex:
            connections = list(self._all)
        for connection in connections:
            connection.close()


@contextlib.contextmanager
def _patience(raw: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Wait for locks this long, in the block."""
    raw.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
    try:
        yield
    finally:
        raw.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")


@contextlib.contextmanager
def _content_if_busy() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):  # Python 3.10 does not give the code
            raise


def connect(path: str) -> sqlite3.Connection:
    """A connection as the ledger wants it: autocommit off the driver's hands, WAL, fully synchronous."""
    raw = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        # A file in use by a writer stays as it is; one of the next connections will find it free.
        with _patience(raw, WAL_SECONDS), _content_if_busy():
            raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = FULL")
        raw.create_function("durably_contains", 2, contains, deterministic=True)
    except BaseException:
        raw.close()
        raise
    return raw
