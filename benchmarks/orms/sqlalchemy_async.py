"""SQLAlchemy's AsyncSession, through asyncpg."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from benchmarks.orms import Orm
from benchmarks.orms.sqlalchemy_sync import Item
from durably_sqlalchemy import SQLAlchemy, async_session


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Orm]:
    """The ORM on that database."""
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"))

    async def plain() -> None:
        async with AsyncSession(engine) as s, s.begin():
            s.add(Item(n=1, note="plain"))

    async def insert() -> None:
        async_session().add(Item(n=1, note="durable"))

    try:
        yield Orm("SQLAlchemy async (asyncpg)", "sqlalchemy", SQLAlchemy(engine), plain, insert)
    finally:
        await engine.dispose()
