"""Durably's transactions through Peewee 3.17 and later, and through its ``playhouse.pwasyncio``.

    from durably import Durably, transaction
    from durably_peewee import Peewee

    database = PooledPostgresqlDatabase("shop", prefer_psycopg3=True)

    class Item(Model):
        sku = CharField(primary_key=True)
        stock = IntegerField()

        class Meta:
            database = database

    @transaction
    def reserve(sku: str, quantity: int) -> None:
        Item.update(stock=Item.stock - quantity).where(Item.sku == sku).execute()

    app = Durably("shop", adapters={"default": Peewee(database)})

Models are used as always. Everything that the function does through the database commits together with its checkpoint,
or not at all; ``with database.atomic():`` in it is a savepoint.

The transaction belongs to the thread that runs it, as all of Peewee's do: another thread that the function starts has
a connection of its own, and what it writes there is outside the transaction. An asynchronous transaction belongs to its
task, and the database raises WrongThreadError in tasks that the function starts, among them those of
``asyncio.gather`` and, up to Python 3.11, ``asyncio.wait_for``.
"""

from __future__ import annotations

from durably_peewee.accessors import ApplicationDatabase, application_database, database
from durably_peewee.asynchronous import AsyncPeeweeAdapter
from durably_peewee.factory import AsyncPeewee, Peewee, from_url
from durably_peewee.synchronous import PeeweeAdapter

__all__ = [
    "ApplicationDatabase",
    "AsyncPeewee",
    "AsyncPeeweeAdapter",
    "Peewee",
    "PeeweeAdapter",
    "application_database",
    "database",
    "from_url",
]
