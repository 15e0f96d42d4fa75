"""Nobody but Durably ends a transaction: an attempt is a clear error, and all is rolled back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from peewee import IntegrityError

import durably
from tests.adapters.peewee.conftest import ASYNC, EVERY, SYNC, MakeLab, kinds
from tests.adapters.peewee.lab import Item, Lab, Unique, add, unpooled


def _inner_commit(database: Any) -> None:
    with database.transaction() as inner:
        inner.commit()


def _inner_rollback(database: Any) -> None:
    with database.transaction() as inner:
        inner.rollback()


#: On the synchronous half; on the asynchronous one they run in its bridge.
ENDINGS: dict[str, Callable[[Any], Any]] = {
    "commit": lambda database: database.commit(),
    "rollback": lambda database: database.rollback(),
    "begin": lambda database: database.begin(),
    "session_commit": lambda database: database.session_commit(),
    "session_rollback": lambda database: database.session_rollback(),
    "COMMIT": lambda database: database.execute_sql("COMMIT"),
    "commented COMMIT": lambda database: database.execute_sql("/* now */ -- really\n commit;"),
    "END": lambda database: database.execute_sql("END"),
    "ROLLBACK": lambda database: database.execute_sql("  rollback"),
}


@kinds(EVERY)
@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_ending_it_is_an_error_and_keeps_nothing(lab: Lab, end: Callable[[Any], Any]) -> None:
    def body() -> str:
        Item.create(n=1)
        end(lab.database)
        return "done"

    def go_on() -> str:
        with contextlib.suppress(durably.TransactionEndedError):
            body()
            Item.create(n=2)
        return "done"

    for function in (body, go_on):
        with pytest.raises(durably.TransactionEndedError, match=r"database\.atomic\(\)"):
            lab.run(function)
    assert lab.items() == []
    assert [one.output for one in lab.recorded()] == [None, None]
    assert lab.run(add(3)) == 3
    assert lab.items() == [3]


@kinds(SYNC)
@pytest.mark.parametrize("end", [_inner_commit, _inner_rollback], ids=["commit", "rollback"])
def test_a_block_inside_does_not_end_it(lab: Lab, end: Callable[[Any], Any]) -> None:
    def body() -> None:
        Item.create(n=1)
        end(lab.database)

    with pytest.raises(durably.TransactionEndedError):
        lab.run(body)
    assert lab.items() == []


@kinds(ASYNC)
def test_the_transaction_itself_does_not_end(lab: Lab) -> None:
    async def commit() -> None:
        await lab.database.run(Item.create, n=1)
        await lab.database.top_transaction().acommit()

    async def rollback() -> None:
        await lab.database.run(Item.create, n=1)
        await lab.database.top_transaction().arollback()

    for body in (commit, rollback):
        with pytest.raises(durably.TransactionEndedError):
            lab.run(body)
    assert lab.items() == []


@kinds(SYNC)
def test_a_commit_through_the_driver_is_found_at_the_record(lab: Lab) -> None:
    def body() -> str:
        Item.create(n=1)
        lab.database.connection().cursor().execute("COMMIT")
        return "done"

    with pytest.raises(durably.TransactionEndedError):
        lab.run(body)
    (recorded,) = lab.recorded()
    assert recorded.output is None


@kinds(EVERY)
def test_a_rollback_before_an_error_leaves_that_error(lab: Lab) -> None:
    def body() -> None:
        try:
            Item.create(n=1)
            raise ValueError("no")
        except ValueError:
            lab.database.rollback()
            raise

    with pytest.raises(ValueError, match="no"):
        lab.run(body)
    assert lab.items() == []


@kinds(EVERY)
def test_nothing_runs_after_a_rollback(lab: Lab) -> None:
    def body() -> None:
        lab.database.rollback()
        Item.create(n=1)
        pytest.fail("it ran")

    with pytest.raises(durably.TransactionEndedError):
        lab.run(body)
    assert lab.items() == []


@kinds(EVERY)
def test_a_savepoint_may_be_rolled_back_and_committed(lab: Lab) -> None:
    def body() -> None:
        Item.create(n=1)
        with lab.database.atomic() as savepoint:
            Item.create(n=2)
            savepoint.rollback()
        with lab.database.atomic() as savepoint:
            Item.create(n=3)
            savepoint.commit()
            Item.create(n=4)

    lab.run(body)
    assert lab.items() == [1, 3, 4]


@kinds(EVERY)
def test_what_a_function_leaves_open_is_committed(lab: Lab) -> None:
    def body() -> str:
        lab.database.session_start()
        Item.create(n=1)
        return "done"

    assert lab.run(body) == "done"
    assert lab.items() == [1]
    assert lab.run(add(2)) == 2


def taken() -> None:
    """A body that takes a name."""
    Unique.create(name="taken")


@kinds(EVERY, only=("postgresql",))
def test_a_statement_that_failed_and_was_caught_keeps_nothing(lab: Lab) -> None:
    lab.run(taken)

    def body() -> str:
        Item.create(n=1)
        with pytest.raises((IntegrityError, psycopg.IntegrityError)):
            Unique.create(name="taken")
        return "done"

    with pytest.raises(durably.TransactionEndedError, match="its error was caught") as caught:
        lab.run(body)
    cause = caught.value.__cause__
    assert cause is not None
    assert "unique_name" in f"{cause} {cause.__cause__}", "what failed first is told"
    assert lab.items() == []


@kinds(EVERY, only=("postgresql",))
def test_the_same_outside_workflows_is_no_silent_success(lab: Lab) -> None:
    lab.run(taken)

    def body() -> str:
        Item.create(n=1)
        with pytest.raises((IntegrityError, psycopg.IntegrityError)):
            Unique.create(name="taken")
        return "done"

    def in_a_savepoint() -> str:
        Item.create(n=2)
        with pytest.raises((IntegrityError, psycopg.IntegrityError)), lab.database.atomic():
            Unique.create(name="taken")
        return "done"

    with pytest.raises(durably.TransactionEndedError, match="its error was caught"):
        lab.wait(lab.transaction(body)())
    assert lab.items() == []
    assert lab.wait(lab.transaction(in_a_savepoint)()) == "done"
    assert lab.run(in_a_savepoint) == "done"
    assert lab.items() == [2, 2]


@kinds(SYNC)
def test_callbacks_run_once_after_the_commit_and_never_after_a_rollback(make_lab: MakeLab) -> None:
    lab = make_lab(unpooled).launch()
    if not hasattr(lab.database, "after_commit"):
        pytest.skip("callbacks came with Peewee 4.5")
    ran: list[object] = []

    def body() -> None:
        Item.create(n=1)
        lab.database.after_commit(lambda: ran.append(lab.items()))

    def failing() -> None:
        lab.database.after_commit(lambda: ran.append("failed"))
        raise ValueError("no")

    lab.run(body)
    with pytest.raises(ValueError, match="no"):
        lab.run(failing)
    lab.run(add(2))
    assert ran == [[1]]


@kinds(EVERY)
def test_outside_transactions_the_database_is_as_ever(lab: Lab) -> None:
    lab.run(add(1))

    def own() -> None:
        with lab.database.atomic() as transaction:
            Item.create(n=2)
            transaction.commit()
            Item.create(n=3)
            transaction.rollback()
        lab.database.begin()
        Item.create(n=4)
        lab.database.commit()
        lab.database.close()

    if lab.asynchronous:

        async def in_a_task() -> None:
            await lab.database.run(own)

        lab.wait(in_a_task())
    else:
        own()
    assert lab.items() == [1, 2, 4]
