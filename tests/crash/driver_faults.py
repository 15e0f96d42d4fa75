"""Drivers that fail at their nth call: before it is made, or after it, so that only the acknowledgement is lost."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar, cast

import psycopg

T = TypeVar("T")
Mode = Literal["before", "after"]


class Faults:
    """Counts the calls of all connections that carry it, and fails one of them."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._count = 0
        self._nth = 0
        self._mode: Mode = "before"
        self.fired = False

    def arm(self, nth: int, mode: Mode) -> None:
        """Fail the nth call from now on."""
        with self._mutex:
            self._count, self._nth, self._mode, self.fired = 0, nth, mode, False

    def disarm(self) -> None:
        """Fail nothing more."""
        with self._mutex:
            self._nth = 0

    def around(self, call: Callable[[], T], fail: Callable[[], BaseException]) -> T:
        """Make a call; ``fail`` breaks what is to be broken, and gives the error to raise."""
        with self._mutex:
            self._count += 1
            hit = self._count == self._nth
            self.fired = self.fired or hit
            mode = self._mode
        if not hit:
            return call()
        if mode == "after":
            call()
        raise fail()


# -- SQLite: a call that fails leaves its connection as it was ---------------------------------------------------


def _busy() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    if sys.version_info >= (3, 11):
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def faulty_sqlite(faults: Faults) -> type[sqlite3.Connection]:
    """A class of connections to hand to ``sqlite3.connect`` as its factory."""

    class Cursor(sqlite3.Cursor):
        def execute(self, *args: Any) -> Any:
            return faults.around(lambda: super(Cursor, self).execute(*args), self.fail)

        def fail(self) -> sqlite3.OperationalError:
            # A statement whose rows were not all fetched keeps its locks; a driver that fails ends it.
            self.fetchall()
            return _busy()

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, *args: Any) -> Any:
            return self.cursor().execute(*args)

        def commit(self) -> None:
            faults.around(super().commit, _busy)

    return Connection


# -- PostgreSQL: a call that fails takes its connection with it --------------------------------------------------


def faulty_postgres(faults: Faults) -> type[psycopg.Connection[Any]]:
    """A class of connections whose ``connect`` may stand for ``psycopg.connect``."""

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            connection = cast("Connection", self.connection)
            return faults.around(lambda: super(Cursor, self).execute(*args, **kwargs), connection.lose)

    class Connection(psycopg.Connection[Any]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.cursor_factory = Cursor

        def lose(self) -> psycopg.OperationalError:
            self.close()
            return psycopg.OperationalError("server closed the connection unexpectedly")

        def commit(self) -> None:
            faults.around(super().commit, self.lose)

        @contextlib.contextmanager
        def pipeline(self) -> Iterator[psycopg.Pipeline]:
            # In a pipeline, calls are sent and answered at its end at the latest: that is the call that may fail.
            with super().pipeline() as pipeline:
                yield pipeline
                faults.around(pipeline.sync, self.lose)

    return Connection
