"""psycopg's AsyncConnection, from a pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg_pool import AsyncConnectionPool

from benchmarks.orms import Orm
from benchmarks.orms.psycopg_sync import INSERT
from durably_psycopg import AsyncPsycopg, async_connection


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Orm]:
    """The driver on that database."""
    async with AsyncConnectionPool(url, open=False) as pool:

        async def plain() -> None:
            async with pool.connection() as c:
                await c.execute(INSERT, (1, "plain"))

        async def insert() -> None:
            await async_connection().execute(INSERT, (1, "durable"))

        yield Orm("psycopg async", "psycopg", AsyncPsycopg(pool), plain, insert)
