"""Peewee's playhouse.pwasyncio, on asyncpg, with the connection that its task holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from peewee import AutoField, DatabaseProxy, IntegerField, Model, TextField

from benchmarks.orms import Orm
from durably_peewee import AsyncPeewee

proxy: Any = DatabaseProxy()


class Item(Model):
    """The table of the benchmark."""

    id = AutoField()
    n = IntegerField()
    note = TextField(null=True)

    class Meta:
        database = proxy
        table_name = "item"


async def plain() -> None:
    """As its documentation does it."""
    async with proxy.obj.atomic():
        await proxy.run(Item.create, n=1, note="plain")


async def insert() -> None:
    """The same in a transaction of Durably's."""
    await proxy.run(Item.create, n=1, note="durable")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Orm]:
    """The ORM on that database."""
    database = import_module("playhouse.pwasyncio").AsyncPostgresqlDatabase(url)
    proxy.initialize(database)
    await database.aconnect()
    try:
        yield Orm("Peewee (pwasyncio, asyncpg)", "peewee", AsyncPeewee(database), plain, insert)
    finally:
        await database.close_pool()
