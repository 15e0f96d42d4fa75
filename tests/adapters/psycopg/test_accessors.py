"""``connection()`` and its kin: what a transaction's function gets, and what it is told in the wrong place."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

import durably
from durably_psycopg import async_connection, connection, with_async_connection, with_connection
from tests.adapters.psycopg.lab import Lab, given


def reserve(c: psycopg.Connection[Any], n: int, *, times: int = 1) -> int:
    """A helper as it might stand in a repository."""
    c.execute("INSERT INTO item (n) VALUES (%s)", (n,))
    return n * times


async def reserve_async(c: psycopg.AsyncConnection[Any], n: int, *, times: int = 1) -> int:
    """The same, awaited."""
    await c.execute("INSERT INTO item (n) VALUES (%s)", (n,))
    return n * times


def test_outside_a_transaction_there_is_none() -> None:
    asks: list[Callable[[], Any]] = [connection, async_connection, lambda: with_connection(reserve)(1)]
    for ask in asks:
        with pytest.raises(durably.NoTransactionError, match=r"connection\(\) needs an open transaction"):
            ask()


def test_the_accessor_of_the_other_half(lab: Lab) -> None:
    async def body(c: Any) -> None:
        connection() if lab.asynchronous else async_connection()

    with pytest.raises(durably.SessionKindError, match="accessor of the other kind"):
        lab.run(body)


def test_the_accessor_gives_the_same_connection_each_time(lab: Lab) -> None:
    async def body(c: Any) -> None:
        assert (async_connection() if lab.asynchronous else connection()) is c

    lab.run(body)


def test_helpers_stay_as_they_are(lab: Lab) -> None:
    handed: Any = with_async_connection(reserve_async) if lab.asynchronous else with_connection(reserve)
    transaction = durably.transaction(handed)

    async def run() -> Any:
        return await given(transaction(1, times=3))

    assert lab.wait(run()) == 3
    assert lab.items() == [1]
    assert list(inspect.signature(transaction).parameters) == ["n", "times"]
    assert inspect.iscoroutinefunction(handed) == lab.asynchronous
    assert handed.__wrapped__ in (reserve, reserve_async)
    assert handed.__doc__ == handed.__wrapped__.__doc__


def test_the_wrong_decorator_is_refused() -> None:
    with pytest.raises(durably.DeclarationError, match=r"is a coroutine function.*use @with_async_connection"):
        with_connection(reserve_async)  # type: ignore[type-var]
    with pytest.raises(durably.DeclarationError, match=r"is a plain function.*use @with_connection"):
        with_async_connection(reserve)  # type: ignore[type-var,arg-type]
    with pytest.raises(durably.DeclarationError, match="no first parameter"):
        with_connection(lambda: None)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize("made", ["psycopg"], indirect=True)
def test_another_thread_cannot_ask_for_the_connection(lab: Lab) -> None:
    raised: list[BaseException] = []

    async def body(c: Any) -> None:
        context = contextvars.copy_context()

        def ask() -> None:
            try:
                context.run(connection)
            except durably.WrongThreadError as error:
                raised.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    lab.run(body)
    assert len(raised) == 1


@pytest.mark.parametrize("made", ["async"], indirect=True)
def test_another_task_is_refused_and_the_transaction_goes_on(lab: Lab) -> None:
    raised: list[object] = []

    async def ask() -> None:
        async_connection()

    async def body(c: Any) -> None:
        captured = c.execute("INSERT INTO item (n) VALUES (1)")
        raised.extend(await asyncio.gather(captured, ask(), return_exceptions=True))
        await c.execute("INSERT INTO item (n) VALUES (2)")

    lab.run(body)
    assert [type(one) for one in raised] == [durably.WrongThreadError] * 2
    assert lab.items() == [2]
