"""The connection of a transaction: every statement of the session, and those around it, goes through here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, TextClause
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import ExecutableDDLElement

from durably_sqlalchemy.guard import Guard


class TransactionConnection(Connection):
    """A connection that asks the transaction's watch first. ``watched`` makes one of a connection that is there."""

    #: The watch on the transaction, as long as it is open.
    durably_guard: Guard | None = None

    def execute(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """As ever, but in the transaction's own thread or task only, and no COMMIT or ROLLBACK."""
        guard = self.durably_guard
        if guard is None:
            return super().execute(statement, *args, **kwargs)
        guard.statement(self._text(statement))
        try:
            return super().execute(statement, *args, **kwargs)
        except DBAPIError as error:
            guard.failed(error, self.in_nested_transaction())
            raise

    def scalar(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        """The same."""
        guard = self.durably_guard
        if guard is None:
            return super().scalar(statement, *args, **kwargs)
        guard.statement(self._text(statement))
        try:
            return super().scalar(statement, *args, **kwargs)
        except DBAPIError as error:
            guard.failed(error, self.in_nested_transaction())
            raise

    def exec_driver_sql(self, statement: str, *args: Any, **kwargs: Any) -> Any:
        """The same."""
        guard = self.durably_guard
        if guard is None:
            return super().exec_driver_sql(statement, *args, **kwargs)
        guard.statement(statement)
        try:
            return super().exec_driver_sql(statement, *args, **kwargs)
        except DBAPIError as error:
            guard.failed(error, self.in_nested_transaction())
            raise

    def _text(self, statement: Any) -> str | None:
        """The SQL of a statement that may be one which ends the transaction."""
        if isinstance(statement, TextClause):
            return statement.text
        if isinstance(statement, ExecutableDDLElement):
            return str(statement.compile(dialect=self.dialect))
        return None

    def commit(self) -> None:
        """TransactionEndedError in the transaction's function."""
        if self.durably_guard is not None:
            raise self.durably_guard.refuse("a commit on the session's connection")
        super().commit()

    def rollback(self) -> None:
        """Rolls back; after that the transaction's function can only raise."""
        if self.durably_guard is not None:
            self.durably_guard.rolled_back()
        super().rollback()


def run(connection: Connection, sql: str, params: tuple[Any, ...]) -> Any:
    """One of the core's own statements: it may be one that the transaction's function may not run."""
    guard = connection.durably_guard if isinstance(connection, TransactionConnection) else None
    if guard is None:
        return connection.exec_driver_sql(sql, params)
    guard.statement()
    try:
        return Connection.exec_driver_sql(connection, sql, params)
    except DBAPIError as error:
        guard.failed(error, connection.in_nested_transaction())
        raise


def watched(connection: Connection, guard: Guard) -> None:
    """Have ``connection`` ask ``guard`` from now on. It is one checkout's, and is thrown away after it."""
    if type(connection) is Connection:
        connection.__class__ = TransactionConnection
    if isinstance(connection, TransactionConnection):
        connection.durably_guard = guard


def unwatched(connection: Connection) -> None:
    """Let Durably end the transaction."""
    if isinstance(connection, TransactionConnection):
        connection.durably_guard = None
