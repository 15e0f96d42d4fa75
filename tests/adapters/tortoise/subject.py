"""Tortoise under the conformance suite: models as always, on asyncpg, aiosqlite and asyncmy, or on psycopg."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager
from types import ModuleType
from typing import Any, ClassVar

from tortoise import Tortoise, fields
from tortoise.connection import connections
from tortoise.models import Model
from tortoise.transactions import in_transaction

from durably.testing.conformance import Capabilities, Subject
from durably_tortoise import TortoiseAdapter


class Item(Model):
    id = fields.IntField(primary_key=True)
    n = fields.IntField(unique=True)
    note = fields.TextField(null=True)

    class Meta(Model.Meta):
        table = "conformance_item"


class Counter(Model):
    id = fields.IntField(primary_key=True)
    n = fields.IntField()

    class Meta(Model.Meta):
        table = "conformance_counter"


# Tortoise looks for models in a module by its name, and this file may be loaded without having one.
MODELS = "tortoise_conformance_models"
sys.modules[MODELS] = ModuleType(MODELS)
vars(sys.modules[MODELS]).update(Item=Item, Counter=Counter)


def tortoise_url(url: str, *, postgresql: str = "asyncpg", lock_seconds: float = 5.0, connections: int = 16) -> str:
    """A database's address as Tortoise reads it."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return f"sqlite://{rest.removeprefix('/')}?busy_timeout={int(lock_seconds * 1000)}"
    return f"{postgresql if scheme == 'postgresql' else scheme}://{rest}?maxsize={connections}"


class TortoiseSubject(Subject):
    """Tortoise's own choice of drivers."""

    name: ClassVar[str] = "tortoise"
    asynchronous: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = Capabilities(elsewhere="inside")
    postgresql: ClassVar[str] = "asyncpg"

    async def open(self) -> Any:
        address = tortoise_url(self.url, postgresql=self.postgresql, lock_seconds=self.lock_seconds)
        # Named by the database: Tortoise keeps the SQL of each model by connection name, for as long as the process.
        self.connection = address.partition("://")[0]
        await Tortoise.init(
            config={
                "connections": {self.connection: address},
                "apps": {"models": {"models": [MODELS], "default_connection": self.connection}},
            }
        )
        return TortoiseAdapter(self.connection)

    async def close(self) -> None:
        await Tortoise.close_connections()

    async def add(self, n: int, note: str | None = None) -> None:
        await Item.create(n=n, note=note)

    async def items(self) -> list[int]:
        return [item.n for item in await Item.all().order_by("id")]

    async def note(self, n: int) -> str | None:
        return (await Item.get(n=n)).note

    async def increment(self) -> int:
        counter = await Counter.get(id=1)
        counter.n += 1
        await counter.save()
        return counter.n

    async def statement(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in await connections.get(self.connection).execute_query_dict(sql)]

    def savepoint(self) -> AbstractAsyncContextManager[Any]:
        scope: Any = in_transaction(self.connection)
        return scope  # type: ignore[no-any-return]

    async def commit(self) -> None:
        await connections.get(self.connection).commit()

    async def rollback(self) -> None:
        await connections.get(self.connection).rollback()

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        return self.savepoint()


class PsycopgTortoiseSubject(TortoiseSubject):
    """PostgreSQL through psycopg."""

    name: ClassVar[str] = "tortoise psycopg"
    capabilities: ClassVar[Capabilities] = Capabilities(databases=("postgresql",), elsewhere="inside")
    postgresql: ClassVar[str] = "psycopg"
