"""Making adapters: from what the user has, and from an address alone."""

from __future__ import annotations

from collections.abc import Sequence

import peewee

from durably_peewee import urls
from durably_peewee.accessors import application_database
from durably_peewee.asynchronous import AsyncPeeweeAdapter
from durably_peewee.synchronous import PeeweeAdapter
from durably_peewee.targets import Target


def Peewee(target: peewee.Database | peewee.Proxy | str, /) -> PeeweeAdapter:
    """An adapter for ``def`` transactions through the database that your models are bound to.

    ``target``: a Database of peewee or playhouse, pooled or not, or a DatabaseProxy, which may be initialized any time
    before the engine is launched (as long as it is not, give the engine its ``system_database_url``). A transaction
    uses the connection that its thread has open; where there is none, one is opened for this transaction and closed
    after it, for which a pooled database is much the faster. An address makes a pool that the adapter owns; see
    ``from_url``. Nothing is connected here. ConfigurationError.

        database = PooledPostgresqlDatabase("shop", prefer_psycopg3=True)
        app = Durably("shop", adapters={"default": Peewee(database)})
    """
    if isinstance(target, str):
        address = urls.Address(target)
        return _of(urls.connect(address), address, target)
    return PeeweeAdapter(Target(target, asynchronous=False))


def AsyncPeewee(target: peewee.Database | peewee.Proxy | str, /) -> AsyncPeeweeAdapter:
    """An adapter for ``async def`` transactions through a database of ``playhouse.pwasyncio`` (Peewee 4.0.7 or later).

    Such a database has a connection for each task. What a transaction's function gives to other tasks, with
    ``asyncio.gather``, ``create_task`` or, up to Python 3.11, ``wait_for``, would run outside the transaction: the
    database raises WrongThreadError there. Everything else is as with ``Peewee``. ConfigurationError.
    """
    urls.require_async()
    if isinstance(target, str):
        return _from_address_async(urls.Address(target), target)
    return AsyncPeeweeAdapter(Target(target, asynchronous=True))


def from_url(url: str) -> Sequence[PeeweeAdapter | AsyncPeeweeAdapter]:
    """Both halves for an address, what ``app_db_client: peewee`` stands for, each with a pool of its own.

    Models work in its transactions if they are bound to ``durably_peewee.application_database``, and not to a database
    that you have made yourself: that would be another connection, and another transaction. With a database of your own
    use ``Peewee(database)``.

    SQLite through the standard library and aiosqlite, PostgreSQL through psycopg (psycopg2 if only that is there) and
    asyncpg, MySQL and MariaDB through PyMySQL and aiomysql. The asynchronous half is left out where Peewee is older
    than 4.0.7, or greenlet or the driver is not installed.
    """
    address = urls.Address(url)
    database = urls.connect(address)
    application_database.initialize(database)
    half = _of(database, address, url)
    return [half, _from_address_async(address, url)] if urls.has_async(address) else [half]


def _of(database: peewee.Database, address: urls.Address, url: str) -> PeeweeAdapter:
    return PeeweeAdapter(Target(database, asynchronous=False, made=True, address=_plain(address, url)))


def _from_address_async(address: urls.Address, url: str) -> AsyncPeeweeAdapter:
    made = urls.connect_async(address)
    return AsyncPeeweeAdapter(Target(made, asynchronous=True, made=True, address=_plain(address, url)))


def _plain(address: urls.Address, url: str) -> str:
    """The address without the name of a driver."""
    return f"{address.dialect}://{url.partition('://')[2]}"
