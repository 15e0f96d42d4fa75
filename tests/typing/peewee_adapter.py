"""What type checkers see of the Peewee adapter. Checked by `make check`, never run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee
from typing_extensions import assert_type

from durably import Durably, transaction
from durably.adapter import Adapter, AsyncAdapter, Closes, Flushes, Joins, Locates
from durably_peewee import (
    AsyncPeewee,
    AsyncPeeweeAdapter,
    Peewee,
    PeeweeAdapter,
    application_database,
    database,
    from_url,
)

proxy = peewee.DatabaseProxy()
assert_type(Peewee(peewee.SqliteDatabase("shop.db")), PeeweeAdapter)
assert_type(Peewee(proxy), PeeweeAdapter)
assert_type(Peewee("sqlite:///shop.db"), PeeweeAdapter)
assert_type(AsyncPeewee(proxy), AsyncPeeweeAdapter)
assert_type(AsyncPeewee("sqlite:///shop.db"), AsyncPeeweeAdapter)
assert_type(from_url("sqlite:///shop.db"), Sequence[PeeweeAdapter | AsyncPeeweeAdapter])

adapter: Adapter[peewee.Database] = Peewee(proxy)
flushes: Flushes[Any] = Peewee(proxy)
joins: Joins[Any] = Peewee(proxy)
closes: Closes = Peewee(proxy)
locates: Locates = Peewee(proxy)

async_adapter: AsyncAdapter[peewee.Database] = AsyncPeewee(proxy)
async_flushes: Flushes[Any] = AsyncPeewee(proxy)
async_joins: Joins[Any] = AsyncPeewee(proxy)
async_closes: Closes = AsyncPeewee(proxy)
async_locates: Locates = AsyncPeewee(proxy)

app = Durably("shop", adapters={"default": [Peewee(proxy), AsyncPeewee(proxy)]})


class Item(peewee.Model):
    stock = peewee.IntegerField()

    class Meta:
        database = application_database


@transaction
def reserve(quantity: int) -> int:
    assert_type(database(), peewee.Database)
    Item.create(stock=quantity)
    return quantity


assert_type(reserve(2), int)

Peewee(5)  # type: ignore[arg-type]
AsyncPeewee(None)  # type: ignore[arg-type]
reserve("2")  # type: ignore[arg-type]
