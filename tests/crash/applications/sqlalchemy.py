"""An application on SQLAlchemy: mapped classes, and the transaction's session from the accessor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import BigInteger, Integer, Text, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column

from durably_sqlalchemy import SQLAlchemy, async_session, session
from tests.crash import applications
from tests.crash.applications import Application, AsyncApplication

PRELOADED = (
    "aiosqlite",
    "asyncmy",
    "asyncpg",
    "pymysql",
    "sqlalchemy.dialects.mysql.asyncmy",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
)
_DRIVERS = {"postgresql": "psycopg", "sqlite": "pysqlite", "mysql": "pymysql"}
_ASYNC_DRIVERS = {"postgresql": "asyncpg", "sqlite": "aiosqlite", "mysql": "asyncmy"}


class Base(DeclarativeBase):
    """The application's own tables."""


class Effect(Base):
    """What a transaction did. The table has no key of any kind; the mapper wants to be told of one."""

    __tablename__ = "effect"
    workflow_id: Mapped[str] = mapped_column(Text, primary_key=True)
    step: Mapped[int] = mapped_column(Integer, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    pid: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger, primary_key=True)


class Balance(Base):
    """One account."""

    __tablename__ = "balance"
    account: Mapped[str] = mapped_column(Text, primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)


configure_mappers()  # before the fork, and not at the first query after it


def address(url: str, *, asynchronous: bool = False) -> str:
    """A database's address with the driver in it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}+{(_ASYNC_DRIVERS if asynchronous else _DRIVERS)[scheme]}://{rest}"


def move(effect: applications.Effect, source: str, sink: str) -> None:
    """Move one unit."""
    session().add(Effect(**effect._asdict()))
    for account, change in ((source, -1), (sink, 1)):
        session().get_one(Balance, account, with_for_update=True).amount += change


async def move_async(effect: applications.Effect, source: str, sink: str) -> None:
    """Move one unit."""
    async_session().add(Effect(**effect._asdict()))
    for account, change in ((source, -1), (sink, 1)):
        balance = await async_session().get_one(Balance, account, with_for_update=True)
        balance.amount += change


@contextmanager
def blocking(url: str) -> Iterator[Application]:
    """An engine on the database."""
    engine = create_engine(address(url))
    try:
        yield Application(SQLAlchemy(engine), move)
    finally:
        engine.dispose()


@asynccontextmanager
async def awaited(url: str) -> AsyncIterator[AsyncApplication]:
    """An asynchronous engine."""
    engine = create_async_engine(address(url, asynchronous=True))
    try:
        yield AsyncApplication(SQLAlchemy(engine), move_async)
    finally:
        await engine.dispose()
