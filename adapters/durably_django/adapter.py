"""Transactions through ``django.db``: the ORM as always, inside a transaction that Durably begins and ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import close_old_connections, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle
from durably_django import beginning
from durably_django.addresses import address, dialect
from durably_django.ending import aborted


class DjangoAdapter:
    """Runs ``def`` transactions on one of the connections in ``DATABASES``. Implements ``durably.adapter.Adapter``.

    ``using``: the connection's alias. The models that a transaction's function uses must go there, by default or by a
    router. It needs configured settings once a transaction begins, and opens no connection before.
    """

    paramstyle: ParamStyle = "format"
    no_other_half = (
        "Django has no asynchronous transactions: write the transaction with `def`, and in an `async def` workflow "
        "await it with `durably.aio.run_step(...)`, which runs it on a thread"
    )

    def __init__(self, using: str = "default") -> None:
        self.using = using

    def __repr__(self) -> str:
        return f"DjangoAdapter({self.using!r})"

    @property
    def dialect(self) -> DialectName:
        """The kind of database; ConfigurationError if it is none that Durably knows, or there is no such alias."""
        return dialect(self.using)

    def url(self) -> str | None:
        """The database's address, as the connection's settings are now."""
        return address(self.using)

    def ambient(self) -> BaseDatabaseWrapper | None:
        """The connection, if the caller has an ``atomic()`` block open on it, or has turned autocommit off.

        The block that ``django.test.TestCase`` runs each test in is none of the caller's.
        """
        connection = connections[self.using]
        if connection.connection is None:
            return None
        if connection.in_atomic_block:
            blocks: Any = connection.atomic_blocks
            return None if blocks and blocks[-1]._from_testcase else connection
        return None if connection.autocommit else connection

    def begin(self, plan: BeginPlan) -> AbstractContextManager[BaseDatabaseWrapper]:
        """A transaction on this thread's connection; in the block of a TestCase, a savepoint in that."""
        connection = connections[self.using]
        return self._nested(connection) if connection.in_atomic_block else beginning.begun(connection, plan)

    @contextmanager
    def _nested(self, connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
        with transaction.atomic(using=self.using):
            yield connection

    def execute(self, handle: BaseDatabaseWrapper, sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one statement on the connection."""
        try:
            with handle.cursor() as cursor:
                cursor.execute(sql, tuple(params))
                return cursor.fetchall() if cursor.description else []
        except Exception as error:
            ended = aborted(handle, error)
            if ended is not None:
                raise ended from error
            raise

    def savepoint(self, handle: BaseDatabaseWrapper) -> AbstractContextManager[None]:
        """``atomic()`` in the caller's own transaction."""
        return transaction.atomic(using=handle.alias)

    def release(self, *, ends: bool) -> None:
        """On a thread of Durably's own, between pieces of work: what Django does between requests.

        Connections are kept for ``CONN_MAX_AGE`` seconds, and not past the end of their thread; without it, and with a
        pool, they are closed or given back at once.
        """
        if ends:
            connections.close_all()
        else:
            close_old_connections()
