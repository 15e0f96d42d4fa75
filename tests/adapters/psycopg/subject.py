"""psycopg under the conformance suite: a pool of the application's, and the connection from the accessor."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, ClassVar

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from durably.testing.conformance import Capabilities, Subject
from durably_psycopg import AsyncPsycopg, Psycopg, async_connection, connection

CAPABILITIES = Capabilities(databases=("postgresql",), ambient=False)
#: As an application might have it, and not what the core reads its own rows with.
CONNECTIONS: dict[str, Any] = {"row_factory": dict_row}


class PsycopgSubject(Subject):
    """``psycopg.Connection``, from a ``ConnectionPool``."""

    name: ClassVar[str] = "psycopg"
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    pool: ConnectionPool[Any]

    def open(self) -> Any:
        self.pool = ConnectionPool(self.url, kwargs=CONNECTIONS, min_size=1, max_size=40, open=True)
        return Psycopg(self.pool)

    def close(self) -> None:
        self.pool.close()

    def add(self, n: int, note: str | None = None) -> None:
        connection().execute("INSERT INTO conformance_item (n, note) VALUES (%s, %s)", (n, note))

    def items(self) -> list[int]:
        return [row["n"] for row in connection().execute("SELECT n FROM conformance_item ORDER BY id")]

    def note(self, n: int) -> str | None:
        [row] = connection().execute("SELECT note FROM conformance_item WHERE n = %s", (n,))
        note: str | None = row["note"]
        return note

    def increment(self) -> int:
        [row] = connection().execute("SELECT n FROM conformance_counter WHERE id = 1")
        n: int = row["n"] + 1
        connection().execute("UPDATE conformance_counter SET n = %s WHERE id = 1", (n,))
        return n

    def statement(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = connection().execute(sql.encode())
        return [tuple(row.values()) for row in cursor] if cursor.description else []

    def savepoint(self) -> AbstractContextManager[Any]:
        return connection().transaction()

    def commit(self) -> None:
        connection().commit()

    def rollback(self) -> None:
        connection().rollback()

    def transaction(self) -> AbstractContextManager[None]:
        raise NotImplementedError("psycopg has no current connection")


class AsyncPsycopgSubject(Subject):
    """``psycopg.AsyncConnection``, from an ``AsyncConnectionPool``."""

    name: ClassVar[str] = "psycopg async"
    asynchronous: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    pool: AsyncConnectionPool[Any]

    async def open(self) -> Any:
        self.pool = AsyncConnectionPool(self.url, kwargs=CONNECTIONS, min_size=1, max_size=40, open=False)
        await self.pool.open()
        return AsyncPsycopg(self.pool)

    async def close(self) -> None:
        await self.pool.close()

    async def add(self, n: int, note: str | None = None) -> None:
        await async_connection().execute("INSERT INTO conformance_item (n, note) VALUES (%s, %s)", (n, note))

    async def items(self) -> list[int]:
        cursor = await async_connection().execute("SELECT n FROM conformance_item ORDER BY id")
        return [row["n"] for row in await cursor.fetchall()]

    async def note(self, n: int) -> str | None:
        cursor = await async_connection().execute("SELECT note FROM conformance_item WHERE n = %s", (n,))
        [row] = await cursor.fetchall()
        note: str | None = row["note"]
        return note

    async def increment(self) -> int:
        cursor = await async_connection().execute("SELECT n FROM conformance_counter WHERE id = 1")
        [row] = await cursor.fetchall()
        n: int = row["n"] + 1
        await async_connection().execute("UPDATE conformance_counter SET n = %s WHERE id = 1", (n,))
        return n

    async def statement(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = await async_connection().execute(sql.encode())
        return [tuple(row.values()) for row in await cursor.fetchall()] if cursor.description else []

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        return async_connection().transaction()

    async def commit(self) -> None:
        await async_connection().commit()

    async def rollback(self) -> None:
        await async_connection().rollback()

    def transaction(self) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError("psycopg has no current connection")
