"""The asynchronous half: transactions through ``psycopg.AsyncConnection``. No task is made around the coroutine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import AsyncConnection

from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle
from durably_psycopg import transaction
from durably_psycopg.sources import async_source
from durably_psycopg.watch import attach, detach

if TYPE_CHECKING:
    from durably_psycopg.sources import AsyncTarget


class AsyncPsycopg:
    """Runs ``async def`` transactions. Implements ``durably.adapter.AsyncAdapter``.

    ``target`` is a ``psycopg_pool.AsyncConnectionPool``, which you open and close; a function that gives an
    ``AsyncConnection`` to await; or an address, for which the adapter makes and keeps up to 16 connections for each
    event loop. For the rest see ``Psycopg``.

        AsyncPsycopg(async_pool)
        AsyncPsycopg(lambda: psycopg.AsyncConnection.connect("dbname=shop"))
        AsyncPsycopg("postgresql://user@localhost/shop")
    """

    dialect: DialectName = "postgresql"
    paramstyle: ParamStyle = "format"

    def __init__(self, target: AsyncTarget, /) -> None:
        self._source = async_source(target)

    def ambient(self) -> AsyncConnection[Any] | None:
        """None: psycopg has no current connection."""
        return None

    @asynccontextmanager
    async def begin(self, plan: BeginPlan) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection whose transaction ends with the block."""
        connection, block = await self._begun()
        try:
            try:
                for sql in plan.after:
                    await self.execute(connection, sql)
                watch = attach(connection, asynchronous=True)
                yield connection
                watch.verify()
            except BaseException as error:
                detach(connection)
                await self._roll_back(connection, block, error)
                # Even a psycopg.Rollback: for Durably it is an error like any other.
                raise
            detach(connection)
            await self._commit(connection, block)
        finally:
            await self._source.give(connection)

    async def _begun(self) -> tuple[AsyncConnection[Any], psycopg.AsyncTransaction]:
        """A connection with a transaction; those that died while they were idle are passed over."""
        left = self._source.tries
        while True:
            left -= 1
            connection: AsyncConnection[Any] = await self._source.take()
            try:
                if transaction.is_stray(connection):
                    # Of a new connection, it is what its maker did, such as SET; of a used one, nobody's any more.
                    await (connection.rollback() if self._source.reused else connection.commit())
                block = psycopg.AsyncTransaction(connection)
                await block.__aenter__()
            except BaseException as error:
                died = connection.closed and isinstance(error, psycopg.Error)
                transaction.abandon(connection)
                await self._source.give(connection)
                if not died or left <= 0:
                    raise
            else:
                return connection, block

    async def _commit(self, connection: AsyncConnection[Any], block: psycopg.AsyncTransaction) -> None:
        try:
            await block.__aexit__(None, None, None)
        except BaseException as error:
            if not transaction.ended_well(connection, error):
                transaction.abandon(connection)
            raise

    async def _roll_back(
        self, connection: AsyncConnection[Any], block: psycopg.AsyncTransaction, error: BaseException
    ) -> None:
        """Without hiding the error that is on its way."""
        try:
            await block.__aexit__(type(error), error, error.__traceback__)
            well = transaction.ended_well(connection)
        except Exception:
            well = False
        except BaseException:
            transaction.abandon(connection)
            raise
        if not well:
            transaction.abandon(connection)

    async def execute(
        self, handle: AsyncConnection[Any], sql: str, params: Sequence[Parameter] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one of the core's statements, as it is, on the transaction's connection."""
        cursor = transaction.async_cursor_for(handle)
        try:
            await cursor.execute(*transaction.prepared(sql, params))
        except psycopg.Error as error:
            transaction.explain(handle, error)
            raise
        return await cursor.fetchall() if transaction.has_rows(cursor) else []

    def url(self) -> str | None:
        """The address of the database, with its password; None if only the target's own function knows."""
        return self._source.url

    async def close(self) -> None:
        """Close the connections that the adapter keeps; a pool of the user's stays open."""
        if self._source.close is not None:
            await self._source.close()
