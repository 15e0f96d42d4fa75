"""The database of the transaction that runs here: asked for, or bound to models once and for all."""

from __future__ import annotations

from typing import Any

import peewee

from durably import NoTransactionError, SessionKindError, WrongThreadError
from durably.adapter import transaction_handle


def database() -> peewee.Database:
    """The database whose transaction runs here, for savepoints (``database().atomic()``) and SQL of your own.

    Models need it only if they are bound to none, or to another: ``with database().bind_ctx([Item]):``. In an
    ``async def`` it is one of ``playhouse.pwasyncio``.

    NoTransactionError outside a transaction, SessionKindError in a transaction of another ORM's adapter,
    WrongThreadError in another thread or task than the transaction's own.
    """
    try:
        handle = transaction_handle(asynchronous=False, accessor="database")
    except SessionKindError:
        handle = transaction_handle(asynchronous=True, accessor="database")
    if not isinstance(handle, peewee.Database):
        kind = f"{type(handle).__module__}.{type(handle).__qualname__}"
        raise SessionKindError(
            f"database() is Peewee's, and this transaction goes through an adapter that works with {kind}; "
            "use that adapter's accessor, or declare @transaction(adapter=...) with the name of a Peewee adapter"
        )
    return handle


class ApplicationDatabase(peewee.DatabaseProxy):
    """A DatabaseProxy that stands for the database of the transaction that runs here.

    Elsewhere it stands for the one that was made from ``application_database_url`` last, so that tables can be created
    and rows be read.
    """

    __slots__ = ("_given",)

    def initialize(self, obj: Any) -> None:
        """What it stands for outside transactions."""
        object.__setattr__(self, "_given", obj)
        for callback in self._callbacks:
            callback(obj)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("_callbacks", "_given", "_Model"):
            raise AttributeError(f"application_database has no attribute {name!r} that could be set")
        object.__setattr__(self, name, value)

    @property
    def obj(self) -> Any:
        """The database. Where a transaction is another task's, WrongThreadError, and never another database."""
        try:
            return database()
        except WrongThreadError:
            raise
        except (NoTransactionError, SessionKindError):
            return self._given


#: What models are bound to where Durably makes the database: ``class Meta: database = application_database``.
application_database = ApplicationDatabase()
