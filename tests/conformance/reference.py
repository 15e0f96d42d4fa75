"""The smallest adapters that keep every promise, over bare drivers; the broken ones differ from them in one place.

Synchronous over sqlite3 and psycopg; asynchronous over sqlite3 too, whose calls are short enough to block a loop.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar

import psycopg

from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle, transaction_handle
from durably.errors import NoTransactionError, WrongThreadError
from durably.testing.conformance import Capabilities, Subject


class Pool:
    """Idle connections of one database, all in autocommit: BEGIN and COMMIT are sent as statements."""

    def __init__(self, url: str, lock_seconds: float) -> None:
        self.dialect: DialectName = "sqlite" if url.startswith("sqlite") else "postgresql"
        self.paramstyle: ParamStyle = "qmark" if self.dialect == "sqlite" else "format"
        self._url = url
        self._lock_seconds = lock_seconds
        self._idle: list[Any] = []
        self._mutex = threading.Lock()

    def take(self) -> Any:
        """A connection that answers."""
        while True:
            with self._mutex:
                raw = self._idle.pop() if self._idle else None
            if raw is None:
                return self._connect()
            try:
                raw.execute("SELECT 1").fetchall()
            except psycopg.Error:
                raw.close()
            else:
                return raw

    def give(self, raw: Any) -> None:
        """Take it back; broken ones are closed."""
        if getattr(raw, "closed", False):
            return
        with self._mutex:
            self._idle.append(raw)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _connect(self) -> Any:
        if self.dialect == "postgresql":
            return psycopg.connect(self._url, autocommit=True)
        path = self._url.removeprefix("sqlite:///")
        return sqlite3.connect(path, timeout=self._lock_seconds, isolation_level=None, check_same_thread=False)


def execute(raw: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
    with contextlib.closing(raw.cursor()) as cursor:
        cursor.execute(sql, params) if params else cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


class Steps:
    """The parts of a transaction, for both halves; a broken adapter replaces one of them."""

    def __init__(self, pool: Pool) -> None:
        self.dialect = pool.dialect
        self.paramstyle = pool.paramstyle
        self.pool = pool

    def opened(self, plan: BeginPlan) -> Any:
        raw = self.pool.take()
        try:
            for sql in (plan.begin, *plan.after, *(["PRAGMA query_only = 1"] if plan.query_only else [])):
                execute(raw, sql)
        except BaseException:
            self.ended(raw, plan)
            raise
        return raw

    def commit(self, raw: Any) -> None:
        execute(raw, "COMMIT")

    def rollback(self, raw: Any) -> None:
        with contextlib.suppress(sqlite3.Error, psycopg.Error):
            execute(raw, "ROLLBACK")

    def ended(self, raw: Any, plan: BeginPlan) -> None:
        """Ready for the next one, whatever happened."""
        if self.dialect == "sqlite" and raw.in_transaction:
            raw.rollback()
        if plan.query_only:
            execute(raw, "PRAGMA query_only = 0")
        self.pool.give(raw)


ambient: ContextVar[Any] = ContextVar("reference_ambient", default=None)


class Reference(Steps):
    """A synchronous adapter."""

    def ambient(self) -> Any:
        return ambient.get()

    @contextlib.contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[Any]:
        raw = self.opened(plan)
        try:
            try:
                yield raw
            except BaseException:
                self.rollback(raw)
                raise
            self.commit(raw)
        finally:
            self.ended(raw, plan)

    def execute(self, handle: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        return execute(handle, sql, params)


class AsyncReference(Steps):
    """The same, asynchronous."""

    def ambient(self) -> Any:
        return ambient.get()

    @contextlib.asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[Any]:
        raw = self.opened(plan)
        try:
            try:
                yield raw
            except BaseException:
                self.rollback(raw)
                raise
            self.commit(raw)
        finally:
            self.ended(raw, plan)

    async def execute(self, handle: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        return execute(handle, sql, params)


def _raw(asynchronous: bool) -> Any:
    """The connection of Durably's transaction, or of the caller's own."""
    try:
        return transaction_handle(asynchronous=asynchronous, accessor="connection")
    except WrongThreadError:
        raise
    except NoTransactionError:
        return ambient.get()


class ReferenceSubject(Subject):
    """SQL on the connection itself."""

    name: ClassVar[str] = "reference"
    capabilities: ClassVar[Capabilities] = Capabilities(databases=("postgresql", "sqlite"), commit_inside="found")
    adapter: ClassVar[type[Reference]] = Reference

    def open(self) -> Any:
        self.pool = Pool(self.url, self.lock_seconds)
        return self.adapter(self.pool)

    def close(self) -> None:
        self.pool.close()

    def add(self, n: int, note: str | None = None) -> None:
        mark = "?" if self.pool.paramstyle == "qmark" else "%s"
        execute(_raw(False), f"INSERT INTO conformance_item (n, note) VALUES ({mark}, {mark})", (n, note))

    def items(self) -> list[int]:
        return [row[0] for row in execute(_raw(False), "SELECT n FROM conformance_item ORDER BY id")]

    def note(self, n: int) -> str | None:
        ((note,),) = execute(_raw(False), f"SELECT note FROM conformance_item WHERE n = {n}")
        return str(note) if note is not None else None

    def increment(self) -> int:
        ((n,),) = execute(_raw(False), "SELECT n FROM conformance_counter WHERE id = 1")
        execute(_raw(False), f"UPDATE conformance_counter SET n = {n + 1} WHERE id = 1")
        return int(n) + 1

    def statement(self, sql: str) -> list[tuple[Any, ...]]:
        return execute(_raw(False), sql)

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        with _part(_raw(False)):
            yield

    def commit(self) -> None:
        execute(_raw(False), "COMMIT")

    def rollback(self) -> None:
        execute(_raw(False), "ROLLBACK")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with _callers(self.pool):
            yield


class AsyncReferenceSubject(Subject):
    """The same, asynchronous."""

    name: ClassVar[str] = "reference async"
    asynchronous: ClassVar[bool] = True
    # A statement blocks the loop, so that nothing on it can undo what the statement waits for: of use on SQLite only.
    capabilities: ClassVar[Capabilities] = Capabilities(databases=("sqlite",), commit_inside="found")
    adapter: ClassVar[type[AsyncReference]] = AsyncReference

    async def open(self) -> Any:
        self.pool = Pool(self.url, self.lock_seconds)
        return self.adapter(self.pool)

    async def close(self) -> None:
        self.pool.close()

    async def add(self, n: int, note: str | None = None) -> None:
        execute(_raw(True), "INSERT INTO conformance_item (n, note) VALUES (?, ?)", (n, note))

    async def items(self) -> list[int]:
        return [row[0] for row in execute(_raw(True), "SELECT n FROM conformance_item ORDER BY id")]

    async def note(self, n: int) -> str | None:
        ((note,),) = execute(_raw(True), f"SELECT note FROM conformance_item WHERE n = {n}")
        return str(note) if note is not None else None

    async def increment(self) -> int:
        ((n,),) = execute(_raw(True), "SELECT n FROM conformance_counter WHERE id = 1")
        execute(_raw(True), f"UPDATE conformance_counter SET n = {n + 1} WHERE id = 1")
        return int(n) + 1

    async def statement(self, sql: str) -> list[tuple[Any, ...]]:
        return execute(_raw(True), sql)

    @contextlib.asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        with _part(_raw(True)):
            yield

    async def commit(self) -> None:
        execute(_raw(True), "COMMIT")

    async def rollback(self) -> None:
        execute(_raw(True), "ROLLBACK")

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        with _callers(self.pool):
            yield


@contextlib.contextmanager
def _part(raw: Any) -> Iterator[None]:
    execute(raw, "SAVEPOINT part")
    try:
        yield
    except BaseException:
        execute(raw, "ROLLBACK TO SAVEPOINT part")
        execute(raw, "RELEASE SAVEPOINT part")
        raise
    execute(raw, "RELEASE SAVEPOINT part")


@contextlib.contextmanager
def _callers(pool: Pool) -> Iterator[None]:
    """A transaction of the caller's own."""
    raw = pool.take()
    token = ambient.set(raw)
    try:
        execute(raw, "BEGIN")
        try:
            yield
        except BaseException:
            execute(raw, "ROLLBACK")
            raise
        execute(raw, "COMMIT")
    finally:
        ambient.reset(token)
        pool.give(raw)
