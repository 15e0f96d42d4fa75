"""Durably's transactions through SQLAlchemy 2.0 and later, synchronous and asynchronous.

    from durably import Durably, transaction
    from durably_sqlalchemy import SQLAlchemy, session

    @transaction
    def reserve(sku: str, quantity: int) -> int:
        item = session().get(Item, sku, with_for_update=True)
        item.stock -= quantity
        return item.stock

    app = Durably("shop", adapters={"default": [SQLAlchemy(engine), SQLAlchemy(async_engine)]})

The session of a transaction is one of your own sessionmaker's, on a connection whose transaction Durably begins and
ends. Everything that the function does through it commits together with its checkpoint, or not at all.
"""

from __future__ import annotations

from durably_sqlalchemy.accessors import async_session, session, with_async_session, with_session
from durably_sqlalchemy.asynchronous import AsyncSQLAlchemyAdapter
from durably_sqlalchemy.factory import SQLAlchemy, from_url
from durably_sqlalchemy.synchronous import SQLAlchemyAdapter

__all__ = [
    "AsyncSQLAlchemyAdapter",
    "SQLAlchemy",
    "SQLAlchemyAdapter",
    "async_session",
    "from_url",
    "session",
    "with_async_session",
    "with_session",
]
