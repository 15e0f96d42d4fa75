"""How a transaction's function gets its connection: asked for, or handed in as its first argument."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from psycopg import AsyncConnection, Connection

from durably.adapter import handing, handle_of

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=Connection[Any])
A = TypeVar("A", bound=AsyncConnection[Any])


def connection() -> Connection[Any]:
    """The connection of the transaction that runs here; its rows are what its pool's ``row_factory`` makes of them.

    Durably commits when the transaction's function returns and rolls back when that raises; ``commit()``,
    ``rollback()``, and so ``with connection() as c:``, raise TransactionEndedError. For a part that may fail use
    ``with connection().transaction():``, which is a savepoint here. Use neither the connection nor its cursors once the
    function is over: they serve somebody else then.

    NoTransactionError outside a transaction, SessionKindError in an ``async def`` (use ``async_connection()``) or in a
    transaction of another adapter, WrongThreadError on another thread.
    """
    found: Connection[Any] = handle_of(Connection, orm="psycopg", asynchronous=False, accessor="connection")
    return found


def async_connection() -> AsyncConnection[Any]:
    """The connection of the asynchronous transaction that runs here; see ``connection()``.

    It belongs to the task that runs the transaction: WrongThreadError in any other, and so in ``asyncio.gather``, and
    before Python 3.12 in ``asyncio.wait_for`` (use ``asyncio.timeout``).
    """
    found: AsyncConnection[Any] = handle_of(
        AsyncConnection, orm="psycopg", asynchronous=True, accessor="async_connection"
    )
    return found


def with_connection(function: Callable[Concatenate[C, P], R]) -> Callable[P, R]:
    """Hand a function that takes a connection the one of the transaction that runs here.

    For helpers that stay as they are: ``reserve = transaction(with_connection(stock.reserve))``. The function itself is
    its ``__wrapped__``.
    """
    return handing(function, connection, asynchronous=False, used="with_connection", other="with_async_connection")


def with_async_connection(
    function: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Hand a coroutine function that takes an AsyncConnection the one of the transaction that runs here."""
    return handing(function, async_connection, asynchronous=True, used="with_async_connection", other="with_connection")
