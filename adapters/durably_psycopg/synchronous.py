"""The synchronous half: transactions through ``psycopg.Connection``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import Connection

from durably.adapter import BeginPlan, DialectName, Parameter, ParamStyle
from durably_psycopg import transaction
from durably_psycopg.sources import sync_source
from durably_psycopg.watch import attach, detach

if TYPE_CHECKING:
    from durably_psycopg.sources import Target


class Psycopg:
    """Runs ``def`` transactions. Implements ``durably.adapter.Adapter``.

    ``target`` is a ``psycopg_pool.ConnectionPool``, which you open and close; a function that makes a connection, which
    is called for each transaction, and its connection closed after it; or an address, for which the adapter makes and
    keeps up to 16 connections itself. Settings of your connections (``row_factory``, ``autocommit``,
    ``prepare_threshold``, …) are kept. Nothing is connected here. ConfigurationError.

        Psycopg(ConnectionPool("postgresql://user@localhost/shop", open=True))
        Psycopg(lambda: psycopg.connect("dbname=shop", row_factory=dict_row))
        Psycopg("postgresql://user@localhost/shop")

    With a pool or an address the system database is in the same database by default; a function does not tell where its
    connections lead, so name ``system_database_url``.
    """

    dialect: DialectName = "postgresql"
    paramstyle: ParamStyle = "format"

    def __init__(self, target: Target, /) -> None:
        self._source = sync_source(target)

    def ambient(self) -> Connection[Any] | None:
        """None: psycopg has no current connection."""
        return None

    @contextmanager
    def begin(self, plan: BeginPlan) -> Iterator[Connection[Any]]:
        """A connection whose transaction ends with the block."""
        connection, block = self._begun()
        try:
            try:
                for sql in plan.after:
                    self.execute(connection, sql)
                watch = attach(connection, asynchronous=False)
                yield connection
                watch.verify()
            except BaseException as error:
                detach(connection)
                self._roll_back(connection, block, error)
                # Even a psycopg.Rollback: for Durably it is an error like any other.
                raise
            detach(connection)
            self._commit(connection, block)
        finally:
            self._source.give(connection)

    def _begun(self) -> tuple[Connection[Any], psycopg.Transaction]:
        """A connection with a transaction; those that died while they were idle are passed over."""
        left = self._source.tries
        while True:
            left -= 1
            connection: Connection[Any] = self._source.take()
            try:
                if transaction.is_stray(connection):
                    # Of a new connection, it is what its maker did, such as SET; of a used one, nobody's any more.
                    connection.rollback() if self._source.reused else connection.commit()
                block = psycopg.Transaction(connection)
                block.__enter__()
            except BaseException as error:
                died = connection.closed and isinstance(error, psycopg.Error)
                transaction.abandon(connection)
                self._source.give(connection)
                if not died or left <= 0:
                    raise
            else:
                return connection, block

    def _commit(self, connection: Connection[Any], block: psycopg.Transaction) -> None:
        try:
            block.__exit__(None, None, None)
        except BaseException as error:
            if not transaction.ended_well(connection, error):
                transaction.abandon(connection)
            raise

    def _roll_back(self, connection: Connection[Any], block: psycopg.Transaction, error: BaseException) -> None:
        """Without hiding the error that is on its way."""
        try:
            block.__exit__(type(error), error, error.__traceback__)
            well = transaction.ended_well(connection)
        except Exception:
            well = False
        except BaseException:
            transaction.abandon(connection)
            raise
        if not well:
            transaction.abandon(connection)

    def execute(self, handle: Connection[Any], sql: str, params: Sequence[Parameter] = ()) -> list[tuple[Any, ...]]:
        """Run one of the core's statements, as it is, on the transaction's connection."""
        cursor = transaction.cursor_for(handle)
        try:
            cursor.execute(*transaction.prepared(sql, params))
        except psycopg.Error as error:
            transaction.explain(handle, error)
            raise
        return cursor.fetchall() if transaction.has_rows(cursor) else []

    def url(self) -> str | None:
        """The address of the database, with its password; None if only the target's own function knows."""
        return self._source.url

    def close(self) -> None:
        """Close the connections that the adapter keeps; a pool of the user's stays open."""
        if self._source.close is not None:
            self._source.close()
