"""An application on Tortoise: models on the connection ``default``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tortoise import Tortoise, fields
from tortoise.expressions import F
from tortoise.models import Model

from durably_tortoise import TortoiseAdapter
from tests.crash import applications
from tests.crash.applications import AsyncApplication

PRELOADED = (
    "asyncmy",
    "tortoise.backends.asyncpg",
    "tortoise.backends.mysql",
    "tortoise.backends.sqlite",
)
_SCHEMES = {"postgresql": "asyncpg", "sqlite": "sqlite", "mysql": "mysql"}


class Effect(Model):
    """What a transaction did. The table has no key of any kind; Tortoise wants to be told of one."""

    workflow_id = fields.TextField()
    step = fields.IntField()
    attempt = fields.IntField()
    pid = fields.IntField()
    at = fields.BigIntField(primary_key=True, generated=False)

    class Meta(Model.Meta):
        """As the table is."""

        table = "effect"


class Balance(Model):
    """One account."""

    account = fields.CharField(max_length=64, primary_key=True)
    amount = fields.BigIntField()

    class Meta(Model.Meta):
        """As the table is."""

        table = "balance"


async def move(effect: applications.Effect, source: str, sink: str) -> None:
    """Move one unit: in one way from the source, which locks it, and in another to the sink."""
    await Effect.create(**effect._asdict())
    balance = await Balance.select_for_update().get(account=source)
    balance.amount -= 1
    await balance.save()
    await Balance.filter(account=sink).update(amount=F("amount") + 1)


@asynccontextmanager
async def awaited(url: str) -> AsyncIterator[AsyncApplication]:
    """Tortoise, initialised on the database."""
    scheme, _, rest = url.partition("://")
    # Tortoise takes the path as it is: two slashes, and what follows.
    address = f"{_SCHEMES[scheme]}://{rest.removeprefix('/') if scheme == 'sqlite' else rest}"
    await Tortoise.init(db_url=address, modules={"models": [__name__]})
    try:
        yield AsyncApplication(TortoiseAdapter(), move)
    finally:
        await Tortoise.close_connections()
