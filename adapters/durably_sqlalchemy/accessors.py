"""How a transaction's function gets its session: asked for, or handed in as its first argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from durably import DeclarationError, SessionKindError
from durably.adapter import transaction_handle

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
    handle = transaction_handle(asynchronous=False, accessor="session")
    if not isinstance(handle, Session):
        raise _not_ours("session", handle)
    return handle


def async_session() -> AsyncSession:
    """The session of the asynchronous transaction that runs here; see ``session()``.

    It belongs to the task that runs the transaction: WrongThreadError in any other, and so in ``asyncio.gather``.
    """
    handle = transaction_handle(asynchronous=True, accessor="async_session")
    if not isinstance(handle, AsyncSession):
        raise _not_ours("async_session", handle)
    return handle


def _not_ours(accessor: str, handle: object) -> SessionKindError:
    kind = f"{type(handle).__module__}.{type(handle).__qualname__}"
    return SessionKindError(
        f"{accessor}() is SQLAlchemy's, and this transaction goes through an adapter that works with {kind}; "
        "use that adapter's accessor, or declare @transaction(adapter=...) with the name of a SQLAlchemy adapter"
    )


def with_session(function: Callable[Concatenate[S, P], R]) -> Callable[P, R]:
    """Hand a function that takes a session the one of the transaction that runs here.

    For helpers that stay as they are: ``reserve = transaction(with_session(repository.reserve))``. The function itself
    is its ``__wrapped__``.
    """
    if inspect.iscoroutinefunction(function):
        raise _wrong_decorator("with_session", "with_async_session", function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(session(), *args, **kwargs)  # type: ignore[arg-type]

    call.__signature__ = _without_session(function)  # type: ignore[attr-defined]
    return call


def with_async_session(
    function: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
) -> Callable[P, Coroutine[Any, Any, R]]:
    """Hand a coroutine function that takes an AsyncSession the one of the transaction that runs here."""
    if not inspect.iscoroutinefunction(function):
        raise _wrong_decorator("with_async_session", "with_session", function)

    @functools.wraps(function)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return await function(async_session(), *args, **kwargs)  # type: ignore[arg-type]

    call.__signature__ = _without_session(function)  # type: ignore[attr-defined]
    return call


def _without_session(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in positional:
        raise DeclarationError(f"{_name(function)} has no first parameter to hand the session to; give it one")
    return signature.replace(parameters=parameters[1:])


def _wrong_decorator(used: str, other: str, function: Callable[..., Any]) -> DeclarationError:
    kind = "a plain function" if used == "with_async_session" else "a coroutine function"
    return DeclarationError(f"{_name(function)} is {kind}, which @{used} cannot serve; use @{other}")


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
