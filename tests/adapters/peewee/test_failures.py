"""Failures that a function catches: the database has ended the transaction, and nothing may run outside of it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading

import peewee
import pymysql
import pytest

import durably
from tests.adapters.peewee.conftest import EVERY, SYNC, MakeLab, kinds
from tests.adapters.peewee.lab import Item, Lab, add


@kinds(SYNC, only=("mysql",))
@pytest.mark.parametrize("go_on", [False, True], ids=["return", "go on"])
def test_a_deadlock_that_was_caught_is_run_again(lab: Lab, go_on: bool) -> None:
    """The server rolls back the whole transaction, and would run what follows in autocommit."""
    lab.run(add(1), add(2))
    address = lab.address
    other = pymysql.connect(
        host=address.host or "", port=address.port or 3306, user=address.user, database=address.database
    )
    tries: list[int] = []

    lock = "SELECT n FROM item WHERE id = {} FOR UPDATE"
    (first,), (second,) = lab.query("SELECT id FROM item ORDER BY id")

    def body() -> int:
        tries.append(1)
        if len(tries) > 1:
            return len(tries)
        with other.cursor() as cursor:
            # The other transaction has changed more rows, so that the server chooses this one.
            cursor.execute("INSERT INTO unique_name (name) VALUES ('a'), ('b'), ('c'), ('d')")
            cursor.execute(lock.format(second))
            Item.create(n=3)
            lab.database.execute_sql(lock.format(first))
            waiting = threading.Thread(target=cursor.execute, args=(lock.format(first),))
            waiting.start()
            with pytest.raises(peewee.OperationalError, match="Deadlock"):
                lab.database.execute_sql(lock.format(second))
            waiting.join()
            if go_on:
                Item.create(n=4)
        return len(tries)

    with other:
        assert lab.run(body) == 2
    assert lab.items() == [1, 2]


@kinds(EVERY, only=("sqlite",))
def test_a_locked_file_is_waited_for_and_is_no_outcome(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.database.timeout = 0.05
    lab.launch()
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with contextlib.closing(sqlite3.connect(lab.address.database, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            locked.set()
            release.wait(20)
            connection.execute("ROLLBACK")

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(20)
    threading.Timer(0.4, release.set).start()
    assert lab.run(add(1)) == 1
    holder.join()
    assert lab.items() == [1]


@kinds(EVERY)
def test_the_callers_transaction_is_told_and_joined_outside_workflows(lab: Lab) -> None:
    write = lab.transaction(add(1))

    def failing_body() -> None:
        Item.create(n=2)
        raise ValueError("no")

    failing = lab.transaction(failing_body)

    def own() -> None:
        with lab.database.atomic():
            write()
            with pytest.raises(ValueError, match="no"):
                failing()
            Item.create(n=3)

    async def own_async() -> None:
        async with lab.database.atomic():
            await write()
            with pytest.raises(ValueError, match="no"):
                await failing()
            await lab.database.run(Item.create, n=3)

    async def call_async() -> None:
        async with lab.database.atomic():
            await lab.workflow(write)()

    def call() -> None:
        with lab.database.atomic():
            lab.workflow(write)()

    if lab.asynchronous:
        lab.wait(own_async())
        with pytest.raises(durably.AmbientTransactionError):
            lab.wait(call_async())
    else:
        own()
        with pytest.raises(durably.AmbientTransactionError):
            call()
        lab.database.close()
    assert lab.items() == [1, 3]
