"""How a transaction's function gets its session: asked for, or handed in as its first argument."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from durably.adapter import handing, handle_of

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=Session)
A = TypeVar("A", bound=AsyncSession)


def session() -> Session:
    """The session of the transaction that runs here.

    Durably commits it when the transaction's function returns and rolls it back when that raises; ``session.commit()``
    raises TransactionEndedError. For a part that may fail use ``with session().begin_nested():``. It is never closed
    before the transaction is over, so that ``with session() as s:`` is harmless.

    NoTransactionError outside a transaction, SessionKindError in an ``async def`` (use ``async_session()``) or in a
    transaction of another ORM's adapter, WrongThreadError on another thread.
    """
    return handle_of(Session, orm="SQLAlchemy", asynchronous=False, accessor="session")


def async_session() -> AsyncSession:
    """The session of the asynchronous transaction that runs here; see ``session()``.

    It belongs to the task that runs the transaction: WrongThreadError in any other, and so in ``asyncio.gather``.
    """
    return handle_of(AsyncSession, orm="SQLAlchemy", asynchronous=True, accessor="async_session")


def with_session(function: Callable[Concatenate[S, P], R]) -> Callable[P, R]:
    """Hand a function that takes a session the one of the transaction that runs here.

    For helpers that stay as they are: ``reserve = transaction(with_session(repository.reserve))``. The function itself
    is its ``__wrapped__``.
    """
    return handing(function, session, asynchronous=False, used="with_session", other="with_async_session")


def with_async_session(
    function: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Hand a coroutine function that takes an AsyncSession the one of the transaction that runs here."""
    return handing(function, async_session, asynchronous=True, used="with_async_session", other="with_session")
