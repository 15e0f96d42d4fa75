"""Tortoise ORM, on asyncpg."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tortoise import Tortoise, fields
from tortoise.models import Model
from tortoise.transactions import in_transaction

from benchmarks.orms import Orm
from durably_tortoise import TortoiseAdapter


class Item(Model):
    """The table of the benchmark."""

    id = fields.IntField(primary_key=True)
    n = fields.IntField()
    note = fields.TextField(null=True)

    class Meta(Model.Meta):
        table = "item"


async def plain() -> None:
    """As its documentation does it."""
    async with in_transaction():
        await Item.create(n=1, note="plain")


async def insert() -> None:
    """The same in a transaction of Durably's."""
    await Item.create(n=1, note="durable")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Orm]:
    """The ORM on that database."""
    address = "asyncpg://" + url.partition("://")[2]
    await Tortoise.init(db_url=address, modules={"models": [__name__]})
    try:
        yield Orm("Tortoise", "tortoise-orm", TortoiseAdapter(), plain, insert)
    finally:
        await Tortoise.close_connections()
