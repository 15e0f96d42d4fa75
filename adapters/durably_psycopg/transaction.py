"""What both halves have in common: the state that a connection is in, and how the core's statements are run on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncClientCursor, AsyncCursor, ClientCursor, Cursor
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from durably.adapter import Parameter
from durably_psycopg.watch import watch_of

_IDLE = TransactionStatus.IDLE
_OPEN = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


def is_stray(connection: Any) -> bool:
    """Whether a connection that was just taken has a transaction open, such as one of a thread that came late.

    psycopg would make a savepoint of ours in there. OperationalError if the connection is dead, or busy elsewhere.
    """
    status = connection.pgconn.transaction_status
    if status == _IDLE:
        return False
    if status in _OPEN:
        return True
    abandon(connection)
    raise psycopg.OperationalError("the connection is closed, or somebody else is using it")


def abandon(connection: Any) -> None:
    """Cut a connection whose state is unknown, so that it is not used again; its pool replaces it."""
    connection.pgconn.finish()


def ended_well(connection: Any, error: BaseException | None = None) -> bool:
    """Whether the next transaction may have the connection, after a commit or rollback that raised ``error``."""
    # The server's own answer leaves nothing open. psycopg's objections leave its count of savepoints wrong.
    if error is not None and not (isinstance(error, psycopg.Error) and error.sqlstate):
        return False
    return bool(connection.pgconn.transaction_status == _IDLE)


def cursor_for(connection: psycopg.Connection[Any]) -> Cursor[tuple[Any, ...]]:
    """A cursor for the core: unwatched, of tuples, with ``%s``; bound by the client where the user's are."""
    binds = issubclass(connection.cursor_factory, ClientCursor)
    return (ClientCursor if binds else Cursor)(connection, row_factory=tuple_row)


def async_cursor_for(connection: psycopg.AsyncConnection[Any]) -> AsyncCursor[tuple[Any, ...]]:
    """The same."""
    binds = issubclass(connection.cursor_factory, AsyncClientCursor)
    return (AsyncClientCursor if binds else AsyncCursor)(connection, row_factory=tuple_row)


def prepared(sql: str, params: Sequence[Parameter]) -> tuple[bytes, tuple[Parameter, ...]]:
    """What a cursor takes. Even no parameters are passed: only then is ``%%`` read as ``%``."""
    return sql.encode(), tuple(params)


def has_rows(cursor: Cursor[Any] | AsyncCursor[Any]) -> bool:
    """Whether there is something to fetch. ``description`` makes objects, and ``rownumber`` is wrong in 3.1.0."""
    return cursor.pgresult is not None and cursor.pgresult.nfields > 0


def explain(connection: Any, error: psycopg.Error) -> None:
    """Raise TransactionEndedError if a statement of the core's failed for a statement of the function's before it."""
    watch = watch_of(connection)
    ended = watch.aborted(error) if watch is not None else None
    if ended is not None:
        raise ended from error
