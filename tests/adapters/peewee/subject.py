"""Peewee under the conformance suite: models bound to the application's own pooled database, as always."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from importlib import import_module
from typing import Any, ClassVar

import peewee
from peewee import AutoField, DatabaseProxy, IntegerField, Model, TextField

from durably.testing.conformance import Capabilities, Subject
from durably_peewee import AsyncPeewee, Peewee
from durably_peewee.urls import Address

pool: Any = import_module("playhouse.pool")
#: As applications do whose address is known late. Each subject is alone in its process or its test.
proxy = DatabaseProxy()


class Item(Model):
    id = AutoField()
    n = IntegerField(unique=True)
    note = TextField(null=True)

    class Meta:
        database = proxy
        table_name = "conformance_item"


class Counter(Model):
    id = AutoField()
    n = IntegerField()

    class Meta:
        database = proxy
        table_name = "conformance_counter"


def _pooled(url: str, lock_seconds: float) -> Any:
    address = Address(url)
    options: dict[str, Any] = {"max_connections": 40, "timeout": 30}
    if address.dialect == "sqlite":
        database = pool.PooledSqliteDatabase(address.database, check_same_thread=False, **options)
        database.timeout = lock_seconds
        return database
    options |= {"host": address.host, "port": address.port, "user": address.user}
    if address.dialect == "mysql":
        return pool.PooledMySQLDatabase(address.database, charset="utf8mb4", **options)
    if hasattr(peewee, "Psycopg3Adapter"):
        return pool.PooledPostgresqlDatabase(address.database, prefer_psycopg3=True, **options)
    return pool.PooledPsycopg3Database(address.database, **options)  # Peewee 3.17.1 to 3.19


def _asynchronous(url: str, lock_seconds: float) -> Any:
    pwasyncio: Any = import_module("playhouse.pwasyncio")
    address = Address(url)
    if address.dialect == "sqlite":
        database = pwasyncio.AsyncSqliteDatabase(address.database, pool_size=8, acquire_timeout=30)
        database.timeout = lock_seconds
        return database
    options: dict[str, Any] = {"host": address.host, "port": address.port, "user": address.user, "pool_size": 40}
    if address.dialect == "mysql":
        return pwasyncio.AsyncMySQLDatabase(address.database, acquire_timeout=30, charset="utf8mb4", **options)
    return pwasyncio.AsyncPostgresqlDatabase(address.database, acquire_timeout=30, **options)


class PeeweeSubject(Subject):
    """A pooled ``Database``, with psycopg, sqlite3 and PyMySQL."""

    name: ClassVar[str] = "peewee"
    # A thread has its own connection, and nothing tells Peewee who started it.
    capabilities: ClassVar[Capabilities] = Capabilities(elsewhere="outside")

    database: Any

    def open(self) -> Any:
        self.database = _pooled(self.url, self.lock_seconds)
        proxy.initialize(self.database)
        return Peewee(proxy)

    def close(self) -> None:
        self.database.close_all()

    def add(self, n: int, note: str | None = None) -> None:
        Item.create(n=n, note=note)

    def items(self) -> list[int]:
        return [item.n for item in Item.select().order_by(Item.id)]

    def note(self, n: int) -> str | None:
        note: str | None = Item.get(Item.n == n).note
        return note

    def increment(self) -> int:
        counter: Any = Counter.get_by_id(1)
        counter.n += 1
        counter.save()
        return int(counter.n)

    def statement(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self.database.execute_sql(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def savepoint(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self.database.atomic()
        return scope

    def commit(self) -> None:
        self.database.commit()

    def rollback(self) -> None:
        self.database.rollback()

    def transaction(self) -> AbstractContextManager[Any]:
        scope: AbstractContextManager[Any] = self.database.atomic()
        return scope


class AsyncPeeweeSubject(Subject):
    """A database of ``playhouse.pwasyncio``, with asyncpg, aiosqlite and aiomysql."""

    name: ClassVar[str] = "peewee asyncio"
    asynchronous: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = Capabilities()

    database: Any

    async def open(self) -> Any:
        self.database = _asynchronous(self.url, self.lock_seconds)
        proxy.initialize(self.database)
        return AsyncPeewee(proxy)

    async def close(self) -> None:
        await self.database.close_pool()

    async def add(self, n: int, note: str | None = None) -> None:
        await self.database.run(Item.create, n=n, note=note)

    async def items(self) -> list[int]:
        return [item.n for item in await self.database.list(Item.select().order_by(Item.id))]

    async def note(self, n: int) -> str | None:
        note: str | None = (await self.database.get(Item.select().where(Item.n == n))).note
        return note

    async def increment(self) -> int:
        counter = await self.database.run(Counter.get_by_id, 1)
        counter.n += 1
        await self.database.run(counter.save)
        return int(counter.n)

    async def statement(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = await self.database.aexecute_sql(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        scope: AbstractAsyncContextManager[Any] = self.database.atomic()
        return scope

    async def commit(self) -> None:
        await self.database.run(self.database.commit)

    async def rollback(self) -> None:
        await self.database.run(self.database.rollback)

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        scope: AbstractAsyncContextManager[Any] = self.database.atomic()
        return scope
