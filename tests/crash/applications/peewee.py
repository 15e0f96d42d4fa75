"""An application on Peewee: models of a proxy, behind which is a pooled database, or one of ``playhouse.pwasyncio``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

from peewee import BigIntegerField, DatabaseProxy, IntegerField, Model, TextField

from durably_peewee import AsyncPeewee, Peewee
from tests.crash import applications
from tests.crash.applications import Application, AsyncApplication

PRELOADED = ("aiomysql", "aiosqlite", "asyncpg", "psycopg", "pymysql")

# What type checkers know of Peewee leaves these out.
pool: Any = import_module("playhouse.pool")
pwasyncio: Any = import_module("playhouse.pwasyncio")

database: Any = DatabaseProxy()


class Effect(Model):
    """What a transaction did."""

    workflow_id = TextField()
    step = IntegerField()
    attempt = IntegerField()
    pid = IntegerField()
    at = BigIntegerField()

    class Meta:
        """As the table is: without a key of any kind."""

        database = database
        primary_key = False


class Balance(Model):
    """One account."""

    account = TextField(primary_key=True)
    amount = BigIntegerField()

    class Meta:
        """The same database."""

        database = database


def move(effect: applications.Effect, source: str, sink: str) -> None:
    """Move one unit."""
    Effect.create(**effect._asdict())
    for account, change in ((source, -1), (sink, 1)):
        Balance.update(amount=Balance.amount + change).where(Balance.account == account).execute()


async def move_async(effect: applications.Effect, source: str, sink: str) -> None:
    """Move one unit."""
    await database.run(Effect.create, **effect._asdict())
    for account, change in ((source, -1), (sink, 1)):
        await database.aexecute(Balance.update(amount=Balance.amount + change).where(Balance.account == account))


@contextmanager
def blocking(url: str) -> Iterator[Application]:
    """The database, with a pool."""
    kind, name, options = _parts(url)
    if kind == "sqlite":
        pooled: Any = pool.PooledSqliteDatabase(name, check_same_thread=False, timeout=30)
    elif kind == "mysql":
        pooled = pool.PooledMySQLDatabase(name, timeout=30, **options)
    else:
        pooled = pool.PooledPostgresqlDatabase(name, timeout=30, prefer_psycopg3=True, **options)
    database.initialize(pooled)
    try:
        yield Application(Peewee(database), move)
    finally:
        pooled.close_all()


@asynccontextmanager
async def awaited(url: str) -> AsyncIterator[AsyncApplication]:
    """The database of ``playhouse.pwasyncio``."""
    kind, name, options = _parts(url)
    classes = {
        "sqlite": pwasyncio.AsyncSqliteDatabase,
        "mysql": pwasyncio.AsyncMySQLDatabase,
        "postgresql": pwasyncio.AsyncPostgresqlDatabase,
    }
    pooled = classes[kind](name, pool_size=5, acquire_timeout=30, **options)
    database.initialize(pooled)
    try:
        yield AsyncApplication(AsyncPeewee(database), move_async)
    finally:
        await pooled.close_pool()


def _parts(url: str) -> tuple[str, str, dict[str, Any]]:
    """The kind of the database, its name, and how to connect to it."""
    parts = urlsplit(url)
    options = {
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username and unquote(parts.username),
        "password": parts.password and unquote(parts.password),
    }
    return parts.scheme, unquote(parts.path[1:]), {key: value for key, value in options.items() if value}
