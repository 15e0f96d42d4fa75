"""How a transaction begins on a connection of Django's, as Durably plans it for each kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from durably.adapter import BeginPlan, transaction_committed
from durably_django.ending import Watched


@contextmanager
def begun(connection: BaseDatabaseWrapper, plan: BeginPlan) -> Iterator[BaseDatabaseWrapper]:
    """One transaction, outermost on its connection; callbacks of ``on_commit`` run after it if it commits."""
    if connection.errors_occurred:
        # Not before every transaction: without CONN_MAX_AGE that would connect anew for each.
        connection.close_if_unusable_or_obsolete()
    connection.ensure_connection()
    for sql in plan.before:
        _run(connection, sql)
    try:
        with _Atomic(connection, plan.begin), Watched(connection):
            # The first of the callbacks: when the user's own run, nobody waits for this transaction any more.
            connection.on_commit(transaction_committed)
            for sql in plan.after:
                _run(connection, sql)
            if plan.query_only:
                _run(connection, "PRAGMA query_only = 1")
            yield connection
    finally:
        if plan.query_only:
            _reset_query_only(connection)


def _run(connection: BaseDatabaseWrapper, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


class _Atomic(transaction.Atomic):
    """``atomic(durable=True)``; on SQLite, where Django begins by a statement of its own, it sends Durably's.

    Django's ``transaction_mode`` would do from 5.1 on; it is reset whenever the connection is opened.
    """

    def __init__(self, connection: BaseDatabaseWrapper, begin: str) -> None:
        super().__init__(using=connection.alias, savepoint=True, durable=True)
        self._connection: Any = connection
        self._begin = begin

    def __enter__(self) -> None:
        if self._connection.vendor != "sqlite":
            return super().__enter__()
        self._connection._start_transaction_under_autocommit = lambda: _run(self._connection, self._begin)
        try:
            return super().__enter__()
        finally:
            del self._connection._start_transaction_under_autocommit


def _reset_query_only(connection: BaseDatabaseWrapper) -> None:
    """On the driver's connection: Django's may refuse statements after an error."""
    raw: Any = connection.connection
    if raw is None:
        return
    try:
        raw.execute("PRAGMA query_only = 0")
    except BaseException:
        connection.close()
        raise
