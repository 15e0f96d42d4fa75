"""The asynchronous half: transactions through ``playhouse.pwasyncio``. No task is made around the user's coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import peewee

from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle
from durably_peewee import transaction, urls
from durably_peewee.drivers import native
from durably_peewee.targets import Target
from durably_peewee.watch import Watch, current


class AsyncPeeweeAdapter:
    """Runs ``async def`` transactions; make it with ``AsyncPeewee(database)``. Implements ``AsyncAdapter``."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __repr__(self) -> str:
        return f"AsyncPeeweeAdapter({self._target})"

    @property
    def dialect(self) -> DialectName:
        """The kind of database."""
        return self._target.dialect

    @property
    def paramstyle(self) -> ParamStyle:
        """How statements take their parameters."""
        return self._target.paramstyle

    def ambient(self) -> peewee.Database | None:
        """The database, if this task is in a transaction of it."""
        database = self._target.peek()
        if database is None or asyncio._get_running_loop() is None or not database.in_transaction():
            return None
        found: peewee.Database = database
        return found

    @asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[peewee.Database]:
        """A transaction of this task, on the connection that it holds or on one for this transaction."""
        database = self._target.database()
        try:
            begun = await database.run(transaction.begin, database, plan)
        except peewee.OperationalError as error:
            # Peewee's word for a pool whose connections are all in use. It is no error of the database's.
            if isinstance(error.__context__, asyncio.TimeoutError):
                raise asyncio.TimeoutError(str(error)) from error
            raise
        watch = Watch(database, database._state.conn, transaction.connection(database))
        try:
            yield database
        except BaseException:
            watch.close()
            await database.run(transaction.abandon, begun)
            raise
        watch.close()
        await database.run(transaction.commit, begun)

    async def execute(self, handle: Any, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on the connection of this task's transaction."""
        try:
            if self._target.paramstyle == "dollar":
                return await _fetch(handle, sql, params)
            return transaction.rows_of(await handle.aexecute_sql(sql, tuple(params)))
        except Exception as error:
            explained = transaction.explained(error)
            if explained is error:
                raise
            raise explained from native(error)

    async def flush(self, handle: Any) -> None:
        """Nothing is pending in Peewee; raises if the transaction cannot be committed any more."""
        watch = current(handle)
        if watch is not None:
            watch.verify()
            if watch.failure() is not None:
                # PostgreSQL would take the COMMIT for a ROLLBACK, and not say so; asyncpg does not tell beforehand.
                await self.execute(handle, "SELECT 1")

    def savepoint(self, handle: Any) -> AbstractAsyncContextManager[Any]:
        """A savepoint in the transaction that the caller has open."""
        scope: AbstractAsyncContextManager[Any] = handle.atomic()
        return scope

    def url(self) -> str | None:
        """The address of the database."""
        return urls.address(self._target)

    async def close(self) -> None:
        """Close the pool, if the adapter made it."""
        if self._target.made:
            await self._target.database().close_pool()


async def _fetch(database: Any, sql: str, params: Sequence[Parameter]) -> list[tuple[Any, ...]]:
    """Run it through asyncpg's own ``fetch``, which keeps prepared statements; Peewee prepares one for each use."""
    watch = current(database)
    connection = await database.aconnect()
    await connection._acquire_lock()
    try:
        return [tuple(record) for record in await connection.conn.fetch(sql, *params)]
    except Exception as error:
        if watch is not None:
            watch.failed(error)
        raise
    finally:
        connection._lock.release()
