"""``database()``: the database of the transaction that runs here, and of no other."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

import durably
from durably_peewee import database
from tests.adapters.peewee.conftest import ASYNC, EVERY, SYNC, kinds
from tests.adapters.peewee.lab import Item, Lab


@kinds(EVERY)
def test_it_is_the_transactions(lab: Lab) -> None:
    def body() -> bool:
        with database().atomic():
            Item.create(n=1)
        return database() is lab.database

    assert lab.run(body) is True
    assert lab.items() == [1]


def test_outside_transactions_there_is_none() -> None:
    with pytest.raises(durably.NoTransactionError, match=r"database\(\) needs an open transaction"):
        database()


@kinds(SYNC, only=("sqlite",))
def test_in_another_thread_there_is_none(lab: Lab) -> None:
    def elsewhere(use: Callable[[], Any], found: list[BaseException]) -> None:
        try:
            use()
        except durably.NoTransactionError as error:
            found.append(error)

    def body() -> list[str]:
        found: list[BaseException] = []
        inherited = contextvars.copy_context()
        for target in (elsewhere, lambda *args: inherited.run(elsewhere, *args)):
            thread = threading.Thread(target=target, args=(database, found))
            thread.start()
            thread.join()
        return [type(error).__name__ for error in found]

    assert lab.run(body) == ["NoTransactionError", "WrongThreadError"]


@kinds(SYNC, only=("sqlite",))
def test_a_thread_that_knows_of_the_transaction_may_not_write(lab: Lab) -> None:
    def body() -> None:
        inherited = contextvars.copy_context()
        found: list[BaseException] = []

        def write() -> None:
            try:
                inherited.run(Item.create, n=2)
            except durably.WrongThreadError as error:
                found.append(error)
            finally:
                lab.database.close()

        Item.create(n=1)
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert len(found) == 1

    with pytest.raises(durably.WrongThreadError):
        lab.run(body)
    assert lab.items() == []


@kinds(ASYNC, only=("sqlite",))
def test_in_another_task_there_is_none(lab: Lab) -> None:
    async def elsewhere() -> None:
        database()

    async def body() -> None:
        await asyncio.create_task(elsewhere())

    with pytest.raises(durably.WrongThreadError):
        lab.run(body)


@kinds(SYNC, only=("sqlite",))
def test_in_another_adapters_transaction_it_says_whose(lab: Lab) -> None:
    from durably.context import transaction_opened

    wrong = pytest.raises(durably.SessionKindError, match=r"works with builtins\.object")
    with transaction_opened("other", object(), False), wrong:
        database()
