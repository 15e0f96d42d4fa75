"""Durably's transactions through psycopg 3.1 and later, without an ORM: synchronous and asynchronous.

    from durably import Durably, transaction
    from durably_psycopg import AsyncPsycopg, Psycopg, connection

    @transaction
    def reserve(sku: str, quantity: int) -> None:
        connection().execute("UPDATE item SET stock = stock - %s WHERE sku = %s", (quantity, sku))

    app = Durably("shop", adapters={"default": [Psycopg(pool), AsyncPsycopg(async_pool)]})

The connection of a transaction is one of your own pool's, with your own settings, and Durably begins and ends what is
done on it. Everything that the function does through it commits together with its checkpoint, or not at all.
"""

from __future__ import annotations

from durably_psycopg.accessors import async_connection, connection, with_async_connection, with_connection
from durably_psycopg.asynchronous import AsyncPsycopg
from durably_psycopg.factory import from_url
from durably_psycopg.synchronous import Psycopg

__all__ = [
    "AsyncPsycopg",
    "Psycopg",
    "async_connection",
    "connection",
    "from_url",
    "with_async_connection",
    "with_connection",
]
