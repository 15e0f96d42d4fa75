"""An application on psycopg alone: SQL on the transaction's connection, which is one of the application's pool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from durably_psycopg import AsyncPsycopg, Psycopg, async_connection, connection
from tests.crash.applications import Application, AsyncApplication, Effect

PRELOADED = ()
_INSERT = "INSERT INTO effect (workflow_id, step, attempt, pid, at) VALUES (%s, %s, %s, %s, %s)"
_UPDATE = "UPDATE balance SET amount = amount + %s WHERE account = %s"


def move(effect: Effect, source: str, sink: str) -> None:
    """Move one unit."""
    connection().execute(_INSERT, effect)
    for account, change in ((source, -1), (sink, 1)):
        connection().execute(_UPDATE, (change, account))


async def move_async(effect: Effect, source: str, sink: str) -> None:
    """Move one unit."""
    await async_connection().execute(_INSERT, effect)
    for account, change in ((source, -1), (sink, 1)):
        await async_connection().execute(_UPDATE, (change, account))


@contextmanager
def blocking(url: str) -> Iterator[Application]:
    """A pool on the database."""
    with ConnectionPool(url, min_size=1, max_size=8, open=True) as pool:
        yield Application(Psycopg(pool), move)


@asynccontextmanager
async def awaited(url: str) -> AsyncIterator[AsyncApplication]:
    """An asynchronous pool."""
    async with AsyncConnectionPool(url, min_size=1, max_size=8, open=False) as pool:
        yield AsyncApplication(AsyncPsycopg(pool), move_async)
