"""What differs between Tortoise's drivers: how a connection is had, begun on, run statements on, and given back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.exceptions import DBConnectionError

from durably import ConfigurationError
from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle


class Driver:
    """One that keeps its connections in a pool."""

    dialect: DialectName
    paramstyle: ParamStyle
    #: Commit and rollback by the client of a savepoint end all of the transaction.
    savepoints_end_all = False
    #: A script commits before it runs.
    scripts_commit = False

    @asynccontextmanager
    async def checked_out(self, client: BaseDBAsyncClient) -> AsyncIterator[TransactionalDBClient]:
        """A client for one transaction, on a connection that is its own until the block is left."""
        scope: Any = client._in_transaction()
        with _native_errors():
            await scope.ensure_connection()
        pool = client._pool
        connection = await pool.acquire()
        try:
            transaction: TransactionalDBClient = scope.client
            transaction._connection = connection
            yield transaction
        finally:
            await pool.release(connection)

    async def run(self, connection: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """One statement, past the ORM: its rows, of which none are lost for having columns of the same name."""
        raise NotImplementedError

    async def begin(self, transaction: TransactionalDBClient, plan: BeginPlan) -> None:
        """Begin as planned. What fails in here is followed by ``abandon``."""
        for sql in plan.before:
            await self.run(transaction._connection, sql)
        await transaction.begin()
        for sql in plan.after:
            await self.run(transaction._connection, sql)

    async def abandon(self, transaction: TransactionalDBClient) -> None:
        """After a failed begin: nobody knows what the connection has taken in, so nobody else gets it."""
        await self.discard(transaction)

    def is_open(self, transaction: TransactionalDBClient) -> bool:  # noqa: ARG002  others look
        """Whether there is something to roll back, as far as the driver knows."""
        return True

    def ends(self, connection: Any, error: BaseException) -> bool:  # noqa: ARG002  PostgreSQL tells by itself
        """Whether ``error`` has ended the transaction unseen, so that what follows would commit by itself."""
        return False

    async def discard(self, transaction: TransactionalDBClient) -> None:
        """Close the connection, so that nobody else gets it."""
        transaction._connection.close()

    async def reset_query_only(self, client: BaseDBAsyncClient) -> None:
        """SQLite: let the connection write again."""


class Asyncpg(Driver):
    """PostgreSQL through asyncpg."""

    dialect: DialectName = "postgresql"
    paramstyle: ParamStyle = "dollar"

    async def run(self, connection: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """By the extended protocol, with the driver's cache of prepared statements."""
        return [tuple(row) for row in await connection.fetch(sql, *params)]

    def is_open(self, transaction: TransactionalDBClient) -> bool:
        """Not after a commit that failed."""
        return bool(transaction._connection.is_in_transaction())

    async def discard(self, transaction: TransactionalDBClient) -> None:
        """At once: its ``close`` would wait for what is running."""
        transaction._connection.terminate()


class Psycopg(Driver):
    """PostgreSQL through psycopg."""

    dialect: DialectName = "postgresql"
    paramstyle: ParamStyle = "format"

    async def run(self, connection: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """With rows as tuples: Tortoise's connections make dictionaries of them."""
        async with connection.cursor(row_factory=_tuples) as cursor:
            await cursor.execute(sql, params)
            rows: list[tuple[Any, ...]] = await cursor.fetchall() if cursor.description is not None else []
            return rows

    def is_open(self, transaction: TransactionalDBClient) -> bool:
        """Not after a commit that failed."""
        return bool(transaction._connection.info.transaction_status.name != "IDLE")

    async def discard(self, transaction: TransactionalDBClient) -> None:
        """The pool makes another."""
        await transaction._connection.close()


class MySQL(Driver):
    """MySQL and MariaDB through asyncmy or aiomysql."""

    dialect: DialectName = "mysql"
    paramstyle: ParamStyle = "format"
    savepoints_end_all = True
    #: Deadlock, lock timeout and a changed snapshot: the server may have rolled back the whole transaction. Then it is
    #: in autocommit.
    _ENDING = frozenset({1020, 1205, 1213})

    async def run(self, connection: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """By a cursor, closed in any case."""
        async with connection.cursor() as cursor:
            await cursor.execute(sql, tuple(params))
            return [tuple(row) for row in await cursor.fetchall() or ()]

    def ends(self, connection: Any, error: BaseException) -> bool:  # noqa: ARG002
        """The server does not say, so all that might have."""
        return bool(error.args) and error.args[0] in self._ENDING


class SQLite(Driver):
    """SQLite through aiosqlite: one connection for each client, which one transaction has at a time."""

    dialect: DialectName = "sqlite"
    paramstyle: ParamStyle = "qmark"
    savepoints_end_all = True
    scripts_commit = True

    @asynccontextmanager
    async def checked_out(self, client: BaseDBAsyncClient) -> AsyncIterator[TransactionalDBClient]:
        """Under the client's own lock, which all of its other uses wait for, too."""
        lock = client._lock  # type: ignore[attr-defined]
        async with lock:
            if not client._connection:
                await self._connect(client)
            scope: Any = client._in_transaction()
            yield scope.connection

    async def _connect(self, client: BaseDBAsyncClient) -> None:
        try:
            await client.create_connection(with_db=True)
        except BaseException:
            # It is left there half set up: without foreign keys, for instance.
            with contextlib.suppress(Exception):
                await client.close()
            client._connection = None
            raise

    async def run(self, connection: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """In one go, so that no cursor keeps a lock."""
        return [tuple(row) for row in await connection.execute_fetchall(sql, params)]

    async def begin(self, transaction: TransactionalDBClient, plan: BeginPlan) -> None:
        """Tortoise's own begin is deferred, and first commits what a failed transaction has left behind."""
        connection = transaction._connection
        if connection.in_transaction:
            await connection.rollback()
        await self.run(connection, plan.begin)
        if plan.query_only:
            await self.run(connection, "PRAGMA query_only = 1")

    async def abandon(self, transaction: TransactionalDBClient) -> None:
        """A cancelled BEGIN may still take effect; what is asked of the driver now comes after it."""
        await transaction._connection.rollback()

    def ends(self, connection: Any, error: BaseException) -> bool:  # noqa: ARG002
        """SQLite itself rolls back when the disk is full, for one."""
        try:
            return not connection.in_transaction
        except ValueError:  # closed
            return True

    async def discard(self, transaction: TransactionalDBClient) -> None:
        """The client connects again when it is used."""
        await self._close(transaction._parent)

    async def reset_query_only(self, client: BaseDBAsyncClient) -> None:
        """On the connection itself; one that cannot be reset is closed."""
        if not client._connection:
            return
        try:
            await self.run(client._connection, "PRAGMA query_only = 0")
        except Exception:
            await self._close(client)

    async def _close(self, client: BaseDBAsyncClient) -> None:
        with contextlib.suppress(Exception):
            await client.close()
        client._connection = None


_DRIVERS: dict[str, Driver] = {
    "tortoise.backends.asyncpg": Asyncpg(),
    "tortoise.backends.psycopg": Psycopg(),
    "tortoise.backends.mysql": MySQL(),
    "tortoise.backends.sqlite": SQLite(),
}
_found: dict[type[BaseDBAsyncClient], Driver] = {}


def driver_of(client: BaseDBAsyncClient) -> Driver:
    """The driver of a client of Tortoise's, or of a class derived from one; ConfigurationError for other databases."""
    kind = type(client)
    driver = _found.get(kind)
    if driver is None:
        packages = (base.__module__.rpartition(".")[0] for base in kind.__mro__)
        driver = next((_DRIVERS[package] for package in packages if package in _DRIVERS), None)
        if driver is None:
            raise ConfigurationError(
                "transactions run on PostgreSQL, SQLite, MySQL and MariaDB, and Tortoise's connection "
                f"{client.connection_name!r} is of {kind.__module__}.{kind.__qualname__}",
                dialect=client.capabilities.dialect,
            )
        _found[kind] = driver
    return driver


@contextmanager
def _native_errors() -> Iterator[None]:
    """The driver's own error, which tells whether to try again, where Tortoise says only that it cannot connect."""
    native: BaseException | None = None
    try:
        yield
    except DBConnectionError as error:
        native = error.__cause__ or error.__context__
        if native is None:
            raise
    if native is not None:
        raise native


def _tuples(_cursor: Any) -> Any:
    """A row factory of psycopg's, which is not imported here."""
    return tuple
